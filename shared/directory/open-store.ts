import { openOnDemand } from '../databases/store-driver.ts';
import { outboxOnDemand } from '../outbox/outbox.ts';
import type { Platform } from '../platform.ts';
import type { Settings } from '../settings.ts';
import type { Directory } from './directory.ts';
import { type DirectoryEnvironment, type DirectoryLocation, locateDirectory } from './locate-directory.ts';

/**
 * The directory that the environment names, with the driver of its scheme, opened at its first use.
 *
 * @throws {Misconfigured} Names the variable, never its value.
 */
export function openDirectory(environment: Settings<typeof DirectoryEnvironment>, platform: Platform): Directory {
  const location = locateDirectory(environment, platform);
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
    outbox: outboxOnDemand((work) => use(({ outbox }) => work(outbox))),
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
async function openDriver({ driver, url, path, options }: DirectoryLocation): Promise<Directory> {
  switch (driver) {
    case 'memory':
      return (await import('./drivers/memory.ts')).openMemoryDirectory();
    case 'sqlite':
      return (await import('./drivers/sqlite.ts')).openSqliteDirectory(path);
    case 'postgres':
      return (await import('./drivers/postgres.ts')).openPostgresDirectory(url);
    case 'dynamodb':
      return (await import('./drivers/dynamodb.ts')).openDynamodbDirectory(url, options);
  }
}
