import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Answer, type Fixture, startFixture } from '#test/support/emulator-fixture/start-fixture.ts';
import { startHttpServer } from '#test/support/http-server.ts';

let emulator: Fixture;
beforeAll(async () => {
  emulator = await startFixture();
});
afterAll(() => emulator.close());

const statuses = (answers: Answer[]) => answers.map(({ status }) => status).sort();

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** A server whose answers wait for `release`, which gives them their text; later ones get it at once. */
async function startHoldingServer() {
  const { promise: text, resolve: release } = Promise.withResolvers<string>();
  let held = 0;
  const url = await startHttpServer(async (_request, response) => {
    held += 1;
    response.end(await text);
  });
  return { url, release, countHeld: () => held };
}

describe('an instance', () => {
  it('serves one call after the other', async () => {
    const first = await emulator.call('small', {});
    const second = await emulator.call('small', {});

    expect(second.text).toBe(first.text);
  });

  it('is frozen while no call is in flight', async () => {
    await emulator.call('probe', { do: 'leaveTimer' });
    // Long enough for the timer to fire hundreds of times in a process that runs.
    await emulator.call('together', {});
    await emulator.call('together', {});
    await emulator.call('together', {});

    const answer = await emulator.call('probe', { do: 'ticks' });

    expect(Number(answer.text)).toBeLessThan(10);
  });

  it('fails a later call with a rejection that an earlier one left behind', async () => {
    const left = await emulator.call('probe', { do: 'leaveRejection' });
    await emulator.call('together', {});

    const later = await emulator.call('probe', { do: 'hang' });

    expect(left.status).toBe(200);
    expect(later.status).toBe(502);
    expect(JSON.parse(later.text)).toMatchObject({ errorMessage: 'left behind' });
    expect(emulator.output.join()).toContain('[ERROR] Uncaught Error: Error: left behind');
  });

  it.each([
    ['exits', 'exit'],
    ['rejects with null', 'rejectNull'],
    ['runs out of memory', 'outOfMemory'],
  ])('that %s fails its call and is replaced', async (_, what) => {
    const before = await emulator.call('probe', { do: 'pid' });
    const failed = await emulator.call('probe', { do: what });
    const after = await emulator.call('probe', { do: 'pid' });

    expect(failed.status).toBe(502);
    expect(failed.headers['x-function-error']).toBe('true');
    expect(after.status).toBe(200);
    expect(after.text).not.toBe(before.text);
  });

  it.each([
    ['waits', 'hang'],
    ['spins', 'spin'],
  ])('that %s beyond its timeout is killed', async (_, what) => {
    const before = await emulator.call('together', { do: 'pid' });
    const late = await emulator.call('together', { do: what });
    const after = await emulator.call('together', { do: 'pid' });

    expect(late.status).toBe(504);
    expect(JSON.parse(late.text)).toMatchObject({ errorCode: 504 });
    expect(after.text).not.toBe(before.text);
    await vi.waitFor(() => expect(isAlive(Number(before.text))).toBe(false));
  });
});

