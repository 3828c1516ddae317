import { describe, expect, test } from 'vitest';
import type { Directory } from '#shared/directory/directory.ts';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import { maintain } from '#shared/maintenance/maintain.ts';
import { SETTLED_JOB_MS } from '#shared/outbox/outbox.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { START_MS } from '#test/support/outbox-run.ts';

const NO_JOBS = { done: 0, put_off: 0, dead: 0, set_aside: 0, lost: 0 };

/** A directory and a revocation store in memory, each with something that has expired, and a job that is due. */
async function startMaintenance() {
  let timeMs = START_MS;
  const now = () => timeMs;
  const directory = openMemoryDirectory({ now });
  const revocations = openMemoryStore({ now });
  const expiresAt = START_MS / 1000 + 60;
  for (const id of ['a', 'b']) await revocations.revoke({ tokenIds: [id], grants: [], cutOffs: [], expiresAt });
  const job = { kind: 'upstream-revocation', details: {}, boundTo: '', requestId: 'r' } as const;
  await directory.outbox.add({ ...job, id: 'old', claim: { name: 'c', leaseMs: 1 } });
  await directory.outbox.settle({ id: 'old', claim: 'c' }, { state: 'done', result: 'revoked' });
  timeMs += SETTLED_JOB_MS;
  await directory.outbox.add({ ...job, id: 'due' });

  const notes: Record<string, unknown> = {};
  const tick = (changes: {
    directory?: Directory;
    revocations?: TokenRevocationStore;
    remainingMs?: () => number;
    invocationId?: string;
  }) => {
    const { invocationId = 'tick', remainingMs = () => 60_000, ...stores } = changes;
    const note = (fields: object) => Object.assign(notes, fields);
    const doJob = async () => ({ status: 'done', result: 'revoked' }) as const;
    const ports = { directory, revocations, doJob, now, ...stores };
    return maintain({ invocationId, remainingMs, note, alert: () => {} }, ports);
  };
  return { directory, revocations, notes, tick };
}

/** A store whose deletions are counted, and delete so many each. */
function purging<Store extends object>(store: Store, counts: number[]): Store & { limits: number[] } {
  const limits: number[] = [];
  const purgeExpired = async (limit: number) => {
    limits.push(limit);
    return counts.shift() ?? 0;
  };
  return { ...store, purgeExpired, limits };
}

test('a tick tries what is due and purges what has expired in both stores', async () => {
  const { directory, notes, tick } = await startMaintenance();
  await tick({});
  expect(notes).toEqual({ jobs: { ...NO_JOBS, done: 1 }, purged_directory: 1, purged_revocations: 2 });
  expect(await directory.outbox.find('due')).toMatchObject({ state: 'done' });
  expect(await directory.outbox.find('old')).toBeUndefined();
});

test('a tick without anything to do says so', async () => {
  const { notes, tick } = await startMaintenance();
  await tick({});
  await tick({ invocationId: 'next' });
  expect(notes).toEqual({ jobs: NO_JOBS, purged_directory: 0, purged_revocations: 0 });
});

describe('one part that fails does not stop the others, and its failure is thrown', () => {
  const failure = new StoreUnavailable('unreachable');
  const fail = () => Promise.reject(failure);

  test('the outbox', async () => {
    const { directory, notes, tick } = await startMaintenance();
    const outbox = { ...directory.outbox, claim: fail };
    await expect(tick({ directory: { ...directory, outbox } })).rejects.toBe(failure);
    expect(notes).toEqual({ purged_directory: 1, purged_revocations: 2 });
  });

  test("the directory's purge", async () => {
    const { directory, notes, tick } = await startMaintenance();
    await expect(tick({ directory: { ...directory, purgeExpired: fail } })).rejects.toBe(failure);
    expect(notes).toEqual({ jobs: { ...NO_JOBS, done: 1 }, purged_revocations: 2 });
  });

  test("the revocations' purge", async () => {
    const { revocations, notes, tick } = await startMaintenance();
    await expect(tick({ revocations: { ...revocations, purgeExpired: fail } })).rejects.toBe(failure);
    expect(notes).toEqual({ jobs: { ...NO_JOBS, done: 1 }, purged_directory: 1 });
  });

  test('all of them: the first failure', async () => {
    const { directory, revocations, notes, tick } = await startMaintenance();
    const outbox = { ...directory.outbox, claim: fail };
    const another = () => Promise.reject(new StoreUnavailable('full'));
    const stores = {
      directory: { ...directory, outbox, purgeExpired: another },
      revocations: { ...revocations, purgeExpired: another },
    };
    await expect(tick(stores)).rejects.toBe(failure);
    expect(notes).toEqual({});
  });
});

describe('a purge', () => {
  test.each([
    ['goes on while batches are full', [1000, 1000, 12, 1000], 3, 2012],
    ['ends after five batches', Array(9).fill(1000), 5, 5000],
    ['of nothing is one look', [0], 1, 0],
  ])('%s', async (_, counts, calls, deleted) => {
    const { directory, notes, tick } = await startMaintenance();
    const purged = purging(directory, counts);
    await tick({ directory: purged });
    expect(purged.limits).toEqual(Array(calls).fill(1000));
    expect(notes).toMatchObject({ purged_directory: deleted });
  });

  test('is tried again while another writer is at it', async () => {
    const { directory, notes, tick } = await startMaintenance();
    const failures = [new StoreUnavailable('busy'), new StoreUnavailable('busy')];
    const purgeExpired = async (limit: number) => {
      const failure = failures.pop();
      if (failure !== undefined) throw failure;
      return directory.purgeExpired(limit);
    };
    await tick({ directory: { ...directory, purgeExpired } });
    expect(notes).toMatchObject({ purged_directory: 1 });
  });

  test('begins no batch when the time runs out', async () => {
    const { directory, revocations, notes, tick } = await startMaintenance();
    const stores = { directory: purging(directory, [1000, 1000]), revocations: purging(revocations, [1000]) };
    let leftMs = 5000;
    const remainingMs = () => {
      leftMs -= 1000; // asked once for the jobs, and before each batch
      return leftMs;
    };
    await tick({ ...stores, remainingMs });
    expect([stores.directory.limits.length, stores.revocations.limits.length]).toEqual([0, 0]);
    expect(notes).toEqual({ jobs: NO_JOBS, purged_directory: 0, purged_revocations: 0 });
    leftMs = 7000;
    await tick({ ...stores, remainingMs });
    expect([stores.directory.limits.length, stores.revocations.limits.length]).toEqual([2, 0]);
  });
});
