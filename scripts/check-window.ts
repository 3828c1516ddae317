/**
 * Is there a window in which a revoked token is let in? Some processes revoke, others check, all on one store; a check
 * that begins after a revocation was acknowledged must say "revoked".
 *
 * How a checker knows: after the store has acknowledged, and not before, a revoker appends the time to a file of its
 * own; a checker reads the file before it begins a check. What is written to a file is seen by every later read on the
 * same machine, so what a checker finds there was acknowledged before its check began.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, openSync, readSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { isFailure, Misconfigured } from '#shared/errors.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import type { PresentedToken, Revocation, TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { storeName } from './admin/settings.ts';
import { UsageError } from './admin/verb.ts';
import { migrateSqlite } from './migrate.ts';

const USAGE = `npm run check:window -- [--checks 1000000] [--processes 4] [--store <url>]

  --checks <count>       how many checks begin after an acknowledged revocation
  --processes <count>    2 to 64; half of them revoke, the others check
  --store <url>          a migrated store that processes can share; default: SQLite in a temporary folder.
                         What is revoked there expires after an hour: npm run admin -- purge
  --store-module <path>  a module whose openStore(url) opens the store: to see that a broken one is found

Exit status: 0 none of them said "not revoked"; 1 some did; 2 a wrong option; 3 the store failed or nothing was shown.
`;

/** How long the store may be unavailable to one call: an embedded one is to all but one of those that write. */
const PATIENCE_MS = 20_000;

/** An acknowledgement in a revoker's file: the nanoseconds of the monotonic clock, one for all processes. */
const RECORD_BYTES = 8;

/** What one process does. */
interface Job {
  readonly role: 'revoke' | 'check';
  readonly storeUrl: string;
  readonly storeModule: string | undefined;
  /** When what is revoked expires, in seconds since the epoch. */
  readonly expiresAt: number;
  /** The revokers that a checker follows, or the one that this process is. */
  readonly revokers: readonly Revoker[];
  /** How many checks a checker makes. */
  readonly checks: number;
}

/** A process that revokes `<prefix>0`, `<prefix>1`, … and appends a record to its file for each. */
interface Revoker {
  readonly file: string;
  readonly prefix: string;
}

/** What a checker saw. */
interface Findings {
  /** Checks that began after the acknowledgement. */
  checks: number;
  /** How many of them said "not revoked", and of which ids at first. */
  violations: number;
  violated: string[];
  /** Checks before it: they tell that the store can say "not revoked", and tempt one that remembers its answers. */
  early: number;
  earlyNotRevoked: number;
  /** How long after the acknowledgement the first check of each id began, in microseconds. */
  delaysUs: number[];
}

/** The command line; resolves to the exit status. */
async function main(): Promise<number> {
  const { checks, processes, storeModule, ...given } = readCommandLine();
  const folder = mkdtempSync(join(tmpdir(), 'check-window-'));
  const ending = new AbortController();
  const ended: Promise<unknown>[] = [];
  const start = (job: Job) => startProcess(job, ending, ended);
  try {
    const storeUrl = given.storeUrl ?? `sqlite:${join(folder, 'window.sqlite')}`;
    if (given.storeUrl === undefined) migrateSqlite(join(folder, 'window.sqlite'));
    const run = randomBytes(6).toString('hex');
    const revokers = Array.from({ length: Math.floor(processes / 2) }, (_, index) => ({
      file: join(folder, `acknowledged-${index}`),
      prefix: `check-window.${run}.${index}.`,
    }));
    for (const { file } of revokers) writeFileSync(file, '');
    const common = { storeUrl, storeModule, expiresAt: Math.floor(Date.now() / 1000) + 3600 };
    await assertUsable(common);

    const startedAt = performance.now();
    for (const own of revokers) void start({ ...common, role: 'revoke', revokers: [own], checks: 0 });
    const checkers = processes - revokers.length;
    const answers = Array.from({ length: checkers }, () =>
      start({ ...common, role: 'check', revokers, checks: Math.ceil(checks / checkers) }),
    );
    const findings = sum(await Promise.all(answers));
    const seconds = (performance.now() - startedAt) / 1000;
    const revoked = revokers.reduce((count, { file }) => count + statSync(file).size / RECORD_BYTES, 0);

    console.log(`${storeName({ STORE_URL: storeUrl })}, ${revokers.length} processes revoke, ${checkers} check`);
    return report(findings, revoked, seconds);
  } finally {
    ending.abort();
    await Promise.all(ended);
    rmSync(folder, { recursive: true, force: true });
  }
}

