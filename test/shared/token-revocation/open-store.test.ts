import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const REVOCATION = { tokenIds: ['a'], grants: [], cutOffs: [], expiresAt: Number.MAX_SAFE_INTEGER };
const TOKEN = { tokenIds: ['a'], grants: [], cutOffKeys: [] };

function openForTest(settings: Parameters<typeof openTokenRevocationStore>[0]) {
  const store = openTokenRevocationStore(settings, LOCAL_PLATFORM);
  onTestFinished(store.close);
  return store;
}

describe('the store that the settings name', () => {
  test('is a memory', async () => {
    const store = openForTest({ STORE_URL: 'memory:' });

    expect(await store.revoke(REVOCATION)).toMatchObject({ first: true });
    expect(await store.check(TOKEN)).toEqual({ revoked: true, by: 'token' });
    expect(await store.purgeExpired(1)).toBe(0);
    await store.close();
    await expect(store.check(TOKEN)).rejects.toMatchObject({ fault: 'closed' });
  });

  test('is a file, found again by the next one that opens it', async () => {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const path = join(folder.path, 'revocations.sqlite');
    migrateSqlite(path);
    const store = openForTest({ STORE_URL: 'memory:', REVOCATION_STORE_URL: `sqlite:${path}` });
    await store.revoke({ ...REVOCATION, cutOffs: [{ key: 'c', issuedUpTo: 1 }] });
    await store.revoke({ ...REVOCATION, tokenIds: ['b'], cutOffs: [{ key: 'd', issuedUpTo: 1 }], expiresAt: 1 });
    expect(await store.purgeExpired(10)).toBe(2);
    await store.close();

    const next = openForTest({ STORE_URL: `sqlite:${path}` });
    expect(await next.check(TOKEN)).toMatchObject({ by: 'token' });
    expect(await next.check({ ...TOKEN, tokenIds: [], cutOffKeys: ['c'] })).toMatchObject({ by: 'cut_off' });
  });

  // Nobody listens at port 1: which driver it was is told by what it says of that.
  test.each([
    ['postgres://user:secret@127.0.0.1:1/db', 'unreachable'],
    ['redis://127.0.0.1:1/0', 'unreachable'],
  ])('is a server: %s', async (url, fault) => {
    await expect(openForTest({ STORE_URL: url }).check(TOKEN, 200)).rejects.toMatchObject({ fault });
  });

  test.each([
    [{ STORE_URL: 'memory:', REVOCATION_STORE_URL: 'x:' }, 'REVOCATION_STORE_URL must be memory:'],
    [{}, 'STORE_URL must be memory:'],
  ])('is none by %j', (settings, message) => {
    expect(() => openForTest(settings)).toThrow(message);
  });

  test.each([
    ['redis://127.0.0.1/x', 'STORE_URL'],
    ['dynamodb+https://ydb.example/', 'STORE_URL'],
  ])('is one whose driver says what is wrong with %s by the name of the variable', async (url, variable) => {
    await expect(openForTest({ STORE_URL: url }).check(TOKEN)).rejects.toThrow(variable);
  });
});
