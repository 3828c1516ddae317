import { monotonicMs } from '../clock.ts';
import { Misconfigured } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../json.ts';
import type { Send } from '../outgoing/send.ts';
import type { Settings } from '../settings.ts';
import { jwtSigningInput } from '../token-revocation/token-id.ts';
import { isPresent } from './claims.ts';
import { createIntrospectionVerifier } from './introspection.ts';
import { type AccessTokenEnvironment, hasKeys, withGrantClaim } from './issuers.ts';
import { createJwtVerifier } from './jwt.ts';
import type { KindRefusal } from './token-kind.ts';

/** An access token of which its issuer, or its issuer's signature, has spoken. */
export interface VerifiedToken {
  readonly issuer: string;
  /** The user; undefined where the token names none, as a client's own does. Never filled with anything else. */
  readonly subject: string | undefined;
  /** It is the own token of an application that the issuer's row declares (`client_tokens`): of `client`. */
  readonly isApplication: boolean;
  readonly client?: string | undefined;
  readonly scopes: readonly string[];
  /** Whole seconds since the epoch. */
  readonly issuedAt?: number | undefined;
  /** Whole seconds since the epoch. */
  readonly expiresAt?: number | undefined;
  /** What names the grant at its issuer. */
  readonly grant?: { readonly claim: string; readonly value: string } | undefined;
  /** How long a grant can live, in seconds; undefined: for good. */
  readonly grantLifetimeS?: number | undefined;
  /** How far the issuer's clock is ahead, in seconds. */
  readonly iatOffsetS?: number | undefined;
  /** The `jti`, where it names this token alone. */
  readonly jwtId?: string | undefined;
  /** All that the token, or the introspection of it, says. */
  readonly claims: JsonObject;
}

/** Why a token is refused. For the log only: a caller learns no more than that it is. */
export type RefusalReason =
  | KindRefusal
  | 'algorithm_not_allowed'
  | 'bad_claims'
  | 'bad_signature'
  | 'expired'
  | 'malformed'
  | 'not_yet_valid'
  | 'unknown_issuer'
  | 'unusable_key'
  | 'wrong_audience'
  | 'wrong_client';

/** What is known of a token. */
export type Verification =
  | { readonly status: 'verified'; readonly token: VerifiedToken }
  /** It is no access token, but a refresh token that its server calls active. Only for who asks for such. */
  | { readonly status: 'refresh'; readonly token: VerifiedToken }
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
  /** Refresh tokens are meant too, and the caller's hint (RFC 7009, section 2.1) is passed on. */
  readonly refreshTokens?: { readonly hint: string | undefined };
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
 * Makes what verifies access tokens: JWTs by their issuer's keys, opaque tokens, and JWTs that name no issuer, by asking
 * the issuers that can be asked.
 *
 * @throws {Misconfigured} Neither `ISSUERS` nor `UNVERIFIED_TOKENS=1`, or both; or a session would be taken for a grant.
 */
export function createAccessTokenVerifier(
  { ISSUERS, UNVERIFIED_TOKENS, GRANT_CLAIM }: Partial<Settings<typeof AccessTokenEnvironment>>,
  { send, now = Date.now, monotonic = monotonicMs }: { send: Send; now?: () => number; monotonic?: () => number },
): VerifyAccessToken {
  if ((ISSUERS === undefined) === (UNVERIFIED_TOKENS === undefined)) {
    throw new Misconfigured('ISSUERS must be set, or UNVERIFIED_TOKENS=1 where tokens cannot be verified, not both');
  }
  if (ISSUERS === undefined) return async () => ({ status: 'unverified' });

  const settings = { send, now, monotonic };
  const rows = withGrantClaim(ISSUERS, GRANT_CLAIM);
  const byKeys = new Map(rows.filter(hasKeys).map((row) => [row.issuer, createJwtVerifier(row, settings)]));
  const byAsking = new Map(
    rows.flatMap((row) =>
      row.introspection === undefined
        ? []
        : [[row.issuer, createIntrospectionVerifier(row, row.introspection, settings)] as const],
    ),
  );

  async function verifyOwn(issuer: string, token: string, options: VerifyOptions): Promise<Verification> {
    const [withKeys, asked] = [byKeys.get(issuer), byAsking.get(issuer)];
    const answer = await withKeys?.(token, options);
    // A refresh token may be signed with a key that the server shows nobody.
    const isUnread = answer?.status === 'refused' && UNREAD.has(answer.reason);
    const mayBeRefresh = isUnread && options.refreshTokens !== undefined;
    if (answer !== undefined && !(mayBeRefresh && asked !== undefined)) return answer;
    // A JWT of a stranger is shown to nobody.
    return asked === undefined ? { status: 'refused', reason: 'unknown_issuer' } : asked(token, options);
  }

  return async (token, options) => {
    const issuer = claimedIssuer(token);
    if (issuer !== undefined) return verifyOwn(issuer, token, options);
    let answer: Verification = { status: 'refused', reason: 'unknown_issuer' };
    let isKnown = false;
    for (const verify of byAsking.values()) {
      const answered = await verify(token, options);
      if (answered.status === 'verified' || answered.status === 'refresh') return answered;
      // Whatever their order: an issuer that refuses a token of its own has called it active, and knows what it is; after
      // it counts one that may have known the token.
      const isOwn = answered.status === 'refused' && answered.reason !== 'unknown_issuer';
      if (isOwn || (!isKnown && answer.status !== 'inactive')) answer = answered;
      isKnown ||= isOwn;
    }
    return answer;
  };
}

/** Reasons to refuse a JWT that say nothing of what is in it. */
const UNREAD: ReadonlySet<RefusalReason> = new Set(['algorithm_not_allowed', 'bad_signature', 'unusable_key']);

/** What a way to verify needs besides its row of `ISSUERS`. */
export interface IssuerSettings {
  readonly send: Send;
  /** Milliseconds since the epoch, for what a token says of its time. */
  readonly now: () => number;
  /** Milliseconds on a clock that is never set, for how long something is kept. */
  readonly monotonic: () => number;
}

/**
 * The `iss` of what looks like a JWT, unverified: '' when it cannot be one of any issuer, undefined when the token is no
 * JWT, or names no issuer.
 */
function claimedIssuer(token: string): string | undefined {
  const payload = jwtSigningInput(token)?.split('.')[1];
  if (payload === undefined) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
    if (!isJsonObject(claims)) return '';
    if (!isPresent(claims.iss)) return undefined;
    return typeof claims.iss === 'string' ? claims.iss : '';
  } catch {
    return '';
  }
}
