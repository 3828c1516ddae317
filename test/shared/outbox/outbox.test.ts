import { expect, test } from 'vitest';
import {
  JOB_BUDGET_MS,
  type JobState,
  jobStateOf,
  type NewJob,
  type Outbox,
  outboxOnDemand,
  SETTLED_JOB_MS,
} from '#shared/outbox/outbox.ts';

const JOB: NewJob = { id: 'a', kind: 'upstream-revocation', details: {}, boundTo: 'a', requestId: 'r-1' };

test('an outbox that is opened at its first use is asked all that it is asked', async () => {
  const asked: unknown[] = [];
  /** Answers with its name and what it was asked. */
  const answer =
    (name: string) =>
    async (...args: unknown[]) => {
      asked.push([name, ...args]);
      return `answer to ${name}`;
    };
  const names = ['add', 'claim', 'settle', 'find', 'list', 'replay'];
  // A stand-in that has the methods of an outbox, whatever they answer.
  const inner = Object.fromEntries(names.map((name) => [name, answer(name)])) as unknown as Outbox;
  const outbox = outboxOnDemand((work) => work(inner));
  const settlement = { state: 'done', result: 'revoked' } as const;
  const limits = { jobs: 1, leaseMs: 2 };

  expect([
    await outbox.add(JOB, 3),
    await outbox.claim('c', limits),
    await outbox.settle({ id: 'a', claim: 'c' }, settlement, 4),
    await outbox.find('a'),
    await outbox.list('done', { limit: 5 }),
    await outbox.replay('a'),
  ]).toEqual(names.map((name) => `answer to ${name}`));
  expect(asked).toEqual([
    ['add', JOB, 3],
    ['claim', 'c', limits],
    ['settle', { id: 'a', claim: 'c' }, settlement, 4],
    ['find', 'a'],
    ['list', 'done', { limit: 5 }],
    ['replay', 'a'],
  ]);
});

test.each<[JobState & { id: string }, JobState]>([
  [{ state: 'pending', id: 'a' }, { state: 'pending' }],
  [{ state: 'set_aside', id: 'a' }, { state: 'set_aside' }],
  [
    { state: 'done', result: 'revoked', id: 'a' },
    { state: 'done', result: 'revoked' },
  ],
  [
    { state: 'dead', result: 'failed', id: 'a' },
    { state: 'dead', result: 'failed' },
  ],
])('of %j its state is told, and nothing else', (job, state) => {
  expect(jobStateOf(job)).toEqual(state);
});

test('a job is tried for two days, and known for a week after its end', () => {
  expect([JOB_BUDGET_MS, SETTLED_JOB_MS]).toEqual([172_800_000, 604_800_000]);
});
