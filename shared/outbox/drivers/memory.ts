import { StoreUnavailable } from '../../errors.ts';
import { compareRank, JOB_BUDGET_MS, type Job, type Outbox, type OutboxStore } from '../outbox.ts';
import { newStoredJob, ownedJob, publicJob, type StoredJob, settledJob } from '../stored-job.ts';

/** An outbox in this process, lost with it: for tests and first tries. */
export function openMemoryOutbox(options?: { now?: () => number }): OutboxStore {
  const { outbox, close } = createMemoryOutbox(options);
  return { ...outbox, close };
}

/** An outbox in this process, and what a directory around it shares: the jobs by id, and the time until it is closed. */
export function createMemoryOutbox({ now = Date.now }: { now?: () => number } = {}) {
  const jobs = new Map<string, StoredJob>();
  let isClosed = false;

  function currentTime(): number {
    if (isClosed) throw new StoreUnavailable('closed');
    return now();
  }

  const outbox: Outbox = {
    async add(job) {
      const time = currentTime();
      if ((jobs.get(job.id)?.state ?? 'dead') !== 'dead') return false;
      jobs.set(job.id, newStoredJob(job, time));
      return true;
    },

    async claim(claim, limits) {
      const time = currentTime();
      const due = [...jobs.values()]
        .filter(({ state, dueAt }) => state === 'pending' && dueAt <= time)
        .sort((a, b) => compareRank(a, b) || a.dueAt - b.dueAt)
        .slice(0, limits.jobs);
      return due.map((job) => {
        const claimed = { ...job, claim, attemptsStarted: job.attemptsStarted + 1, dueAt: time + limits.leaseMs };
        jobs.set(job.id, claimed);
        return ownedJob(claimed);
      });
    },

    async settle({ id, claim }, settlement) {
      const time = currentTime();
      const job = jobs.get(id);
      if (job === undefined || job.state !== 'pending' || job.claim !== claim) return false;
      jobs.set(id, settledJob(job, settlement, time));
      return true;
    },

    async find(id) {
      currentTime();
      const job = jobs.get(id);
      return job && publicJob(job);
    },

    async list(state, { limit, after }) {
      currentTime();
      return [...jobs.values()]
        .filter((job) => job.state === state && (after === undefined || compareJobs(job, after) > 0))
        .sort(compareJobs)
        .slice(0, limit)
        .map(publicJob);
    },

    async replay(id) {
      const time = currentTime();
      const job = jobs.get(id);
      if (job === undefined || job.state === 'done' || job.state === 'dead') return false;
      const budget = { dueAt: time, giveUpAt: time + JOB_BUDGET_MS };
      const counts = { attemptsStarted: 0, attemptsFinished: 0 };
      jobs.set(id, { ...job, ...budget, ...counts, state: 'pending', claim: undefined });
      return true;
    },
  };

  const close = async () => {
    isClosed = true;
  };

  return { outbox, jobs, currentTime, close };
}

function compareJobs(a: Job, b: Job): number {
  return a.createdAt - b.createdAt || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
}
