import { describe, expect, test } from 'vitest';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import type { RevocationAttempt } from '#shared/grant-revocation/revoke-grant.ts';
import type { DoJob } from '#shared/outbox/attempt-job.ts';
import type { NewJob, Outbox } from '#shared/outbox/outbox.ts';
import { type RunReport, runDueJobs } from '#shared/outbox/run-due-jobs.ts';
import { START_MS } from '#test/support/outbox-run.ts';

const LEASE_MS = 120_000;
const NOTHING: RunReport = { done: 0, put_off: 0, dead: 0, set_aside: 0, lost: 0 };
const DONE: RevocationAttempt = { status: 'done', result: 'revoked' };

const newJob = (id: string): NewJob => ({
  id,
  kind: 'upstream-revocation',
  details: {},
  secret: `secret of ${id}`,
  boundTo: id,
  requestId: `request of ${id}`,
});

/** An outbox in memory with so many jobs that are due, and its runner. */
async function startOutbox(jobs: number) {
  const clock = { timeMs: START_MS };
  const { outbox } = openMemoryDirectory({ now: () => clock.timeMs });
  for (let index = 0; index < jobs; index += 1) await outbox.add(newJob(`job-${index}`));
  const alerts: [string, Record<string, unknown>][] = [];
  let runs = 0;

  function run(doJob: DoJob, options: { remainingMs?: () => number; store?: Outbox } = {}): Promise<RunReport> {
    runs += 1;
    const { remainingMs = () => 60_000, store = outbox } = options;
    const alert = (...told: [string, Record<string, unknown>]) => alerts.push(told);
    const request = { claim: `run-${runs}`, remainingMs, alert };
    return runDueJobs(request, { outbox: store, doJob, now: () => clock.timeMs, random: () => 0.5 });
  }

  return { clock, outbox, alerts, run };
}

test('nothing that is due is no work', async () => {
  const { run } = await startOutbox(0);
  expect(await run(async () => DONE)).toEqual(NOTHING);
});

test('all that is due is done, at most twenty at once', async () => {
  const { outbox, run } = await startOutbox(45);
  const claims = new Set<string>();
  const most = { now: 0, ever: 0 };
  const seen: string[] = [];

  const report = await run(async ({ id, claim }) => {
    claims.add(claim);
    seen.push(id);
    most.now += 1;
    most.ever = Math.max(most.ever, most.now);
    await new Promise(setImmediate);
    most.now -= 1;
    return DONE;
  });

  expect(report).toEqual({ ...NOTHING, done: 45 });
  expect(most.ever).toBe(20);
  expect(claims.size).toBe(3);
  expect(new Set(seen).size).toBe(45);
  expect(await outbox.list('done', { limit: 100 })).toHaveLength(45);
});

test('a verified job is in the first claim, however many unverified ones are due for longer', async () => {
  const { clock, outbox, run } = await startOutbox(0);
  for (let index = 0; index < 50; index += 1) {
    await outbox.add({ ...newJob(`unverified-${index}`), kind: 'unverified-upstream-revocation' });
  }
  clock.timeMs += 1000;
  await outbox.add(newJob('verified'));
  const claims = new Map<string, string[]>();

  const report = await run(async ({ id, claim }) => {
    claims.set(claim, [...(claims.get(claim) ?? []), id]);
    return DONE;
  });

  expect(report).toEqual({ ...NOTHING, done: 51 });
  const [first, ...others] = claims.values();
  expect(first).toContain('verified');
  expect(others.map(({ length }) => length)).toEqual([20, 11]);
});

test('each way that a job can go is counted', async () => {
  const { outbox, run } = await startOutbox(4);
  const results: Record<string, RevocationAttempt> = {
    'job-0': DONE,
    'job-1': { status: 'retry', error: 'status 503' },
    'job-2': { status: 'failed', error: 'status 404' },
  };
  const report = await run(async ({ id, claim }) => {
    if (id === 'job-3') await outbox.settle({ id, claim }, { state: 'done', result: 'revoked' }); // by somebody else
    return results[id] ?? DONE;
  });
  expect(report).toEqual({ done: 1, put_off: 1, dead: 1, set_aside: 0, lost: 1 });
});

