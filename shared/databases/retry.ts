import { monotonicMs } from '../clock.ts';
import { isStoreUnavailable } from '../errors.ts';

/** What one attempt gets at the least of the time, in milliseconds, while there is that much. */
const MIN_ATTEMPT_MS = 400;

/**
 * Retries a store's idempotent operation, with growing random pauses, while the store is unavailable and `remainingMs`
 * lasts. An attempt gets half of what remains, so that one that hangs leaves time for another.
 */
export async function retryWhileUnavailable<Result>(
  remainingMs: number,
  operation: (timeoutMs: number) => Promise<Result>,
): Promise<Result> {
  const endsAt = monotonicMs() + remainingMs;
  const attempt = () => {
    const leftMs = Math.max(0, endsAt - monotonicMs());
    return operation(Math.max(leftMs / 2, Math.min(leftMs, MIN_ATTEMPT_MS)));
  };
  try {
    return await attempt();
  } catch (error) {
    if (!isStoreUnavailable(error) || monotonicMs() >= endsAt) throw error;
  }
  // Loaded only now: a cold start that meets a working store does without.
  const { default: pRetry } = await import('p-retry');
  return await pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 20,
    maxTimeout: 100,
    randomize: true,
    maxRetryTime: Math.max(0, endsAt - monotonicMs()),
    shouldRetry: ({ error }) => isStoreUnavailable(error),
  });
}
