import pg from 'pg';
import { LIFETIME_S, leanHandler } from './lean.ts';

/** On PostgreSQL. */
export const handler = leanHandler(async (id, now, url) => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(
    `INSERT INTO revoked_id (id, revoked_at, expires_at) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET expires_at = greatest(revoked_id.expires_at, excluded.expires_at)`,
    [id, now, now + LIFETIME_S],
  );
});
