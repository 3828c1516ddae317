import { describe, expect, test } from 'vitest';
import type { Settlement } from '#shared/outbox/outbox.ts';
import { newStoredJob, ownedJob, publicJob, settledJob } from '#shared/outbox/stored-job.ts';

const HOUR_MS = 3_600_000;
const NEW = {
  ...({ id: 'j', kind: 'grant-revocation', boundTo: 'b', requestId: 'r' } as const),
  details: { sid: '1' },
  secret: 'k1.sealed',
};

test('a new job is due at once, for two days', () => {
  expect(newStoredJob(NEW, 1000)).toEqual({
    ...NEW,
    ...{ state: 'pending', claim: undefined, attemptsStarted: 0, attemptsFinished: 0 },
    ...{ dueAt: 1000, createdAt: 1000, giveUpAt: 1000 + 48 * HOUR_MS },
  });
});

test('one that somebody tries at once is due when their lease ends, and its attempt has begun', () => {
  expect(newStoredJob({ ...NEW, claim: { name: 'me', leaseMs: 500 } }, 1000)).toMatchObject({
    ...{ claim: 'me', attemptsStarted: 1, attemptsFinished: 0, dueAt: 1500, createdAt: 1000 },
  });
});

test('who has a job is nobody else’s business', () => {
  const job = newStoredJob({ ...NEW, claim: { name: 'me', leaseMs: 500 } }, 1000);

  expect(publicJob(job)).not.toHaveProperty('claim');
  expect(publicJob(job)).toMatchObject({ ...NEW, state: 'pending', dueAt: 1500 });
});

test('who has a job sees what it takes to try it', () => {
  const job = newStoredJob({ ...NEW, claim: { name: 'me', leaseMs: 500 } }, 1000);

  expect(ownedJob(job)).toEqual({
    ...NEW,
    ...{ claim: 'me', attemptsStarted: 1, attemptsFinished: 0, createdAt: 1000, giveUpAt: 1000 + 48 * HOUR_MS },
  });
});

test.each([undefined, newStoredJob(NEW, 1000)])('what nobody has claimed is corrupt where it is claimed', (job) => {
  expect(() => ownedJob(job)).toThrow(expect.objectContaining({ fault: 'corrupt' }));
});

describe('a job whose attempt has ended', () => {
  const tried = { ...newStoredJob({ ...NEW, claim: { name: 'me', leaseMs: 500 } }, 1000), lastError: 'status 429' };
  const ended = { ...tried, claim: undefined, attemptsFinished: 1 };
  const final = { secret: undefined, finishedAt: 2000 };

  test.each<[Settlement, object]>([
    [
      { state: 'pending', dueAt: 9000, error: 'status 503' },
      { state: 'pending', dueAt: 9000, lastError: 'status 503' },
    ],
    [
      { state: 'set_aside', error: '3 attempts never ended' },
      { state: 'set_aside', lastError: '3 attempts never ended' },
    ],
    [
      { state: 'done', result: 'revoked' },
      { state: 'done', result: 'revoked', lastError: 'status 429', ...final },
    ],
    [
      { state: 'dead', result: 'failed', error: 'status 404' },
      { state: 'dead', result: 'failed', lastError: 'status 404', ...final },
    ],
  ])('by %j', (settlement, change) => {
    expect(settledJob(tried, settlement, 2000)).toEqual({ ...ended, ...change });
  });
});
