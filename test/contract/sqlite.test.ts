import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { openSqliteDatabase } from '#shared/databases/sqlite.ts';
import { openSqliteStore } from '#shared/token-revocation/drivers/sqlite.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { type DurableBackend, durableStoreContract, tokenRevocationStoreContract } from './token-revocation-store.ts';

tokenRevocationStoreContract('sqlite', createBackend);
durableStoreContract('sqlite', createBackend);

function createBackend(): DurableBackend {
  const { path, close } = createDatabase();
  const database = new DatabaseSync(path);
  const count = database.prepare(
    'SELECT (SELECT count(*) FROM revoked_id) + (SELECT count(*) FROM revocation_cut_off) AS rows',
  );
  return {
    open: (options) => openSqliteStore(path, options),
    countRows: () => Number(count.get()?.rows),
    loseMarker: () => database.exec('DELETE FROM schema_marker'),
    failCutOffs: () =>
      database.exec(
        `CREATE TRIGGER no_cut_offs BEFORE INSERT ON revocation_cut_off BEGIN SELECT RAISE(ABORT, 'no'); END`,
      ),
    dispose: () => {
      database.close();
      close();
    },
  };
}

function createDatabase(): { path: string; close: () => void } {
  const folder = createTemporaryFolder();
  const path = join(folder.path, 'a b?#%.sqlite');
  migrateSqlite(path);
  return { path, close: folder.remove };
}

function createDatabaseForTest(): string {
  const { path, close } = createDatabase();
  onTestFinished(close);
  return path;
}

const revocationOf = (id: string) => ({ tokenIds: [id], grants: [], cutOffs: [], expiresAt: 4_000_000_000 });
const tokenOf = (id: string) => ({ tokenIds: [id], grants: [], cutOffKeys: [] });

describe('a SQLite store', () => {
  test('commits survive a power cut: WAL, synchronous=FULL', () => {
    const database = openSqliteDatabase(createDatabaseForTest());
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    // 2 is FULL: https://sqlite.org/pragma.html#pragma_synchronous
    expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    expect(database.prepare('PRAGMA busy_timeout').get()).toEqual({ timeout: 200 });
    database.close();
  });

  test('a file that is missing is not made, and the store recovers when it is there', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const path = join(folder.path, 'late.sqlite');
    const store = openTokenRevocationStore({ STORE_URL: `sqlite:${path}` }, false);
    await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({ fault: 'unreachable' });
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'unreachable' });

    migrateSqlite(path);
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: true });
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
    await store.close();
  });

  test('a file without our schema is refused', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const path = join(folder.path, 'empty.sqlite');
    writeFileSync(path, '');
    await expect(openSqliteStore(path)).rejects.toMatchObject({ fault: 'not_migrated' });
  });

  test('a file that is no database is refused as corrupt', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const path = join(folder.path, 'garbage.sqlite');
    writeFileSync(path, 'x'.repeat(4096));
    await expect(openSqliteStore(path)).rejects.toMatchObject({ fault: 'corrupt' });
  });

  test('a writer that holds the lock makes a revocation fail as busy, and checks go on', async () => {
    const path = createDatabaseForTest();
    const store = await openSqliteStore(path);
    const writer = new DatabaseSync(path);
    writer.exec('BEGIN IMMEDIATE');
    await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({ fault: 'busy' });
    expect((await store.check(tokenOf('a'))).revoked).toBe(false);
    writer.exec('ROLLBACK');
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: true });
    writer.close();
    await store.close();
  });

  test('migrating again changes nothing', async () => {
    const path = createDatabaseForTest();
    const store = await openSqliteStore(path);
    await store.revoke(revocationOf('a'));
    migrateSqlite(path);
    migrateSqlite(path);
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
    await store.close();
  });

  test('of two processes that revoke the same ids, one is the first for each', async () => {
    const path = createDatabaseForTest();
    const writers = [1, 2].map(() => fork(new URL('sqlite-writer.ts', import.meta.url), [path, '200']));
    const messages = await Promise.all(writers.map(async (writer) => (await once(writer, 'message'))[0] as string[]));
    const firsts = messages.flat();
    expect(firsts).toHaveLength(200);
    expect(new Set(firsts).size).toBe(200);
  });
});
