import * as z from 'zod/mini';
import type { JsonObject } from '../json.ts';
import type { VerifiedToken } from './verify.ts';

/** Clocks differ: how much, in seconds, is let pass in `exp` and `nbf`. */
export const CLOCK_SKEW_S = 60;

/** What is read of a token: RFC 7519, section 4.1, RFC 9068, section 2.2, RFC 7662, section 2.2. */
const Claims = z.lazy(() => {
  const seconds = z.number().check(z.nonnegative(), z.lte(Number.MAX_SAFE_INTEGER));
  const text = z.string().check(z.minLength(1), z.maxLength(1024));
  const words = z.union([z.string(), z.array(z.string())]);
  return z.object({
    sub: text,
    client_id: z.optional(text),
    azp: z.optional(text),
    scope: z.optional(words),
    scp: z.optional(words),
    iat: z.optional(seconds),
    exp: z.optional(seconds),
    jti: z.optional(text),
  });
});

/** A token's claims in our words, or undefined when one of them has no meaning. */
export function readClaims(claims: JsonObject, issuer: string, grantClaim?: string): VerifiedToken | undefined {
  const { success, data } = Claims.safeParse(claims);
  if (!success) return undefined;
  const grant = grantClaim === undefined ? undefined : claims[grantClaim];
  if (grant !== undefined && (typeof grant !== 'string' || grant === '')) return undefined;
  return {
    issuer,
    subject: data.sub,
    client: data.client_id ?? data.azp,
    // A scope is a word between single spaces (RFC 6749, section 3.3); of a list, each entry is one.
    scopes: [data.scope ?? data.scp ?? []].flat().flatMap((scope) => scope.split(' ')),
    issuedAt: wholeSeconds(data.iat),
    expiresAt: wholeSeconds(data.exp),
    grant,
    jwtId: data.jti,
    claims,
  };
}

function wholeSeconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.floor(seconds);
}