function readCommandLine() {
  const { values } = parseArgs({
    options: {
      checks: { type: 'string', default: '1000000' },
      processes: { type: 'string', default: '4' },
      store: { type: 'string' },
      'store-module': { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  if (values.store !== undefined) {
    storeName({ STORE_URL: values.store });
    // Opens nothing yet, and refuses an address that no driver knows.
    openTokenRevocationStore({ STORE_URL: values.store }, LOCAL_PLATFORM);
  }
  return {
    checks: wholeNumber('checks', values.checks, 1, 1_000_000_000),
    processes: wholeNumber('processes', values.processes, 2, 64),
    storeUrl: values.store,
    storeModule: values['store-module'],
  };
}

function wholeNumber(name: string, text: string, from: number, to: number): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= from && number <= to) return number;
  throw new UsageError(`--${name} must be a whole number from ${from} to ${to}.`);
}

/** Starts a process. One that fails ends them all; a checker answers with what it found, a revoker is ended. */
function startProcess(job: Job, ending: AbortController, ended: Promise<unknown>[]): Promise<Findings> {
  const child: ChildProcess = fork(import.meta.filename, ['--process'], {
    signal: ending.signal,
    killSignal: 'SIGKILL',
  });
  const answer = new Promise<Findings>((resolve, reject) => {
    // What a process of ours sends is what checkUntilEnough returned.
    child.once('message', (message) => resolve(message as Findings));
    child.once('error', (error) => reject(new ProcessFailed('A process failed.', { cause: error })));
    child.once('exit', (...end) => reject(new ProcessFailed(`A process ended with ${end.join(' ').trim()}.`)));
  });
  answer.catch(() => ending.abort());
  ended.push(new Promise((resolve) => child.once('exit', resolve)));
  child.send(job);
  return answer;
}

/** A process has failed and said why. */
class ProcessFailed extends Error {}

/** A store that is not there is told at once, not after all the patience with one that is busy. */
async function assertUsable(job: Pick<Job, 'storeUrl' | 'storeModule'>): Promise<void> {
  const store = await openStore(job);
  try {
    await store.check(tokenOf('none', 0));
  } finally {
    await store.close();
  }
}

/** The life of a process that {@link startProcess} started. */
async function runProcess(): Promise<undefined> {
  process.once('disconnect', () => process.exit());
  const [message] = await once(process, 'message');
  // What startProcess sends first.
  const job = message as Job;
  const store = await openStore(job);
  if (job.role === 'revoke') await revokeUntilEnded(job, store);
  else process.send?.(await checkUntilEnough(job, store));
  await store.close();
  process.disconnect();
}

async function openStore({
  storeUrl,
  storeModule,
}: Pick<Job, 'storeUrl' | 'storeModule'>): Promise<TokenRevocationStore> {
  if (storeModule === undefined) return openTokenRevocationStore({ STORE_URL: storeUrl }, LOCAL_PLATFORM);
  return (await import(pathToFileURL(resolve(storeModule)).href)).openStore(storeUrl);
}

async function revokeUntilEnded({ revokers: [own], expiresAt }: Job, store: TokenRevocationStore): Promise<never> {
  if (own === undefined) throw new RangeError('a revoker has a file');
  const file = openSync(own.file, 'a');
  const record = Buffer.alloc(RECORD_BYTES);
  for (let index = 0; ; index += 1) {
    const revocation = revocationOf(own.prefix, index, expiresAt);
    await retryWhileUnavailable(PATIENCE_MS, (timeoutMs) => store.revoke(revocation, timeoutMs));
    record.writeBigUInt64LE(process.hrtime.bigint());
    writeSync(file, record);
    // Leaves the writer's lock of an embedded store to the others, and the processor to those that check.
    await setTimeout(1);
  }
}

async function checkUntilEnough({ revokers, checks }: Job, store: TokenRevocationStore): Promise<Findings> {
  const findings: Findings = { checks: 0, violations: 0, violated: [], early: 0, earlyNotRevoked: 0, delaysUs: [] };
  const followed = revokers.map(({ file, prefix }) => ({ prefix, acknowledged: 0, readNew: followFile(file) }));

  const isRevoked = async (prefix: string, index: number) =>
    (await retryWhileUnavailable(PATIENCE_MS, (timeoutMs) => store.check(tokenOf(prefix, index), timeoutMs))).revoked;

  async function checkAcknowledged(prefix: string, index: number): Promise<void> {
    findings.checks += 1;
    if (await isRevoked(prefix, index)) return;
    findings.violations += 1;
    if (findings.violated.length < 5) findings.violated.push(`${prefix}${index}`);
  }

  async function checkNew(revoker: (typeof followed)[number]): Promise<void> {
    for (const acknowledgedAt of revoker.readNew()) {
      findings.delaysUs.push(Number(process.hrtime.bigint() - acknowledgedAt) / 1000);
      await checkAcknowledged(revoker.prefix, revoker.acknowledged);
      revoker.acknowledged += 1;
    }
  }

  async function checkNext(prefix: string, index: number): Promise<void> {
    findings.early += 1;
    if (!(await isRevoked(prefix, index))) findings.earlyNotRevoked += 1;
  }

  for (let turn = 0; findings.checks < checks; turn += 1) {
    for (const revoker of followed) {
      await checkNew(revoker);
      const { prefix, acknowledged } = revoker;
      if (acknowledged === 0 || turn % 4 === 0) await checkNext(prefix, acknowledged);
      else await checkAcknowledged(prefix, anyBelow(acknowledged));
    }
    if (turn % 256 === 0) await setImmediate(); // A store that works synchronously would let nothing else happen.
  }
  return findings;
}

/** Returns what reads the records that were appended to a file since the last reading. */
function followFile(path: string): () => bigint[] {
  const file = openSync(path, 'r');
  const buffer = Buffer.alloc(RECORD_BYTES * 512);
  let position = 0;
  return () => {
    const count = Math.floor(readSync(file, buffer, 0, buffer.length, position) / RECORD_BYTES);
    position += count * RECORD_BYTES;
    return Array.from({ length: count }, (_, index) => buffer.readBigUInt64LE(index * RECORD_BYTES));
  };
}

/** Half of the time one of the newest, which caches and replicas would know last; else any. */
function anyBelow(count: number): number {
  const among = Math.random() < 0.5 ? Math.min(count, 16) : count;
  return count - 1 - Math.floor(Math.random() * among);
}

/** By turns a token id and a cut-off. No grants: they never expire, and the store may be one that lives on. */
function revocationOf(prefix: string, index: number, expiresAt: number): Revocation {
  const id = `${prefix}${index}`;
  return index % 2 === 0
    ? { tokenIds: [id], grants: [], cutOffs: [], expiresAt }
    : { tokenIds: [], grants: [], cutOffs: [{ key: id, issuedUpTo: 1000 }], expiresAt };
}

function tokenOf(prefix: string, index: number): PresentedToken {
  const id = `${prefix}${index}`;
  return index % 2 === 0
    ? { tokenIds: [id], grants: [], cutOffKeys: [], issuedAt: 1000 }
    : { tokenIds: [], grants: [], cutOffKeys: [id], issuedAt: 1000 };
}

function sum(all: readonly Findings[]): Findings {
  return all.reduce((left, right) => ({
    checks: left.checks + right.checks,
    violations: left.violations + right.violations,
    violated: [...left.violated, ...right.violated],
    early: left.early + right.early,
    earlyNotRevoked: left.earlyNotRevoked + right.earlyNotRevoked,
    delaysUs: [...left.delaysUs, ...right.delaysUs],
  }));
}

/** Prints what was found; returns the exit status. */
function report(findings: Findings, revoked: number, seconds: number): number {
  const { checks, violations, violated, early, earlyNotRevoked } = findings;
  const delaysUs = findings.delaysUs.toSorted((left, right) => left - right);
  const [tenth, half] = [0.1, 0.5].map((share) => `${delaysUs[Math.floor(delaysUs.length * share)]?.toFixed(0)} µs`);
  const rows = [
    [revoked, `revocations acknowledged in ${seconds.toFixed(1)} s`],
    [checks, 'checks begun after the acknowledgement'],
    [delaysUs.length, `of them the first of a process for its id: half within ${half}, a tenth within ${tenth}`],
    [early, `checks begun before it, ${earlyNotRevoked.toLocaleString('en')} said "not revoked"`],
    [violations, 'begun after it said "not revoked"'],
  ] as const;
  for (const [count, text] of rows) console.log(`${count.toLocaleString('en').padStart(13)}  ${text}`);
  if (violations > 0) {
    console.error(
      `Not revoked although acknowledged: ${violated.slice(0, 5).join(', ')}${violations > 5 ? ', …' : ''}`,
    );
    return 1;
  }
  if (earlyNotRevoked > 0) return 0;
  console.error('The store never said "not revoked", not even where it was true: nothing is shown.');
  return 3;
}

/** One sentence for the person at the command line; returns the exit status. */
function complain(error: unknown): number {
  const isUsage = error instanceof UsageError || error instanceof Misconfigured || isParseArgsError(error);
  if (isUsage) console.error(`${error.message}\n\n${USAGE}`);
  else if (isFailure(error) || error instanceof ProcessFailed) console.error(error.message);
  else console.error(error);
  return isUsage ? 2 : 3;
}

function isParseArgsError(error: unknown): error is Error {
  return error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
}

(process.argv[2] === '--process' ? runProcess() : main()).then(
  (status = 0) => {
    process.exitCode = status;
  },
  (error: unknown) => process.exit(complain(error)),
);
