import { retryWhileUnavailable } from '../databases/retry.ts';
import type { Directory } from '../directory/directory.ts';
import type { Measure } from '../measurement.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import type { Outbox } from '../outbox/outbox.ts';
import { type RunRequest, runDueJobs } from '../outbox/run-due-jobs.ts';
import type { TokenRevocationStore } from '../token-revocation/store.ts';

/** What maintaining needs. */
export interface MaintenancePorts {
  readonly directory: Directory;
  readonly revocations: TokenRevocationStore;
  readonly doJob: DoJob;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** One tick of the timer. */
export interface MaintenanceRequest extends Omit<RunRequest, 'claim'> {
  readonly invocationId: string;
  readonly note: (fields: Record<string, unknown>) => void;
  readonly measure: Measure;
}

/** The most jobs of a state that are counted: what is more is no more news. */
const MAX_COUNTED = 100;
/** What counting may take, in milliseconds. */
const COUNT_MS = 3000;
/** The most rows of one deletion, so that other writers get their turn between two. */
const PURGE_BATCH = 1000;
/** The most deletions of one tick and store. */
const PURGE_BATCHES = 5;
/** What a deletion may take, in milliseconds. */
const PURGE_MS = 3000;
/** How long a deletion is tried again that the store refuses, another writer being at it, in milliseconds. */
const PURGE_PATIENCE_MS = 1000;

/**
 * Does what is due: the jobs of the outbox first, whose number is measured then, and the purge of what has expired. Each
 * part is done although another fails, and then the first failure is thrown.
 *
 * @throws {Failure}
 */
export async function maintain(request: MaintenanceRequest, ports: MaintenancePorts): Promise<void> {
  const failures: unknown[] = [];
  const attempt = async (work: () => Promise<void>) => {
    await work().catch((error: unknown) => failures.push(error));
  };
  await attempt(async () => {
    const { directory, ...rest } = ports;
    const report = await runDueJobs({ ...request, claim: request.invocationId }, { ...rest, outbox: directory.outbox });
    request.note({ jobs: report });
  });
  await attempt(() => measureOutbox(ports.directory.outbox, request, ports.now ?? Date.now));
  await attempt(async () => request.note({ purged_directory: await purge(ports.directory, request) }));
  await attempt(async () => request.note({ purged_revocations: await purge(ports.revocations, request) }));
  if (failures.length > 0) throw failures[0];
}

/** How many jobs there are that somebody may have to look at, and how long the oldest waits. */
async function measureOutbox(
  outbox: Outbox,
  { remainingMs, measure }: MaintenanceRequest,
  now: () => number,
): Promise<void> {
  if (remainingMs() < COUNT_MS) return;
  for (const state of ['pending', 'set_aside', 'dead'] as const) {
    const [oldest, ...others] = await outbox.list(state, { limit: MAX_COUNTED });
    const count = oldest === undefined ? 0 : 1 + others.length;
    measure({ metric: 'outbox_depth', value: count, state });
    if (state !== 'pending') continue;
    const ageMs = oldest === undefined ? 0 : Math.max(0, now() - oldest.createdAt);
    measure({ metric: 'outbox_oldest_age_seconds', value: Math.round(ageMs / 1000) });
  }
}

/** Deletes what has expired, a batch at a time, as far as there is time. Returns how much. */
async function purge(
  store: Pick<Directory | TokenRevocationStore, 'purgeExpired'>,
  { remainingMs }: MaintenanceRequest,
): Promise<number> {
  let deleted = 0;
  for (let batch = 0; batch < PURGE_BATCHES && remainingMs() > PURGE_MS; batch += 1) {
    const count = await retryWhileUnavailable(PURGE_PATIENCE_MS, () => store.purgeExpired(PURGE_BATCH));
    deleted += count;
    if (count < PURGE_BATCH) break;
  }
  return deleted;
}
