import { openSqliteFile } from '../../databases/sqlite.ts';
import { migrated, schemaMarker } from '../../databases/store-schema.ts';
import {
  assertRevocation,
  NEVER,
  type PresentedToken,
  type RevocationStatus,
  TOKEN_REVOCATION_SCHEMA,
  type TokenRevocationStore,
  timeOfRevocation,
} from '../store.ts';

const MARKER = schemaMarker(TOKEN_REVOCATION_SCHEMA);

const SQL = {
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
  const { statement, read, write, assertMigrated, close } = openSqliteFile(path, TOKEN_REVOCATION_SCHEMA, SQL);
  const currentTime = () => Math.floor(now() / 1000);

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
      return write(() => {
        const time = timeOfRevocation(revocation, currentTime());
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
      });
    },

    async check(token) {
      return read(() => {
        // An id is looked up together with the marker.
        if (token.tokenIds.length === 0) assertMigrated();
        return status(token, currentTime());
      });
    },

    async purgeExpired(limit) {
      return write(() => {
        const time = currentTime();
        const ids = Number(statement('purgeIds').run(time, limit).changes);
        return ids + Number(statement('purgeCutOffs').run(time, limit - ids).changes);
      });
    },

    close: async () => close(),
  };
}

/** An INTEGER column as the number that it is: all of ours stay below 2^53. */
function integer(column: unknown): number | undefined {
  return typeof column === 'number' ? column : undefined;
}
