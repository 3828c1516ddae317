import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import { openSqliteStore } from '#shared/token-revocation/drivers/sqlite.ts';
import type { Revocation } from '#shared/token-revocation/store.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const START_S = 1_800_000_000;
const NOTHING: Revocation = { tokenIds: [], grants: [], cutOffs: [], expiresAt: START_S + 1000 };
const TOKEN = { tokenIds: [], grants: [], cutOffKeys: [] };

/** A store of each kind that needs no server, on a clock in seconds that a test drives. */
async function open(kind: 'memory' | 'sqlite') {
  const clock = { timeS: START_S };
  const now = () => clock.timeS * 1000;
  if (kind === 'memory') return { clock, store: openMemoryStore({ now }) };
  const folder = createTemporaryFolder();
  const path = join(folder.path, 'revocations.sqlite');
  migrateSqlite(path);
  const store = await openSqliteStore(path, { now });
  onTestFinished(async () => {
    await store.close();
    folder.remove();
  });
  return { clock, store };
}

describe.each(['memory', 'sqlite'] as const)('in %s', (kind) => {
  test('an id is revoked since it was itself, though its token was known by another before', async () => {
    const { clock, store } = await open(kind);
    await store.revoke({ ...NOTHING, tokenIds: ['k1.a'] });
    clock.timeS += 10;
    const presented = { ...TOKEN, tokenIds: ['k2.a', 'k1.a'], grants: ['g'] };
    await store.revoke({ ...NOTHING, tokenIds: ['k2.a'], presented });
    clock.timeS += 10;

    expect(await store.revoke({ ...NOTHING, tokenIds: ['k2.a'] })).toEqual({ first: false, at: START_S + 10 });
  });

  test('a token and its grant together are revoked for the first time', async () => {
    const { store } = await open(kind);

    expect(await store.revoke({ ...NOTHING, tokenIds: ['a'], grants: ['g'] })).toEqual({ first: true, at: START_S });
  });

  test.each<[string, Pick<Revocation, 'tokenIds' | 'grants'>]>([
    ['an id', { tokenIds: ['b'], grants: [] }],
    ['a grant', { tokenIds: [], grants: ['b'] }],
  ])('%s that was revoked before holds back no cut-off of a token that was not', async (_title, known) => {
    const { store } = await open(kind);
    await store.revoke({ ...NOTHING, ...known });
    const presented = { ...TOKEN, tokenIds: ['a'], cutOffKeys: ['link'], issuedAt: START_S - 10 };
    await store.revoke({ ...NOTHING, ...known, cutOffs: [{ key: 'link', issuedUpTo: START_S + 500 }], presented });

    expect(await store.check({ ...TOKEN, cutOffKeys: ['link'], issuedAt: START_S + 500 })).toMatchObject({
      by: 'cut_off',
    });
  });
});
