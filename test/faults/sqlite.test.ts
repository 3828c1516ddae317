import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { createHistory, outcomeOf } from './history.ts';
import { sentence } from './hold-to-table.ts';
import { SQLITE_CELLS, type SqliteFault } from './sqlite-faults.ts';
import { loadTestedStores, type StoreKind } from './tested-store.ts';

const openTestedStore = await loadTestedStores('sqlite');

const TIMEOUT_MS = 1000;
const RECOVERY_MS = 10_000;

describe('while the file of a sqlite store', () => {
  for (const { fault, kind, write } of SQLITE_CELLS) {
    const { name, expected } = fault;
    test(`${name}: ${sentence(expected)} (${kind}, write ${write + 1})`, () => runCell(fault, kind, write));
  }
});

async function runCell({ begin, isCold, expected }: SqliteFault, kind: StoreKind, write: number): Promise<void> {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const path = join(folder.path, 'store.sqlite');
  migrateSqlite(path);
  const open = () => openTestedStore(kind, { STORE_URL: `sqlite:${path}` });
  const store = open();
  onTestFinished(() => store.close());
  const earlier = isCold ? open() : store;

  const before = createHistory(earlier);
  for (const id of ['before', 'during', 'after', 'never']) await earlier.prepare(id);
  await before.writeAll('before');
  if (isCold) await earlier.close();
  const known = [...before.acknowledged()];
  const end = await begin({ path, kind, neverWritten: 'never', acknowledge: (id) => void known.push(id) });
  const history = createHistory(store, known);
  try {
    const read = await outcomeOf(TIMEOUT_MS, (timeoutMs) => history.read('before', timeoutMs));
    const written = await outcomeOf(TIMEOUT_MS, async (timeoutMs) => history.writes[write]?.('during', timeoutMs));
    expect({ read, write: written }).toEqual(expected);
  } finally {
    await end();
  }

  for (const id of ['during', 'after']) {
    for (const again of history.writes) await retryWhileUnavailable(RECOVERY_MS, (timeoutMs) => again(id, timeoutMs));
  }
  expect(history.acknowledged()).toEqual(expect.arrayContaining(['before', 'during', 'after']));
  for (const id of history.acknowledged()) {
    await history.read(id);
    await store.assertWhole(id);
  }
  expect(await store.read('never')).not.toContain(true);
}
