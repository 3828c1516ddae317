import { createSecretKey } from 'node:crypto';
import { expect, test } from 'vitest';
import { CallerError, StoreUnavailable } from '#shared/errors.ts';
import { unlink } from '#shared/smart-home/unlink.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';

const peppers = [{ name: 'k1', key: createSecretKey(Buffer.alloc(32)) }];
const ports = (revocations: TokenRevocationStore, now = Date.now) => ({
  verify: async () => ({ status: 'unverified' }) as const,
  revocations,
  peppers,
  settings: { MAX_TOKEN_LIFETIME_S: 10 },
  now,
});
const request = {
  requestId: 'r-1',
  authorization: 'Bearer x',
  remainingMs: () => 5000,
  note: () => {},
  warn: () => {},
  alert: () => {},
};

/** A store that fails as often as it is told before it does its work. */
function unreliable(store: TokenRevocationStore, failures: Error[]): TokenRevocationStore & { calls: number } {
  const wrapped = {
    ...store,
    calls: 0,
    async revoke(...[revocation]: Parameters<TokenRevocationStore['revoke']>) {
      wrapped.calls += 1;
      const failure = failures.shift();
      if (failure) throw failure;
      return store.revoke(revocation);
    },
  };
  return wrapped;
}

test('a store that comes back in time has revoked, and the caller sees a success', async () => {
  const revocations = unreliable(openMemoryStore(), [
    new StoreUnavailable('unreachable'),
    new StoreUnavailable('busy'),
  ]);
  await unlink(request, ports(revocations));
  expect(revocations.calls).toBe(3);
});

test('a store that is down is asked once when no time remains, and the failure is the answer', async () => {
  const revocations = unreliable(openMemoryStore(), [new StoreUnavailable('full')]);
  const failing = unlink({ ...request, remainingMs: () => 0 }, ports(revocations));
  await expect(failing).rejects.toMatchObject({ code: 'temporarily_unavailable', fault: 'full' });
  expect(revocations.calls).toBe(1);
});

test('a defect is not tried again', async () => {
  const revocations = unreliable(openMemoryStore(), [new Error('defect')]);
  await expect(unlink(request, ports(revocations))).rejects.toThrow('defect');
  expect(revocations.calls).toBe(1);
});

test('the revocation is noted for the log before the store is asked', async () => {
  const notes: object[] = [];
  const revocations = unreliable(openMemoryStore(), [new Error('defect')]);
  await expect(
    unlink(
      { ...request, note: (fields) => notes.push(fields) },
      ports(revocations, () => 1_000_500),
    ),
  ).rejects.toThrow();
  expect(notes).toEqual([
    {
      token_id: expect.stringMatching(/^k1\./),
      revocation: {
        made_at: 1000,
        token_ids: [expect.stringMatching(/^k1\./)],
        grants: [],
        cut_offs: [],
        expires_at: 1010,
        presented: { token_ids: [expect.stringMatching(/^k1\./)], grants: [], cut_off_keys: [] },
      },
    },
  ]);
});

test('a malformed credential reaches no store', async () => {
  const revocations = unreliable(openMemoryStore(), []);
  await expect(unlink({ ...request, authorization: 'Bearer' }, ports(revocations))).rejects.toThrow(CallerError);
  expect(revocations.calls).toBe(0);
});
