import { openSqliteFile } from '../../databases/sqlite.ts';
import { schemaMarker } from '../../databases/store-schema.ts';
import {
  assertRevocation,
  furthestCutOff,
  NEVER,
  type PresentedToken,
  type RecordedRevocation,
  type Revocation,
  type RevocationStatus,
  TOKEN_REVOCATION_SCHEMA,
  type TokenRevocationStore,
  timeOfRevocation,
} from '../store.ts';

const MARKER = schemaMarker(TOKEN_REVOCATION_SCHEMA);

const SQL = {
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

/** One look for so many ids and cut-offs: a statement each takes three times as long. */
function lookUpText(ids: number, cutOffs: number): string {
  const columns = [
    ...Array<string>(ids).fill('SELECT revoked_at FROM revoked_id WHERE id'),
    ...Array<string>(cutOffs).fill('SELECT issued_up_to FROM revocation_cut_off WHERE key'),
  ].map((find, index) => `(${find} = ?${index + 2} AND expires_at > ?1) AS column_${index}`);
  return `SELECT ${[...columns, '1 AS marker'].join(', ')} FROM ${MARKER}`;
}

/** What is recorded, as of one time. */
interface Recorded {
  /** When each id was revoked, in the order of the ids. */
  readonly revokedAt: readonly (number | undefined)[];
  /** Up to when each cut-off is, by its key. */
  readonly issuedUpTo: Map<string, number | undefined>;
}

/**
 * A store in one SQLite file, shared by the processes of one machine.
 *
 * @throws {StoreUnavailable} The file is missing, unreadable or not migrated.
 */
export async function openSqliteStore(
  path: string,
  { now = Date.now }: { now?: () => number } = {},
): Promise<TokenRevocationStore> {
  const file = openSqliteFile(path, TOKEN_REVOCATION_SCHEMA, SQL);
  const { statement, prepare, read, write, assertMigrated, migrated, close } = file;
  const currentTime = () => Math.floor(now() / 1000);
  const texts = new Map<string, string>();

  function lookUp(ids: readonly string[], cutOffKeys: readonly string[], time: number): Recorded {
    const shape = `${ids.length}/${cutOffKeys.length}`;
    const text = texts.get(shape) ?? lookUpText(ids.length, cutOffKeys.length);
    texts.set(shape, text);
    const times = Object.values(migrated(prepare(text).get(time, ...ids, ...cutOffKeys))).map(integer);
    return {
      revokedAt: times.slice(0, ids.length),
      issuedUpTo: new Map(cutOffKeys.map((key, index) => [key, times[ids.length + index]])),
    };
  }

  /** Returns whether the cut-off is new or later than it was. */
  function move(key: string, to: number, { issuedUpTo }: Recorded, expiresAt: number): boolean {
    const before = issuedUpTo.get(key) ?? Number.NEGATIVE_INFINITY;
    const latest = Math.max(before, to);
    statement('putCutOff').run(key, latest, expiresAt);
    // One may be named twice.
    issuedUpTo.set(key, latest);
    return to > before;
  }

  function record(revocation: Revocation): RecordedRevocation {
    const { tokenIds, grants, grantsExpireAt = NEVER, cutOffs, presented = NOTHING, expiresAt } = revocation;
    const time = timeOfRevocation(revocation, currentTime());
    const ids = [...presented.tokenIds, ...presented.grants, ...tokenIds, ...grants];
    const keys = [...presented.cutOffKeys, ...cutOffs.map(({ key }) => key)];
    const recorded = lookUp(ids, keys, time);
    const wasRevoked = statusOf(presented, recorded).revoked;

    const knownSince = recorded.revokedAt.filter((at) => at !== undefined);
    const ownSince = recorded.revokedAt.slice(presented.tokenIds.length + presented.grants.length);
    for (const [index, id] of [...tokenIds, ...grants].entries()) {
      statement('putId').run(id, ownSince[index] ?? time, index < tokenIds.length ? expiresAt : grantsExpireAt);
    }

    const at = Math.min(time, ...knownSince);
    const furthest = wasRevoked ? furthestCutOff(revocation, at) : Number.POSITIVE_INFINITY;
    const moved = isCutOff(presented, recorded)
      ? []
      : cutOffs.filter((to) => move(to.key, Math.min(to.issuedUpTo, furthest), recorded, expiresAt));

    const isNew = tokenIds.length + grants.length > 0 ? knownSince.length === 0 : moved.length > 0;
    return { first: isNew && !wasRevoked, at };
  }

  return {
    async revoke(revocation) {
      assertRevocation(revocation);
      return write(() => record(revocation));
    },

    async check(token) {
      return read(() => {
        const ids = [...token.tokenIds, ...token.grants];
        return statusOf(token, lookUp(ids, token.cutOffKeys, currentTime()));
      });
    },

    async purgeExpired(limit) {
      return write(() => {
        assertMigrated();
        const time = currentTime();
        const ids = Number(statement('purgeIds').run(time, limit).changes);
        return ids + Number(statement('purgeCutOffs').run(time, limit - ids).changes);
      });
    },

    close: async () => close(),
  };
}

/** What a revocation is made with that nobody presents a token for. */
const NOTHING: PresentedToken = { tokenIds: [], grants: [], cutOffKeys: [] };

/** What is recorded of a token whose ids, then grants, were looked up first. */
function statusOf(token: PresentedToken, recorded: Recorded): RevocationStatus {
  const found = recorded.revokedAt.findIndex((at) => at !== undefined);
  const known = token.tokenIds.length;
  if (found !== -1 && found < known) return { revoked: true, by: 'token' };
  if (found !== -1 && found < known + token.grants.length) return { revoked: true, by: 'grant' };
  return isCutOff(token, recorded) ? { revoked: true, by: 'cut_off' } : { revoked: false };
}

function isCutOff({ cutOffKeys, issuedAt }: PresentedToken, recorded: Recorded): boolean {
  return cutOffKeys.some((key) => {
    const cutOff = recorded.issuedUpTo.get(key);
    return cutOff !== undefined && (issuedAt === undefined || issuedAt <= cutOff);
  });
}

/** An INTEGER column as the number that it is: all of ours stay below 2^53. */
function integer(column: unknown): number | undefined {
  return typeof column === 'number' ? column : undefined;
}
