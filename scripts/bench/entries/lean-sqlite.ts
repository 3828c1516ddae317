import { pathToFileURL } from 'node:url';
import { LIFETIME_S, leanHandler } from './lean.ts';

/** On SQLite. */
export const handler = leanHandler((id, now, url) => {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
  const database = new DatabaseSync(pathToFileURL(url.slice('sqlite:'.length)));
  database.exec('PRAGMA busy_timeout=200; PRAGMA synchronous=FULL');
  database
    .prepare(`INSERT INTO revoked_id (id, revoked_at, expires_at) VALUES (?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, expires_at = max(expires_at, excluded.expires_at)`)
    .run(id, now, now + LIFETIME_S);
});
