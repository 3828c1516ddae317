/** The faults of the platform, P01 to P08 of the catalogue: no job is lost, and none is done more often than it must. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { seal, unseal } from '#shared/encryption.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import { startProject } from '#test/support/emulated-project.ts';
import { providersAt } from '#test/support/link-calls.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import {
  type OutboxRun,
  openTestDirectory,
  revocationJob,
  START_MS,
  startOutbox,
  testKey,
} from '#test/support/outbox-run.ts';
import { type RevocationProvider, startRevocationProvider } from '#test/support/revocation-provider.ts';
import { callUnlink, linkAccount } from '#test/support/unlink-call.ts';
import type { Orders, RunNews } from './outbox-process.ts';

const { maintain, openSqliteDirectory } = await loadPorts('sqlite');

const LEASE_MS = 120_000;
const INLINE_LEASE_MS = 30_000;
const CLOCK_JUMP_MS = 600_000;

const PROGRAM = fileURLToPath(new URL('./outbox-process.ts', import.meta.url));

/** Starts a process that waits for `go`. */
async function startProcess(orders: Orders, execArgv: readonly string[] = []): Promise<ChildProcess> {
  const child = fork(PROGRAM, [JSON.stringify(orders)], {
    execArgv: ['--disable-warning=ExperimentalWarning', ...execArgv],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [news] = await once(child, 'message');
  expect(news).toBe('ready');
  return child;
}

async function killProcess(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  expect(await exit).toEqual([null, 'SIGKILL']);
}

/** Resolves to the next call of the provider, which is held up. */
function nextCall(provider: RevocationProvider): Promise<void> {
  provider.misbehave = () => {}; // never answers
  return new Promise((resolve) => {
    provider.onCall = resolve;
  });
}

/** Lets the clock run with the machine's from now on, some time ahead. */
function followClock(outbox: OutboxRun, aheadMs: number): void {
  outbox.timeMs = Date.now() + aheadMs;
}

function behave(provider: RevocationProvider): void {
  provider.misbehave = undefined;
  provider.onCall = () => {};
}

describe('P01 a call with 300 ms left', () => {
  test('of the timer claims nothing and purges nothing', async () => {
    const provider = await startRevocationProvider();
    const { directory, job } = await startOutbox(provider.endpoint);
    await directory.outbox.add(revocationJob('j'));
    const notes: object[] = [];
    const doJob = () => Promise.reject(new Error('a job was tried'));
    const request = {
      invocationId: 'tick',
      remainingMs: () => 300,
      note: (fields: object) => notes.push(fields),
      measure: () => {},
      alert: () => {},
    };

    await maintain(request, { directory, revocations: openMemoryStore(), doJob });

    expect(await job('j')).toMatchObject({ state: 'pending', attemptsStarted: 0, dueAt: START_MS });
    const jobs = { done: 0, put_off: 0, dead: 0, set_aside: 0, lost: 0 };
    expect(notes).toEqual([{ jobs }, { purged_directory: 0 }, { purged_revocations: 0 }]);
  });

  test('of an unlink deletes the link and leaves the grant to the timer, at once', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    const { directory } = outbox;
    await linkAccount(directory, 'a');

    const options = { remainingMs: () => 300, now: () => outbox.timeMs };
    expect(await callUnlink(directory, provider.endpoint, 'a', options)).toEqual({ revocation: 'pending' });

    expect(provider.calls).toBe(0);
    expect(await directory.links.list('ann')).toEqual([]);
    expect(await outbox.run()).toMatchObject({ done: 1 });
    expect(provider.revoked).toEqual(['refresh-a', 'access-a']);
  });

  test('of an unlink whose transaction took the time: the grant is left when the lease ends', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    const { directory } = outbox;
    await linkAccount(directory, 'a');
    let leftMs = 5000;
    const slow = {
      ...directory,
      links: {
        ...directory.links,
        unlink: async (...args: Parameters<typeof directory.links.unlink>) => {
          leftMs = 300;
          return directory.links.unlink(...args);
        },
      },
    };

    const options = { remainingMs: () => leftMs, now: () => outbox.timeMs };
    expect(await callUnlink(slow, provider.endpoint, 'a', options)).toEqual({ revocation: 'pending' });

    expect(provider.calls).toBe(0);
    outbox.timeMs += INLINE_LEASE_MS;
    expect(await outbox.run()).toMatchObject({ done: 1 });
    expect(provider.revoked).toEqual(['refresh-a', 'access-a']);
  });
});

