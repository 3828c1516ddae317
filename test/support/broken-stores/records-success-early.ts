import type { Directory } from '#shared/directory/directory.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';

/** A directory that takes a job for done which is to be tried again: `check:outbox` must find it out. */
export async function openDirectory(path: string, options: { now: () => number }): Promise<Directory> {
  const directory = await openSqliteDirectory(path, options);
  return {
    ...directory,
    outbox: {
      ...directory.outbox,
      settle: (job, settlement, timeoutMs) =>
        directory.outbox.settle(
          job,
          settlement.state === 'pending' ? { state: 'done', result: 'revoked' } : settlement,
          timeoutMs,
        ),
    },
  };
}
