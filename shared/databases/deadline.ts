import { monotonicMs } from '../clock.ts';
import { StoreUnavailable } from '../errors.ts';

/** How long a call at a network store may take that says nothing of it, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 10_000;

/** How long connecting may take, in milliseconds: with TLS and authentication in one region it takes 50. */
export const CONNECT_TIMEOUT_MS = 2000;

/**
 * How long an idle connection is trusted, in milliseconds: while an instance is frozen between two calls, what lies
 * between it and the server forgets its connections without telling.
 */
export const MAX_IDLE_MS = 60_000;

/** How long a server's settings are taken to be as they were, in milliseconds: then they are asked for again. */
export const SAFE_FOR_MS = 5000;

/** What `work` comes to, or the fault `timed_out` after `timeoutMs`. The work itself goes on: who began it ends it. */
export function withinTime<Result>(timeoutMs: number, work: Promise<Result>): Promise<Result> {
  // Not Promise.race: on the way of every call, it costs as much as a look-up in Redis.
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new StoreUnavailable('timed_out')), timeoutMs);
    work.then(
      (result) => {
        clearTimeout(timer);
        resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/**
 * Whether less than `ms` milliseconds have passed since `at`, on the wall clock: it goes on while an instance is frozen. Of a
 * clock that was set back behind `at` nobody can tell: no.
 */
export function isRecent(at: number, ms: number): boolean {
  const ageMs = Date.now() - at;
  return ageMs >= 0 && ageMs < ms;
}

/** When a call that may take `timeoutMs` is to be given up, on the clock of {@link monotonicMs}. */
export function deadlineIn(timeoutMs = DEFAULT_TIMEOUT_MS): number {
  return monotonicMs() + timeoutMs;
}