describe('calls at once', () => {
  it('get an instance each up to the limit, and 429 above it', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => emulator.call('small', { ms: 200 })));

    expect(statuses(answers)).toEqual([200, 200, 429]);
    const [one, other] = answers.filter(({ status }) => status === 200);
    expect(one?.text).not.toBe(other?.text);
  });

  it('wait for room in an instance as far as the limit of requests goes, and get 429 above it', async () => {
    const { url, release, countHeld } = await startHoldingServer();
    const answers = [1, 2, 3, 4, 5, 6].map(() => emulator.call('held', { url }));

    // Four run and one waits: only the one that is refused can be answered.
    expect(await Promise.race(answers)).toMatchObject({ status: 429 });
    await expect.poll(countHeld).toBe(4);
    release('done');

    expect(statuses(await Promise.all(answers))).toEqual([200, 200, 200, 200, 200, 429]);
  });

  it('that waited get another instance than the one that timed out', async () => {
    const { url, release, countHeld } = await startHoldingServer();
    const late = emulator.call('brief', { url });
    await expect.poll(countHeld).toBe(1);
    const waiting = emulator.call('brief', { url });

    expect(await late).toMatchObject({ status: 504 });
    release('done');

    expect(await waiting).toMatchObject({ status: 200, text: '"done"' });
  });

  it('that end together are all answered, however large the answers', async () => {
    const { url, release, countHeld } = await startHoldingServer();
    const answers = [1, 2, 3, 4].map(() => emulator.call('held', { url }));
    await expect.poll(countHeld).toBe(4);
    release('x'.repeat(3_000_000));

    expect((await Promise.all(answers)).map(({ text }) => text.length)).toEqual(Array(4).fill(3_000_002));
  });

  it('share an instance as far as its concurrency goes', async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => emulator.call('together', { do: 'meet', of: 4 })));

    expect(statuses(answers)).toEqual([200, 200, 200, 200]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
  });

  it.each([
    ['a floating rejection', 'floatingRejection', 'nobody awaits this'],
    ['an uncaught error', 'uncaught', 'nobody catches this'],
  ])('all fail with %s of one of them', async (_, what, errorMessage) => {
    const [innocent, guilty] = await Promise.all([
      emulator.call('together', {}),
      emulator.call('together', { do: what }),
    ]);

    for (const answer of [innocent, guilty]) {
      expect(answer.status).toBe(502);
      expect(JSON.parse(answer.text)).toMatchObject({ errorMessage });
    }
    expect((await emulator.call('together', {})).status).toBe(200);
  });

  it('are aborted with the one that times out', async () => {
    const late = emulator.call('together', { do: 'hang' });
    // Starts later, so that its own time is not up yet.
    await emulator.call('together', {});
    const innocent = emulator.call('together', { do: 'hang' });

    expect(statuses(await Promise.all([late, innocent]))).toEqual([502, 504]);
  });
});

describe('a reload', () => {
  it('replaces the instances of one function', async () => {
    const [small, probe] = await Promise.all([emulator.call('small', {}), emulator.call('probe', { do: 'pid' })]);

    await emulator.reload('small');

    expect((await emulator.call('small', {})).text).not.toBe(small.text);
    expect((await emulator.call('probe', { do: 'pid' })).text).toBe(probe.text);
    await vi.waitFor(() => expect(isAlive(Number(small.text))).toBe(false));
  });

  it('lets a call in flight end in the old instance', async () => {
    const old = await emulator.call('small', {});
    emulator.output.length = 0;
    const inFlight = emulator.call('small', { ms: 600 });
    await vi.waitFor(() => expect(emulator.output).toEqual(['small: waits']));

    await emulator.reload();

    expect(await inFlight).toMatchObject({ status: 200, text: old.text });
    await vi.waitFor(() => expect(isAlive(Number(old.text))).toBe(false));
  });
});

describe('no instance outlives the emulator', () => {
  it('when it is closed, at once, in the middle of a call', async () => {
    const closing = await startFixture();
    const frozen = await closing.call('small', {});
    const busy = closing.call('probe', { do: 'hang' }).catch(() => 'cut off');
    const start = performance.now();
    await closing.close();

    expect(performance.now() - start).toBeLessThan(200);
    expect(isAlive(Number(frozen.text))).toBe(false);
    expect(await busy).toBe('cut off');
  });

  it('when it is killed, frozen or not', async () => {
    const program = fork(join(import.meta.dirname, '../support/emulator-fixture/killed-emulator.ts'), { execArgv: [] });
    const [pids] = await once(program, 'message');
    expect(pids.filter(isAlive)).toHaveLength(2);

    program.kill('SIGKILL');

    await vi.waitFor(() => expect(pids.filter(isAlive)).toHaveLength(0), { timeout: 3000 });
  });
});
