import { monotonicMs } from '../clock.ts';
import { isStoreUnavailable, type StoreFault, type StoreUnavailable } from '../errors.ts';

/** What one attempt gets at the least of the time, in milliseconds, while there is that much. */
const MIN_ATTEMPT_MS = 400;

/**
 * Retries a store's idempotent operation, with growing random pauses, while the store is unavailable and `remainingMs`
 * lasts. An attempt gets half of what remains, so that one that hangs leaves time for another. It rejects with what the
 * store said last, or else with what it waited for: that the last attempt had no time for an answer tells an operator
 * nothing. A fault that the driver has already retried as often as helps is not retried.
 *
 * @param only The fault that is worth another try; any, if not given. After `busy` nothing has happened, so what is not
 *   idempotent may be tried again too.
 */
export async function retryWhileUnavailable<Result>(
  remainingMs: number,
  operation: (timeoutMs: number) => Promise<Result>,
  only?: StoreFault,
): Promise<Result> {
  const endsAt = monotonicMs() + remainingMs;
  let said: StoreUnavailable | undefined;
  let last: unknown;
  const isWorthAnother = () =>
    isStoreUnavailable(last) && last.isRetryable && (only === undefined || last.fault === only);
  const attempt = async () => {
    const leftMs = Math.max(0, endsAt - monotonicMs());
    try {
      return await operation(Math.max(leftMs / 2, Math.min(leftMs, MIN_ATTEMPT_MS)));
    } catch (error) {
      last = error;
      if (!isStoreUnavailable(error)) throw error;
      if (error.fault !== 'timed_out') said = error;
      else if (error.cause !== undefined) said ??= error;
      throw said ?? error;
    }
  };
  try {
    return await attempt();
  } catch (error) {
    if (!isWorthAnother() || monotonicMs() >= endsAt) throw error;
  }
  // Loaded only now: a cold start that meets a working store does without.
  const { pRetry } = await import('../packages/p-retry.ts');
  return await pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 20,
    maxTimeout: 100,
    randomize: true,
    maxRetryTime: Math.max(0, endsAt - monotonicMs()),
    shouldRetry: isWorthAnother,
  });
}
