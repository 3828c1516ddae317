import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Outcome } from './history.ts';
import type { End } from './network-store.ts';
import type { StoreKind } from './tested-store.ts';

/** A fault of a store in a file, what is done to bring it about, and what the store must answer meanwhile. */
export interface SqliteFault {
  /** What happens to the file. */
  readonly name: string;
  readonly begin: (file: SqliteFile) => End | Promise<End>;
  /** The store object has not opened it yet. */
  readonly isCold?: true;
  /** What a read, and then a write, come to meanwhile. */
  readonly expected: { readonly read: Outcome; readonly write: Outcome };
}

/** A migrated database. */
export interface SqliteFile {
  readonly path: string;
  /** What is kept in it, as far as this test goes. */
  readonly kind: StoreKind;
  /** An id that no fault may write. */
  readonly neverWritten: string;
  /** Notes that the writes of an id were acknowledged to somebody else. */
  acknowledge(id: string): void;
}

/** Each belongs to the database. */
const SUFFIXES = ['', '-wal', '-shm'];

export const SQLITE_FAULTS: readonly SqliteFault[] = [
  {
    name: 'is locked by another writer',
    begin: ({ path }) => {
      const writer = new DatabaseSync(path);
      writer.exec('BEGIN IMMEDIATE');
      return () => writer.close();
    },
    expected: { read: 'done', write: 'busy' },
  },
  {
    name: 'is locked by a writer that is then killed (SIGKILL) in its transaction',
    begin: async ({ path, kind, neverWritten, acknowledge }) => {
      const writer = fork(new URL('sqlite-writer-process.ts', import.meta.url), [path, kind, neverWritten]);
      const holds = new Promise<void>((resolve, reject) => {
        writer.on('message', (id) => (id === 'holds' ? resolve() : acknowledge(String(id))));
        writer.on('exit', () => reject(new Error('the writer ended before it held the lock')));
      });
      await holds;
      return async () => {
        const ended = once(writer, 'exit');
        writer.kill('SIGKILL');
        await ended;
      };
    },
    expected: { read: 'done', write: 'busy' },
  },
  {
    name: 'may not be written when it is opened',
    isCold: true,
    begin: ({ path }) => withoutRights(path),
    expected: { read: 'read_only', write: 'read_only' },
  },
  {
    name: 'may not be written when it is opened beside another process',
    isCold: true,
    begin: ({ path }) => {
      const other = new DatabaseSync(path);
      other.exec('SELECT * FROM schema_marker');
      const giveRights = withoutRights(path);
      return async () => {
        await giveRights();
        other.close();
      };
    },
    expected: { read: 'done', write: 'read_only' },
  },
  {
    // `max_page_count` is a setting of each connection, the store's is not ours: a table that has used up its row ids
    // gives the same SQLITE_FULL. Contract tests have `max_page_count` itself.
    name: 'has no room left',
    begin: ({ path }) => {
      changed(
        path,
        `CREATE TABLE no_room (id INTEGER PRIMARY KEY AUTOINCREMENT);
        INSERT INTO no_room VALUES (9223372036854775807);
        CREATE TRIGGER no_room AFTER INSERT ON revoked_id BEGIN INSERT INTO no_room VALUES (NULL); END;
        CREATE TRIGGER no_room_either AFTER INSERT ON audit_record BEGIN INSERT INTO no_room VALUES (NULL); END`,
      );
      return () => changed(path, 'DROP TRIGGER no_room; DROP TRIGGER no_room_either; DROP TABLE no_room');
    },
    expected: { read: 'done', write: 'full' },
  },
  {
    name: 'is corrupt, until a copy takes its place',
    isCold: true,
    begin: ({ path }) => {
      changed(path, 'PRAGMA wal_checkpoint(TRUNCATE)');
      copyFileSync(path, `${path}.copy`);
      const pages = readFileSync(path);
      for (const page of rootPages(path)) pages.fill(0xff, (page - 1) * PAGE_BYTES, page * PAGE_BYTES);
      writeFileSync(path, pages);
      return () => renameSync(`${path}.copy`, path);
    },
    expected: { read: 'corrupt', write: 'closed' },
  },
  {
    name: 'is no database, until a copy takes its place',
    isCold: true,
    begin: ({ path }) => {
      changed(path, 'PRAGMA wal_checkpoint(TRUNCATE)');
      renameSync(path, `${path}.copy`);
      writeFileSync(path, 'x'.repeat(4096));
      return () => renameSync(`${path}.copy`, path);
    },
    expected: { read: 'corrupt', write: 'corrupt' },
  },
  {
    name: 'is removed while it is open',
    begin: ({ path }) => movedAway(path),
    expected: { read: 'unreachable', write: 'closed' },
  },
  {
    name: 'is removed before it is opened',
    isCold: true,
    begin: ({ path }) => movedAway(path),
    expected: { read: 'unreachable', write: 'unreachable' },
  },
  {
    name: 'is replaced by an empty one while it is open',
    begin: ({ path }) => replaced(path),
    expected: { read: 'unreachable', write: 'closed' },
  },
  {
    name: 'is replaced by an empty one before it is opened',
    isCold: true,
    begin: ({ path }) => replaced(path),
    expected: { read: 'not_migrated', write: 'not_migrated' },
  },
  {
    name: 'has a schema that is older than the code, until a copy takes its place',
    begin: ({ path }) => {
      changed(path, 'PRAGMA wal_checkpoint(TRUNCATE)');
      copyFileSync(path, `${path}.copy`);
      changed(path, 'UPDATE schema_marker SET version = version - 1');
      return () => {
        for (const suffix of SUFFIXES) rmSync(path + suffix, { force: true });
        renameSync(`${path}.copy`, path);
      };
    },
    expected: { read: 'not_migrated', write: 'not_migrated' },
  },
];

