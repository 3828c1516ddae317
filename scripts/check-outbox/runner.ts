/** A process of `npm run check:outbox` that runs the outbox on orders and dies where an order says. */
import { appendFileSync } from 'node:fs';
import { isFailure } from '#shared/errors.ts';
import { createRevocationJobs } from '#shared/grant-revocation/revocation-jobs.ts';
import type { Outbox } from '#shared/outbox/outbox.ts';
import { type RunReport, runDueJobs } from '#shared/outbox/run-due-jobs.ts';
import { send } from '#shared/outgoing/send.ts';
import { randomFrom } from '../seeded-random.ts';
import { directoryOpener, KEYS, providerAt } from './jobs.ts';
import { RUNNER_HEADER } from './provider.ts';

/** Where a runner dies by its own hand: a `SIGKILL` to itself, with nothing after it. */
export const OWN_POINTS = ['before a claim', 'after a claim', 'before a record', 'after a record'] as const;
/** Where it is killed by who sees its call at the provider. */
export const PROVIDER_POINTS = ['during a request', 'before an answer'] as const;
/** A moment at which a runner is killed. */
export type KillPoint = (typeof OWN_POINTS)[number] | (typeof PROVIDER_POINTS)[number];

/** A kill: at which moment, and at the how manieth of the run. */
export interface Kill {
  readonly point: KillPoint;
  readonly nth: number;
}

/** An order to run what is due. */
export interface Order {
  readonly timeMs: number;
  readonly kill?: Kill | undefined;
}

/** How a run ended. */
export type News = { readonly report: RunReport } | { readonly failed: string };

/** What a runner is started with. */
export interface RunnerSettings {
  readonly path: string;
  readonly endpoint: string;
  readonly alertsFile: string;
  readonly name: string;
  readonly seed: number;
  readonly directoryModule?: string | undefined;
}

/** The life of a runner: an order, its run, the news of it, and the next. */
export async function live({
  path,
  endpoint,
  alertsFile,
  name,
  seed,
  directoryModule,
}: RunnerSettings): Promise<undefined> {
  process.once('disconnect', () => process.exit());
  let order: Order = { timeMs: 0 };
  let countdown = Number.POSITIVE_INFINITY;
  let runs = 0;
  const now = () => order.timeMs;
  const random = randomFrom(seed);

  function pass(point: (typeof OWN_POINTS)[number]): void {
    if (order.kill?.point !== point) return;
    countdown -= 1;
    if (countdown === 0) process.kill(process.pid, 'SIGKILL');
  }

  const openDirectory = await directoryOpener(directoryModule);
  const directory = await openDirectory(path, { now });
  const doJob = createRevocationJobs({
    providers: [providerAt(endpoint)],
    encryptionKeys: KEYS,
    send: (request) => send({ ...request, headers: { ...request.headers, [RUNNER_HEADER]: name } }),
    now,
  });
  const outbox: Outbox = {
    ...directory.outbox,
    async claim(...args) {
      pass('before a claim');
      const jobs = await directory.outbox.claim(...args);
      pass('after a claim');
      return jobs;
    },
    async settle(job, settlement, timeoutMs) {
      // Between what the provider has done and what is known of it here.
      if (settlement.state === 'done') pass('before a record');
      const isRecorded = await directory.outbox.settle(job, settlement, timeoutMs);
      pass('after a record');
      return isRecorded;
    },
  };
  // In the file when it returns, whatever becomes of this process.
  const alert = (message: string, fields: object) =>
    appendFileSync(alertsFile, `${JSON.stringify({ message, ...fields })}\n`);

  async function run(): Promise<News> {
    runs += 1;
    const request = { claim: `${name}.${runs}`, remainingMs: () => 60_000, alert };
    try {
      return { report: await runDueJobs(request, { outbox, doJob, now, random }) };
    } catch (error) {
      if (!isFailure(error)) throw error;
      return { failed: error.message };
    }
  }

  process.on('message', async (message) => {
    order = message as Order; // what this script sends
    countdown = order.kill?.nth ?? Number.POSITIVE_INFINITY;
    process.send?.(await run());
  });
  return new Promise(() => {}); // until it is killed
}
