import { StoreUnavailable } from '../../errors.ts';
import {
  assertRevocation,
  furthestCutOff,
  NEVER,
  type PresentedToken,
  type RevocationStatus,
  type TokenRevocationStore,
  timeOfRevocation,
} from '../store.ts';

type RevokedId = { revokedAt: number; expiresAt: number };
type StoredCutOff = { issuedUpTo: number; expiresAt: number };

/** A store in this process, lost with it: for tests and first tries. */
export function openMemoryStore({ now = Date.now }: { now?: () => number } = {}): TokenRevocationStore {
  const revokedIds = new Map<string, RevokedId>();
  const cutOffs = new Map<string, StoredCutOff>();
  let isClosed = false;

  function currentTime(): number {
    if (isClosed) throw new StoreUnavailable('closed');
    return Math.floor(now() / 1000);
  }

  function live<Row extends { expiresAt: number }>(rows: Map<string, Row>, key: string, time: number): Row | undefined {
    const row = rows.get(key);
    return row !== undefined && row.expiresAt > time ? row : undefined;
  }

  function status({ tokenIds, grants, cutOffKeys, issuedAt }: PresentedToken, time: number): RevocationStatus {
    const isRevoked = (id: string) => live(revokedIds, id, time) !== undefined;
    if (tokenIds.some(isRevoked)) return { revoked: true, by: 'token' };
    if (grants.some(isRevoked)) return { revoked: true, by: 'grant' };
    return isCutOff({ cutOffKeys, issuedAt }, time) ? { revoked: true, by: 'cut_off' } : { revoked: false };
  }

  function isCutOff({ cutOffKeys, issuedAt }: Pick<PresentedToken, 'cutOffKeys' | 'issuedAt'>, time: number): boolean {
    return cutOffKeys.some((key) => {
      const cutOff = live(cutOffs, key, time);
      return cutOff !== undefined && (issuedAt === undefined || issuedAt <= cutOff.issuedUpTo);
    });
  }

  /** Returns when the id was revoked before, or undefined when it was not. */
  function record(id: string, time: number, expiresAt: number): number | undefined {
    const known = live(revokedIds, id, time);
    revokedIds.set(id, {
      revokedAt: known?.revokedAt ?? time,
      expiresAt: Math.max(known?.expiresAt ?? 0, expiresAt),
    });
    return known?.revokedAt;
  }

  /** Returns whether the cut-off is new or later than it was. */
  function move(key: string, issuedUpTo: number, time: number, expiresAt: number): boolean {
    const known = live(cutOffs, key, time);
    const before = known?.issuedUpTo ?? Number.NEGATIVE_INFINITY;
    cutOffs.set(key, {
      issuedUpTo: Math.max(before, issuedUpTo),
      expiresAt: Math.max(known?.expiresAt ?? 0, expiresAt),
    });
    return issuedUpTo > before;
  }

  return {
    async revoke(revocation) {
      assertRevocation(revocation);
      const { tokenIds, grants, grantsExpireAt = NEVER, presented, expiresAt } = revocation;
      const time = timeOfRevocation(revocation, currentTime());
      const wasRevoked = presented !== undefined && status(presented, time).revoked;
      const wasCutOff = presented !== undefined && isCutOff(presented, time);

      const knownSince = [
        ...[...(presented?.tokenIds ?? []), ...(presented?.grants ?? [])].map(
          (id) => live(revokedIds, id, time)?.revokedAt,
        ),
        ...tokenIds.map((id) => record(id, time, expiresAt)),
        ...grants.map((id) => record(id, time, grantsExpireAt)),
      ].filter((at) => at !== undefined);
      const at = Math.min(time, ...knownSince);
      const furthest = wasRevoked ? furthestCutOff(revocation, at) : Number.POSITIVE_INFINITY;
      const moved = wasCutOff
        ? []
        : revocation.cutOffs.filter((to) => move(to.key, Math.min(to.issuedUpTo, furthest), time, expiresAt));

      const isNew = tokenIds.length + grants.length > 0 ? knownSince.length === 0 : moved.length > 0;
      return { first: isNew && !wasRevoked, at };
    },

    async check(token) {
      return status(token, currentTime());
    },

    async purgeExpired(limit) {
      const time = currentTime();
      let deleted = 0;
      for (const rows of [revokedIds, cutOffs]) {
        for (const [key, { expiresAt }] of rows) {
          if (deleted === limit) return deleted;
          if (expiresAt <= time) {
            rows.delete(key);
            deleted += 1;
          }
        }
      }
      return deleted;
    },

    async close() {
      isClosed = true;
    },
  };
}
