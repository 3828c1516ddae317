import { describe, expect, test } from 'vitest';
import type { Directory } from '#shared/directory/directory.ts';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import { maintain } from '#shared/maintenance/maintain.ts';
import type { Measurement } from '#shared/measurement.ts';
import { SETTLED_JOB_MS, type Settlement } from '#shared/outbox/outbox.ts';
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
  const measured: Measurement[] = [];
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
    const measure = (measurement: Measurement) => void measured.push(measurement);
    return maintain({ invocationId, remainingMs, note, measure, alert: () => {} }, ports);
  };
  const advance = (ms: number) => {
    timeMs += ms;
  };
  return { directory, revocations, notes, measured, advance, tick };
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

const NOTHING_WAITS: readonly Measurement[] = [
  { metric: 'outbox_depth', value: 0, state: 'pending' },
  { metric: 'outbox_oldest_age_seconds', value: 0 },
  { metric: 'outbox_depth', value: 0, state: 'set_aside' },
];

describe('a tick measures the outbox', () => {
  test('each try, and then what is left', async () => {
    const { measured, tick } = await startMaintenance();

    await tick({});

    expect(measured).toEqual([
      { metric: 'outbox_attempts_total', value: 1, kind: 'upstream-revocation', result: 'done' },
      ...NOTHING_WAITS,
      { metric: 'outbox_depth', value: 0, state: 'dead' },
    ]);
  });

  test('how long the oldest job waits, since it was written and not since it was last due', async () => {
    const { directory, measured, advance, tick } = await startMaintenance();
    const waiting = { kind: 'upstream-revocation', details: {}, boundTo: '', requestId: 'r' } as const;
    await tick({});
    await directory.outbox.add({ ...waiting, id: 'waits', claim: { name: 'c', leaseMs: 1 } });
    advance(60_000);
    await directory.outbox.add({ ...waiting, id: 'younger', claim: { name: 'd', leaseMs: 86_400_000 } });
    const dueAt = Number.MAX_SAFE_INTEGER;
    await directory.outbox.settle({ id: 'waits', claim: 'c' }, { state: 'pending', dueAt, error: 'status 503' });
    advance(60_000);
    measured.length = 0;

    await tick({ invocationId: 'next' });

    expect(measured).toContainEqual({ metric: 'outbox_depth', value: 2, state: 'pending' });
    expect(measured).toContainEqual({ metric: 'outbox_oldest_age_seconds', value: 120 });
  });

  test('what was set aside and what was given up, of which a hundred stand for more', async () => {
    const { directory, measured, tick } = await startMaintenance();
    const lost = { kind: 'grant-revocation', details: {}, boundTo: '', requestId: 'r' } as const;
    for (let count = 0; count < 101; count += 1) {
      const [id, claim] = [`job-${count}`, { name: `claim-${count}`, leaseMs: 1 }];
      await directory.outbox.add({ ...lost, id, claim });
      const error = 'status 400';
      const end: Settlement = count === 0 ? { state: 'set_aside', error } : { state: 'dead', result: 'failed', error };
      await directory.outbox.settle({ id, claim: claim.name }, end);
    }
    await directory.outbox.add({ ...lost, id: 'last', claim: { name: 'l', leaseMs: 1 } });
    await directory.outbox.settle({ id: 'last', claim: 'l' }, { state: 'dead', result: 'failed', error: 'status 400' });

    await tick({});

    expect(measured).toContainEqual({ metric: 'outbox_depth', value: 1, state: 'set_aside' });
    expect(measured).toContainEqual({ metric: 'outbox_depth', value: 100, state: 'dead' });
  });

  test('not when there is no time for it', async () => {
    const { measured, tick } = await startMaintenance();

    await tick({ remainingMs: () => 2999 });

    expect(measured).toEqual([]);
  });
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
    let leftMs = 6000;
    const remainingMs = () => {
      leftMs -= 1000; // asked once for the jobs, once for their number, and before each batch
      return leftMs;
    };
    await tick({ ...stores, remainingMs });
    expect([stores.directory.limits.length, stores.revocations.limits.length]).toEqual([0, 0]);
    expect(notes).toEqual({ jobs: NO_JOBS, purged_directory: 0, purged_revocations: 0 });
    leftMs = 8000;
    await tick({ ...stores, remainingMs });
    expect([stores.directory.limits.length, stores.revocations.limits.length]).toEqual([2, 0]);
  });
});
