import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import type { Directory } from '#shared/directory/directory.ts';
import type { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { openDirectory } from '#shared/directory/open-store.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import type { Settings } from '#shared/settings.ts';
import { storeName } from './settings.ts';
import type { Outcome } from './verb.ts';

/** How long the directory may take for one thing in all, in milliseconds. */
const TIMEOUT_MS = 3000;

/**
 * Works with the directory that the settings name, and lets go of it.
 *
 * @throws {UsageError} It would be lost with this command.
 */
export async function useDirectory(
  settings: Settings<typeof DirectoryEnvironment>,
  work: (directory: Directory, store: string) => Promise<Outcome>,
): Promise<Outcome> {
  const directory = openDirectory(settings, LOCAL_PLATFORM);
  try {
    return await work(directory, storeName({ STORE_URL: settings.DIRECTORY_URL ?? settings.STORE_URL }));
  } finally {
    await directory.close();
  }
}

/** Asks the directory again while it is unavailable and the time lasts. */
export function ask<Result>(operation: (timeoutMs: number) => Promise<Result>): Promise<Result> {
  return retryWhileUnavailable(TIMEOUT_MS, operation);
}

/** A time of the directory, in milliseconds since the epoch, for programs. */
export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
