import type { StatementSync } from 'node:sqlite';
import { identifyFile, inTransaction, openSqliteDatabase, sqliteFailure } from '../../databases/sqlite.ts';
import { StoreUnavailable } from '../../errors.ts';
import {
  assertRevocation,
  NEVER,
  type PresentedToken,
  type RevocationStatus,
  TOKEN_REVOCATION_SCHEMA,
  type TokenRevocationStore,
} from '../store.ts';

const { component, version } = TOKEN_REVOCATION_SCHEMA;

/** Joined to what is looked up: without the marker there is no row, in the same look at the database. */
const MARKER = `schema_marker WHERE component = '${component}' AND version >= ${version}`;

const SQL = {
  marker: `SELECT 1 FROM ${MARKER}`,
  findId: `SELECT (SELECT revoked_at FROM revoked_id WHERE id = ? AND expires_at > ?) AS time FROM ${MARKER}`,
  findCutOff: `
    SELECT (SELECT issued_up_to FROM revocation_cut_off WHERE key = ? AND expires_at > ?) AS time FROM ${MARKER}`,
  putId: `
    INSERT INTO revoked_id (id, revoked_at, expires_at) VALUES (?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, expires_at = max(expires_at, excluded.expires_at)`,
  putCutOff: `
    INSERT INTO revocation_cut_off (key, issued_up_to, expires_at) VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE
    SET issued_up_to = excluded.issued_up_to, expires_at = max(expires_at, excluded.expires_at)`,
  purgeIds: 'DELETE FROM revoked_id WHERE id IN (SELECT id FROM revoked_id WHERE expires_at <= ? LIMIT ?)',
  purgeCutOffs: `
    DELETE FROM revocation_cut_off WHERE key IN (SELECT key FROM revocation_cut_off WHERE expires_at <= ? LIMIT ?)`,
};

/**
 * A store in one SQLite file, shared by the processes of one machine.
 *
 * @throws {StoreUnavailable} The file is missing, unreadable or not migrated.
 */
export async function openSqliteStore(
  path: string,
  { now = Date.now }: { now?: () => number } = {},
): Promise<TokenRevocationStore> {
  const file = identifyFile(path);
  const database = openSqliteDatabase(path);
  const prepared = new Map<keyof typeof SQL, StatementSync>();
  try {
    statement('marker');
  } catch (error) {
    database.close();
    throw sqliteFailure(error);
  }

  /** Prepared at its first use and kept. */
  function statement(name: keyof typeof SQL): StatementSync {
    const known = prepared.get(name) ?? database.prepare(SQL[name]);
    prepared.set(name, known);
    return known;
  }

  /** One synchronous piece of work; when it writes, in one transaction and against a store that has its schema. */
  function withStore<Result>(work: (time: number) => Result, { writes }: { writes: boolean }): Result {
    if (!database.isOpen) throw new StoreUnavailable('closed');
    const run = () => {
      if (writes) assertMigrated();
      return work(Math.floor(now() / 1000));
    };
    try {
      const result = writes ? inTransaction(database, run) : run();
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
    migrated(statement('marker').get());
  }

  /** Whether the file is not gone or replaced. */
  function isSameFile(): boolean {
    try {
      return identifyFile(path) === file;
    } catch {
      return false;
    }
  }

  function revokedAt(id: string, time: number): number | undefined {
    return integer(migrated(statement('findId').get(id, time)).time);
  }

  function issuedUpTo(cutOffKey: string, time: number): number | undefined {
    return integer(migrated(statement('findCutOff').get(cutOffKey, time)).time);
  }

  function status({ tokenIds, grants, cutOffKeys, issuedAt }: PresentedToken, time: number): RevocationStatus {
    const isRevoked = (id: string) => revokedAt(id, time) !== undefined;
    if (tokenIds.some(isRevoked)) return { revoked: true, by: 'token' };
    if (grants.some(isRevoked)) return { revoked: true, by: 'grant' };
    return isCutOff({ cutOffKeys, issuedAt }, time) ? { revoked: true, by: 'cut_off' } : { revoked: false };
  }

  function isCutOff({ cutOffKeys, issuedAt }: Pick<PresentedToken, 'cutOffKeys' | 'issuedAt'>, time: number): boolean {
    return cutOffKeys.some((key) => {
      const cutOff = issuedUpTo(key, time);
      return cutOff !== undefined && (issuedAt === undefined || issuedAt <= cutOff);
    });
  }

  /** Returns when the id was revoked before, or undefined when it was not. */
  function record(id: string, time: number, expiresAt: number): number | undefined {
    const known = revokedAt(id, time);
    statement('putId').run(id, known ?? time, expiresAt);
    return known;
  }

  /** Returns whether the cut-off is new or later than it was. */
  function move(key: string, to: number, time: number, expiresAt: number): boolean {
    const before = issuedUpTo(key, time) ?? Number.NEGATIVE_INFINITY;
    statement('putCutOff').run(key, Math.max(before, to), expiresAt);
    return to > before;
  }

  return {
    async revoke(revocation) {
      assertRevocation(revocation);
      const { tokenIds, grants, presented, expiresAt } = revocation;
      return withStore(
        (time) => {
          const wasRevoked = presented !== undefined && status(presented, time).revoked;
          const wasCutOff = presented !== undefined && isCutOff(presented, time);

          const knownSince = [
            ...[...(presented?.tokenIds ?? []), ...(presented?.grants ?? [])].map((id) => revokedAt(id, time)),
            ...tokenIds.map((id) => record(id, time, expiresAt)),
            ...grants.map((id) => record(id, time, NEVER)),
          ].filter((at) => at !== undefined);
          const at = Math.min(time, ...knownSince);
          const furthest = wasRevoked ? Math.max(at, presented?.issuedAt ?? at) : Number.POSITIVE_INFINITY;
          const moved = wasCutOff
            ? []
            : revocation.cutOffs.filter((to) => move(to.key, Math.min(to.issuedUpTo, furthest), time, expiresAt));

          const isNew = tokenIds.length + grants.length > 0 ? knownSince.length === 0 : moved.length > 0;
          return { first: isNew && !wasRevoked, at };
        },
        { writes: true },
      );
    },

    async check(token) {
      return withStore(
        (time) => {
          // An id is looked up together with the marker.
          if (token.tokenIds.length === 0) assertMigrated();
          return status(token, time);
        },
        { writes: false },
      );
    },

    async purgeExpired(limit) {
      return withStore(
        (time) => {
          const ids = Number(statement('purgeIds').run(time, limit).changes);
          return ids + Number(statement('purgeCutOffs').run(time, limit - ids).changes);
        },
        { writes: true },
      );
    },

    async close() {
      if (database.isOpen) database.close();
    },
  };
}

/** Whether a connection stays in this state when the file is mended: it keeps what it has read and how it was opened. */
function hasStuck(failure: unknown): boolean {
  return failure instanceof StoreUnavailable && (failure.fault === 'corrupt' || failure.fault === 'read_only');
}

/** The row of a statement that found the schema marker. */
function migrated<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new StoreUnavailable('not_migrated');
  return row;
}

/** An INTEGER column as the number that it is: all of ours stay below 2^53. */
function integer(column: unknown): number | undefined {
  return typeof column === 'number' ? column : undefined;
}
