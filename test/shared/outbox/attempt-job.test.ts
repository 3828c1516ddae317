import { describe, expect, test } from 'vitest';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import type { RevocationAttempt } from '#shared/grant-revocation/revoke-grant.ts';
import { attemptJob, type DoJob, describeJob, providerOf } from '#shared/outbox/attempt-job.ts';
import { JOB_BUDGET_MS, type JobKind, type Outbox, type OwnedJob } from '#shared/outbox/outbox.ts';
import { START_MS } from '#test/support/outbox-run.ts';

const TRY_AGAIN: RevocationAttempt = { status: 'retry', error: 'status 503' };

/** An outbox in memory with one job, and a hand-driven clock and chance. */
async function startOutbox(kind: JobKind = 'grant-revocation') {
  const clock = { timeMs: START_MS, chance: 0.5 };
  const { outbox } = openMemoryDirectory({ now: () => clock.timeMs });
  const details = { subject: 'ann', fpType: 'vk', fpName: 'vk_1', sid: '1234' };
  await outbox.add({ id: 'j', kind, details, secret: 's', boundTo: 'b', requestId: 'r' });
  const alerts: [string, Record<string, unknown>][] = [];
  let claims = 0;

  async function claim(): Promise<OwnedJob> {
    claims += 1;
    const [job] = await outbox.claim(`claim-${claims}`, { jobs: 1, leaseMs: 1000 });
    if (job === undefined) throw new Error('nothing is due');
    return job;
  }

  /** Tries the job once, when it is due, with this result. */
  async function attempt(result: RevocationAttempt | DoJob, store: Outbox = outbox, timeoutMs = 100) {
    const job = await claim();
    return attemptJob(job, timeoutMs, {
      outbox: store,
      doJob: typeof result === 'function' ? result : async () => result,
      alert: (...alert) => alerts.push(alert),
      now: () => clock.timeMs,
      random: () => clock.chance,
    });
  }

  /** The pause until the job is due again; the clock is put there. */
  async function pauseAfter(result: RevocationAttempt): Promise<number> {
    const before = clock.timeMs;
    await attempt(result);
    clock.timeMs = (await outbox.find('j'))?.dueAt ?? Number.NaN;
    return clock.timeMs - before;
  }

  return { clock, outbox, alerts, claim, attempt, pauseAfter };
}

describe('the pause before the next try', () => {
  test.each([
    [1, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]],
    [0.5, [2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800]],
    [0, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
  ])('is anything up to 5 s, doubling up to an hour: with chance %d', async (chance, pausesS) => {
    const { clock, pauseAfter } = await startOutbox();
    clock.chance = chance;
    const pauses: number[] = [];
    for (const _ of pausesS) pauses.push((await pauseAfter(TRY_AGAIN)) / 1000);
    expect(pauses).toEqual(pausesS);
  });

  test.each([
    ['longer than ours', 7_200_000, 7_200_000],
    ['shorter than ours', 60_000, 60_000],
    ['none: the first pause, or a run would try as fast as it is refused', 0, 5000],
    ['almost none', 1000, 5000],
  ])('is as the other service asks: %s', async (_, retryAfterMs, pauseMs) => {
    const { clock, pauseAfter } = await startOutbox();
    clock.chance = 1;
    for (let round = 0; round < 8; round += 1) await pauseAfter(TRY_AGAIN);
    expect(await pauseAfter({ ...TRY_AGAIN, retryAfterMs })).toBe(pauseMs);
  });

  test('survives more tries than a number has digits', async () => {
    const { clock, outbox, pauseAfter } = await startOutbox();
    clock.chance = 0;
    for (let round = 0; round < 1100; round += 1) await pauseAfter(TRY_AGAIN);
    clock.chance = 1;
    expect(await pauseAfter(TRY_AGAIN)).toBe(3_600_000);
    expect(await outbox.find('j')).toMatchObject({ state: 'pending', attemptsStarted: 1101, attemptsFinished: 1101 });
  });
});

