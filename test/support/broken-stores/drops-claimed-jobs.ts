import { DatabaseSync } from 'node:sqlite';
import type { Directory } from '#shared/directory/directory.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';

/** A directory that takes each tenth job that it lets be claimed out of the outbox: `check:outbox` must find it out. */
export async function openDirectory(path: string, options: { now: () => number }): Promise<Directory> {
  const directory = await openSqliteDirectory(path, options);
  const database = new DatabaseSync(path, { timeout: 10_000 });
  return {
    ...directory,
    outbox: {
      ...directory.outbox,
      async claim(...args) {
        const jobs = await directory.outbox.claim(...args);
        const isDropped = ({ id }: { id: string }) => id.endsWith('0');
        for (const { id } of jobs.filter(isDropped)) database.prepare('DELETE FROM outbox_job WHERE id = ?').run(id);
        return jobs.filter((job) => !isDropped(job));
      },
    },
  };
}
