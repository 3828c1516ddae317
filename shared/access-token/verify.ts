import { Misconfigured } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../json.ts';
import type { Send } from '../outgoing/send.ts';
import type { Settings } from '../settings.ts';
import { jwtSigningInput } from '../token-revocation/token-id.ts';
import { createIntrospectionVerifier } from './introspection.ts';
import { type AccessTokenEnvironment, hasKeys } from './issuers.ts';
import { createJwtVerifier } from './jwt.ts';

/** An access token of which its issuer, or its issuer's signature, has spoken. */
export interface VerifiedToken {
  readonly issuer: string;
  readonly subject: string;
  readonly client?: string | undefined;
  readonly scopes: readonly string[];
  /** Whole seconds since the epoch. */
  readonly issuedAt?: number | undefined;
  /** Whole seconds since the epoch. */
  readonly expiresAt?: number | undefined;
  /** What names the grant at its issuer. */
  readonly grant?: string | undefined;
  /** The `jti` of a JWT. */
  readonly jwtId?: string | undefined;
  /** All that the token, or the introspection of it, says. */
  readonly claims: JsonObject;
}

/** Why a token is refused. For the log only: a caller learns no more than that it is. */
export type RefusalReason =
  | 'algorithm_not_allowed'
  | 'bad_claims'
  | 'bad_signature'
  | 'expired'
  | 'malformed'
  | 'not_yet_valid'
  | 'unknown_issuer'
  | 'unusable_key'
  | 'wrong_audience'
  | 'wrong_type';

/** What is known of a token. */
export type Verification =
  | { readonly status: 'verified'; readonly token: VerifiedToken }
  /** Its issuer says that it is not valid, or not any more; nothing else is known. */
  | { readonly status: 'inactive' }
  | { readonly status: 'refused'; readonly reason: RefusalReason }
  /** There is nobody to ask (`UNVERIFIED_TOKENS=1`). */
  | { readonly status: 'unverified' };

/** How a token is to be verified. */
export interface VerifyOptions {
  readonly timeoutMs: number;
  /** A JWT that has expired, or is not valid yet, verifies all the same: a late unlink still ends the link. */
  readonly atAnyTime?: boolean;
  /** The trace of the call, for the issuer. */
  readonly traceparent?: string | undefined;
}

/**
 * Who a caller is. Revocations are not looked at.
 *
 * @throws {Failure} The keys or the issuer cannot be asked.
 */
export type VerifyAccessToken = (token: string, options: VerifyOptions) => Promise<Verification>;

/**
 * Makes what verifies access tokens: JWTs by their issuer's keys, opaque tokens by asking the issuers that can be asked.
 *
 * @throws {Misconfigured} Neither `ISSUERS` nor `UNVERIFIED_TOKENS=1`, or both.
 */
export function createAccessTokenVerifier(
  { ISSUERS, UNVERIFIED_TOKENS, GRANT_CLAIM }: Partial<Settings<typeof AccessTokenEnvironment>>,
  { send, now = Date.now }: { send: Send; now?: () => number },
): VerifyAccessToken {
  if ((ISSUERS === undefined) === (UNVERIFIED_TOKENS === undefined)) {
    throw new Misconfigured('ISSUERS must be set, or UNVERIFIED_TOKENS=1 where tokens cannot be verified, not both');
  }
  if (ISSUERS === undefined) return async () => ({ status: 'unverified' });

  const settings = { grantClaim: GRANT_CLAIM, send, now };
  const byKeys = new Map(ISSUERS.filter(hasKeys).map((row) => [row.issuer, createJwtVerifier(row, settings)]));
  const byAsking = new Map(
    ISSUERS.flatMap((row) =>
      row.introspection === undefined
        ? []
        : [[row.issuer, createIntrospectionVerifier(row, row.introspection, settings)] as const],
    ),
  );

  return async (token, options) => {
    const issuer = claimedIssuer(token);
    if (issuer !== undefined) {
      // A JWT of a stranger is shown to nobody.
      const verify = byKeys.get(issuer) ?? byAsking.get(issuer);
      return verify === undefined ? { status: 'refused', reason: 'unknown_issuer' } : verify(token, options);
    }
    let answer: Verification = { status: 'refused', reason: 'unknown_issuer' };
    for (const verify of byAsking.values()) {
      const answered = await verify(token, options);
      if (answered.status === 'verified') return answered;
      // Whatever their order: one that may have known the token says more than one that refuses it.
      if (answer.status !== 'inactive') answer = answered;
    }
    return answer;
  };
}

/** What a way to verify needs besides its row of `ISSUERS`. */
export interface IssuerSettings {
  readonly grantClaim: string | undefined;
  readonly send: Send;
  readonly now: () => number;
}

/** The `iss` of what looks like a JWT, unverified: '' when it has none that is text, undefined when the token is no JWT. */
function claimedIssuer(token: string): string | undefined {
  const payload = jwtSigningInput(token)?.split('.')[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
    return isJsonObject(claims) && typeof claims.iss === 'string' ? claims.iss : '';
  } catch {
    return '';
  }
}
