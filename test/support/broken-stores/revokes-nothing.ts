import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';

/** A store that breaks when it is to revoke. */
export function openStore(url: string): TokenRevocationStore {
  const store = openTokenRevocationStore({ STORE_URL: url }, LOCAL_PLATFORM);
  return {
    ...store,
    async revoke() {
      throw new Error('nothing is revoked here');
    },
  };
}