test.each([
  ['has not revoked', false, 'revoked'],
  ['has revoked', true, 'already_revoked'],
])(
  'P02 an instance killed between its commit and its answer, when the provider %s',
  async (_, revokesAnyway, result) => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    const { directory, path } = outbox;
    await linkAccount(directory, 'a', { refreshToken: 'refresh-a' });
    const child = await startProcess({ path, endpoint: provider.endpoint, does: 'unlink' });
    provider.revokesAnyway = revokesAnyway;
    const called = nextCall(provider);

    child.send('go');
    await called;
    await killProcess(child);
    behave(provider);

    // Who called asks again, and learns how it stands.
    expect(await directory.links.list('ann')).toEqual([]);
    followClock(outbox, 0);
    expect(await callUnlink(directory, provider.endpoint, 'a', { now: () => outbox.timeMs })).toEqual({
      revocation: 'pending',
    });
    expect(await outbox.run()).toMatchObject({ done: 0 });
    followClock(outbox, INLINE_LEASE_MS);
    expect(await outbox.run()).toMatchObject({ done: 1 });
    expect(await callUnlink(directory, provider.endpoint, 'a', { now: () => outbox.timeMs })).toEqual({
      revocation: result,
    });
    expect(new Set(provider.revoked)).toEqual(new Set(['refresh-a']));
  },
);

test.each([
  ['calls the dead tokens invalid', false, 'already_revoked'],
  ['answers 200 for dead tokens too', true, 'revoked'],
])(
  'P03 a runner killed between the remote success and its record, when the provider %s',
  async (_, isVague, result) => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    const { directory, path } = outbox;
    followClock(outbox, 0);
    for (const id of ['a', 'b', 'c']) await directory.outbox.add(revocationJob(id));
    const child = await startProcess({ path, endpoint: provider.endpoint, does: 'run', staysAtSettle: true });

    const settling = new Promise<void>((resolve) => {
      let told = 0;
      child.on('message', () => {
        told += 1;
        if (told === 3) resolve();
      });
    });
    child.send('go');
    await settling;
    await killProcess(child);

    const tokens = ['refresh-a', 'access-a', 'refresh-b', 'access-b', 'refresh-c', 'access-c'].sort();
    expect(provider.revoked.toSorted()).toEqual(tokens);
    if (isVague) provider.misbehave = (_request, response) => response.writeHead(200).end();
    followClock(outbox, 0);
    expect(await outbox.run()).toMatchObject({ done: 0 });
    followClock(outbox, LEASE_MS);
    expect(await outbox.run()).toMatchObject({ done: 3 });
    for (const id of ['a', 'b', 'c']) {
      expect(await outbox.job(id)).toMatchObject({ state: 'done', result });
      expect((await outbox.job(id)).secret).toBeUndefined();
    }
  },
);

