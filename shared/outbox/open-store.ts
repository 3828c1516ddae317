import { openOnDemand } from '../databases/store-driver.ts';
import { type DirectoryEnvironment, type DirectoryLocation, locateDirectory } from '../directory/locate-directory.ts';
import type { Platform } from '../platform.ts';
import type { Settings } from '../settings.ts';
import { type OutboxStore, outboxOnDemand } from './outbox.ts';

/**
 * The outbox of the directory that the environment names, opened at its first use: for a function that uses nothing else
 * of the directory, and need not load the rest.
 *
 * @throws {Misconfigured} Names the variable, never its value.
 */
export function openOutbox(environment: Settings<typeof DirectoryEnvironment>, platform: Platform): OutboxStore {
  const location = locateDirectory(environment, platform);
  const { use, close } = openOnDemand(location, () => openDriver(location));
  return { ...outboxOnDemand(use), close };
}

/** Loads the driver on demand: the build leaves out what a deployment does not name. */
async function openDriver({ driver, url, path, options }: DirectoryLocation): Promise<OutboxStore> {
  switch (driver) {
    case 'memory':
      return (await import('./drivers/memory.ts')).openMemoryOutbox();
    case 'sqlite':
      return (await import('./drivers/sqlite.ts')).openSqliteOutbox(path);
    case 'postgres':
      return (await import('./drivers/postgres.ts')).openPostgresOutbox(url);
    case 'dynamodb':
      return (await import('./drivers/dynamodb.ts')).openDynamodbOutbox(url, options);
  }
}
