import { expect, test } from 'vitest';
import { openMemoryOutbox } from '#shared/outbox/drivers/memory.ts';
import type { NewJob } from '#shared/outbox/outbox.ts';

const newJob = (id: string): NewJob => ({
  ...({ id, kind: 'upstream-revocation', details: {}, boundTo: id, requestId: 'r' } as const),
});
const LIMITS = { jobs: 1, leaseMs: 100 };
const DONE = { state: 'done', result: 'revoked' } as const;

test('the job that is due for longest is claimed first, whenever it was added', async () => {
  let timeMs = 1000;
  const outbox = openMemoryOutbox({ now: () => timeMs });
  await outbox.add(newJob('first'));
  await outbox.claim('a', LIMITS);
  await outbox.settle({ id: 'first', claim: 'a' }, { state: 'pending', dueAt: 3000, error: 'x' });
  await outbox.add(newJob('second'));
  timeMs = 4000;

  expect(await outbox.claim('b', LIMITS)).toMatchObject([{ id: 'second' }]);
  expect(await outbox.claim('c', LIMITS)).toMatchObject([{ id: 'first' }]);
});

test('nothing is settled that is not there, or not pending any more', async () => {
  const outbox = openMemoryOutbox();
  await outbox.add(newJob('a'));
  await outbox.claim('me', LIMITS);

  expect(await outbox.settle({ id: 'b', claim: 'me' }, DONE)).toBe(false);
  expect(await outbox.settle({ id: 'a', claim: 'me' }, DONE)).toBe(true);
  expect(await outbox.settle({ id: 'a', claim: 'me' }, DONE)).toBe(false);
});

test('an outbox that is closed rejects whatever it is asked', async () => {
  const outbox = openMemoryOutbox();
  await outbox.close();

  for (const asking of [
    () => outbox.add(newJob('a')),
    () => outbox.claim('me', LIMITS),
    () => outbox.settle({ id: 'a', claim: 'me' }, DONE),
    () => outbox.find('a'),
    () => outbox.list('pending', { limit: 1 }),
    () => outbox.replay('a'),
  ]) {
    await expect(asking(), asking.toString()).rejects.toMatchObject({ fault: 'closed' });
  }
});
