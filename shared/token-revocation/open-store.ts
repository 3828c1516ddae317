import { locateStore, openOnDemand, StoreEnvironment, type StoreLocation } from '../databases/store-driver.ts';
import type { Platform } from '../platform.ts';
import { AnyText, type Settings } from '../settings.ts';
import type { TokenRevocationStore } from './store.ts';

/** Where revocations are kept. `REVOCATION_STORE_URL` wins over `STORE_URL`. */
export const TokenRevocationStoreEnvironment = {
  ...StoreEnvironment,
  REVOCATION_STORE_URL: AnyText,
};

/**
 * The store that the environment names, with the driver of its scheme, opened at its first use.
 *
 * @throws {Misconfigured} Names the variable, never its value.
 */
export function openTokenRevocationStore(
  environment: Settings<typeof TokenRevocationStoreEnvironment>,
  platform: Platform,
): TokenRevocationStore {
  const location = locateStore(environment, ['REVOCATION_STORE_URL', environment.REVOCATION_STORE_URL], platform);
  const { use, close } = openOnDemand(location, () => openDriver(location));
  return {
    revoke: (...revocation) => use((store) => store.revoke(...revocation)),
    check: (...token) => use((store) => store.check(...token)),
    purgeExpired: (limit) => use((store) => store.purgeExpired(limit)),
    close,
  };
}

/** Loads the driver on demand: the build leaves out what a deployment does not name. */
async function openDriver({ driver, url, path, options }: StoreLocation): Promise<TokenRevocationStore> {
  switch (driver) {
    case 'memory':
      return (await import('./drivers/memory.ts')).openMemoryStore();
    case 'sqlite':
      return (await import('./drivers/sqlite.ts')).openSqliteStore(path);
    case 'postgres':
      return (await import('./drivers/postgres.ts')).openPostgresStore(url);
    case 'redis':
      return (await import('./drivers/redis.ts')).openRedisStore(url, options);
    case 'dynamodb':
      return (await import('./drivers/dynamodb.ts')).openDynamodbStore(url, options);
  }
}
