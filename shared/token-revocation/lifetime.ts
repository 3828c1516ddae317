import { parsedText } from '../settings.ts';

/** `MAX_TOKEN_LIFETIME_S`: how long a token of the provider may live at the most, in seconds; 400 days if not set. */
export const MaxTokenLifetime = parsedText(
  'must be a whole number of seconds',
  (text) => (/^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined),
  { text: '34560000' },
);

/** How long a token is kept, in seconds, that its issuer calls inactive: longer than anybody may believe an older "active". */
export const INACTIVE_LIFETIME_S = 3600;

/** What is added to the expiry of a token for the clocks of those who check it. */
const CLOCK_SKEW_S = 300;

/**
 * Until when a revocation is kept: the longest that any token which it refuses can live. A token's own expiry makes it
 * longer, never shorter. All in seconds.
 */
export function keptUntil(nowS: number, maxTokenLifetimeS: number, tokenExpiresAt = 0): number {
  return Math.max(nowS + maxTokenLifetimeS, tokenExpiresAt + CLOCK_SKEW_S);
}
