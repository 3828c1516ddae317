import { retryWhileUnavailable } from '../databases/retry.ts';
import { CallerError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { INACTIVE_LIFETIME_S, keptUntil } from '../token-revocation/lifetime.ts';
import { logRevocation, type Revocation } from '../token-revocation/store.ts';
import type { AuthorizePorts, AuthorizeRequest } from './authorize.ts';
import { authenticateClient, type Client } from './clients.ts';
import { identifyToken } from './identify.ts';

/** What revoking a token for its client needs. */
export interface RevokeTokenPorts extends AuthorizePorts {
  readonly clients: readonly Client[];
  readonly maxTokenLifetimeS: number;
  readonly now?: () => number;
}

/** A revocation request with the fields `token`, and `token_type_hint`, which is ignored. */
export interface RevokeTokenRequest extends AuthorizeRequest {
  readonly fields: JsonObject;
}

/**
 * Revokes a token that was issued to the client which asks, and its grant when the token names it: the refresh tokens
 * and access tokens of the grant end with it (RFC 7009, section 2.1). A token that is not known succeeds.
 *
 * @throws {CallerError} `invalid_client`, `invalid_request`, `unsupported_token_type`, and `invalid_grant` for a token
 *   of another client
 * @throws {Failure} Nothing is known to be revoked.
 */
export async function revokeToken(request: RevokeTokenRequest, ports: RevokeTokenPorts): Promise<void> {
  const client = authenticateClient(request.authorization, request.fields, ports.clients);
  request.note({ client_id: client.id });
  const token = tokenField(request.fields);

  const { traceparent } = request;
  const verification = await ports.verify(token, { timeoutMs: request.remainingMs(), atAnyTime: true, traceparent });
  if (verification.status === 'refused') {
    request.note({ reason: verification.reason });
    if (verification.reason !== 'wrong_type') return;
    throw new CallerError('unsupported_token_type', 'The token is not an access token.');
  }
  if (verification.status === 'verified' && verification.token.client !== client.id) {
    throw new CallerError('invalid_grant', 'The token was not issued to this client.');
  }

  const { tokenIds, grants, presented, subjectRef } = identifyToken(token, verification, ports.peppers);
  if (subjectRef !== undefined) request.note({ subject_ref: subjectRef });
  const nowS = Math.floor((ports.now ?? Date.now)() / 1000);
  const revocation: Revocation = {
    tokenIds,
    grants,
    cutOffs: [],
    expiresAt:
      verification.status === 'verified'
        ? keptUntil(nowS, ports.maxTokenLifetimeS, verification.token.expiresAt)
        : nowS + INACTIVE_LIFETIME_S,
    presented,
  };
  request.note({ token_id: tokenIds[0], revocation: logRevocation(revocation, nowS) });
  const { first, at } = await retryWhileUnavailable(request.remainingMs(), (timeoutMs) =>
    ports.revocations.revoke(revocation, timeoutMs),
  );
  request.note({ first, at });
}

/**
 * The `token` of a revocation or introspection request.
 *
 * @throws {CallerError} `invalid_request`
 */
export function tokenField({ token }: JsonObject): string {
  if (typeof token === 'string' && /^[\x21-\x7e]{1,8192}$/.test(token)) return token;
  throw new CallerError('invalid_request', 'The parameter token must be 1 to 8192 visible ASCII characters.');
}
