/** The faults of a provider, R01 to R14 of the catalogue: what becomes of a job that withdraws a grant there. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { findFreePort } from '#scripts/authorization-server/listen.ts';
import { randomFrom } from '#scripts/seeded-random.ts';
import { JOB_BUDGET_MS } from '#shared/outbox/outbox.ts';
import { type OutboxRun, revocationJob, START_MS, startOutbox } from '#test/support/outbox-run.ts';
import { type RevocationProvider, startRevocationProvider } from '#test/support/revocation-provider.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

/** How long a try may take that will use all of it, in milliseconds. */
const SHORT_MS = 150;
/** The pause before the second try, where nobody asks for another: half of the first one. */
const FIRST_PAUSE_MS = 2500;

const TOKENS = ['refresh-j', 'access-j'];

interface Fault {
  readonly name: string;
  readonly begin: (provider: RevocationProvider, outbox: OutboxRun) => void | Promise<void>;
  readonly error: string;
  readonly pauseMs?: number;
  readonly attemptMs?: number;
  readonly isTold?: true;
  /** What the job comes to when it is over: `revoked` if not given. */
  readonly result?: string;
}

const answer =
  (status: number, headers: Record<string, string> = {}, body = '') =>
  (provider: RevocationProvider) => {
    provider.misbehave = (_request, response) => response.writeHead(status, headers).end(body);
  };

const FAULTS: readonly Fault[] = [
  {
    name: 'R01 its name is unknown to DNS',
    begin: (_provider, outbox) => {
      outbox.endpoint = 'https://provider.invalid/revoke'; // RFC 6761: never resolves
    },
    error: 'outgoing: unreachable',
  },
  {
    name: 'R02 it refuses connections',
    begin: async (_provider, outbox) => {
      outbox.endpoint = `http://127.0.0.1:${await findFreePort()}/`;
    },
    error: 'outgoing: unreachable',
  },
  {
    name: 'R03 its certificate is vouched for by nobody',
    begin: async (_provider, outbox) => {
      outbox.endpoint = await startUntrustedServer();
    },
    error: 'outgoing: tls',
  },
  {
    name: 'R04 it does not answer',
    begin: (provider) => {
      provider.misbehave = () => {};
    },
    error: 'outgoing: timed_out',
    attemptMs: SHORT_MS,
  },
  { name: 'R05 it answers 500', begin: answer(500), error: 'status 500' },
  {
    name: 'R06 it answers 503 with a pause in seconds',
    begin: answer(503, { 'Retry-After': '120' }),
    error: 'status 503',
    pauseMs: 120_000,
  },
  {
    name: 'R07 it answers 503 with a date',
    begin: answer(503, { 'Retry-After': new Date(START_MS + 7_200_000).toUTCString() }),
    error: 'status 503',
    pauseMs: 7_200_000,
  },
  {
    name: 'R08 it answers 429 with a pause',
    begin: answer(429, { 'Retry-After': '60' }, '{"error":"slow_down"}'),
    error: 'status 429 slow_down',
    pauseMs: 60_000,
  },
  {
    name: 'R09 it revokes, but answers after our timeout',
    begin: (provider) => {
      provider.revokesAnyway = true;
      provider.misbehave = (_request, response) => answerLate(response, 3 * SHORT_MS);
    },
    error: 'outgoing: timed_out',
    attemptMs: SHORT_MS,
    // The refresh token was dead; the access token, which the first try did not come to, is revoked now.
    result: 'revoked',
  },
  {
    name: 'R11 it refuses our client',
    begin: answer(401, {}, '{"error":"invalid_client"}'),
    error: 'status 401 invalid_client',
    isTold: true,
  },
  {
    name: 'R12 it redirects',
    begin: (provider) => answer(302, { Location: `${provider.endpoint}/elsewhere` })(provider),
    error: 'outgoing: redirected',
  },
];

describe('a job outlives it that a provider is at fault, and is done when that is over', () => {
  test.each(FAULTS)(
    '$name',
    async ({ begin, error, pauseMs = FIRST_PAUSE_MS, attemptMs, isTold, result = 'revoked' }) => {
      const provider = await startRevocationProvider();
      const outbox = await startOutbox(provider.endpoint);
      await outbox.directory.outbox.add(revocationJob('j'));
      await begin(provider, outbox);

      expect(await outbox.run(attemptMs)).toMatchObject({ put_off: 1 });

      expect(await outbox.job('j')).toMatchObject({
        state: 'pending',
        lastError: error,
        dueAt: START_MS + pauseMs,
        attemptsStarted: 1,
        attemptsFinished: 1,
        secret: expect.stringMatching(/^k1\./),
      });
      expect(outbox.alerts).toMatchObject(
        isTold ? [{ message: 'an outbox job waits for an operator', job_id: 'j', provider: 'oidc:dev_1', error }] : [],
      );

      outbox.endpoint = provider.endpoint;
      provider.misbehave = undefined;
      outbox.timeMs += pauseMs - 1;
      const callsBefore = provider.calls;
      expect(await outbox.run()).toMatchObject({ done: 0, put_off: 0 });
      expect(provider.calls).toBe(callsBefore);
      outbox.timeMs += 1;
      expect(await outbox.run()).toMatchObject({ done: 1 });
      await expectDone(outbox, 'j', result);
      expect(provider.revoked).toEqual(expect.arrayContaining(TOKENS));
    },
  );
});

