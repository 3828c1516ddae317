import { retryWhileUnavailable } from '../databases/retry.ts';
import type { Measure } from '../measurement.ts';
import { type AlertOfJob, type AttemptPorts, attemptJob, describeJob, providerOf } from './attempt-job.ts';
import { compareRank, type OwnedJob } from './outbox.ts';

/** One run of the outbox. */
export interface RunRequest {
  /** The name of this run: no other has it. */
  readonly claim: string;
  /** How long it may still take, in milliseconds. */
  readonly remainingMs: () => number;
  readonly alert: AlertOfJob;
  /** Counts the tries. */
  readonly measure?: Measure;
}

/** How many jobs went which way. */
export type RunReport = Record<'done' | 'put_off' | 'dead' | 'set_aside' | 'lost', number>;

const JOBS_PER_CLAIM = 20;
/** How long a try may take, in milliseconds. */
const ATTEMPT_MS = 5000;
/** What a claim and the records of its tries may take besides, in milliseconds. */
const OVERHEAD_MS = 3000;
/** How long a claim is tried again that the store refuses, in milliseconds. */
const CLAIM_MS = 1000;
/** How long a claim holds, in milliseconds: longer than any run, so that only a dead one loses it. */
const LEASE_MS = 120_000;
/** A job that has killed its runner so often is not tried again. */
const MAX_CRASHES = 3;

/**
 * Tries the jobs that are due, twenty at a time, until none is left or the time runs out. What is not recorded, because
 * the store fails or the runner dies, is due again when its lease ends.
 *
 * @throws {StoreUnavailable}
 */
export async function runDueJobs(request: RunRequest, ports: Omit<AttemptPorts, 'alert'>): Promise<RunReport> {
  const report: RunReport = { done: 0, put_off: 0, dead: 0, set_aside: 0, lost: 0 };
  const limits = { jobs: JOBS_PER_CLAIM, leaseMs: LEASE_MS };
  let claims = 0;
  const claimNext = () => {
    claims += 1;
    return ports.outbox.claim(`${request.claim}.${claims}`, limits);
  };
  while (request.remainingMs() > ATTEMPT_MS + OVERHEAD_MS) {
    const jobs = await retryWhileUnavailable(CLAIM_MS, claimNext);
    if (jobs.length === 0) break;
    const [suspect, ...others] = jobs.filter(isSuspect).sort(compareRank);
    const now = (ports.now ?? Date.now)();
    const putOff = { state: 'pending', dueAt: now, error: 'waits alone' } as const;
    await allOf(
      others.map((job) => retryWhileUnavailable(CLAIM_MS, (leftMs) => ports.outbox.settle(job, putOff, leftMs))),
    );
    const together = jobs.filter((job) => !isSuspect(job)).map((job) => runJob(job, request, ports));
    for (const way of await allOf(together)) report[way] += 1;
    if (suspect !== undefined) report[await runJob(suspect, request, ports)] += 1;
  }
  return report;
}

/** What all of them came to, or the first failure once none is under way any more. */
async function allOf<Result>(work: readonly Promise<Result>[]): Promise<Result[]> {
  const ends = await Promise.allSettled(work);
  const failure = ends.find((end) => end.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
  return ends.flatMap((end) => (end.status === 'fulfilled' ? end.value : []));
}

function crashesOf({ attemptsStarted, attemptsFinished }: OwnedJob): number {
  return attemptsStarted - 1 - attemptsFinished;
}

/** It was there when a runner died: it is tried alone, so that those beside it do not pay for it. */
function isSuspect(job: OwnedJob): boolean {
  const crashes = crashesOf(job);
  return crashes > 0 && crashes < MAX_CRASHES;
}

async function runJob(
  job: OwnedJob,
  request: RunRequest,
  ports: Omit<AttemptPorts, 'alert'>,
): Promise<keyof RunReport> {
  const result = await tryJob(job, request, ports);
  const provider = providerOf(job);
  const labels = { kind: job.kind, ...(provider !== undefined && { provider }), result };
  request.measure?.({ metric: 'outbox_attempts_total', value: 1, ...labels });
  return result;
}

async function tryJob(
  job: OwnedJob,
  { remainingMs, alert }: RunRequest,
  ports: Omit<AttemptPorts, 'alert'>,
): Promise<keyof RunReport> {
  // Half for the try, half for its record.
  const timeoutMs = Math.min(ATTEMPT_MS, remainingMs() / 2);
  const crashes = crashesOf(job);
  if (crashes >= MAX_CRASHES) {
    const settlement = { state: 'set_aside', error: `${crashes} attempts never ended` } as const;
    // Before the record, as in `attemptJob`.
    alert('an outbox job is set aside', describeJob(job, settlement));
    const isRecorded = await retryWhileUnavailable(timeoutMs, (leftMs) => ports.outbox.settle(job, settlement, leftMs));
    return isRecorded ? 'set_aside' : 'lost';
  }
  const { settlement, isRecorded } = await attemptJob(job, timeoutMs, { ...ports, alert });
  if (!isRecorded) return 'lost';
  return settlement.state === 'pending' ? 'put_off' : settlement.state;
}
