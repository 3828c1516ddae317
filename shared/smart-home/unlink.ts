import * as z from 'zod/mini';
import { bearerToken } from '../access-token/bearer.ts';
import { retryWhileUnavailable } from '../token-revocation/retry.ts';
import { logRevocation, type Revocation, type TokenRevocationStore } from '../token-revocation/store.ts';
import { type Pepper, tokenIds } from '../token-revocation/token-id.ts';

/** `MAX_TOKEN_LIFETIME_S`: how long a token of the provider may live at the most, in seconds; 400 days if not set. */
export const MaxTokenLifetime = z.pipe(
  z._default(z.string().check(z.regex(/^[1-9]\d{0,9}$/, 'must be a whole number of seconds')), '34560000'),
  z.transform(Number),
);

/** What ending a link needs. */
export interface UnlinkPorts {
  readonly revocations: TokenRevocationStore;
  readonly peppers: readonly Pepper[];
  /** How long a token may live at the most, in seconds: for so long its revocation is kept. */
  readonly maxTokenLifetimeS: number;
  readonly now?: () => number;
}

/** The notification that a user unlinked the accounts. */
export interface UnlinkRequest {
  readonly authorization: string | undefined;
  /** How long this may take, in milliseconds. */
  readonly remainingMs: number;
  /** Adds to the log line of this call, whether it succeeds or fails. */
  readonly note: (fields: Record<string, unknown>) => void;
}

/**
 * Ends the link: the user's token is refused from now on. Resolves when that is durable, as often as it is asked.
 *
 * @throws {CallerError} `invalid_token`
 * @throws {StoreUnavailable} Nothing is known to be revoked.
 * @see https://yandex.ru/dev/dialogs/smart-home/doc/en/reference/unlink-jrpc
 */
export async function unlink(request: UnlinkRequest, ports: UnlinkPorts): Promise<void> {
  const token = tokenIds(bearerToken(request.authorization), ports.peppers);
  const now = Math.floor((ports.now ?? Date.now)() / 1000);
  const revocation: Revocation = {
    tokenIds: [token.current],
    grants: [],
    cutOffs: [],
    expiresAt: now + ports.maxTokenLifetimeS,
    presented: { tokenIds: token.all, grants: [], cutOffKeys: [] },
  };
  request.note({ token_id: token.current, revocation: logRevocation(revocation) });

  const { first } = await retryWhileUnavailable(request.remainingMs, (timeoutMs) =>
    ports.revocations.revoke(revocation, timeoutMs),
  );
  request.note({ first });
}
