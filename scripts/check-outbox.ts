/**
 * Is a job of the outbox ever lost? Runners work through jobs on one SQLite directory while the provider is down for a
 * simulated day, and are killed with SIGKILL again and again: before and after a claim, during a request, between what
 * the provider has done and the record of it. Afterwards each job must be done, its tokens revoked at the provider, or
 * given up with an alert and for a reason. Jobs that were set aside are replayed meanwhile, as an operator does.
 *
 * How it is known what happened: the provider is in this process, which nobody kills. The clock is driven by this
 * process, an hour at a time; only the calls and the store are real.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { ProviderTokens } from '#shared/account-link/provider-tokens.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import type { Job } from '#shared/outbox/outbox.ts';
import { UsageError } from './admin/verb.ts';
import { jobId, jobOf, tokensOf } from './check-outbox/jobs.ts';
import { type Provider, REFUSED_PREFIX, startProvider } from './check-outbox/provider.ts';
import { type Kill, type KillPoint, live, OWN_POINTS, PROVIDER_POINTS } from './check-outbox/runner.ts';
import { type Runners, startRunners } from './check-outbox/runners.ts';
import { migrateSqlite } from './migrate.ts';
import { randomFrom } from './seeded-random.ts';

const USAGE = `npm run check:outbox -- [--jobs 10000] [--seed <number>]

  --jobs <count>             how many there are to do: 1 to 100000
  --seed <number>            repeats the plan of an earlier run: who is killed when, and how the provider fails
  --directory-module <path>  a module whose openDirectory(path, options) opens the directory of the runners: to see that
                             a broken one is found

Exit status: 0 nothing was lost; 1 something was; 2 a wrong option; 3 it failed or nothing was shown.
`;

const START_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const DOWN_HOURS = 24;
/** When what is not settled never will be. */
const LAST_HOUR = 60;
/** A runner is killed once in so many jobs, but at least so often. */
const JOBS_PER_KILL = 50;
const MIN_KILLS = 6;

interface Options {
  readonly jobs: number;
  readonly seed: number;
  readonly directoryModule: string | undefined;
}

/** What became of the jobs. */
interface Verdict {
  readonly done: number;
  readonly dead: number;
  /** What is wrong, job by job. */
  readonly lost: readonly string[];
}

