import * as z from 'zod/mini';
import { isStoreUnavailable, Misconfigured } from '../errors.ts';
import { once } from '../once.ts';
import type { Platform } from '../platform.ts';
import type { TokenRevocationStore } from './store.ts';

/** Where revocations are kept. `REVOCATION_STORE_URL` wins over `STORE_URL`. */
export const TokenRevocationStoreEnvironment = z.object({
  STORE_URL: z.optional(z.string()),
  REVOCATION_STORE_URL: z.optional(z.string()),
  /** `1`: a store that is lost with its instance may be used in the cloud. */
  ALLOW_EPHEMERAL_STORE: z.optional(z.literal('1', 'must be 1 or unset')),
});

/**
 * The store that the environment names, with the driver of its scheme. It is opened at the first use; a failure to
 * open is the answer to that use alone, and the next one tries again. So is one whose driver has given it up.
 *
 * @throws {Misconfigured} Names the variable, never its value.
 */
export function openTokenRevocationStore(
  environment: z.output<typeof TokenRevocationStoreEnvironment>,
  { isDeployed }: Platform,
): TokenRevocationStore {
  const variable = environment.REVOCATION_STORE_URL === undefined ? 'STORE_URL' : 'REVOCATION_STORE_URL';
  const [, scheme, location = ''] = /^([a-z+]+):(.*)$/s.exec(environment[variable] ?? '') ?? [];

  if (!((scheme === 'memory' && location === '') || (scheme === 'sqlite' && location !== ''))) {
    throw new Misconfigured(`${variable} must be memory: or sqlite:<path>`);
  }
  if (isDeployed && environment.ALLOW_EPHEMERAL_STORE === undefined) {
    throw new Misconfigured(
      `${variable} names a store that is lost with its instance; ALLOW_EPHEMERAL_STORE=1 accepts the loss`,
    );
  }
  const open = once(() => openDriver(scheme, location));
  async function use<Result>(work: (store: TokenRevocationStore) => Promise<Result>): Promise<Result> {
    const store = await open();
    try {
      return await work(store);
    } catch (error) {
      if (isStoreUnavailable(error) && error.fault === 'closed') open.forget();
      throw error;
    }
  }
  return {
    revoke: (...revocation) => use((store) => store.revoke(...revocation)),
    check: (...token) => use((store) => store.check(...token)),
    purgeExpired: (limit) => use((store) => store.purgeExpired(limit)),
    close: async () => (await open.kept())?.close(),
  };
}

/** Loads the driver on demand: the build leaves out what a deployment does not name. */
async function openDriver(scheme: 'memory' | 'sqlite', location: string): Promise<TokenRevocationStore> {
  switch (scheme) {
    case 'memory':
      return (await import('./drivers/memory.ts')).openMemoryStore();
    case 'sqlite':
      return (await import('./drivers/sqlite.ts')).openSqliteStore(location);
  }
}
