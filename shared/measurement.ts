import type { JobKind } from './outbox/outbox.ts';
import type { RunReport } from './outbox/run-due-jobs.ts';

/**
 * What is measured by a line of its own: the closed list. Its labels are of closed sets too. What the line of a call
 * tells is counted from that one (docs/operations.md).
 */
export type Measurement =
  /** Jobs of a state; 100 stands for as many or more. */
  | { readonly metric: 'outbox_depth'; readonly value: number; readonly state: 'pending' | 'set_aside' | 'dead' }
  /** Since when the oldest job waits that is neither done nor given up. */
  | { readonly metric: 'outbox_oldest_age_seconds'; readonly value: number }
  /** A try of a job by `maintenance`; those of a call are in its line. */
  | {
      readonly metric: 'outbox_attempts_total';
      readonly value: 1;
      readonly kind: JobKind;
      /** `type:name` of one that was listed when the job was written. */
      readonly provider?: string;
      readonly result: keyof RunReport;
    };

/** Writes a measurement down. */
export type Measure = (measurement: Measurement) => void;