/** The command line; resolves to the exit status. */
async function main(): Promise<number> {
  const options = readCommandLine();
  console.log(`seed ${options.seed}\n`);
  const startedAt = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'check-outbox-'));
  const path = join(folder, 'directory.sqlite');
  const alertsFile = join(folder, 'alerts');
  let timeMs = START_MS;
  let directory: Directory | undefined;
  let runners: Runners | undefined;
  let provider: Provider | undefined;
  try {
    migrateSqlite(path);
    writeFileSync(alertsFile, '');
    directory = await openSqliteDirectory(path, { now: () => timeMs });
    for (let index = 0; index < options.jobs; index += 1) await directory.outbox.add(jobOf(index));
    const random = randomFrom(options.seed);
    provider = await startProvider(randomFrom(options.seed + 1), (...call) => runners?.onCall(...call));
    const settings = { path, endpoint: provider.endpoint, alertsFile, directoryModule: options.directoryModule };
    runners = startRunners(import.meta.filename, settings, options.seed);

    const plan = planKills(random, options.jobs);
    let replayed = 0;
    let hour = 0;
    for (let isSettled = false; !isSettled && hour < LAST_HOUR; hour += 1) {
      timeMs = START_MS + hour * HOUR_MS;
      provider.isDown = hour < DOWN_HOURS;
      // Spread over the day; what is left of it comes when the provider is back.
      const due = plan.splice(0, Math.ceil(plan.length / Math.max(1, DOWN_HOURS + 4 - hour)));
      await runners.run(timeMs, due);
      plan.push(...due);
      replayed += await replay(directory);
      isSettled = (await directory.outbox.list('pending', { limit: 1 })).length === 0;
    }
    await runners.end();

    const verdict = await judge(directory, provider, readAlerts(alertsFile), options.jobs);
    return report({ ...options, ...verdict, provider, runners, replayed, hour, startedAt });
  } finally {
    await runners?.end();
    provider?.close();
    await directory?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function readCommandLine(): Options {
  const { values } = parseArgs({
    options: {
      jobs: { type: 'string', default: '10000' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
      'directory-module': { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  const module = values['directory-module'];
  return {
    jobs: wholeNumber('jobs', values.jobs, 1, 100_000),
    seed: wholeNumber('seed', values.seed, 0, 2 ** 32 - 1),
    directoryModule: module && resolve(module),
  };
}

function wholeNumber(name: string, text: string, from: number, to: number): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= from && number <= to) return number;
  throw new UsageError(`--${name} must be a whole number from ${from} to ${to}.`);
}

/** Each point as often as any other. Those that only a success comes to wait for the provider. */
function planKills(random: () => number, jobs: number): Kill[] {
  const points: readonly KillPoint[] = [...OWN_POINTS, ...PROVIDER_POINTS];
  const below = (end: number) => Math.floor(random() * end);
  const kills = Math.max(MIN_KILLS, Math.ceil(jobs / JOBS_PER_KILL));
  const plan = Array.from({ length: kills }, (_, index): Kill => {
    const point = points[index % points.length] ?? 'before a claim';
    // There are up to twenty times as many requests and records as claims.
    return { point, nth: 1 + below(point.endsWith('a claim') ? 3 : 40) };
  });
  return plan
    .map((kill) => ({ kill, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ kill }) => kill);
}

/** What an operator does with jobs that were set aside; returns how many there were. */
async function replay({ outbox }: Directory): Promise<number> {
  let count = 0;
  for (let page = await nextPage(outbox); page.length > 0; page = await nextPage(outbox)) {
    for (const { id } of page) await outbox.replay(id);
    count += page.length;
  }
  return count;
}

function nextPage(outbox: Directory['outbox']): Promise<Job[]> {
  return outbox.list('set_aside', { limit: 100 });
}

/** The jobs of which an operator was told that they are given up. */
function readAlerts(file: string): ReadonlySet<string> {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n').filter(Boolean);
  const alerts = lines.map((line): { message?: unknown; job_id?: unknown } => JSON.parse(line));
  return new Set(
    alerts.filter(({ message }) => message === 'an outbox job is given up').map(({ job_id }) => `${job_id}`),
  );
}

async function judge(
  { outbox }: Directory,
  provider: Provider,
  alerted: ReadonlySet<string>,
  jobs: number,
): Promise<Verdict> {
  const counts = { done: 0, dead: 0 };
  const lost: string[] = [];
  for (let index = 0; index < jobs; index += 1) {
    const job = await outbox.find(jobId(index));
    const wrong = whatIsWrong(job, tokensOf(index), provider.revoked, alerted);
    if (wrong !== undefined) lost.push(`${jobId(index)} ${wrong}`);
    else if (job?.state === 'done') counts.done += 1;
    else counts.dead += 1;
  }
  return { ...counts, lost };
}

function whatIsWrong(
  job: Job | undefined,
  { refreshToken, accessToken }: ProviderTokens,
  revoked: ReadonlySet<string>,
  alerted: ReadonlySet<string>,
): string | undefined {
  const tokens = [refreshToken, accessToken].filter((token) => token !== undefined);
  switch (job?.state) {
    case undefined:
      return 'is gone';
    case 'pending':
    case 'set_aside':
      return 'is never settled';
    case 'done':
      if (!tokens.every((token) => revoked.has(token))) return 'is done, but not at the provider';
      break;
    case 'dead':
      if (!alerted.has(job.id)) return 'was given up in silence';
      if (!tokens.some((token) => token.startsWith(REFUSED_PREFIX))) return 'was given up without a reason';
  }
  return job.secret === undefined ? undefined : 'has kept its tokens';
}

interface Findings extends Options, Verdict {
  readonly provider: Provider;
  readonly runners: Runners;
  readonly replayed: number;
  readonly hour: number;
  readonly startedAt: number;
}

/** Prints what was found; returns the exit status. */
function report({ jobs, done, dead, lost, provider, runners, replayed, hour, startedAt }: Findings): number {
  const { calls, duplicates } = provider;
  const kills = [...runners.kills].sort(([a], [b]) => a.localeCompare(b));
  const killed = kills.reduce((sum, [, count]) => sum + count, 0);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
  const rows: readonly (readonly [number, string])[] = [
    [
      jobs,
      `jobs, settled within ${hour} simulated hours, for ${DOWN_HOURS} of which the provider was down; ${seconds} s`,
    ],
    [done, 'done: their tokens were revoked at the provider'],
    [dead, 'given up for a reason, each with an alert'],
    [replayed, 'times that a job was set aside, after three crashes, and replayed'],
    [calls, 'calls of the provider'],
    [duplicates, 'of them with a token that was revoked before'],
    [runners.failedRuns, 'runs that ended because the store failed'],
    [
      killed,
      ['runners killed', kills.map(([point, count]) => `${count} ${point}`).join(', ')].filter(Boolean).join(': '),
    ],
    [lost.length, 'lost'],
  ];
  for (const [count, text] of rows) console.log(`${count.toLocaleString('en').padStart(10)}  ${text}`);
  if (lost.length > 0) {
    console.error(`Lost: ${lost.slice(0, 5).join(', ')}${lost.length > 5 ? ', …' : ''}`);
    return 1;
  }
  if (killed > 0 && duplicates > 0) return 0;
  console.error('Nobody was killed in the middle of a job: nothing is shown.');
  return 3;
}

/** One sentence for the person at the command line; returns the exit status. */
function complain(error: unknown): number {
  const isParseArgsError =
    error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
  const isUsage = error instanceof UsageError || isParseArgsError;
  if (isUsage) console.error(`${error.message}\n\n${USAGE}`);
  else console.error(error);
  return isUsage ? 2 : 3;
}

const [, , mode, settings = ''] = process.argv;
(mode === '--runner' ? live(JSON.parse(settings)) : main()).then(
  (status = 0) => {
    process.exitCode = status;
  },
  (error: unknown) => process.exit(complain(error)),
);
