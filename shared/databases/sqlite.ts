import { type Stats, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { isStoreUnavailable, type StoreFault, StoreUnavailable } from '../errors.ts';
import { notMigrated, type StoreSchema, schemaVersion } from './store-schema.ts';

/**
 * How long a statement waits for another writer, in milliseconds. It blocks the whole instance: all calls of one, one
 * after another, must wait for less than a call keeps back for its answer. Waiting longer is left to retries.
 */
const BUSY_TIMEOUT_MS = 2;

/** How long a migration waits for another one. */
const MIGRATION_TIMEOUT_MS = 10_000;

/**
 * Opens a SQLite database in which what is committed survives a power cut: WAL with `synchronous=FULL`.
 *
 * @param create Makes the file when it is missing: for migrations only, a function must not create its store.
 * @throws {StoreUnavailable}
 */
export function openSqliteDatabase(path: string, { create = false } = {}): DatabaseSync {
  const location = pathToFileURL(resolve(path));
  location.searchParams.set('mode', create ? 'rwc' : 'rw');
  let database: DatabaseSync | undefined;
  try {
    database = new (sqlite().DatabaseSync)(location);
    database.exec(
      `PRAGMA busy_timeout=${create ? MIGRATION_TIMEOUT_MS : BUSY_TIMEOUT_MS}; PRAGMA synchronous=FULL; PRAGMA fullfsync=ON`,
    );
    // Kept in the file, and a writer's lock to set: done once, where the file is made.
    if (create) database.exec('PRAGMA journal_mode=WAL');
    return database;
  } catch (error) {
    database?.close();
    throw sqliteFailure(error);
  }
}

/** One schema in a SQLite file that the processes of one machine share, and its statements. */
export interface SqliteFile<Name extends string> {
  /** Prepared at its first use and kept. */
  statement(name: Name): StatementSync;
  /** The same for a text that is made of a few parts. */
  prepare(text: string): StatementSync;
  /** One synchronous look at the store. Whether it has its schema is for the look to find, by the marker or {@link assertMigrated}. */
  read<Result>(work: () => Result): Result;
  /**
   * A synchronous change, all of it or nothing, which resolves when it is durable. Whether the store has its schema is
   * for the change to find. Those that are asked for at once share a transaction, hence what the disk takes for one.
   */
  write<Result>(work: () => Result): Promise<Result>;
  /** @throws {StoreUnavailable} The schema marker is missing or older. */
  assertMigrated(): void;
  /**
   * The row of a statement that finds none without the schema marker.
   *
   * @throws {StoreUnavailable} There is none.
   */
  migrated<Row>(row: Row | undefined): Row;
  close(): void;
}

/** A change that waits for its transaction. */
interface QueuedChange {
  /** Makes it, and returns what says so once it is durable. */
  readonly run: () => () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Opens the store in a file.
 *
 * @param sql The statements by name.
 * @throws {StoreUnavailable} The file is missing, unreadable or not migrated.
 */
export function openSqliteFile<Sql extends Readonly<Record<string, string>>>(
  path: string,
  schema: StoreSchema,
  sql: Sql,
): SqliteFile<Extract<keyof Sql, string>> {
  const file = identifyFile(path);
  const database = openSqliteDatabase(path);
  const prepared = new Map<string, StatementSync>();
  const queued: QueuedChange[] = [];
  const texts: Readonly<Record<string, string>> = { ...sql, marker: schemaVersion(schema) };

  function prepare(text: string): StatementSync {
    const known = prepared.get(text) ?? database.prepare(text);
    prepared.set(text, known);
    return known;
  }

  function statement(name: string): StatementSync {
    return prepare(texts[name] ?? '');
  }

  /** One synchronous piece of work, on the file that was opened. */
  function use<Result>(work: () => Result): Result {
    if (!database.isOpen) throw new StoreUnavailable('closed');
    try {
      const result = work();
      if (!isSameFile()) throw new StoreUnavailable('unreachable');
      return result;
    } catch (error) {
      const failure = sqliteFailure(error);
      // Given up, so that the next use opens what is there now.
      if (database.isOpen && (hasStuck(failure) || !isSameFile())) database.close();
      throw failure;
    }
  }

  function assertMigrated(): void {
    const version = readVersion();
    if (version === undefined || version < schema.version) throw notMigrated(schema, version);
  }

  function readVersion(): number | undefined {
    const marker = statement('marker').get();
    return marker && Number(marker.version);
  }

  function migrated<Row>(row: Row | undefined): Row {
    if (row === undefined) throw notMigrated(schema, readVersion());
    return row;
  }

  function write<Result>(work: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      queued.push({
        run: () => {
          const result = work();
          return () => resolve(result);
        },
        reject,
      });
      // Behind all that came in with this call.
      if (queued.length === 1) setImmediate(() => commit(queued.splice(0)));
    });
  }

  function commit(changes: readonly QueuedChange[]): void {
    try {
      const acknowledgements = use(() => inTransaction(database, () => changes.map(({ run }) => run())));
      for (const acknowledge of acknowledgements) acknowledge();
    } catch (error) {
      refuse(changes, error);
    }
  }

  /** The store's trouble is everybody's; a defect is that of one change, which must not fail the others. */
  function refuse(changes: readonly QueuedChange[], error: unknown): void {
    const isOfOne = changes.length > 1 && !isStoreUnavailable(error);
    for (const change of changes) {
      if (isOfOne) commit([change]);
      else change.reject(error);
    }
  }

  /** Whether the file is not gone or replaced. */
  function isSameFile(): boolean {
    try {
      const { dev, ino } = identifyFile(path);
      return dev === file.dev && ino === file.ino;
    } catch {
      return false;
    }
  }

  try {
    statement('marker');
  } catch (error) {
    database.close();
    throw sqliteFailure(error);
  }
  return {
    statement,
    prepare,
    read: use,
    write,
    assertMigrated,
    migrated,
    close: () => {
      if (database.isOpen) database.close();
    },
  };
}

