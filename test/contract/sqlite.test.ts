import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { type DurableBackend, durableStoreContract, tokenRevocationStoreContract } from './token-revocation-store.ts';

const { openSqliteDatabase, openSqliteStore, openTokenRevocationStore, sqliteFailure } = await loadPorts('sqlite');

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
    setMarker: (version) => void database.prepare('UPDATE schema_marker SET version = ?').run(version),
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

async function openStore(path: string): Promise<TokenRevocationStore> {
  const store = await openSqliteStore(path);
  onTestFinished(() => store.close());
  return store;
}

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

  test('revocations that are asked for at once share a transaction, and are all there once one is acknowledged', async () => {
    const path = createDatabaseForTest();
    const store = await openStore(path);
    const ids = Array.from({ length: 32 }, (_, index) => `id-${index}`);
    const sizeBefore = statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;

    const reader = await openStore(path);
    const seen = await Promise.all(
      ids.map(async (id) => {
        const { first } = await store.revoke(revocationOf(id));
        return first && (await reader.check(tokenOf(id))).revoked;
      }),
    );

    expect(seen).toEqual(ids.map(() => true));
    // In a transaction of its own each would write its row and its place in the index: two pages.
    expect(statSync(`${path}-wal`).size - sizeBefore).toBeLessThan(32 * 4096);
  });

  test('of revocations that are asked for at once, one that cannot be recorded fails alone', async () => {
    const path = createDatabaseForTest();
    const database = new DatabaseSync(path);
    onTestFinished(() => database.close());
    database.exec(`
      CREATE TRIGGER no_bad BEFORE INSERT ON revoked_id WHEN NEW.id = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END`);
    const store = await openStore(path);

    const outcomes = await Promise.allSettled(['good-1', 'bad', 'good-2'].map((id) => store.revoke(revocationOf(id))));

    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await store.check(tokenOf('good-1'))).toMatchObject({ revoked: true });
    expect(await store.check(tokenOf('bad'))).toEqual({ revoked: false });
    expect(await store.check(tokenOf('good-2'))).toMatchObject({ revoked: true });
  });

  test('when the store cannot be written, none of those that are asked for at once is acknowledged', async () => {
    const path = createDatabaseForTest();
    const writer = new DatabaseSync(path);
    onTestFinished(() => writer.close());
    const store = await openStore(path);
    writer.exec('BEGIN IMMEDIATE');

    const outcomes = await Promise.allSettled(['id-1', 'id-2'].map((id) => store.revoke(revocationOf(id))));

    for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { fault: 'busy' } });
    writer.exec('ROLLBACK');
    expect(await store.check(tokenOf('id-1'))).toEqual({ revoked: false });
  });

  test('a cut-off that is named twice is kept at its latest', async () => {
    const store = await openStore(createDatabaseForTest());
    const cutOffs = [100, 50].map((issuedUpTo) => ({ key: 'key', issuedUpTo }));
    await store.revoke({ tokenIds: [], grants: [], cutOffs, expiresAt: 4_000_000_000 });
    expect(await store.check({ ...tokenOf('id'), cutOffKeys: ['key'], issuedAt: 100 })).toMatchObject({
      revoked: true,
    });
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