describe('what a provider answers is final', () => {
  test('R10 it calls the tokens invalid: they were dead before', async () => {
    const provider = await startRevocationProvider();
    provider.revoked.push(...TOKENS);
    const outbox = await startOutbox(provider.endpoint);
    await outbox.directory.outbox.add(revocationJob('j'));

    expect(await outbox.run()).toMatchObject({ done: 1 });

    await expectDone(outbox, 'j', 'already_revoked');
  });

  test('R10 it calls the one token invalid whose revocation was answered late', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    await outbox.directory.outbox.add(revocationJob('j', { refreshToken: 'refresh-j' }));
    provider.revokesAnyway = true;
    provider.misbehave = (_request, response) => answerLate(response, 3 * SHORT_MS);
    await outbox.run(SHORT_MS);
    provider.misbehave = undefined;
    outbox.timeMs += FIRST_PAUSE_MS;

    expect(await outbox.run()).toMatchObject({ done: 1 });

    await expectDone(outbox, 'j', 'already_revoked');
  });

  test.each([
    ['text', 'gar\u0000bage'],
    ['another body', '<html><title>Login</title></html>'],
    ['an error, which RFC 7009 has under 400 alone', '{"error":"invalid_client"}'],
  ])('R13 it answers 200 with %s', async (_, body) => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    await outbox.directory.outbox.add(revocationJob('j'));
    answer(200, { 'Content-Type': 'application/json' }, body)(provider);

    expect(await outbox.run()).toMatchObject({ done: 1 });

    await expectDone(outbox, 'j', 'revoked');
  });

  test('R13 it answers 200 with more than we read: the next answer counts', async () => {
    const provider = await startRevocationProvider();
    const outbox = await startOutbox(provider.endpoint);
    await outbox.directory.outbox.add(revocationJob('j'));
    provider.revokesAnyway = true;
    answer(200, {}, 'x'.repeat(100_000))(provider);

    expect(await outbox.run()).toMatchObject({ put_off: 1 });

    expect(await outbox.job('j')).toMatchObject({ lastError: 'outgoing: too_large' });
    provider.misbehave = undefined;
    outbox.timeMs += FIRST_PAUSE_MS;
    expect(await outbox.run()).toMatchObject({ done: 1 });
    await expectDone(outbox, 'j', 'revoked');
  });
});

test('R14 it fails every second time, at random: all is done in the end', async () => {
  const jobs = Array.from({ length: 30 }, (_, index) => `job-${index}`);
  const provider = await startRevocationProvider();
  const outbox = await startOutbox(provider.endpoint);
  for (const id of jobs) await outbox.directory.outbox.add(revocationJob(id));
  const random = randomFrom(1);
  const failures = [500, 503, 429];
  provider.onCall = () => {
    const isOut = random() < 0.5;
    const status = failures[Math.floor(random() * 4)];
    provider.revokesAnyway = random() < 0.3; // and fails after the deed
    provider.misbehave = isOut
      ? (_request, response) => {
          if (status === undefined) response.destroy();
          else response.writeHead(status).end();
        }
      : undefined;
  };

  for (let runs = 0; (await outbox.directory.outbox.list('pending', { limit: 1 })).length > 0; runs += 1) {
    expect(runs).toBeLessThan(30);
    await outbox.run();
    outbox.timeMs += 3_600_000;
  }

  for (const id of jobs) {
    const { state, result, secret } = { result: '', ...(await outbox.job(id)) };
    expect([state, secret]).toEqual(['done', undefined]);
    expect(result).toMatch(/^(already_)?revoked$/);
    expect(provider.revoked).toEqual(expect.arrayContaining([`refresh-${id}`, `access-${id}`]));
  }
  expect(outbox.alerts).toEqual([]);
  expect(outbox.timeMs).toBeLessThan(START_MS + JOB_BUDGET_MS);
});

test('a provider that never recovers is tried for two days; then the job is given up, told and its tokens erased', async () => {
  const provider = await startRevocationProvider();
  const outbox = await startOutbox(provider.endpoint);
  await outbox.directory.outbox.add(revocationJob('j'));
  answer(500)(provider);

  for (let runs = 0; (await outbox.job('j')).state === 'pending'; runs += 1) {
    expect(runs).toBeLessThan(200);
    outbox.timeMs = (await outbox.job('j')).dueAt;
    await outbox.run();
  }

  const { finishedAt = 0, attemptsStarted } = await outbox.job('j');
  expect(await outbox.job('j')).toMatchObject({ state: 'dead', result: 'failed', lastError: 'status 500' });
  expect((await outbox.job('j')).secret).toBeUndefined();
  expect(finishedAt - START_MS).toBeGreaterThanOrEqual(JOB_BUDGET_MS);
  expect(finishedAt - START_MS).toBeLessThan(JOB_BUDGET_MS + 3_600_000);
  expect(outbox.alerts).toMatchObject([{ message: 'an outbox job is given up', attempt: attemptsStarted }]);
  expect(provider.calls).toBe(attemptsStarted);
  outbox.timeMs += JOB_BUDGET_MS;
  await outbox.run();
  expect(provider.calls).toBe(attemptsStarted);
});

async function expectDone(outbox: OutboxRun, id: string, result: string): Promise<void> {
  const job = await outbox.job(id);
  expect(job).toMatchObject({ state: 'done', result, finishedAt: outbox.timeMs });
  expect(job.secret).toBeUndefined();
  expect(job.attemptsFinished).toBe(job.attemptsStarted);
}

function answerLate(response: ServerResponse, delayMs: number): void {
  const timer = setTimeout(() => response.writeHead(200).end(), delayMs);
  response.on('close', () => clearTimeout(timer));
}

/** A TLS server on loopback with a certificate of its own making; returns its URL. */
async function startUntrustedServer(): Promise<string> {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const [key, cert] = [join(folder.path, 'key.pem'), join(folder.path, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert];
  execFileSync('openssl', [...request, '-days', '1', '-subj', '/CN=localhost'], { stdio: 'ignore' });
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (_request, response) =>
    response.end(),
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  return `https://localhost:${(server.address() as AddressInfo).port}/`; // never a path
}