describe('what is recorded', () => {
  test('of a success: its result, and no secret any more', async () => {
    const { outbox, alerts, attempt } = await startOutbox();
    const outcome = await attempt({ status: 'done', result: 'already_revoked' });
    expect(outcome).toEqual({ settlement: { state: 'done', result: 'already_revoked' }, isRecorded: true });
    expect(await outbox.find('j')).toMatchObject({ state: 'done', result: 'already_revoked', finishedAt: START_MS });
    expect(await outbox.find('j')).toHaveProperty('secret', undefined);
    expect(alerts).toEqual([]);
  });

  test('of what no try can help: that it failed, told to an operator without whom it is about', async () => {
    const { outbox, alerts, attempt } = await startOutbox();
    await attempt({ status: 'failed', error: 'status 400 invalid_request' });
    const dead = { state: 'dead', result: 'failed' };
    expect(await outbox.find('j')).toMatchObject({
      ...dead,
      lastError: 'status 400 invalid_request',
      secret: undefined,
    });
    const fields = { job_id: 'j', kind: 'grant-revocation', provider: 'vk:vk_1', job_request_id: 'r', attempt: 1 };
    const duration_ms = expect.any(Number);
    expect(alerts).toEqual([
      ['an outbox job is given up', { ...fields, ...dead, error: 'status 400 invalid_request', duration_ms }],
    ]);
    expect(JSON.stringify(alerts)).not.toMatch(/ann|1234/);
  });

  test('of a token that nobody vouched for and the service refuses: that it failed, and no alert', async () => {
    const { outbox, alerts, attempt } = await startOutbox('unverified-upstream-revocation');
    await attempt({ status: 'failed', error: 'status 400 invalid_request' });
    expect(await outbox.find('j')).toMatchObject({ state: 'dead', lastError: 'status 400 invalid_request' });
    expect(alerts).toEqual([]);
  });

  test('of such a token at a service that stays away: that it failed, told to an operator', async () => {
    const { clock, alerts, attempt } = await startOutbox('unverified-upstream-revocation');
    clock.timeMs = START_MS + JOB_BUDGET_MS;
    await attempt(TRY_AGAIN);
    expect(alerts.map(([message]) => message)).toEqual(['an outbox job is given up']);
  });

  test('of what our settings prevent: a pause, told to an operator each time', async () => {
    const { outbox, alerts, pauseAfter } = await startOutbox();
    for (let round = 0; round < 3; round += 1) {
      await pauseAfter({ status: 'retry', error: 'status 401 invalid_client', isOurFault: true });
    }
    expect(await outbox.find('j')).toMatchObject({
      state: 'pending',
      lastError: 'status 401 invalid_client',
      secret: 's',
    });
    expect(alerts.map(([message]) => message)).toEqual(Array(3).fill('an outbox job waits for an operator'));
  });

  test('of a defect: a pause, told to an operator, with nothing of what it said', async () => {
    const { outbox, alerts, attempt } = await startOutbox();
    await attempt(() => Promise.reject(new Error('secret')));
    expect(await outbox.find('j')).toMatchObject({ state: 'pending', lastError: 'unexpected', attemptsFinished: 1 });
    expect(alerts).toMatchObject([['an outbox job waits for an operator', { error: 'unexpected' }]]);
    expect(JSON.stringify(alerts)).not.toContain('secret');
  });

  test('of somebody else by now: nothing', async () => {
    const { clock, outbox, claim, attempt } = await startOutbox();
    const outcome = await attempt(async () => {
      clock.timeMs += 1000; // the lease
      await claim();
      return { status: 'done', result: 'revoked' };
    });
    expect(outcome).toMatchObject({ isRecorded: false });
    expect(await outbox.find('j')).toMatchObject({ state: 'pending', secret: 's' });
  });
});

describe('the budget', () => {
  test('is two days: until then it is tried again, then given up and told', async () => {
    const { clock, outbox, alerts, attempt } = await startOutbox();
    clock.timeMs = START_MS + JOB_BUDGET_MS - 1;
    await attempt(TRY_AGAIN);
    expect(await outbox.find('j')).toMatchObject({ state: 'pending', lastError: 'status 503', secret: 's' });
    clock.timeMs += 3_600_000;
    await attempt(TRY_AGAIN);
    expect(await outbox.find('j')).toMatchObject({ state: 'dead', result: 'failed', lastError: 'status 503' });
    expect(await outbox.find('j')).toHaveProperty('secret', undefined);
    expect(alerts).toMatchObject([['an outbox job is given up', { error: 'status 503', attempt: 2 }]]);
  });

  test('does not stop a last try, which may succeed', async () => {
    const { clock, outbox, attempt } = await startOutbox();
    clock.timeMs = START_MS + 10 * JOB_BUDGET_MS;
    await attempt({ status: 'done', result: 'revoked' });
    expect(await outbox.find('j')).toMatchObject({ state: 'done', result: 'revoked' });
  });

  test('is spent also by what our settings prevent', async () => {
    const { clock, alerts, attempt } = await startOutbox();
    clock.timeMs = START_MS + JOB_BUDGET_MS;
    const { settlement } = await attempt({ status: 'retry', error: 'status 401', isOurFault: true });
    expect(settlement.state).toBe('dead');
    expect(alerts.map(([message]) => message)).toContain('an outbox job is given up');
  });

  test('is a new one after a replay', async () => {
    const { clock, outbox, attempt } = await startOutbox();
    clock.timeMs = START_MS + JOB_BUDGET_MS - 1;
    await outbox.replay('j');
    clock.timeMs += JOB_BUDGET_MS - 1;
    await attempt(TRY_AGAIN);
    expect(await outbox.find('j')).toMatchObject({ state: 'pending' });
  });
});

