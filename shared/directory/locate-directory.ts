import { type Driver, locateStore, StoreEnvironment, type StoreLocation } from '../databases/store-driver.ts';
import { Misconfigured } from '../errors.ts';
import type { Platform } from '../platform.ts';
import { AnyText, type Settings } from '../settings.ts';

/** Where links, the outbox and binds of third-party identifiers are kept. `DIRECTORY_URL` wins over `STORE_URL`. */
export const DirectoryEnvironment = {
  ...StoreEnvironment,
  DIRECTORY_URL: AnyText,
};

/** Where a directory is, which is not in Redis. */
export type DirectoryLocation = StoreLocation & { readonly driver: Exclude<Driver, 'redis'> };

/**
 * Where the directory is, for whoever opens all of it or a part.
 *
 * @throws {Misconfigured} Names the variable, never its value.
 */
export function locateDirectory(
  environment: Settings<typeof DirectoryEnvironment>,
  platform: Platform,
): DirectoryLocation {
  const location = locateStore(environment, ['DIRECTORY_URL', environment.DIRECTORY_URL], platform);
  const { driver } = location;
  if (driver === 'redis') {
    throw new Misconfigured(
      'DIRECTORY_URL must be memory:, sqlite:<path>, postgres://… or dynamodb+https://…: the directory is not kept in Redis',
    );
  }
  return { ...location, driver };
}