test('P04 two runners that claim together have no job twice, and leave none', async () => {
  const provider = await startRevocationProvider();
  const { directory, path } = await openTestDirectory();
  const ids = Array.from({ length: 200 }, (_, index) => `job-${index}`);
  for (const id of ids) await directory.outbox.add(revocationJob(id, { refreshToken: id }));
  const orders: Orders = { path, endpoint: provider.endpoint, does: 'run' };
  const runners = await Promise.all([startProcess(orders), startProcess(orders)]);

  const news = runners.map((runner) => once(runner, 'message'));
  for (const runner of runners) runner.send('go');
  // What a run reports.
  const reports = (await Promise.all(news)).map(([told]) => (told as RunNews).report);

  expect(provider.revoked.toSorted()).toEqual(ids.toSorted());
  expect(reports.reduce((sum, { done }) => sum + done, 0)).toBe(ids.length);
  for (const report of reports) {
    expect(report).toMatchObject({ put_off: 0, dead: 0, set_aside: 0, lost: 0 });
    expect(report.done).toBeGreaterThan(0);
  }
});

test("P05 the timer's message delivered twice at once does each job once", async () => {
  const provider = await startRevocationProvider();
  const local = { PROVIDERS: providersAt(provider.endpoint), DEV_1_CLIENT_SECRET: 'development-only' };
  const project = await startProject({ local });
  onTestFinished(() => project.close());
  const directory = await openSqliteDirectory(project.database);
  onTestFinished(() => directory.close());
  const ids = Array.from({ length: 50 }, (_, index) => `job-${index}`);
  for (const id of ids) await directory.outbox.add(revocationJob(id, { refreshToken: id }));

  const outcomes = await Promise.all([project.fireTimer('maintenance'), project.fireTimer('maintenance')]);

  expect(outcomes).toEqual(Array(2).fill({ status: 'returned', body: '{}' }));
  expect(provider.revoked.toSorted()).toEqual(ids.toSorted());
  expect(await directory.outbox.list('done', { limit: 100 })).toHaveLength(ids.length);
  const lines = project.output.filter((line) => line.includes('"outcome":')).map((line) => JSON.parse(line));
  // The timer may have come by itself as well: it does each minute.
  expect(new Set(lines.map(({ outcome }) => outcome))).toEqual(new Set(['ok']));
  expect(lines.reduce((sum, { jobs }) => sum + jobs.done, 0)).toBe(ids.length);
});

describe('P06 a clock that is wrong by ten minutes', () => {
  test('ahead: takes a job from who has it; both try, one record counts, the provider is asked once more', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    await outbox.directory.outbox.add(revocationJob('j', { refreshToken: 'refresh-j' }));
    const ahead = await startProcess({
      path: outbox.path,
      endpoint: provider.endpoint,
      does: 'run',
      aheadMs: START_MS + CLOCK_JUMP_MS - Date.now(),
    });
    provider.revokesAnyway = true;
    const called = nextCall(provider);

    const slow = outbox.run(1000); // its try ends with a timeout
    await called;
    behave(provider);
    const news = once(ahead, 'message');
    ahead.send('go');
    const [told] = await news;

    expect((told as RunNews).report).toMatchObject({ done: 1 }); // what a run reports
    expect(await slow).toMatchObject({ lost: 1, put_off: 0 });
    expect(await outbox.job('j')).toMatchObject({ state: 'done', result: 'already_revoked' });
    expect(provider.calls).toBe(2);
  });

  test.each([
    ['ahead', 'ten minutes late', CLOCK_JUMP_MS, CLOCK_JUMP_MS],
    ['behind', 'at once', -CLOCK_JUMP_MS, 0],
  ])('%s: what it unlinks is withdrawn %s', async (_direction, _when, skewMs, delayMs) => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    const skewed = await openSqliteDirectory(outbox.path, { now: () => outbox.timeMs + skewMs });
    onTestFinished(() => skewed.close());
    await linkAccount(skewed, 'a');
    expect(await callUnlink(skewed, provider.endpoint, 'a', { remainingMs: () => 300 })).toEqual({
      revocation: 'pending',
    });

    if (delayMs > 0) {
      outbox.timeMs += delayMs - 1;
      expect(await outbox.run()).toMatchObject({ done: 0 });
      outbox.timeMs += 1;
    }

    expect(await outbox.run()).toMatchObject({ done: 1 });
    expect(provider.revoked).toEqual(['refresh-a', 'access-a']);
  });

  test('set back in the middle: what is put off waits longer, and is done', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    await outbox.directory.outbox.add(revocationJob('j'));
    provider.misbehave = (_request, response) => response.writeHead(503).end();
    await outbox.run();
    behave(provider);

    outbox.timeMs -= CLOCK_JUMP_MS;
    expect(await outbox.run()).toMatchObject({ done: 0, put_off: 0 });
    outbox.timeMs = (await outbox.job('j')).dueAt;
    expect(await outbox.run()).toMatchObject({ done: 1 });
  });
});

