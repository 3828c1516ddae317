import pRetry from 'p-retry';
import { isStoreUnavailable } from '../errors.ts';

/** What one attempt gets at the least of the time, in milliseconds, while there is that much. */
const MIN_ATTEMPT_MS = 400;

/**
 * Retries a store's idempotent operation, with growing random pauses, while the store is unavailable and `remainingMs`
 * lasts. An attempt gets half of what remains, so that one that hangs leaves time for another.
 */
export function retryWhileUnavailable<Result>(
  remainingMs: number,
  operation: (timeoutMs: number) => Promise<Result>,
): Promise<Result> {
  const startedAt = performance.now();
  const attempt = () => {
    const leftMs = Math.max(0, remainingMs - (performance.now() - startedAt));
    return operation(Math.max(leftMs / 2, Math.min(leftMs, MIN_ATTEMPT_MS)));
  };
  return pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 20,
    maxTimeout: 500,
    randomize: true,
    maxRetryTime: Math.max(0, remainingMs),
    shouldRetry: ({ error }) => isStoreUnavailable(error),
  });
}
