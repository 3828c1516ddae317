import { CallerError } from '../errors.ts';
import { retryWhileUnavailable } from '../token-revocation/retry.ts';
import type { TokenRevocationStore } from '../token-revocation/store.ts';
import { type Pepper, tokenIds } from '../token-revocation/token-id.ts';
import { bearerToken } from './bearer.ts';

/** What deciding about a token needs. */
export interface AuthorizePorts {
  readonly revocations: TokenRevocationStore;
  readonly peppers: readonly Pepper[];
}

/** A credential to decide about. */
export interface AuthorizeRequest {
  readonly authorization: string | undefined;
  /** How long this may take, in milliseconds. */
  readonly remainingMs: number;
  readonly note: (fields: Record<string, unknown>) => void;
}

/**
 * Whether a token may pass: it is well-formed and not revoked. Nothing else is known of it.
 *
 * @throws {StoreUnavailable} Never "not revoked" when the store cannot say.
 */
export async function authorize(request: AuthorizeRequest, ports: AuthorizePorts): Promise<boolean> {
  let token: string;
  try {
    token = bearerToken(request.authorization);
  } catch (error) {
    if (!(error instanceof CallerError)) throw error;
    request.note({ reason: error.code });
    return false;
  }
  const ids = tokenIds(token, ports.peppers);
  request.note({ token_id: ids.current });
  const status = await retryWhileUnavailable(request.remainingMs, (timeoutMs) =>
    ports.revocations.check({ tokenIds: ids.all, grants: [], cutOffKeys: [] }, timeoutMs),
  );
  if (status.revoked) request.note({ reason: `revoked_by_${status.by}` });
  return !status.revoked;
}
