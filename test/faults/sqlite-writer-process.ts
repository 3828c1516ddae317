/**
 * A process that revokes through a store and reports each id that was acknowledged; then it begins a transaction of its
 * own that would revoke one more, reports that it `holds`, and stays in it.
 */
import { DatabaseSync } from 'node:sqlite';
import { openSqliteStore } from '#shared/token-revocation/drivers/sqlite.ts';

const [path = '', lastId = ''] = process.argv.slice(2);
const store = await openSqliteStore(path);
for (let index = 0; index < 50; index += 1) {
  const id = `writer-${index}`;
  await store.revoke({ tokenIds: [id], grants: [], cutOffs: [], expiresAt: 4_000_000_000 });
  process.send?.(id);
}
const database = new DatabaseSync(path);
database.exec('BEGIN IMMEDIATE');
database.prepare('INSERT INTO revoked_id (id, revoked_at, expires_at) VALUES (?, 1, 4000000000)').run(lastId);
process.send?.('holds');
process.on('message', () => {}); // stays
