/** A consistent copy of a SQLite store that is in use. */
import {
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { openSqliteDatabase, sqliteFailure } from '#shared/databases/sqlite.ts';
import { notMigrated, schemaVersion } from '#shared/databases/store-schema.ts';
import { isStoreUnavailable, StoreUnavailable } from '#shared/errors.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { UsageError } from './verb.ts';

/** How long the copy waits for another connection that has the file locked, in milliseconds. */
const BUSY_TIMEOUT_MS = 10_000;

/** Rows that expire later than this from now cannot be purged while the copy is made, in seconds. */
const PURGE_HORIZON_S = 86_400;

/** The tables, their definitions aside, and how many of their rows must be in a copy. */
export interface CopiedContent {
  /** All tables and indexes, as SQL. */
  readonly schema: string;
  /** The schema markers. */
  readonly markers: string;
  /** Token ids and grants that expire after {@link expiringAfter}. */
  readonly revokedIds: number;
  /** Cut-offs that do. */
  readonly cutOffs: number;
  /** In seconds since the epoch. */
  readonly expiringAfter: number;
}

/**
 * Copies the database of a store into a new file, while others write to it. `VACUUM INTO` reads one snapshot, hence all
 * that was acknowledged before the call, also what only the write-ahead log holds. The copy is durable before it gets
 * its name.
 *
 * @returns What the copy holds at the least.
 * @throws {UsageError} The file exists, or cannot be written.
 * @throws {StoreUnavailable}
 * @throws {CopyFailed}
 */
export function copySqlite(source: string, target: string): CopiedContent {
  const partial = `${target}.partial`;
  if (existsSync(target)) throw new UsageError('Nothing was done: <file> exists already, and is never replaced.');
  createEmpty(partial, '<file>.partial is there: another backup is writing it, or was interrupted. Remove it first');
  try {
    const content = vacuumInto(source, partial);
    verifyCopy(partial, content);
    makeDurable(partial);
    // The name is reserved first: a rename would replace what somebody else has made meanwhile.
    createEmpty(target, '<file> was made by another program meanwhile');
    renameSync(partial, target);
    makeDurable(dirname(target));
    return content;
  } catch (error) {
    for (const suffix of ['', '-wal', '-shm', '-journal']) rmSync(partial + suffix, { force: true });
    throw error;
  }
}

/** A copy that is not what it should be. The message is a sentence for an operator. */
export class CopyFailed extends Error {}

/**
 * Verifies that a copy opens, is whole, and has the schema, its markers and at least as many rows. It leaves the copy in
 * WAL mode, as a store must be: `VACUUM INTO` does not keep that.
 *
 * @throws {CopyFailed}
 */
export function verifyCopy(file: string, least: CopiedContent): void {
  let found: CopiedContent;
  let integrity: unknown;
  try {
    const copy = openSqliteDatabase(file, { create: true });
    try {
      integrity = copy.prepare('PRAGMA integrity_check').get()?.integrity_check;
      found = readContent(copy, least.expiringAfter);
    } finally {
      copy.close();
    }
  } catch (error) {
    const fault = isStoreUnavailable(error) ? error.fault : 'unreadable';
    throw new CopyFailed(`The copy was discarded: it does not open as a store (${fault}).`, { cause: error });
  }
  if (integrity !== 'ok') throw new CopyFailed('The copy was discarded: its integrity check fails.');
  if (found.schema !== least.schema || found.markers !== least.markers) {
    throw new CopyFailed('The copy was discarded: its schema is another one. Was the store migrated meanwhile?');
  }
  if (found.revokedIds < least.revokedIds || found.cutOffs < least.cutOffs) {
    throw new CopyFailed('The copy was discarded: it has fewer revocations than the store had when it was begun.');
  }
}

/** @returns What the source held before. */
function vacuumInto(path: string, target: string): CopiedContent {
  const file = identify(path);
  const source = openSqliteDatabase(path);
  try {
    source.exec(`PRAGMA busy_timeout=${BUSY_TIMEOUT_MS}`);
    const content = readContent(source, Math.floor(Date.now() / 1000) + PURGE_HORIZON_S);
    source.prepare('VACUUM INTO ?').run(target);
    // One that was removed or replaced under us is not the store any more.
    const { dev, ino } = identify(path);
    if (dev !== file.dev || ino !== file.ino) throw new StoreUnavailable('unreachable');
    return content;
  } catch (error) {
    const failure = sqliteFailure(error);
    const isFull = isStoreUnavailable(failure) && failure.fault === 'full';
    throw isFull ? new UsageError('Nothing was done: the disk of <file> is full.') : failure;
  } finally {
    source.close();
  }
}

/**
 * What a database holds at one moment, whoever writes to it.
 *
 * @throws {StoreUnavailable} The schema marker is missing or older.
 */
function readContent(database: DatabaseSync, expiringAfter: number): CopiedContent {
  try {
    // One snapshot for all the counts.
    database.exec('BEGIN');
    const marker = database.prepare(schemaVersion(TOKEN_REVOCATION_SCHEMA)).get();
    const version = marker && Number(marker.version);
    if (version === undefined || version < TOKEN_REVOCATION_SCHEMA.version) {
      throw notMigrated(TOKEN_REVOCATION_SCHEMA, version);
    }
    const count = (table: string) =>
      Number(database.prepare(`SELECT count(*) AS rows FROM ${table} WHERE expires_at > ?`).get(expiringAfter)?.rows);
    const content = {
      schema: JSON.stringify(database.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all()),
      markers: JSON.stringify(database.prepare('SELECT * FROM schema_marker ORDER BY component').all()),
      revokedIds: count('revoked_id'),
      cutOffs: count('revocation_cut_off'),
      expiringAfter,
    };
    database.exec('COMMIT');
    return content;
  } catch (error) {
    // The connection is closed next, and the transaction with it.
    throw sqliteFailure(error);
  }
}

/** Makes an empty file that its owner alone can read, where there is none. */
function createEmpty(path: string, isThere: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const reason = code === 'EEXIST' ? isThere : `<file> cannot be written (${code})`;
    throw new UsageError(`Nothing was done: ${reason}.`);
  }
}

/** Writes a file, or the names in a folder, through to the disk. */
function makeDurable(path: string): void {
  const descriptor = openSync(path, constants.O_RDONLY);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** @throws {StoreUnavailable} There is no such file. */
function identify(path: string): Pick<Stats, 'dev' | 'ino'> {
  try {
    return statSync(path);
  } catch (error) {
    throw new StoreUnavailable('unreachable', { cause: error });
  }
}