test('P07 60 MB of heap are enough for many jobs whose answers are as large as they may be, and larger', async () => {
  const provider = await startRevocationProvider();
  const { directory, path } = await openTestDirectory();
  const ids = Array.from({ length: 60 }, (_, index) => `job-${index}`);
  for (const id of ids) await directory.outbox.add(revocationJob(id));
  let calls = 0;
  provider.onCall = () => {
    calls += 1;
    const body = 'x'.repeat(calls % 10 === 0 ? 10_000_000 : 65_536);
    provider.revokesAnyway = true;
    provider.misbehave = (_request, response) => response.writeHead(200).end(body);
  };
  const runner = await startProcess({ path, endpoint: provider.endpoint, does: 'run' }, ['--max-old-space-size=60']);

  const news = once(runner, 'message');
  runner.send('go');
  const { report, grownMb } = (await news)[0] as RunNews; // what a run reports

  expect(report.dead + report.set_aside + report.lost).toBe(0);
  expect(report.done).toBe(ids.length);
  expect(grownMb).toBeLessThan(60);
});

describe('P08 a key of the sealed tokens is changed while jobs wait', () => {
  const [k1, k2] = [testKey('k1'), testKey('k2', 'f')];

  test('the old one opens what it has sealed as long as it is named', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    await outbox.directory.outbox.add(revocationJob('old', undefined, [k1]));
    await outbox.directory.outbox.add(revocationJob('new', undefined, [k2, k1]));
    outbox.encryptionKeys = [k2, k1];

    expect(await outbox.run()).toMatchObject({ done: 2 });

    expect(provider.revoked).toHaveLength(4);
    expect(outbox.alerts).toEqual([]);
  });

  test('a key that is taken away too early is told, each time; with the key back, the job is done', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    await outbox.directory.outbox.add(revocationJob('j'));
    outbox.encryptionKeys = [k2];

    for (let round = 0; round < 3; round += 1) {
      expect(await outbox.run()).toMatchObject({ put_off: 1 });
      outbox.timeMs = (await outbox.job('j')).dueAt;
    }

    const error = 'the tokens cannot be opened: is their key gone?';
    expect(outbox.alerts).toMatchObject(Array(3).fill({ message: 'an outbox job waits for an operator', error }));
    expect(await outbox.job('j')).toMatchObject({ state: 'pending', lastError: error });
    expect(provider.calls).toBe(0);
    outbox.encryptionKeys = [k2, k1];
    expect(await outbox.run()).toMatchObject({ done: 1 });
    expect(provider.revoked).toEqual(['refresh-j', 'access-j']);
  });

  test('what is sealed anew while a try is under way stays so, and the old key can go', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    const { outbox: jobs, sealed } = outbox.directory;
    await jobs.add(revocationJob('j'));
    const called = nextCall(provider);

    const underWay = outbox.run(300);
    await called;
    for (const text of await sealed.find('k2', 10)) {
      await sealed.replace(text, seal(unseal(text.sealed, text.boundTo, [k1]), text.boundTo, [k2]));
    }
    expect(await underWay).toMatchObject({ put_off: 1 });

    behave(provider);
    outbox.encryptionKeys = [k2];
    outbox.timeMs = (await outbox.job('j')).dueAt;
    expect(await outbox.run()).toMatchObject({ done: 1 });
    expect(outbox.alerts).toEqual([]);
  });
});
