import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';

/** A store that calls everything revoked: `check:window` must not count that as a proof. */
export function openStore(url: string): TokenRevocationStore {
  const store = openTokenRevocationStore({ STORE_URL: url }, LOCAL_PLATFORM);
  return { ...store, check: async () => ({ revoked: true, by: 'token' }) };
}
