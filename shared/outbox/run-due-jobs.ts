import { monotonicMs } from '../clock.ts';
import { type AttemptPorts, attemptJob } from './attempt-job.ts';
import type { OwnedJob, Settlement } from './outbox.ts';

/** One run of the outbox. */
export interface RunRequest {
  /** The name of this run: no other has it. */
  readonly claim: string;
  /** How long it may still take, in milliseconds. */
  readonly remainingMs: () => number;
  /** Tells an operator of a job that needs one. */
  readonly alert: (message: string, fields: Record<string, unknown>) => void;
}

/** How many jobs went which way. */
export type RunReport = Record<'done' | 'put_off' | 'dead' | 'set_aside' | 'lost', number>;

const JOBS_PER_CLAIM = 20;
/** How long a try may take, in milliseconds. */
const ATTEMPT_MS = 5000;
/** What a claim and the records of its tries may take besides, in milliseconds. */
const OVERHEAD_MS = 3000;
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
export async function runDueJobs(request: RunRequest, ports: AttemptPorts): Promise<RunReport> {
  const report: RunReport = { done: 0, put_off: 0, dead: 0, set_aside: 0, lost: 0 };
  for (let batch = 0; request.remainingMs() > ATTEMPT_MS + OVERHEAD_MS; batch += 1) {
    const limits = { jobs: JOBS_PER_CLAIM, leaseMs: LEASE_MS };
    const jobs = await ports.outbox.claim(`${request.claim}.${batch}`, limits);
    if (jobs.length === 0) break;
    const ways = await Promise.allSettled(jobs.map((job) => runJob(job, request, ports)));
    for (const way of ways) if (way.status === 'fulfilled') report[way.value] += 1;
    const failure = ways.find((way) => way.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }
  return report;
}

async function runJob(
  job: OwnedJob,
  { remainingMs, alert }: RunRequest,
  ports: AttemptPorts,
): Promise<keyof RunReport> {
  const crashes = job.attemptsStarted - 1 - job.attemptsFinished;
  if (crashes >= MAX_CRASHES) {
    const error = `${crashes} attempts never ended`;
    const isRecorded = await ports.outbox.settle(job, { state: 'set_aside', error });
    if (isRecorded) alert('an outbox job is set aside', describe(job, { error }));
    return isRecorded ? 'set_aside' : 'lost';
  }
  const startedAt = monotonicMs();
  const timeoutMs = Math.min(ATTEMPT_MS, remainingMs());
  const { settlement, isRecorded, isOurFault } = await attemptJob(job, timeoutMs, ports);
  const fields = { ...settlement, duration_ms: Math.round(monotonicMs() - startedAt) };
  if (!isRecorded) return 'lost';
  if (settlement.state === 'dead') alert('an outbox job is given up', describe(job, fields));
  if (isOurFault) alert('an outbox job is refused for our settings', describe(job, fields));
  return settlement.state === 'pending' ? 'put_off' : settlement.state;
}

/** A job for a log line: nothing of whom it is about. */
function describe({ id, kind, details, requestId, attemptsStarted }: OwnedJob, fields: Partial<Settlement> & object) {
  const { fpType, fpName } = details;
  const provider = fpType === undefined ? {} : { provider: `${fpType}:${fpName}` };
  return { job_id: id, kind, ...provider, job_request_id: requestId, attempt: attemptsStarted, ...fields };
}