/** The looks at a file and its changes, each of which asserts the schema: an emptied store would answer that nothing is there. */
export function assertingMigrated({
  read,
  write,
  assertMigrated,
}: Pick<SqliteFile<string>, 'read' | 'write' | 'assertMigrated'>): Pick<SqliteFile<string>, 'read' | 'write'> {
  return {
    read: (work) =>
      read(() => {
        const result = work();
        assertMigrated();
        return result;
      }),
    write: (work) =>
      write(() => {
        assertMigrated();
        return work();
      }),
  };
}

/** Whether a connection stays in this state when the file is mended: it keeps what it has read and how it was opened. */
function hasStuck(failure: unknown): boolean {
  return failure instanceof StoreUnavailable && (failure.fault === 'corrupt' || failure.fault === 'read_only');
}

/**
 * What tells whether the file at a path is still the one that was opened: a database that was removed or replaced
 * under us goes on taking writes that nobody will ever read.
 *
 * @throws {StoreUnavailable} There is no file.
 */
function identifyFile(path: string): Pick<Stats, 'dev' | 'ino'> {
  try {
    return statSync(path);
  } catch (error) {
    throw new StoreUnavailable('unreachable', { cause: error });
  }
}

/** Runs `work` in one transaction that holds the writer's lock from its start. */
export function inTransaction<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    try {
      database.exec('ROLLBACK');
    } catch {
      // A full disk and some other errors have ended the transaction already.
    }
    throw error;
  }
}

/** What a failed SQLite call says of the store. Any other error, a defect of ours among them, is passed on as it is. */
export function sqliteFailure(error: unknown): unknown {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return error;
  const fault = sqliteFault(error.errcode, error.message);
  return fault === undefined ? error : new StoreUnavailable(fault, { cause: error });
}

/** By primary result code: https://sqlite.org/rescode.html. */
function sqliteFault(resultCode: number, message: string): StoreFault | undefined {
  switch (resultCode & 0xff) {
    case 1: // SQLITE_ERROR
      return message.startsWith('no such') ? 'not_migrated' : undefined;
    case 5: // SQLITE_BUSY
    case 6: // SQLITE_LOCKED
      return 'busy';
    case 8: // SQLITE_READONLY
      return 'read_only';
    case 10: // SQLITE_IOERR
    case 14: // SQLITE_CANTOPEN
      return 'unreachable';
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return 'corrupt';
    case 13: // SQLITE_FULL
      return 'full';
    default:
      return undefined;
  }
}

/** Loads `node:sqlite` without the warning that it prints: the output of a function is its log. */
function sqlite(): typeof import('node:sqlite') {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return process.getBuiltinModule('node:sqlite');
  } finally {
    process.emitWarning = emitWarning;
  }
}
