import { parsedText } from '../settings.ts';

/** `MAX_TOKEN_LIFETIME_S`: how long a token of the provider may live at the most, in seconds; 400 days if not set. */
export const MaxTokenLifetime = parsedText(
  'must be a whole number of seconds',
  (text) => (/^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined),
  { text: '34560000' },
);

/**
 * `INACTIVE_TOKEN_LIFETIME_S`: how long a token is kept that its issuer calls inactive, in seconds; a day if not set.
 * Longer than anybody may believe an older "active".
 */
export const InactiveTokenLifetime = parsedText(
  'must be a whole number of seconds, at least 60',
  (text) => (/^[1-9]\d{1,9}$/.test(text) && Number(text) >= 60 ? Number(text) : undefined),
  { text: '86400' },
);

/** What is added to the expiry of a token for the clocks of those who check it. */
const CLOCK_SKEW_S = 300;

/** What is known of how long a token lives: whole seconds since the epoch. */
interface TokenTimes {
  readonly issuedAt?: number | undefined;
  readonly expiresAt?: number | undefined;
}

/**
 * Until when a revocation is kept: as long as any token that it refuses can live, counted from the revocation or from
 * the token's own expiry, whichever is later. So it is there for as long as {@link isTooOld} lets the token be presented.
 * All in seconds.
 */
export function keptUntil(nowS: number, maxTokenLifetimeS: number, times: TokenTimes = {}): number {
  return Math.max(nowS, (endOf(times, maxTokenLifetimeS) ?? 0) + CLOCK_SKEW_S) + maxTokenLifetimeS;
}

/**
 * Whether a token has expired so long ago that its revocation need not be kept any more: nobody can say whether it was
 * unlinked before, and a link made anew must not end by it. One that says neither when it was issued nor when it expires
 * never is.
 */
export function isTooOld(nowS: number, maxTokenLifetimeS: number, times: TokenTimes): boolean {
  const end = endOf(times, maxTokenLifetimeS);
  return end !== undefined && end + maxTokenLifetimeS < nowS;
}

/** When a token ends; undefined where it does not say. */
function endOf({ issuedAt, expiresAt }: TokenTimes, maxTokenLifetimeS: number): number | undefined {
  return expiresAt ?? (issuedAt === undefined ? undefined : issuedAt + maxTokenLifetimeS);
}