/** What is run: each fault with each write of each kind, for after some a store object gives up what it had opened. */
export const SQLITE_CELLS = SQLITE_FAULTS.flatMap((fault) => [
  { fault, kind: 'revocations' as const, write: 0 },
  ...[0, 1].map((write) => ({ fault, kind: 'directory' as const, write })),
]);

const NOBODY = 65_534;

/** What SQLite makes a page of, unless it is told otherwise. */
const PAGE_BYTES = 4096;

/** Takes away the right to write the file. What lies beside it may be written where it is there, but not made. */
function withoutRights(path: string): End {
  const folder = dirname(path);
  for (const suffix of ['-wal', '-shm']) if (existsSync(path + suffix)) chmodSync(path + suffix, 0o666);
  chmodSync(path, 0o444);
  chmodSync(folder, 0o555);
  // Who is root may write everything.
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(NOBODY);
  return () => {
    if (isRoot) process.seteuid?.(0);
    chmodSync(folder, 0o755);
    chmodSync(path, 0o644);
  };
}

function changed(path: string, statements: string): void {
  const database = new DatabaseSync(path);
  database.exec(statements);
  database.close();
}

/** Where tables and indexes begin, by number: the schema, which is read when a file is opened, is none of them. */
function rootPages(path: string): number[] {
  const database = new DatabaseSync(path);
  const rows = database.prepare('SELECT rootpage FROM sqlite_schema WHERE rootpage > 0').all();
  database.close();
  return rows.map(({ rootpage }) => Number(rootpage));
}

function movedAway(path: string): End {
  for (const suffix of SUFFIXES) renameIfThere(path + suffix, `${path}.away${suffix}`);
  return () => {
    for (const suffix of SUFFIXES) rmSync(path + suffix, { force: true });
    for (const suffix of SUFFIXES) renameIfThere(`${path}.away${suffix}`, path + suffix);
  };
}

function replaced(path: string): End {
  const comeBack = movedAway(path);
  writeFileSync(path, '');
  return comeBack;
}

/** A database that nobody has open has no other files than itself. */
function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    // It is not there.
  }
}