describe('a store that fails at the record', () => {
  /** Fails as often as it is told before it records. */
  function failing(outbox: Outbox, failures: Error[]): Outbox {
    return {
      ...outbox,
      settle: async (...args) => {
        const failure = failures.shift();
        if (failure !== undefined) throw failure;
        return outbox.settle(...args);
      },
    };
  }

  test('is asked again while there is time: it is no crash of the job', async () => {
    const { outbox, attempt } = await startOutbox();
    const store = failing(outbox, [new StoreUnavailable('busy'), new StoreUnavailable('unreachable')]);
    await attempt({ status: 'done', result: 'revoked' }, store, 5000);
    expect(await outbox.find('j')).toMatchObject({ state: 'done', attemptsStarted: 1, attemptsFinished: 1 });
  });

  test('for good: the job keeps its lease, and the operator is told before', async () => {
    const { outbox, alerts, attempt } = await startOutbox();
    const store = failing(outbox, Array(1000).fill(new StoreUnavailable('unreachable')));
    await expect(attempt({ status: 'failed', error: 'status 404' }, store)).rejects.toMatchObject({
      fault: 'unreachable',
    });
    expect(await outbox.find('j')).toMatchObject({ state: 'pending', dueAt: START_MS + 1000, attemptsFinished: 0 });
    expect(alerts).toHaveLength(1);
  });

  test('with a defect is not asked again', async () => {
    const { outbox, attempt } = await startOutbox();
    const store = failing(outbox, [new Error('defect')]);
    await expect(attempt({ status: 'done', result: 'revoked' }, store)).rejects.toThrow('defect');
  });
});

describe('an operator is told', () => {
  const DESCRIBED = {
    ...{ job_id: 'j', kind: 'grant-revocation', provider: 'vk:vk_1', job_request_id: 'r', attempt: 1 },
    duration_ms: expect.any(Number),
  };

  test('of a job that is given up, by what they need and nothing of whom it is about', async () => {
    const { alerts, attempt } = await startOutbox();
    await attempt({ status: 'failed', error: 'status 404' });
    expect(alerts).toEqual([
      ['an outbox job is given up', { ...DESCRIBED, state: 'dead', result: 'failed', error: 'status 404' }],
    ]);
  });

  test('of a job that only they can help', async () => {
    const { alerts, attempt } = await startOutbox();
    await attempt({ status: 'retry', error: 'status 401', isOurFault: true });
    expect(alerts).toEqual([
      [
        'an outbox job waits for an operator',
        { ...DESCRIBED, state: 'pending', dueAt: START_MS + 2500, error: 'status 401' },
      ],
    ]);
  });

  test('how long the try took, in whole milliseconds', async () => {
    const { alerts, attempt } = await startOutbox();
    await attempt({ status: 'failed', error: 'status 404' });
    const duration = Number(alerts[0]?.[1].duration_ms);
    expect(duration).toBe(Math.round(duration));
    expect(duration).toBeGreaterThanOrEqual(0);
    expect(duration).toBeLessThan(60_000);
  });

  test('of nothing else', async () => {
    const { alerts, attempt } = await startOutbox();
    await attempt(TRY_AGAIN);
    expect(alerts).toEqual([]);
  });
});

test('a job about no provider is described without one', async () => {
  const { claim } = await startOutbox();
  const { details: _details, ...job } = await claim();
  expect(providerOf({ details: {} })).toBeUndefined();
  expect(describeJob({ ...job, details: {} }, { more: 1 })).toEqual({
    ...{ job_id: 'j', kind: 'grant-revocation', job_request_id: 'r', attempt: 1, more: 1 },
  });
});

test('what nobody expected is tried again, and an operator has to look', async () => {
  const { outbox, alerts, attempt } = await startOutbox();
  await attempt(async () => {
    throw new TypeError('obviously fake');
  });
  expect(await outbox.find('j')).toMatchObject({ state: 'pending', lastError: 'unexpected' });
  expect(alerts).toMatchObject([['an outbox job waits for an operator', { error: 'unexpected' }]]);
});

test('a pause is whole milliseconds, none of them too few', async () => {
  const { clock, pauseAfter } = await startOutbox();
  clock.chance = 0.00001;
  expect(await pauseAfter(TRY_AGAIN)).toBe(1);
});

test('the clock and the chance are those of the machine where none are given, and nobody need be told', async () => {
  const { outbox, claim } = await startOutbox();
  const before = Date.now();
  const { settlement } = await attemptJob({ ...(await claim()), giveUpAt: before + JOB_BUDGET_MS }, 100, {
    outbox: { ...outbox, settle: async () => true },
    doJob: async () => ({ status: 'retry', error: 'status 401', isOurFault: true }),
  });
  const { dueAt } = 'dueAt' in settlement ? settlement : { dueAt: Number.NaN };
  expect(dueAt).toBeGreaterThanOrEqual(before);
  expect(dueAt).toBeLessThanOrEqual(Date.now() + 5000);
});

test('a lease that has ended is told, and the try counts for nothing', async () => {
  const { outbox, attempt } = await startOutbox();
  const outcome = await attempt({ status: 'done', result: 'revoked' }, { ...outbox, settle: async () => false });
  expect(outcome).toEqual({ settlement: { state: 'done', result: 'revoked' }, isRecorded: false });
});
