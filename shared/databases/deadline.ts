import { StoreUnavailable } from '../errors.ts';

/** How long a call at a network store may take that says nothing of it, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 10_000;

/** How long connecting may take, in milliseconds: with TLS and authentication in one region it takes 50. */
export const CONNECT_TIMEOUT_MS = 2000;

/** What `work` comes to, or the fault `timed_out` after `timeoutMs`. The work itself goes on: who began it ends it. */
export async function withinTime<Result>(timeoutMs: number, work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new StoreUnavailable('timed_out')), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
