import * as z from 'zod/mini';
import { locateStore, openOnDemand, StoreEnvironment, type StoreLocation } from '../databases/store-driver.ts';
import { Misconfigured } from '../errors.ts';
import type { Platform } from '../platform.ts';
import type { Directory } from './directory.ts';

/** Where links, the outbox and binds of third-party identifiers are kept. `DIRECTORY_URL` wins over `STORE_URL`. */
export const DirectoryEnvironment = z.object({
  ...StoreEnvironment.shape,
  DIRECTORY_URL: z.optional(z.string()),
});

/**
 * The directory that the environment names, with the driver of its scheme, opened at its first use.
 *
 * @throws {Misconfigured} Names the variable, never its value.
 */
export function openDirectory(environment: z.output<typeof DirectoryEnvironment>, platform: Platform): Directory {
  const location = locateStore(environment, ['DIRECTORY_URL', environment.DIRECTORY_URL], platform);
  if (location.driver === 'redis') {
    throw new Misconfigured(
      'DIRECTORY_URL must be memory:, sqlite:<path>, postgres://… or dynamodb+https://…: the directory is not kept in Redis',
    );
  }
  const { use, close } = openOnDemand(location, () => openDriver(location));
  return {
    links: {
      list: (...args) => use(({ links }) => links.list(...args)),
      find: (...args) => use(({ links }) => links.find(...args)),
      link: (...args) => use(({ links }) => links.link(...args)),
      unlink: (...args) => use(({ links }) => links.unlink(...args)),
    },
    binds: {
      begin: (...args) => use(({ binds }) => binds.begin(...args)),
      take: (...args) => use(({ binds }) => binds.take(...args)),
    },
    outbox: {
      add: (...args) => use(({ outbox }) => outbox.add(...args)),
      claim: (...args) => use(({ outbox }) => outbox.claim(...args)),
      settle: (...args) => use(({ outbox }) => outbox.settle(...args)),
      find: (...args) => use(({ outbox }) => outbox.find(...args)),
      list: (...args) => use(({ outbox }) => outbox.list(...args)),
      replay: (...args) => use(({ outbox }) => outbox.replay(...args)),
    },
    sealed: {
      find: (...args) => use(({ sealed }) => sealed.find(...args)),
      replace: (...args) => use(({ sealed }) => sealed.replace(...args)),
    },
    threepids: {
      find: (...args) => use(({ threepids }) => threepids.find(...args)),
      put: (...args) => use(({ threepids }) => threepids.put(...args)),
      forget: (...args) => use(({ threepids }) => threepids.forget(...args)),
    },
    purgeExpired: (limit) => use((directory) => directory.purgeExpired(limit)),
    close,
  };
}

/** Loads the driver on demand: the build leaves out what a deployment does not name. */
async function openDriver({ driver, url, path, options }: StoreLocation): Promise<Directory> {
  switch (driver) {
    case 'memory':
      return (await import('./drivers/memory.ts')).openMemoryDirectory();
    case 'sqlite':
      return (await import('./drivers/sqlite.ts')).openSqliteDirectory(path);
    case 'postgres':
      return (await import('./drivers/postgres.ts')).openPostgresDirectory(url);
    case 'dynamodb':
      return (await import('./drivers/dynamodb.ts')).openDynamodbDirectory(url, options);
    case 'redis':
      throw new Misconfigured('the directory is not kept in Redis');
  }
}
