/** A process that revokes `id-0`, `id-1`, … in one SQLite file and reports for which of them it was the first. */

import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { loadPorts } from '#test/support/load-ports.ts';

const { openSqliteStore } = await loadPorts('sqlite');
const [path = '', count = '0'] = process.argv.slice(2);
const store = await openSqliteStore(path);
const firsts: string[] = [];
for (let index = 0; index < Number(count); index += 1) {
  const id = `id-${index}`;
  const revocation = { tokenIds: [id], grants: [], cutOffs: [], expiresAt: 4_000_000_000 };
  const { first } = await retryWhileUnavailable(10_000, () => store.revoke(revocation));
  if (first) firsts.push(id);
}
await store.close();
process.send?.(firsts);
