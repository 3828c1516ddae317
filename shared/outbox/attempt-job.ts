import { monotonicMs } from '../clock.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import type { UpstreamResult } from '../grant-revocation/end-grant.ts';
import type { GrantRevocationResult, RevocationAttempt } from '../grant-revocation/revoke-grant.ts';
import { isUnverified, type Outbox, type OwnedJob, type Settlement } from './outbox.ts';

/** What doing a job once came to. */
type JobAttempt = RevocationAttempt<GrantRevocationResult | UpstreamResult>;

/** Does a job once. Rejects only with what nobody expected. */
export type DoJob = (job: OwnedJob, timeoutMs: number) => Promise<JobAttempt>;

/** Tells an operator of a job that needs one. */
export type AlertOfJob = (message: string, fields: Record<string, unknown>) => void;

/** What trying a job needs. */
export interface AttemptPorts {
  readonly outbox: Outbox;
  readonly doJob: DoJob;
  readonly alert?: AlertOfJob;
  readonly now?: () => number;
  /** From 0 up to 1. */
  readonly random?: () => number;
}

/** How a try went, and what was recorded of it. */
export interface AttemptOutcome {
  readonly settlement: Settlement;
  /** false: the lease had ended, and the try counts for nothing but what it did at the other service. */
  readonly isRecorded: boolean;
}

/** The first pause is up to this long, and each next one up to twice as long. It is the least that may be asked for. */
const FIRST_PAUSE_MS = 5000;
/** No pause that nobody asked for is longer than this. */
const MAX_PAUSE_MS = 3_600_000;

/**
 * Tries a job that is claimed, and records how that went: it is done, or due again after a pause ("full jitter", or as
 * long as the other service asks), or given up because its budget is spent or no try can help. Of a job that is given
 * up, or that only an operator can help, the alert comes before the record: a process that dies between the two tells
 * of it again, and never not at all. No alert is of an unverified token that the other service refuses.
 *
 * @param timeoutMs How long the try may take, and after it the record.
 * @throws {StoreUnavailable} It could not be recorded: the job is due again when its lease ends.
 */
export async function attemptJob(
  job: OwnedJob,
  timeoutMs: number,
  { outbox, doJob, alert = () => {}, now = Date.now, random = Math.random }: AttemptPorts,
): Promise<AttemptOutcome> {
  const startedAt = monotonicMs();
  const attempt = await doJob(job, timeoutMs).catch(
    (): JobAttempt => ({ status: 'retry', error: 'unexpected', isOurFault: true }),
  );
  const settlement = settlementOf(job, attempt, now(), random);
  const fields = () => describeJob(job, { ...settlement, duration_ms: Math.round(monotonicMs() - startedAt) });
  // That a server refuses a text which it never called its token is no news, and anybody could make an alert of it.
  const isNoToken = attempt.status === 'failed' && isUnverified(job);
  if (settlement.state === 'dead' && !isNoToken) alert('an outbox job is given up', fields());
  if (attempt.status === 'retry' && attempt.isOurFault) alert('an outbox job waits for an operator', fields());
  // A record that fails would count as a crash of the job's.
  const isRecorded = await retryWhileUnavailable(timeoutMs, (leftMs) => outbox.settle(job, settlement, leftMs));
  return { settlement, isRecorded };
}

/** A job for a log line: nothing of whom it is about. */
export function describeJob(job: OwnedJob, fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { id, kind, requestId, attemptsStarted } = job;
  const provider = providerOf(job);
  return {
    job_id: id,
    kind,
    ...(provider !== undefined && { provider }),
    job_request_id: requestId,
    attempt: attemptsStarted,
    ...fields,
  };
}

/** `type:name` of the provider that a job is about, if it is about one. */
export function providerOf({ details: { fpType, fpName } }: Pick<OwnedJob, 'details'>): string | undefined {
  return fpType === undefined ? undefined : `${fpType}:${fpName}`;
}

function settlementOf(job: OwnedJob, attempt: JobAttempt, now: number, random: () => number): Settlement {
  switch (attempt.status) {
    case 'done':
      return { state: 'done', result: attempt.result };
    case 'failed':
      return { state: 'dead', result: 'failed', error: attempt.error };
    case 'retry': {
      const { error, retryAfterMs } = attempt;
      if (now >= job.giveUpAt) return { state: 'dead', result: 'failed', error };
      // A service that asks for a pause gets it: a try before would be refused again. One that asks for none is not
      // tried again within the run, as fast as it can refuse.
      const pauseMs =
        retryAfterMs === undefined
          ? random() * Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (job.attemptsStarted - 1))
          : Math.max(FIRST_PAUSE_MS, retryAfterMs);
      return { state: 'pending', dueAt: now + Math.ceil(pauseMs), error };
    }
  }
}
