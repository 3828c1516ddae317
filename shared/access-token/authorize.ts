import { retryWhileUnavailable } from '../databases/retry.ts';
import { CallerError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import type { TokenRevocationStore } from '../token-revocation/store.ts';
import type { Pepper } from '../token-revocation/token-id.ts';
import { bearerToken } from './bearer.ts';
import { identifyToken } from './identify.ts';
import type { Verification, VerifyAccessToken } from './verify.ts';

/** What deciding about a token needs. */
export interface AuthorizePorts {
  readonly verify: VerifyAccessToken;
  readonly revocations: TokenRevocationStore;
  readonly peppers: readonly Pepper[];
}

/** A credential to decide about. */
export interface AuthorizeRequest {
  readonly authorization: string | undefined;
  /** The trace of the call, for our own services. */
  readonly traceparent?: string | undefined;
  /** How long this may still take, in milliseconds. */
  readonly remainingMs: () => number;
  readonly note: (fields: Record<string, unknown>) => void;
}

/**
 * Whether a credential may pass: a token that verifies and is not revoked, neither by itself, nor with its grant, nor
 * by a cut-off.
 *
 * @throws {Failure} Never "not revoked" when the issuer or the store cannot say.
 */
export async function isAuthorized(request: AuthorizeRequest, ports: AuthorizePorts): Promise<boolean> {
  let token: string;
  try {
    token = bearerToken(request.authorization);
  } catch (error) {
    if (!(error instanceof CallerError)) throw error;
    request.note({ reason: request.authorization === undefined ? 'missing' : 'malformed' });
    return false;
  }
  return (await verifyUnrevoked(token, request, ports)) !== undefined;
}

/**
 * What is known of a token that verifies and is not revoked, or undefined when it is refused; the reason is noted for
 * the log. In this order, so that what nobody signed costs the store nothing.
 *
 * @throws {Failure}
 */
export async function verifyUnrevoked(
  token: string,
  { traceparent, remainingMs, note }: Pick<AuthorizeRequest, 'traceparent' | 'remainingMs' | 'note'>,
  { verify, revocations, peppers }: AuthorizePorts,
): Promise<Extract<Verification, { status: 'verified' | 'unverified' }> | undefined> {
  const verification = await verify(token, { timeoutMs: remainingMs(), traceparent });
  const { presented, tokenIds, subjectRef } = identifyToken(token, verification, peppers);
  note({ token_id: tokenIds[0], ...(subjectRef !== undefined && { subject_ref: subjectRef }) });
  if (verification.status !== 'verified' && verification.status !== 'unverified') {
    note({ reason: verification.status === 'refused' ? verification.reason : 'inactive' });
    return undefined;
  }
  if (verification.status === 'verified' && isSenderConstrained(verification.token.claims)) {
    note({ reason: 'sender_constrained' });
    return undefined;
  }
  const status = await retryWhileUnavailable(remainingMs(), (timeoutMs) => revocations.check(presented, timeoutMs));
  if (!status.revoked) return verification;
  note({ reason: `revoked_by_${status.by}` });
  return undefined;
}

/** Whether a token is good only together with a key (RFC 8705, RFC 9449), whose proof nothing here looks at. */
function isSenderConstrained({ cnf, token_type }: JsonObject): boolean {
  return cnf !== undefined || (typeof token_type === 'string' && token_type.toLowerCase() === 'dpop');
}
