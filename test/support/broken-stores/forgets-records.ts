import type { Directory } from '#shared/directory/directory.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';

/** A directory that says it has recorded a success, and has not: `check:outbox` must find it out. */
export async function openDirectory(path: string, options: { now: () => number }): Promise<Directory> {
  const directory = await openSqliteDirectory(path, options);
  return {
    ...directory,
    outbox: {
      ...directory.outbox,
      settle: async (job, settlement, timeoutMs) =>
        settlement.state === 'done' || directory.outbox.settle(job, settlement, timeoutMs),
    },
  };
}
