import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { type StoreFault, StoreUnavailable } from '../errors.ts';

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

/**
 * What tells whether the file at a path is still the one that was opened: a database that was removed or replaced
 * under us goes on taking writes that nobody will ever read.
 *
 * @throws {StoreUnavailable} There is no file.
 */
export function identifyFile(path: string): string {
  try {
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
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
