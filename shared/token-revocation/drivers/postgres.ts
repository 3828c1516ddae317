import { openPostgres, safeCommit } from '../../databases/postgres.ts';
import { schemaMarker } from '../../databases/store-schema.ts';
import {
  assertRevocation,
  NEVER,
  TOKEN_REVOCATION_SCHEMA,
  type TokenRevocationStore,
  timeOfRevocation,
} from '../store.ts';

const MARKER = schemaMarker(TOKEN_REVOCATION_SCHEMA);

/** The tables of the revocations. */
export const REVOCATION_TABLES = ['revoked_id', 'revocation_cut_off'];

const REVOKE = {
  name: 'revoke',
  text: `SELECT first, since, ${safeCommit(REVOCATION_TABLES)}
    FROM record_revocation(${TOKEN_REVOCATION_SCHEMA.version}, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
};

const CHECK = {
  name: 'check',
  text: `SELECT
    EXISTS (SELECT FROM revoked_id WHERE id = ANY ($1::text[]) AND expires_at > $4) AS token,
    EXISTS (SELECT FROM revoked_id WHERE id = ANY ($2::text[]) AND expires_at > $4) AS "grant",
    EXISTS (
      SELECT FROM revocation_cut_off
      WHERE key = ANY ($3::text[]) AND expires_at > $4 AND ($5::bigint IS NULL OR $5 <= issued_up_to)
    ) AS cut_off
    FROM ${MARKER}`,
};

const PURGE = {
  name: 'purge',
  text: `WITH
    marker AS (SELECT FROM ${MARKER}),
    purged_id AS (
      DELETE FROM revoked_id
      -- Asked twice: a row may have been revoked anew since it was found.
      WHERE expires_at <= $1 AND id IN (SELECT id FROM marker, revoked_id WHERE expires_at <= $1 LIMIT $2)
      RETURNING 1
    ),
    purged_cut_off AS (
      DELETE FROM revocation_cut_off
      WHERE expires_at <= $1 AND key IN (
        SELECT key FROM marker, revocation_cut_off WHERE expires_at <= $1
        LIMIT $2 - (SELECT count(*) FROM purged_id)
      )
      RETURNING 1
    )
    SELECT (SELECT count(*) FROM purged_id) + (SELECT count(*) FROM purged_cut_off) AS deleted FROM marker`,
};

/**
 * A store in a PostgreSQL database, of as many instances as it has connections for. The URL: `readPostgresUrl`.
 *
 * @throws {Misconfigured}
 */
export async function openPostgresStore(
  url: string,
  { now = Date.now }: { now?: () => number } = {},
): Promise<TokenRevocationStore> {
  const database = openPostgres(url, TOKEN_REVOCATION_SCHEMA, REVOCATION_TABLES);
  const currentTime = () => Math.floor(now() / 1000);

  return {
    async revoke(revocation, timeoutMs) {
      assertRevocation(revocation);
      const { tokenIds, grants, grantsExpireAt = NEVER, cutOffs, expiresAt, presented, iatOffsetS = 0 } = revocation;
      const [{ first, since }] = await database.query<{ first: boolean; since: string }>(
        REVOKE,
        [
          timeOfRevocation(revocation, currentTime()),
          expiresAt,
          grantsExpireAt,
          tokenIds,
          grants,
          cutOffs.map(({ key }) => key),
          cutOffs.map(({ issuedUpTo }) => issuedUpTo),
          presented?.tokenIds ?? [],
          presented?.grants ?? [],
          presented?.cutOffKeys ?? [],
          presented?.issuedAt,
          iatOffsetS,
        ],
        timeoutMs,
      );
      return { first, at: Number(since) };
    },

    async check({ tokenIds, grants, cutOffKeys, issuedAt }, timeoutMs) {
      const [found] = await database.query<{ token: boolean; grant: boolean; cut_off: boolean }>(
        CHECK,
        [tokenIds, grants, cutOffKeys, currentTime(), issuedAt],
        timeoutMs,
      );
      const by = (['token', 'grant', 'cut_off'] as const).find((kind) => found[kind]);
      return by === undefined ? { revoked: false } : { revoked: true, by };
    },

    async purgeExpired(limit) {
      const [{ deleted }] = await database.query<{ deleted: string }>(PURGE, [currentTime(), limit]);
      return Number(deleted);
    },

    close: () => database.close(),
  };
}