test('a job that is put off is not tried again in the same run, whatever the other service asks', async () => {
  const { run } = await startOutbox(1);
  let tries = 0;
  const report = await run(async () => {
    tries += 1;
    return { status: 'retry', error: 'status 503', retryAfterMs: 0 };
  });
  expect([tries, report.put_off]).toEqual([1, 1]);
});

describe('the time', () => {
  test.each([
    [8001, 1],
    [8000, 0],
    [300, 0],
    [-5, 0],
  ])('of %i ms left lets %i job be claimed', async (leftMs, done) => {
    const { outbox, run } = await startOutbox(1);
    expect(await run(async () => DONE, { remainingMs: () => leftMs })).toEqual({ ...NOTHING, done });
    expect(await outbox.find('job-0')).toMatchObject({ attemptsStarted: done });
  });

  test('that runs out stops claiming, and leaves the rest as it was', async () => {
    const { outbox, run } = await startOutbox(100);
    let leftMs = 60_000;
    const doJob: DoJob = async () => {
      leftMs -= 1500; // 20 at once: 30 s for each batch
      return DONE;
    };
    expect(await run(doJob, { remainingMs: () => leftMs })).toEqual({ ...NOTHING, done: 40 });
    const pending = await outbox.list('pending', { limit: 100 });
    expect(pending).toHaveLength(60);
    expect(pending.every((job) => job.attemptsStarted === 0 && job.dueAt === START_MS)).toBe(true);
  });

  test.each([
    [60_000, 5000],
    [9000, 4500],
  ])('of %i ms lets a try take %i ms, and as much is kept for its record', async (leftMs, expected) => {
    const { run } = await startOutbox(1);
    let given = 0;
    const doJob: DoJob = async (_job, timeoutMs) => {
      given = timeoutMs;
      return DONE;
    };
    await run(doJob, { remainingMs: () => leftMs });
    expect(given).toBe(expected);
  });
});

describe('a runner that dies', () => {
  /** Claims what is due and is never heard of again. */
  const die = (outbox: Outbox, name: string) => outbox.claim(name, { jobs: 20, leaseMs: LEASE_MS });

  test('leaves its jobs to the next one when the lease ends, not before', async () => {
    const { clock, outbox, run } = await startOutbox(3);
    await die(outbox, 'dead');
    clock.timeMs += LEASE_MS - 1;
    expect(await run(async () => DONE)).toEqual(NOTHING);
    clock.timeMs += 1;
    expect(await run(async () => DONE)).toEqual({ ...NOTHING, done: 3 });
  });

  test('three times of the same job has that set aside, untried, told to an operator, and to be replayed', async () => {
    const { clock, outbox, alerts, run } = await startOutbox(1);
    for (const name of ['first', 'second', 'third']) {
      await die(outbox, name);
      clock.timeMs += LEASE_MS;
    }
    let tries = 0;
    const doJob: DoJob = async () => {
      tries += 1;
      return DONE;
    };

    expect(await run(doJob)).toEqual({ ...NOTHING, set_aside: 1 });

    expect(tries).toBe(0);
    expect(await outbox.find('job-0')).toMatchObject({ state: 'set_aside', secret: 'secret of job-0' });
    const fields = { job_id: 'job-0', job_request_id: 'request of job-0', error: '3 attempts never ended' };
    expect(alerts).toEqual([['an outbox job is set aside', expect.objectContaining(fields)]]);
    clock.timeMs += 86_400_000;
    expect(await run(doJob)).toEqual(NOTHING);
    await outbox.replay('job-0');
    expect(await run(doJob)).toEqual({ ...NOTHING, done: 1 });
  });

  test('twice is not enough, and tries that end between do not count', async () => {
    const { clock, outbox, run } = await startOutbox(1);
    for (const name of ['first', 'second']) {
      await die(outbox, name);
      clock.timeMs += LEASE_MS;
      expect(await run(async () => ({ status: 'retry', error: 'status 503' }))).toEqual({ ...NOTHING, put_off: 1 });
      clock.timeMs += 3_600_000;
    }
    expect(await run(async () => DONE)).toEqual({ ...NOTHING, done: 1 });
  });
});

