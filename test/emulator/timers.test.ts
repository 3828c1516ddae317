import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Outcome } from '#scripts/emulator/instance-pool.ts';
import { createTimers, scheduleOf } from '#scripts/emulator/timers.ts';
import { type Fixture, send, startFixture } from '#test/support/emulator-fixture/start-fixture.ts';

describe('a cron expression', () => {
  // 2026-01-01 is a Thursday.
  it.each([
    ['* * * * ? *', '2026-01-01T00:01:00Z'],
    ['0 * ? * * *', '2026-01-01T01:00:00Z'],
    ['15 10 ? * * *', '2026-01-01T10:15:00Z'],
    ['0/15 * * * ? *', '2026-01-01T00:15:00Z'],
    ['0 3 ? * MON,WED *', '2026-01-05T03:00:00Z'],
    ['0 3 ? * 1 *', '2026-01-04T03:00:00Z'],
    ['0 3 ? * 7 *', '2026-01-03T03:00:00Z'],
    ['0 3 ? * L *', '2026-01-03T03:00:00Z'],
    ['0 3 ? * 6#3 *', '2026-01-16T03:00:00Z'],
    ['0 3 L * ? *', '2026-01-31T03:00:00Z'],
    ['0 3 LW * ? *', '2026-01-30T03:00:00Z'],
    ['0 3 15W feb ? *', '2026-02-16T03:00:00Z'],
    ['0 10-12 1 * ? 2027', '2027-01-01T10:00:00Z'],
    ['30 4 ? * *', '2026-01-01T04:30:00Z'],
  ])('runs in UTC as the platform documents it: %s', (cron, next) => {
    expect(scheduleOf('any', cron).nextRun(new Date('2026-01-01T00:00:30Z'))).toEqual(new Date(next));
  });
});

describe('a timer fired by hand', () => {
  let emulator: Fixture;
  beforeAll(async () => {
    emulator = await startFixture();
  });
  afterAll(() => emulator.close());

  it('sends the message of the platform and answers what came of it', async () => {
    const answer = await send(`${emulator.functionsUrl}/_timers/tick`);

    expect(answer).toMatchObject({ status: 200, text: '{"done":true}' });
    const event = JSON.parse((await emulator.call('tick', {})).text);
    expect(event).toEqual({
      messages: [
        {
          event_metadata: {
            event_id: expect.any(String),
            event_type: 'yandex.cloud.events.serverless.triggers.TimerMessage',
            created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
            cloud_id: expect.any(String),
            folder_id: expect.any(String),
          },
          details: { trigger_id: expect.any(String), payload: 'wake up' },
        },
      ],
    });
  });

  it('is not sent again when it fails', async () => {
    await emulator.call('tick', { fail: 1 });

    expect(await send(`${emulator.functionsUrl}/_timers/tick`)).toMatchObject({ status: 502 });
    expect(await emulator.fireTimer('tick')).toEqual({ status: 'returned', body: '{"done":true}' });
  });

  it.each([
    ['a function without a timer', 'POST', 'web', 404],
    ['an unknown function', 'POST', 'unknown', 404],
    ['another method', 'GET', 'tick', 405],
  ])('is refused for %s', async (_, method, name, status) => {
    expect(await send(`${emulator.functionsUrl}/_timers/${name}`, { method })).toMatchObject({ status });
  });
});

describe('a schedule', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: new Date('2026-01-01T00:00:30Z') });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const failed: Outcome = { status: 'failed', error: '{}' };
  const returned: Outcome = { status: 'returned', body: '' };

  /** Starts an hourly timer with two retries; `outcomes` are those of its calls, in turn. */
  function startHourly(outcomes: Outcome[]) {
    const calls: string[] = [];
    const lines: string[] = [];
    const timer = { cron: '0 * * * ? *', payload: undefined, retry_attempts: 2, retry_interval: 10 };
    const definition = {
      name: 'one',
      memoryMb: 128,
      timeoutMs: 1,
      concurrency: 1,
      instances: 1,
      requests: 1,
      environment: {},
      timer,
    };
    const invoke = async () => {
      calls.push(new Date().toISOString().slice(11, 19));
      return outcomes.shift() ?? returned;
    };
    const timers = createTimers({
      definitions: [definition],
      pools: new Map([['one', { invoke }]]),
      onOutput: (_, line) => lines.push(line),
    });
    timers.start();
    return { timers, calls, lines };
  }

  it.each([
    ['is sent once when it succeeds', [], ['01:00:00'], 0],
    ['is sent again until it succeeds', [failed], ['01:00:00', '01:00:10'], 0],
    [
      'is sent again as often as allowed, then reported lost',
      [failed, failed, failed],
      ['01:00:00', '01:00:10', '01:00:20'],
      1,
    ],
    ['is sent again when there was no room for it', [{ status: 'overloaded' } as const], ['01:00:00', '01:00:10'], 0],
  ])('message %s', async (_, outcomes: Outcome[], times, lost) => {
    const { timers, calls, lines } = startHourly(outcomes);

    await vi.advanceTimersByTimeAsync(3600_000);

    expect(calls).toEqual(times);
    expect(lines).toHaveLength(lost);
    timers.close();
  });

  it('that is closed sends nothing, not even a retry', async () => {
    const { timers, calls } = startHourly([failed]);
    await vi.advanceTimersByTimeAsync(59.6 * 60_000);

    timers.close();
    await vi.advanceTimersByTimeAsync(7200_000);

    expect(calls).toEqual(['01:00:00']);
  });
});
