import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { createHistory, outcomeOf } from './history.ts';
import { SQLITE_FAULTS, type SqliteFault } from './sqlite-faults.ts';

const TIMEOUT_MS = 1000;
const RECOVERY_MS = 10_000;

describe('while the file of a sqlite store', () => {
  for (const fault of SQLITE_FAULTS) {
    const { check, revoke } = fault.expected;
    test(`${fault.name}: check ${check}, revoke ${revoke}`, () => runCell(fault));
  }
});

async function runCell({ begin, isCold, expected }: SqliteFault): Promise<void> {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const path = join(folder.path, 'store.sqlite');
  migrateSqlite(path);
  const open = () => openTokenRevocationStore({ STORE_URL: `sqlite:${path}` }, LOCAL_PLATFORM);
  const store = open();
  onTestFinished(() => store.close());
  const earlier = isCold ? open() : store;
  const tokenOf = (id: string) => ({ tokenIds: [id], grants: [], cutOffKeys: [] });

  const before = createHistory(earlier);
  await before.revoke('before');
  if (isCold) await earlier.close();
  const known = [...before.acknowledged()];
  const end = await begin({ path, neverRevoked: 'never', acknowledge: (id) => void known.push(id) });
  const history = createHistory(store, known);
  try {
    const checked = await outcomeOf(TIMEOUT_MS, (timeoutMs) => history.check('before', timeoutMs));
    const revoked = await outcomeOf(TIMEOUT_MS, (timeoutMs) => history.revoke('during', timeoutMs));
    expect({ check: checked, revoke: revoked }).toEqual(expected);
  } finally {
    await end();
  }

  await retryWhileUnavailable(RECOVERY_MS, (timeoutMs) => history.revoke('after', timeoutMs));
  expect(history.acknowledged().length).toBeGreaterThanOrEqual(2);
  for (const id of history.acknowledged()) await history.check(id);
  expect(await store.check(tokenOf('never'))).toEqual({ revoked: false });
}
