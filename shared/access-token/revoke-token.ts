import { retryWhileUnavailable } from '../databases/retry.ts';
import { CallerError } from '../errors.ts';
import type { HourlyLimit } from '../hourly-limit.ts';
import type { JsonObject } from '../json.ts';
import type { Settings } from '../settings.ts';
import { InactiveTokenLifetime, isTooOld, MaxTokenLifetime } from '../token-revocation/lifetime.ts';
import { logRevocation, type Revocation } from '../token-revocation/store.ts';
import type { AuthorizePorts, AuthorizeRequest } from './authorize.ts';
import { authenticateClient, Clients } from './clients.ts';
import { identifyToken } from './identify.ts';
import { countInactive } from './inactive-tokens.ts';
import { noteAhead, reachOf, revocationOf } from './revocation-of.ts';
import type { RefusalReason, Verification } from './verify.ts';

/** How long revocations are kept. */
export const RevokeTokenEnvironment = {
  CLIENTS: Clients,
  MAX_TOKEN_LIFETIME_S: MaxTokenLifetime,
  INACTIVE_TOKEN_LIFETIME_S: InactiveTokenLifetime,
};

/** What revoking a token for its client needs. */
export interface RevokeTokenPorts extends AuthorizePorts {
  readonly settings: Settings<typeof RevokeTokenEnvironment>;
  readonly inactiveLimit: HourlyLimit;
  readonly now?: () => number;
}

/** A revocation request with the fields `token` and `token_type_hint`. */
export interface RevokeTokenRequest extends AuthorizeRequest {
  readonly fields: JsonObject;
  /** Tells an operator of what needs one. */
  readonly alert: (message: string, fields: Record<string, unknown>) => void;
}

/**
 * Revokes a token that was issued to the client which asks, and its grant when the token names it: the refresh tokens
 * and access tokens of the grant end with it (RFC 7009, section 2.1). A refresh token that its server calls active and
 * that names no grant ends the link, which is what it is for. A token that is not known succeeds.
 *
 * @throws {CallerError} `invalid_client`, `invalid_request`, `unsupported_token_type`, and `invalid_grant` for a token
 *   of another client
 * @throws {Failure} Nothing is known to be revoked.
 */
export async function revokeToken(request: RevokeTokenRequest, ports: RevokeTokenPorts): Promise<void> {
  const { authorization, fields, traceparent, note } = request;
  const client = authenticateClient(authorization, fields, ports.settings.CLIENTS);
  note({ client_id: client.id });
  const token = tokenField(fields);
  if (token === undefined) {
    note({ reason: 'malformed' });
    return;
  }

  const verification = await ports.verify(token, {
    timeoutMs: request.remainingMs(),
    atAnyTime: true,
    refreshTokens: { hint: hintOf(fields) },
    traceparent,
  });
  if (verification.status === 'refused') {
    note({ reason: verification.reason });
    if (!OTHER_KINDS.has(verification.reason)) return;
    throw new CallerError('unsupported_token_type', 'The token is neither an access token nor a refresh token.');
  }
  const isKnown = verification.status === 'verified' || verification.status === 'refresh';
  if (isKnown && verification.token.client !== client.id) {
    throw new CallerError('invalid_grant', 'The token was not issued to this client.');
  }
  const nowS = Math.floor((ports.now ?? Date.now)() / 1000);
  if (isKnown && isTooOld(nowS, ports.settings.MAX_TOKEN_LIFETIME_S, verification.token)) {
    note({ reason: 'too_old' });
    return;
  }
  if (isKnown) noteAhead(verification.token, nowS, request);
  countInactive(verification, ports.inactiveLimit, request);

  const identified = identifyToken(token, verification, ports.peppers);
  if (identified.subjectRef !== undefined) note({ subject_ref: identified.subjectRef });
  const revocation = revocationOf(identified, verification, {
    endsLink: verification.status === 'refresh' && identified.grants.length === 0,
    nowS,
    settings: ports.settings,
  });
  note({ token_id: revocation.tokenIds[0], revocation: logRevocation(revocation, nowS) });
  const { first, at } = await retryWhileUnavailable(request.remainingMs(), (timeoutMs) =>
    ports.revocations.revoke(revocation, timeoutMs),
  );
  note({ first, at, reached: reachedBy(revocation, verification) });
}

/** What a revocation reached, in the words of the log. */
function reachedBy(revocation: Revocation, verification: Verification): string[] {
  if (verification.status !== 'refresh') return reachOf(revocation) ?? ['access_token_only'];
  // A grant is known by its user: of a refresh token that names none, the access tokens have another.
  const namesUser = verification.token.subject !== undefined;
  return (namesUser ? reachOf(revocation) : undefined) ?? ['refresh_token_only'];
}

/** Reasons that say what a token is: it is known, and nothing that is revoked here. */
const OTHER_KINDS: ReadonlySet<RefusalReason> = new Set(['id_token', 'row_rule', 'unmarked', 'wrong_type']);

/** The caller's hint (RFC 7009, section 2.1), where it is a word. */
function hintOf({ token_type_hint: hint }: JsonObject): string | undefined {
  return typeof hint === 'string' && /^[\w.:/-]{1,64}$/.test(hint) ? hint : undefined;
}

/**
 * The `token` of a revocation or introspection request; undefined: a text that can be no token.
 *
 * @throws {CallerError} `invalid_request`: there is none. One without a value counts as omitted (RFC 6749, section 3.1).
 */
export function tokenField({ token }: JsonObject): string | undefined {
  if (typeof token !== 'string' || token === '') {
    throw new CallerError('invalid_request', 'The parameter token is missing.');
  }
  return /^[\x21-\x7e]{1,8192}$/.test(token) ? token : undefined;
}
