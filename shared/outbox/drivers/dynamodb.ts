import { deadlineIn } from '../../databases/deadline.ts';
import { type DynamodbClient, type DynamodbOptions, type Item, openDynamodb } from '../../databases/dynamodb.ts';
import { absent, changeItems, type Items, readItems } from '../../databases/dynamodb-change.ts';
import { DIRECTORY_SCHEMA } from '../../directory/directory.ts';
import { jobEntry, jobIn, jobKey, orderOf, PENDING_QUEUES } from '../../directory/dynamodb-items.ts';
import { ENTRIES_PER_PAGE, type Entry, entriesOf, FIRST, type Page } from '../../directory/dynamodb-lookup.ts';
import { JOB_BUDGET_MS, type Job, type Outbox, type OutboxStore, type OwnedJob } from '../outbox.ts';
import { newStoredJob, ownedJob, publicJob, type StoredJob, settledJob } from '../stored-job.ts';

/**
 * The outbox of a directory in one table behind the DynamoDB API.
 *
 * @throws {Misconfigured} Says what is wrong with the URL, never its value.
 */
export async function openDynamodbOutbox(
  url: string,
  { now = Date.now, ...options }: DynamodbOptions & { now?: () => number } = {},
): Promise<OutboxStore> {
  const client = await openDynamodb(url, DIRECTORY_SCHEMA, options);
  return { ...createDynamodbOutbox(client, now), close: async () => client.close() };
}

/** The outbox in a table that is open. */
export function createDynamodbOutbox(client: DynamodbClient, now: () => number): Outbox {
  const read = (keys: readonly string[], until: number) => readItems(client, keys, until);

  /** The entries of all pending jobs: those that are claimed last come last. */
  async function* pendingEntries(page: Page): AsyncGenerator<Entry[]> {
    for (const queue of PENDING_QUEUES) yield* entriesOf(client, queue, page);
  }

  /** The entries of a state by age. The index has pending jobs as they are due: of them all are looked through. */
  async function* entriesByAge(
    state: Job['state'],
    behind: string,
    { size, until }: Pick<Page, 'size' | 'until'>,
  ): AsyncGenerator<Entry[]> {
    const condition = 'n > :n';
    if (state !== 'pending') return yield* entriesOf(client, state, { condition, n: behind, size, until });
    const all: Entry[] = [];
    for await (const entries of pendingEntries({ condition, n: FIRST, size: ENTRIES_PER_PAGE, until })) {
      all.push(...entries.filter(({ order }) => order > behind));
    }
    all.sort((a, b) => (a.order < b.order ? -1 : 1));
    for (let index = 0; index === 0 || index < all.length; index += size) yield all.slice(index, index + size);
  }

  /** Changes a job as `next` says; undefined: not at all. */
  function changeJob(
    key: string,
    next: (job: StoredJob) => StoredJob | undefined,
    until: number,
    assumed?: Items,
  ): Promise<StoredJob | undefined> {
    const decide = (items: Items) => {
      const job = jobIn(items, key);
      const result = job && next(job);
      return result === undefined ? { result } : { result, changes: [jobEntry(result)] };
    };
    return changeItems(client, { keys: [key], until, decide, assumed });
  }

  return {
    async add(job, timeoutMs) {
      const entry = jobEntry(newStoredJob(job, now()));
      const [key] = entry;
      const decide = (items: Items) =>
        (jobIn(items, key)?.state ?? 'dead') === 'dead' ? { result: true, changes: [entry] } : { result: false };
      return changeItems(client, { keys: [key], until: deadlineIn(timeoutMs), decide, assumed: absent(key) });
    },

    async claim(claim, { jobs, leaseMs }) {
      const until = deadlineIn();
      const time = now();
      const next = (job: StoredJob): StoredJob | undefined =>
        job.state === 'pending' && job.dueAt <= time
          ? { ...job, claim, attemptsStarted: job.attemptsStarted + 1, dueAt: time + leaseMs }
          : undefined;
      const owned: OwnedJob[] = [];
      const claimOne = async (key: string, item: Item | undefined) => {
        const job = await changeJob(key, next, until, new Map([[key, item]]));
        if (job !== undefined) owned.push(ownedJob(job));
      };
      try {
        const due = { condition: 'n < :n', n: orderOf(time + 1, ''), size: jobs, until } as const;
        for await (const entries of pendingEntries(due)) {
          const keys = entries.map(({ key }) => key);
          const items = await read(keys, until);
          const some = keys.slice(0, jobs - owned.length);
          const tries = await Promise.allSettled(some.map((key) => claimOne(key, items.get(key))));
          const failed = tries.find((one) => one.status === 'rejected');
          if (failed !== undefined) throw failed.reason;
          if (owned.length >= jobs) break;
        }
      } catch (error) {
        // What was claimed before has to be given out: it counts as an attempt.
        if (owned.length === 0) throw error;
      }
      return owned;
    },

    async settle({ id, claim }, settlement, timeoutMs) {
      const time = now();
      const next = (job: StoredJob) =>
        job.state === 'pending' && job.claim === claim ? settledJob(job, settlement, time) : undefined;
      return (await changeJob(jobKey(id), next, deadlineIn(timeoutMs))) !== undefined;
    },

    async find(id) {
      const job = jobIn(await read([jobKey(id)], deadlineIn()), jobKey(id));
      return job && publicJob(job);
    },

    async list(state, { limit, after }) {
      const page = { size: limit, until: deadlineIn() };
      const behind = after === undefined ? FIRST : orderOf(after.createdAt, after.id);
      const found: StoredJob[] = [];
      for await (const entries of entriesByAge(state, behind, page)) {
        const keys = entries.map(({ key }) => key);
        const items = await read(keys, page.until);
        found.push(...keys.flatMap((key) => jobIn(items, key) ?? []).filter((job) => job.state === state));
        if (found.length >= limit) break;
      }
      return found.slice(0, limit).map(publicJob);
    },

    async replay(id) {
      const time = now();
      const budget = { dueAt: time, giveUpAt: time + JOB_BUDGET_MS, attemptsStarted: 0, attemptsFinished: 0 };
      const next = (job: StoredJob): StoredJob | undefined =>
        'result' in job ? undefined : { ...job, ...budget, state: 'pending', claim: undefined };
      return (await changeJob(jobKey(id), next, deadlineIn())) !== undefined;
    },
  };
}
