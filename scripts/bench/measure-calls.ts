import { percentile } from './statistics.ts';

/** What so many calls took. */
export interface Measured {
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/** Makes calls, numbered from `from` on, by so many callers that each wait for their own. */
export async function measureCalls(
  call: (index: number) => unknown,
  { from, count, callers }: { readonly from: number; readonly count: number; readonly callers: number },
): Promise<Measured> {
  const latencies = new Float64Array(count);
  let next = 0;
  async function callOn(): Promise<void> {
    while (next < count) {
      const index = next;
      next += 1;
      const calledAt = performance.now();
      const answer = call(from + index);
      // What is answered at once is not made to wait.
      if (answer instanceof Promise) await answer;
      latencies[index] = performance.now() - calledAt;
    }
  }
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: callers }, callOn));
  const seconds = (performance.now() - startedAt) / 1000;
  latencies.sort();
  return {
    perSecond: count / seconds,
    p50Us: percentile(latencies, 0.5) * 1000,
    p99Us: percentile(latencies, 0.99) * 1000,
  };
}
