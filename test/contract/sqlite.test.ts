import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { openSqliteDatabase, sqliteFailure } from '#shared/databases/sqlite.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
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

function caught(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}

describe('a SQLite store', () => {
  test('commits survive a power cut: WAL, synchronous=FULL', () => {
    const database = openSqliteDatabase(createDatabaseForTest());
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
    // 2 is FULL: https://sqlite.org/pragma.html#pragma_synchronous
    expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 });
    expect(database.prepare('PRAGMA busy_timeout').get()).toEqual({ timeout: 2 });
    database.close();
  });

  test('a file that is missing is not made, and the store recovers when it is there', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const path = join(folder.path, 'late.sqlite');
    const store = openTokenRevocationStore({ STORE_URL: `sqlite:${path}` }, LOCAL_PLATFORM);
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

  test.each(['removed', 'replaced by another'])(
    'a file that is %s under it fails, and is never acknowledged',
    async (how) => {
      const path = createDatabaseForTest();
      const store = openTokenRevocationStore({ STORE_URL: `sqlite:${path}` }, LOCAL_PLATFORM);
      await store.revoke(revocationOf('a'));
      for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
      if (how !== 'removed') migrateSqlite(path);
      await expect(store.revoke(revocationOf('b'))).rejects.toMatchObject({ fault: 'unreachable' });

      if (how === 'removed') migrateSqlite(path);
      await expect(store.revoke(revocationOf('b'))).rejects.toMatchObject({ fault: 'closed' });
      expect(await store.revoke(revocationOf('b'))).toMatchObject({ first: true });
      const other = await openSqliteStore(path);
      expect((await other.check(tokenOf('b'))).revoked).toBe(true);
      await other.close();
      await store.close();
    },
  );

  test('a file that may not be written makes a revocation fail as read_only, and checks go on', async () => {
    const path = createDatabaseForTest();
    const reader = openSqliteDatabase(path);
    reader.exec('PRAGMA query_only=ON');
    expect(sqliteFailure(caught(() => reader.exec('DELETE FROM revoked_id')))).toMatchObject({ fault: 'read_only' });
    reader.close();
  });

  test('a full disk makes a revocation fail as full, stores nothing, and goes on when there is room', async () => {
    const path = createDatabaseForTest();
    const database = openSqliteDatabase(path);
    database.exec('PRAGMA max_page_count=1');
    const fill = () =>
      database.exec(
        `INSERT INTO revoked_id SELECT hex(randomblob(2000)), 1, 2 FROM (SELECT 1 UNION SELECT 2 UNION SELECT 3)`,
      );
    expect(sqliteFailure(caught(fill))).toMatchObject({ fault: 'full' });
    database.exec('PRAGMA max_page_count=1000000');
    fill();
    database.close();
  });

  test('a schema that is older than this code is refused', async () => {
    const path = createDatabaseForTest();
    const database = new DatabaseSync(path);
    database.exec('UPDATE schema_marker SET version = version - 1');
    database.close();
    const store = await openSqliteStore(path);
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'not_migrated' });
    await store.close();
  });

  test.runIf(process.platform === 'linux')(
    'opening a file again and again that cannot be used leaves nothing open',
    async () => {
      const folder = createTemporaryFolder();
      onTestFinished(folder.remove);
      const path = join(folder.path, 'empty.sqlite');
      writeFileSync(path, '');
      for (let index = 0; index < 50; index += 1) await openSqliteStore(path).catch(() => {});
      const open = readdirSync('/proc/self/fd').filter((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`).startsWith(path);
        } catch {
          return false;
        }
      });
      expect(open).toEqual([]);
    },
  );

  test('migrating again changes nothing', async () => {
    const path = createDatabaseForTest();
    const store = await openSqliteStore(path);
    await store.revoke(revocationOf('a'));
    migrateSqlite(path);
    migrateSqlite(path);
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
    await store.close();
  });

  test('two migrations at once are one', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const path = join(folder.path, 'new.sqlite');
    const migrations = Array.from({ length: 3 }, () =>
      fork('scripts/migrate.ts', ['--store', `sqlite:${path}`], { silent: true }),
    );
    const ends = await Promise.all(migrations.map((migration) => once(migration, 'exit')));
    expect(ends.map(([status]) => status)).toEqual([0, 0, 0]);
    const store = await openSqliteStore(path);
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: true });
    await store.close();
  });

  test('of two processes that revoke the same ids, one is the first for each', async () => {
    const path = createDatabaseForTest();
    const writers = [1, 2].map(() => fork(new URL('sqlite-writer.ts', import.meta.url), [path, '200']));
    const messages = await Promise.all(
      writers.map(async (writer) => {
        const ended = once(writer, 'exit').then(() => {
          throw new Error('a writer ended before it reported');
        });
        const [firsts] = await Promise.race([once(writer, 'message'), ended]);
        return firsts as string[];
      }),
    );
    const firsts = messages.flat();
    expect(firsts).toHaveLength(200);
    expect(new Set(firsts).size).toBe(200);
  });
});
