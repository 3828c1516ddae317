/**
 * A process that writes through a store and reports each id that was acknowledged; then it begins a transaction of its
 * own that would write one more, reports that it `holds`, and stays in it.
 */
import { DatabaseSync } from 'node:sqlite';
import { loadTestedStores } from './tested-store.ts';

const openTestedStore = await loadTestedStores('sqlite');
const [path = '', kind, lastId = ''] = process.argv.slice(2);
const store = openTestedStore(kind === 'directory' ? kind : 'revocations', { STORE_URL: `sqlite:${path}` });
for (let index = 0; index < 50; index += 1) {
  const id = `writer-${index}`;
  await store.prepare(id);
  for (const write of store.writes) await write(id);
  process.send?.(id);
}
const database = new DatabaseSync(path);
database.exec('BEGIN IMMEDIATE');
database.prepare('INSERT INTO revoked_id (id, revoked_at, expires_at) VALUES (?, 1, 4000000000)').run(lastId);
database.prepare('DELETE FROM account_link WHERE subject = ?').run(lastId);
process.send?.('holds');
process.on('message', () => {}); // stays
