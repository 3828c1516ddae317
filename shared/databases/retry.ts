import { monotonicMs } from '../clock.ts';
import { isStoreUnavailable, type StoreUnavailable } from '../errors.ts';

/** What one attempt gets at the least of the time, in milliseconds, while there is that much. */
const MIN_ATTEMPT_MS = 400;

/**
 * Retries a store's idempotent operation, with growing random pauses, while the store is unavailable and `remainingMs`
 * lasts. An attempt gets half of what remains, so that one that hangs leaves time for another. It rejects with what the
 * store said last: that the last attempt had no time for an answer tells an operator nothing.
 */
export async function retryWhileUnavailable<Result>(
  remainingMs: number,
  operation: (timeoutMs: number) => Promise<Result>,
): Promise<Result> {
  const endsAt = monotonicMs() + remainingMs;
  let said: StoreUnavailable | undefined;
  const attempt = async () => {
    const leftMs = Math.max(0, endsAt - monotonicMs());
    try {
      return await operation(Math.max(leftMs / 2, Math.min(leftMs, MIN_ATTEMPT_MS)));
    } catch (error) {
      if (!isStoreUnavailable(error)) throw error;
      if (error.fault !== 'timed_out') said = error;
      throw said ?? error;
    }
  };
  try {
    return await attempt();
  } catch (error) {
    if (!isStoreUnavailable(error) || monotonicMs() >= endsAt) throw error;
  }
  // Loaded only now: a cold start that meets a working store does without.
  const { pRetry } = await import('../packages/p-retry.ts');
  return await pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 20,
    maxTimeout: 100,
    randomize: true,
    maxRetryTime: Math.max(0, endsAt - monotonicMs()),
    shouldRetry: ({ error }) => isStoreUnavailable(error),
  });
}
