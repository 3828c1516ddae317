import pRetry from 'p-retry';
import { isStoreUnavailable } from '../errors.ts';

/** Retries a store's idempotent operation with full jitter while it is unavailable and `remainingMs` lasts. */
export function retryWhileUnavailable<Result>(remainingMs: number, operation: () => Promise<Result>): Promise<Result> {
  return pRetry(operation, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 20,
    maxTimeout: 500,
    randomize: true,
    maxRetryTime: Math.max(0, remainingMs),
    shouldRetry: ({ error }) => isStoreUnavailable(error),
  });
}
