import { StoreUnavailable } from '../errors.ts';
import { JOB_BUDGET_MS, type Job, type NewJob, type OwnedJob, type Settlement } from './outbox.ts';

/** A job with the name of who has it. */
export type StoredJob = Job & { readonly claim: string | undefined };

/** A job as it is first written. */
export function newStoredJob(job: NewJob, now: number): StoredJob {
  const { id, kind, details, secret, boundTo, requestId, claim } = job;
  return {
    ...{ id, kind, details, secret, boundTo, requestId },
    state: 'pending',
    claim: claim?.name,
    attemptsStarted: claim === undefined ? 0 : 1,
    attemptsFinished: 0,
    dueAt: now + (claim?.leaseMs ?? 0),
    createdAt: now,
    giveUpAt: now + JOB_BUDGET_MS,
  };
}

/** A job as everybody may see it. */
export function publicJob({ claim: _claim, ...job }: StoredJob): Job {
  return job;
}

/**
 * A job as who has claimed it sees it.
 *
 * @throws {StoreUnavailable} Nobody has: something else has written it.
 */
export function ownedJob(job: StoredJob | undefined): OwnedJob {
  if (job?.claim === undefined) throw new StoreUnavailable('corrupt');
  const { id, kind, details, secret, boundTo, requestId, claim } = job;
  const { attemptsStarted, attemptsFinished, createdAt, giveUpAt } = job;
  return {
    ...{ id, kind, details, secret, boundTo, requestId, claim },
    ...{ attemptsStarted, attemptsFinished, createdAt, giveUpAt },
  };
}

/** A job whose attempt has ended so. */
export function settledJob(job: StoredJob, settlement: Settlement, time: number): StoredJob {
  const attemptsFinished = job.attemptsFinished + 1;
  const lastError = 'error' in settlement ? settlement.error : job.lastError;
  const settled = { ...job, claim: undefined, attemptsFinished, lastError };
  switch (settlement.state) {
    case 'pending':
      return { ...settled, state: 'pending', dueAt: settlement.dueAt };
    case 'set_aside':
      return { ...settled, state: 'set_aside' };
    case 'done':
    case 'dead':
      return { ...settled, state: settlement.state, result: settlement.result, secret: undefined, finishedAt: time };
  }
}