describe('a store that fails', () => {
  const unavailable = new StoreUnavailable('unreachable');

  test('for a moment stops nothing', async () => {
    const { outbox, run } = await startOutbox(3);
    let calls = 0;
    /** Every second call fails. */
    const flaky = <Args extends unknown[], Result>(work: (...args: Args) => Promise<Result>) => {
      return async (...args: Args) => {
        calls += 1;
        if (calls % 2 === 1) throw unavailable;
        return work(...args);
      };
    };
    const store = { ...outbox, claim: flaky(outbox.claim), settle: flaky(outbox.settle) };
    expect(await run(async () => DONE, { store })).toEqual({ ...NOTHING, done: 3 });
  });

  test('at the claim ends the run', async () => {
    const { outbox, run } = await startOutbox(1);
    const store = { ...outbox, claim: () => Promise.reject(unavailable) };
    await expect(run(async () => DONE, { store })).rejects.toBe(unavailable);
  });

  test('at the record of one job lets the others of its claim be recorded, and ends the run', async () => {
    const { clock, outbox, run } = await startOutbox(30);
    const settle: Outbox['settle'] = async (job, ...rest) => {
      if (job.id === 'job-7') throw new Error('no such row');
      return outbox.settle(job, ...rest);
    };
    await expect(run(async () => DONE, { store: { ...outbox, settle } })).rejects.toThrow('no such row');
    expect(await outbox.list('done', { limit: 100 })).toHaveLength(19);
    clock.timeMs += LEASE_MS;
    expect(await run(async () => DONE)).toEqual({ ...NOTHING, done: 11 });
  });
});

test('one job that kills its runner is set aside, and the nineteen beside it are done', async () => {
  const { clock, outbox, alerts, run } = await startOutbox(20);
  const poison = 'job-7';
  const killed = new Error('killed');
  for (let death = 0; death < 3; death += 1) {
    // A runner that dies records nothing any more.
    let isDead = false;
    const store: Outbox = {
      ...outbox,
      settle: (...settlement) => (isDead ? Promise.reject(killed) : outbox.settle(...settlement)),
    };
    const died = run(
      async ({ id }) => {
        if (id === poison) isDead = true;
        return DONE;
      },
      { store },
    );
    await died.catch(() => {});
    clock.timeMs += LEASE_MS;
  }
  const report = await run(async ({ id }) => {
    expect(id).not.toBe(poison);
    return DONE;
  });
  expect(report.set_aside).toBe(1);
  expect(alerts.filter(([message]) => message.includes('set aside'))).toHaveLength(1);
  expect(await outbox.find(poison)).toMatchObject({ state: 'set_aside' });
  expect(await outbox.list('done', { limit: 100 })).toHaveLength(19);
});

describe('each try is counted', () => {
  /** The measurements of one run of one job. */
  async function measured(job: Partial<NewJob>, doJob: DoJob) {
    const { outbox } = openMemoryDirectory({ now: () => START_MS });
    await outbox.add({ ...newJob('a'), ...job });
    const measurements: object[] = [];
    await runDueJobs(
      {
        ...{ claim: 'run', remainingMs: () => 60_000, alert: () => {} },
        measure: (measurement) => void measurements.push(measurement),
      },
      { outbox, doJob, now: () => START_MS },
    );
    return measurements;
  }

  test('by kind, provider and the way it went', async () => {
    const job = { kind: 'grant-revocation', details: { fpType: 'vk', fpName: 'vk_1' } } as const;
    expect(await measured(job, async () => DONE)).toEqual([
      {
        ...{ metric: 'outbox_attempts_total', value: 1 },
        ...{ kind: 'grant-revocation', provider: 'vk:vk_1', result: 'done' },
      },
    ]);
  });

  test('without a provider where there is none', async () => {
    expect(await measured({}, async () => ({ status: 'failed', error: 'x' }))).toEqual([
      { metric: 'outbox_attempts_total', value: 1, kind: 'upstream-revocation', result: 'dead' },
    ]);
  });
});

