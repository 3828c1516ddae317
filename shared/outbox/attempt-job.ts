import type { RevocationAttempt } from '../grant-revocation/revoke-grant.ts';
import type { Outbox, OwnedJob, Settlement } from './outbox.ts';

/** Does a job once. Rejects only with what nobody expected. */
export type DoJob = (job: OwnedJob, timeoutMs: number) => Promise<RevocationAttempt>;

/** What trying a job needs. */
export interface AttemptPorts {
  readonly outbox: Outbox;
  readonly doJob: DoJob;
  readonly now?: () => number;
  /** From 0 up to 1. */
  readonly random?: () => number;
}

/** How a try went, and what was recorded of it. */
export interface AttemptOutcome {
  readonly settlement: Settlement;
  /** false: the lease had ended, and the try counts for nothing but what it did at the other service. */
  readonly isRecorded: boolean;
  readonly isOurFault: boolean;
}

/** The first pause is up to this long, and each next one up to twice as long … */
const FIRST_PAUSE_MS = 5000;
/** … but no longer than this. */
const MAX_PAUSE_MS = 3_600_000;

/**
 * Tries a job that is claimed, and records how that went: it is done, or due again after a pause ("full jitter", or as
 * long as the other service asks), or given up because its budget is spent or no try can help.
 *
 * @throws {StoreUnavailable} It could not be recorded: the job is due again when its lease ends.
 */
export async function attemptJob(
  job: OwnedJob,
  timeoutMs: number,
  { outbox, doJob, now = Date.now, random = Math.random }: AttemptPorts,
): Promise<AttemptOutcome> {
  const attempt = await doJob(job, timeoutMs).catch(
    (): RevocationAttempt => ({ status: 'retry', error: 'unexpected' }),
  );
  const settlement = settlementOf(job, attempt, now(), random);
  const isOurFault = attempt.status === 'retry' && attempt.isOurFault === true;
  return { settlement, isRecorded: await outbox.settle(job, settlement), isOurFault };
}

function settlementOf(job: OwnedJob, attempt: RevocationAttempt, now: number, random: () => number): Settlement {
  switch (attempt.status) {
    case 'done':
      return { state: 'done', result: attempt.result };
    case 'failed':
      return { state: 'dead', result: 'failed', error: attempt.error };
    case 'retry': {
      const { error, retryAfterMs } = attempt;
      if (now >= job.giveUpAt) return { state: 'dead', result: 'failed', error };
      // A service that asks for a pause gets it: a try before would be refused again.
      const pauseMs =
        retryAfterMs ?? random() * Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (job.attemptsStarted - 1));
      return { state: 'pending', dueAt: now + Math.ceil(pauseMs), error };
    }
  }
}
