import * as z from 'zod/mini';
import { isFailure, isStoreUnavailable, Misconfigured } from '../errors.ts';
import { once } from '../once.ts';
import type { Platform } from '../platform.ts';
import { AnyText, type Settings } from '../settings.ts';
import type { AwsCredentials } from './dynamodb.ts';

/** What every store's settings have in common. */
export const StoreEnvironment = {
  STORE_URL: AnyText,
  /** `1`: a store that is lost with its instance may be used in the cloud. */
  ALLOW_EPHEMERAL_STORE: z.optional(z.literal('1', 'must be 1 or unset')),
  /** Who we are at a dynamodb URL with auth=sigv4. */
  AWS_ACCESS_KEY_ID: AnyText,
  AWS_SECRET_ACCESS_KEY: AnyText,
  AWS_SESSION_TOKEN: AnyText,
};

export type Driver = 'memory' | 'sqlite' | 'postgres' | 'redis' | 'dynamodb';

/** Where a store is and what opens it. */
export interface StoreLocation {
  /** The variable that says so. */
  readonly variable: string;
  readonly driver: Driver;
  readonly url: string;
  /** The URL without its scheme: of `sqlite:` the path. */
  readonly path: string;
  /** What some drivers need besides the URL. */
  readonly options: {
    readonly iamToken: () => string | undefined;
    readonly credentials: AwsCredentials | undefined;
    readonly warn: (sentence: string) => void;
  };
}

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

/**
 * Where a store is.
 *
 * @param own The variable that wins over `STORE_URL`, and its value.
 * @throws {Misconfigured} Names the variable, never its value.
 */
export function locateStore(
  environment: Settings<typeof StoreEnvironment>,
  own: readonly [variable: string, url: string | undefined],
  { isDeployed, iamToken, warn }: Platform,
): StoreLocation {
  const [variable, url = ''] = own[1] === undefined ? ['STORE_URL', environment.STORE_URL] : own;
  const [, scheme = '', path = ''] = /^([a-z+]+):(.*)$/s.exec(url) ?? [];
  const driver = DRIVERS.get(scheme);
  if (driver === undefined || (driver === 'memory') !== (path === '')) {
    throw new Misconfigured(
      `${variable} must be memory:, sqlite:<path>, postgres://…, redis://… or dynamodb+https://…`,
    );
  }
  if (isDeployed && EPHEMERAL.has(driver) && environment.ALLOW_EPHEMERAL_STORE === undefined) {
    throw new Misconfigured(
      `${variable} names a store that is lost with its instance; ALLOW_EPHEMERAL_STORE=1 accepts the loss`,
    );
  }
  return { variable, driver, url, path, options: { iamToken, credentials: awsCredentials(environment), warn } };
}

/** A store that is opened at its first use. */
export interface OpenedOnDemand<Store> {
  /** A failure to open is the answer to that use alone, and the next one tries again; so is a store that was given up. */
  use<Result>(work: (store: Store) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

/** Makes what opens a store at its first use. */
export function openOnDemand<Store extends { close(): Promise<void> }>(
  { variable }: StoreLocation,
  openStore: () => Promise<Store>,
): OpenedOnDemand<Store> {
  const open = once(() =>
    openStore().catch((error: unknown) => {
      // What a driver finds wrong with a URL is said by the name of the variable that holds it.
      const isMisconfigured = isFailure(error) && error.code === 'misconfigured';
      throw isMisconfigured ? new Misconfigured(`${variable}: ${error.message}`, { cause: error }) : error;
    }),
  );
  return {
    async use(work) {
      const store = await open();
      try {
        return await work(store);
      } catch (error) {
        if (isStoreUnavailable(error) && error.fault === 'closed') open.forget();
        throw error;
      }
    },
    close: async () => (await open.kept())?.close(),
  };
}

function awsCredentials(environment: Settings<typeof StoreEnvironment>): AwsCredentials | undefined {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN } = environment;
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(AWS_SESSION_TOKEN !== undefined && { sessionToken: AWS_SESSION_TOKEN }) };
}