test('each claim has a name of its own, twenty jobs, and two minutes', async () => {
  const { outbox, run } = await startOutbox(21);
  const claims: unknown[] = [];
  const store: Outbox = {
    ...outbox,
    claim: (...claim) => {
      claims.push(claim);
      return outbox.claim(...claim);
    },
  };
  await run(async () => DONE, { store });
  const limits = { jobs: 20, leaseMs: 120_000 };
  expect(claims).toEqual(['run-1.1', 'run-1.2', 'run-1.3'].map((name) => [name, limits]));
});

describe('of the jobs that were there when a runner died', () => {
  const die = (outbox: Outbox) => outbox.claim('dead', { jobs: 20, leaseMs: LEASE_MS });

  test('one is tried alone, once the others are done, and the rest waits for the next claim', async () => {
    const { clock, outbox, run } = await startOutbox(2);
    await die(outbox);
    clock.timeMs += LEASE_MS;
    await outbox.add(newJob('new'));
    const order: string[] = [];
    const settled: unknown[] = [];
    const store: Outbox = {
      ...outbox,
      settle: (job, settlement, timeoutMs) => {
        settled.push([job.id, settlement]);
        return outbox.settle(job, settlement, timeoutMs);
      },
    };
    const report = await run(
      async ({ id }) => {
        order.push(`${id} begins`);
        await new Promise(setImmediate);
        order.push(`${id} ends`);
        return DONE;
      },
      { store },
    );

    expect(report).toEqual({ ...NOTHING, done: 3 });
    expect(settled[0]).toEqual(['job-1', { state: 'pending', dueAt: clock.timeMs, error: 'waits alone' }]);
    expect(order).toEqual(['new begins', 'new ends', 'job-0 begins', 'job-0 ends', 'job-1 begins', 'job-1 ends']);
  });

  test('a verified one is tried before those that are unverified', async () => {
    const { clock, outbox, run } = await startOutbox(0);
    for (const id of ['a', 'b']) await outbox.add({ ...newJob(id), kind: 'unverified-upstream-revocation' });
    await outbox.add(newJob('verified'));
    await die(outbox);
    clock.timeMs += LEASE_MS;
    const tried: string[] = [];
    // A store may give a claim out in any order.
    const store: Outbox = { ...outbox, claim: async (...claim) => (await outbox.claim(...claim)).toReversed() };
    await run(
      async ({ id }) => {
        tried.push(id);
        return DONE;
      },
      { store },
    );
    expect(tried).toEqual(['verified', 'b', 'a']);
  });

  test('one that is set aside by somebody else meanwhile is lost to this run', async () => {
    const { clock, outbox, run } = await startOutbox(1);
    for (let death = 0; death < 3; death += 1) {
      await die(outbox);
      clock.timeMs += LEASE_MS;
    }
    const store: Outbox = { ...outbox, settle: async () => false };
    expect(await run(async () => DONE, { store })).toEqual({ ...NOTHING, lost: 1 });
  });

  test('one that is set aside is recorded though the store fails for a moment', async () => {
    const { clock, outbox, run } = await startOutbox(1);
    for (let death = 0; death < 3; death += 1) {
      await die(outbox);
      clock.timeMs += LEASE_MS;
    }
    let calls = 0;
    const settle: Outbox['settle'] = async (...args) => {
      calls += 1;
      if (calls === 1) throw new StoreUnavailable('busy');
      return outbox.settle(...args);
    };
    expect(await run(async () => DONE, { store: { ...outbox, settle } })).toEqual({ ...NOTHING, set_aside: 1 });
  });
});
