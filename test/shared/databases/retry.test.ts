import { expect, test } from 'vitest';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { type StoreFault, StoreUnavailable } from '#shared/errors.ts';

/** Fails with each of these faults in turn, and with the last one from then on. */
function failing(...faults: readonly StoreFault[]) {
  const left = [...faults];
  return async () => {
    throw new StoreUnavailable((left.length > 1 ? left.shift() : left[0]) ?? 'closed');
  };
}

test.each<[StoreFault[], StoreFault]>([
  [['refused', 'timed_out'], 'refused'],
  [['refused', 'unreachable', 'timed_out'], 'unreachable'],
  [['timed_out', 'busy'], 'busy'],
  [['timed_out'], 'timed_out'],
])('of %j what the store said last is told: %s', async (faults, told) => {
  await expect(retryWhileUnavailable(300, failing(...faults))).rejects.toMatchObject({ fault: told });
});

test.each<[(string | undefined)[], string]>([
  [['a rewrite', undefined], 'a rewrite'],
  [[undefined, 'a rewrite', undefined], 'a rewrite'],
])('of attempts that waited for %j, and then for nothing that they could name, it tells: %s', async (causes, told) => {
  const left = [...causes];
  const failure = await retryWhileUnavailable(300, async () => {
    const cause = left.shift();
    throw new StoreUnavailable('timed_out', cause === undefined ? {} : { cause: new Error(cause) });
  }).catch((error: unknown) => error);

  expect(failure).toMatchObject({ fault: 'timed_out', cause: { message: told } });
});

test('what is no trouble of the store is not tried again', async () => {
  let calls = 0;
  const fail = async () => {
    calls += 1;
    throw new TypeError('obviously fake');
  };

  await expect(retryWhileUnavailable(300, fail)).rejects.toThrow(TypeError);
  expect(calls).toBe(1);
});

test('what the driver has tried again as often as helps is not tried again', async () => {
  let calls = 0;
  const fail = async () => {
    calls += 1;
    throw new StoreUnavailable('busy', { isRetryable: calls < 3 });
  };

  await expect(retryWhileUnavailable(60_000, fail)).rejects.toMatchObject({ fault: 'busy' });
  expect(calls).toBe(3);
});

test.each<[StoreFault[], number]>([
  [['unreachable'], 1],
  [['busy', 'timed_out'], 2],
  [['busy', 'busy', 'unreachable'], 3],
])('of %j, where busy alone is worth another try, it comes to %i calls', async (faults, expected) => {
  const fail = failing(...faults);
  let calls = 0;
  const count = () => {
    calls += 1;
    return fail();
  };

  await expect(retryWhileUnavailable(2000, count, 'busy')).rejects.toThrow();
  expect(calls).toBe(expected);
});
