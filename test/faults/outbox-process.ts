/**
 * A process on a SQLite directory that others share. It says `ready`, waits for `go`, does what it is told and reports
 * what came of it; or it says `settling` when the provider has answered and a job is to be recorded, and stays there.
 */
import { once } from 'node:events';
import type { RunReport } from '#shared/outbox/run-due-jobs.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import { testKey, testProvider } from '#test/support/outbox-run.ts';
import { callUnlink } from '#test/support/unlink-call.ts';

/** What such a process is told. */
export interface Orders {
  readonly path: string;
  readonly endpoint: string;
  readonly does: 'run' | 'unlink';
  /** Whether it stays before the first record. */
  readonly staysAtSettle?: boolean;
  /** How far ahead its clock is of the machine's, in milliseconds. */
  readonly aheadMs?: number;
}

/** What a run reports. */
export interface RunNews {
  readonly report: RunReport;
  /** By how much its memory grew at the most, in MB. */
  readonly grownMb: number;
}

const { createRevocationJobs, openSqliteDirectory, runDueJobs, send } = await loadPorts('sqlite');
const orders = JSON.parse(process.argv[2] ?? '{}') as Orders; // as the test writes them
const now = () => Date.now() + (orders.aheadMs ?? 0);
const directory = await openSqliteDirectory(orders.path, { now });
process.on('disconnect', () => process.exit());
process.send?.('ready');
await once(process, 'message');
if (orders.does === 'unlink') process.send?.(await callUnlink(directory, orders.endpoint, 'a', { now }));
else process.send?.(await run());
await directory.close();
process.disconnect();

async function run(): Promise<RunNews> {
  const maxRssBefore = process.resourceUsage().maxRSS; // in KB
  const doJob = createRevocationJobs({
    providers: [testProvider(orders.endpoint)],
    encryptionKeys: [testKey('k1')],
    send,
    now,
  });
  const outbox: typeof directory.outbox = {
    ...directory.outbox,
    settle: (...args) => {
      if (orders.staysAtSettle !== true) return directory.outbox.settle(...args);
      process.send?.('settling');
      return new Promise(() => {});
    },
  };
  const request = {
    claim: `process ${process.pid}`,
    remainingMs: () => 60_000,
    alert: () => {},
  };
  const report = await runDueJobs(request, { outbox, doJob, now, random: () => 0 });
  return { report, grownMb: (process.resourceUsage().maxRSS - maxRssBefore) / 1024 };
}
