import { monotonicMs } from './clock.ts';

const HOUR_MS = 3_600_000;

/** How often something may happen in an hour, in this instance. */
export interface HourlyLimit {
  readonly most: number;
  /** Counts one; says whether it may happen, and whether it is the first of its hour that may not. */
  take(): 'allowed' | 'first_too_many' | 'too_many';
}

/** Counts by hours that begin with the first use. */
export function createHourlyLimit(most: number, monotonic: () => number = monotonicMs): HourlyLimit {
  let hourBegan = Number.NEGATIVE_INFINITY;
  let count = 0;
  return {
    most,
    take() {
      if (monotonic() - hourBegan >= HOUR_MS) {
        hourBegan = monotonic();
        count = 0;
      }
      count += 1;
      if (count <= most) return 'allowed';
      return count === most + 1 ? 'first_too_many' : 'too_many';
    },
  };
}
