import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';

/** A store that acknowledges a revocation and then writes it: `check:window` must find it out. */
export function openStore(url: string): TokenRevocationStore {
  const store = openTokenRevocationStore({ STORE_URL: url }, LOCAL_PLATFORM);
  return {
    ...store,
    async revoke(revocation) {
      setImmediate(() => void retryWhileUnavailable(5000, () => store.revoke(revocation)));
      return { first: true, at: 0 };
    },
  };
}
