import * as z from 'zod/mini';
import { isFailure, isStoreUnavailable, Misconfigured } from '../errors.ts';
import { once } from '../once.ts';
import type { Platform } from '../platform.ts';
import type { TokenRevocationStore } from './store.ts';

/** Where revocations are kept. `REVOCATION_STORE_URL` wins over `STORE_URL`. */
export const TokenRevocationStoreEnvironment = z.object({
  STORE_URL: z.optional(z.string()),
  REVOCATION_STORE_URL: z.optional(z.string()),
  /** `1`: a store that is lost with its instance may be used in the cloud. */
  ALLOW_EPHEMERAL_STORE: z.optional(z.literal('1', 'must be 1 or unset')),
  /** Who we are at a dynamodb URL with auth=sigv4. */
  AWS_ACCESS_KEY_ID: z.optional(z.string()),
  AWS_SECRET_ACCESS_KEY: z.optional(z.string()),
  AWS_SESSION_TOKEN: z.optional(z.string()),
});

/**
 * The store that the environment names, with the driver of its scheme. It is opened at the first use; a failure to
 * open is the answer to that use alone, and the next one tries again. So is one whose driver has given it up.
 *
 * @throws {Misconfigured} Names the variable, never its value.
 */
export function openTokenRevocationStore(
  environment: z.output<typeof TokenRevocationStoreEnvironment>,
  { isDeployed, iamToken, warn }: Platform,
): TokenRevocationStore {
  const variable = environment.REVOCATION_STORE_URL === undefined ? 'STORE_URL' : 'REVOCATION_STORE_URL';
  const url = environment[variable] ?? '';
  const [, scheme = '', location = ''] = /^([a-z+]+):(.*)$/s.exec(url) ?? [];
  const driver = DRIVERS.get(scheme);

  if (driver === undefined || (driver === 'memory') !== (location === '')) {
    throw new Misconfigured(
      `${variable} must be memory:, sqlite:<path>, postgres://…, redis://… or dynamodb+https://…`,
    );
  }
  if (isDeployed && EPHEMERAL.has(driver) && environment.ALLOW_EPHEMERAL_STORE === undefined) {
    throw new Misconfigured(
      `${variable} names a store that is lost with its instance; ALLOW_EPHEMERAL_STORE=1 accepts the loss`,
    );
  }
  const options = { iamToken, credentials: awsCredentials(environment), warn };
  const open = once(() =>
    openDriver(driver, url, location, options).catch((error: unknown) => {
      // What a driver finds wrong with a URL is said by the name of the variable that holds it.
      const isMisconfigured = isFailure(error) && error.code === 'misconfigured';
      throw isMisconfigured ? new Misconfigured(`${variable}: ${error.message}`, { cause: error }) : error;
    }),
  );
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

type Driver = 'memory' | 'sqlite' | 'postgres' | 'redis' | 'dynamodb';

/** By the scheme of a store's URL. */
const DRIVERS: ReadonlyMap<string, Driver> = new Map<string, Driver>([
  ['memory', 'memory'],
  ['sqlite', 'sqlite'],
  ['postgres', 'postgres'],
  ['postgresql', 'postgres'],
  ['redis', 'redis'],
  ['rediss', 'redis'],
  ['dynamodb+https', 'dynamodb'],
  ['dynamodb+http', 'dynamodb'],
]);

/** In the memory or on the disk of an instance. */
const EPHEMERAL: ReadonlySet<Driver> = new Set<Driver>(['memory', 'sqlite']);

/** What some drivers need besides the URL. */
interface DriverOptions {
  readonly iamToken: () => string | undefined;
  readonly credentials: ReturnType<typeof awsCredentials>;
  readonly warn: (sentence: string) => void;
}

function awsCredentials(environment: z.output<typeof TokenRevocationStoreEnvironment>) {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN } = environment;
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(AWS_SESSION_TOKEN !== undefined && { sessionToken: AWS_SESSION_TOKEN }) };
}

/** Loads the driver on demand: the build leaves out what a deployment does not name. */
async function openDriver(
  driver: Driver,
  url: string,
  location: string,
  options: DriverOptions,
): Promise<TokenRevocationStore> {
  switch (driver) {
    case 'memory':
      return (await import('./drivers/memory.ts')).openMemoryStore();
    case 'sqlite':
      return (await import('./drivers/sqlite.ts')).openSqliteStore(location);
    case 'postgres':
      return (await import('./drivers/postgres.ts')).openPostgresStore(url);
    case 'redis':
      return (await import('./drivers/redis.ts')).openRedisStore(url, options);
    case 'dynamodb':
      return (await import('./drivers/dynamodb.ts')).openDynamodbStore(url, options);
  }
}
