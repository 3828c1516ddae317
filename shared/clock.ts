/** Milliseconds on a clock that is never set back. Not `performance.now()`: its first use costs a cold start 1 ms. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
