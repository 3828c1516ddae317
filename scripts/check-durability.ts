/**
 * Is an acknowledged revocation ever lost? Writers revoke on a store while its server and they themselves are killed
 * with SIGKILL at random moments and started again on the same data; afterwards every acknowledged revocation is looked for.
 * Before each second kill a server's settings are changed under its live connections, so that it would acknowledge what it
 * may lose: `synchronous_commit` off, `appendonly` no.
 *
 * How it is known what was acknowledged: a writer tells this process, which nobody kills, before it begins a revocation
 * and after the store has acknowledged it. `kill -9` proves nothing of a power cut: what the machine's memory holds for
 * the disk outlives a process. That the settings wait for the disk is asserted by the drivers.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause, setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import type { PresentedToken, Revocation, TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { ensureServices } from '#test/support/test-services.ts';
import { UsageError } from './admin/verb.ts';
import { BACKENDS, type Backend, type BackendName, DYNAMODB_KEY, type Server } from './check-durability/servers.ts';
import { randomFrom } from './seeded-random.ts';

const DEFAULT_STORES: readonly BackendName[] = ['sqlite', 'postgres', 'redis', 'dynamodb'];

const USAGE = `npm run check:durability -- [--revocations 25000] [--store <name>] … [--seed <number>]

  --revocations <count>  how many are acknowledged on each store
  --store <name>         ${DEFAULT_STORES.join(', ')}; repeatable, default: all of them, one after another.
                         redis-without-disk keeps nothing: to see that a loss is found
  --seed <number>        repeats the plan of an earlier run: after how many acknowledgements who is killed

DynamoDB Local answers a transaction before it commits it. There a revocation counts as acknowledged when a later check
has seen it: that shows what the driver does, not what DynamoDB or YDB do.

Exit status: 0 nothing was lost; 1 something was; 2 a wrong option; 3 it failed or nothing was shown.
`;

/** How many processes revoke, and how many revocations each has under way. */
const WRITERS = 2;
const CALLERS = 6;

/** How long the store may be away for one call, in milliseconds: its server is killed and started again. */
const PATIENCE_MS = 60_000;

/** How many checks are under way when the history is gone through. */
const CHECKERS = 16;

/** What a writer tells. */
interface News {
  readonly id: string;
  readonly is: 'begun' | 'acknowledged';
}

/** A kill: after how many acknowledgements, how many milliseconds later, and whom. */
interface Kill {
  readonly after: number;
  readonly delayMs: number;
  readonly server: boolean;
  /** Whether the server's settings are changed before it, so that it acknowledges what it may lose. */
  readonly loosens?: boolean;
  readonly writer: number | undefined;
}

/** How long the load goes on with settings that may lose it, in milliseconds. */
const LOOSE_MS = 200;

/** What became of one store. */
interface Outcome {
  readonly store: BackendName;
  readonly acknowledged: number;
  /** Begun, and under way when their writer was killed: whether they hold is not known. */
  readonly unknown: number;
  readonly serverKills: number;
  /** How often its settings were changed before. */
  readonly changes: number;
  readonly writerKills: number;
  readonly lost: readonly string[];
  readonly seconds: number;
}

/** The command line; resolves to the exit status. */
async function main(): Promise<number> {
  const { revocations, stores, seed } = readCommandLine();
  ensureServices();
  Object.assign(process.env, DYNAMODB_KEY);
  console.log(`seed ${seed}\n`);
  console.log(
    'store               acknowledged   unknown   kills of server   settings   kills of writers   lost    time',
  );
  let isLost = false;
  for (const store of stores) {
    const outcome = await checkStore(store, revocations, seed);
    printRow(outcome);
    isLost ||= outcome.lost.length > 0;
  }
  return isLost ? 1 : 0;
}

function readCommandLine(): { revocations: number; stores: readonly BackendName[]; seed: number } {
  const { values } = parseArgs({
    options: {
      revocations: { type: 'string', default: '25000' },
      store: { type: 'string', multiple: true, default: [...DEFAULT_STORES] },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 32)) },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    process.exit(0);
  }
  return {
    revocations: wholeNumber('revocations', values.revocations, 1, 1_000_000),
    stores: values.store.map(backendName),
    seed: wholeNumber('seed', values.seed, 0, 2 ** 32 - 1),
  };
}

function wholeNumber(name: string, text: string, from: number, to: number): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (number >= from && number <= to) return number;
  throw new UsageError(`--${name} must be a whole number from ${from} to ${to}.`);
}

function backendName(text: string): BackendName {
  const names = Object.keys(BACKENDS) as BackendName[]; // Its own keys.
  const name = names.find((known) => known === text);
  if (name === undefined) throw new UsageError(`--store must be ${names.join(', ')}.`);
  return name;
}

async function checkStore(store: BackendName, revocations: number, seed: number): Promise<Outcome> {
  const startedAt = performance.now();
  const folder = mkdtempSync(join(tmpdir(), 'check-durability-'));
  let backend: Backend | undefined;
  let writers: Writers | undefined;
  try {
    backend = await BACKENDS[store](folder);
    const { storeUrl, server } = backend;
    await server?.start();
    writers = startWriters(backend);
    const kills = planKills(randomFrom(seed), revocations, server !== undefined);
    for (const kill of kills) {
      await writers.acknowledge(kill.after);
      if (kill.loosens) await loosen(server);
      await pause(kill.delayMs);
      await Promise.all([kill.server && server?.kill(), kill.writer !== undefined && writers.replace(kill.writer)]);
      if (kill.server) await server?.start();
    }
    await writers.acknowledge(revocations);
    await Promise.all([writers.end(), server?.kill()]);
    await server?.start();

    const { acknowledged, begun } = writers.history;
    return {
      store,
      acknowledged: acknowledged.length,
      unknown: begun - acknowledged.length,
      serverKills: server === undefined ? 0 : kills.filter((kill) => kill.server).length + 1,
      changes: server?.loosen === undefined ? 0 : kills.filter((kill) => kill.loosens).length,
      writerKills: kills.filter(({ writer }) => writer !== undefined).length + WRITERS,
      lost: await findLost(storeUrl, acknowledged),
      seconds: (performance.now() - startedAt) / 1000,
    };
  } finally {
    await writers?.end();
    await backend?.server?.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function loosen(server: Server | undefined): Promise<void> {
  if (server?.loosen === undefined) return;
  await server.loosen();
  await pause(LOOSE_MS);
}

/** The server is killed once in 1,000 revocations, each second time together with a writer; writers twice as often. */
function planKills(random: () => number, revocations: number, hasServer: boolean): Kill[] {
  const times = Math.ceil(revocations / 1000);
  const below = (end: number) => Math.floor(random() * end);
  const moment = () => ({ after: below(revocations), delayMs: below(20) });
  const ofServer = Array.from({ length: hasServer ? times : 0 }, (_, index) => {
    return {
      ...moment(),
      server: true,
      loosens: index % 2 === 0,
      writer: index % 2 === 0 ? undefined : below(WRITERS),
    };
  });
  const ofWriters = Array.from({ length: 2 * times }, () => ({ ...moment(), server: false, writer: below(WRITERS) }));
  return [...ofServer, ...ofWriters].sort((one, other) => one.after - other.after);
}

/** The processes that revoke, and what they told. */
interface Writers {
  readonly history: { readonly acknowledged: readonly string[]; readonly begun: number };
  /** Resolves when so many revocations are acknowledged; rejects when a writer has failed. */
  acknowledge(count: number): Promise<void>;
  /** Kills one and starts another in its place. */
  replace(index: number): Promise<void>;
  /** Kills them all. May be called twice. */
  end(): Promise<void>;
}

function startWriters({ storeUrl, answersEarly = false }: Backend): Writers {
  const history = { acknowledged: [] as string[], begun: 0 };
  const signs = new EventEmitter();
  const killed = new WeakSet<ChildProcess>();
  let started = 0;
  let failure: Error | undefined;

  function start(): ChildProcess {
    started += 1;
    const child = fork(import.meta.filename, [
      '--writer',
      storeUrl,
      `writer-${started}.`,
      ...(answersEarly ? ['--check'] : []),
    ]);
    child.on('message', (message) => {
      const { is, id } = message as News; // What a writer of ours sends.
      if (is === 'begun') history.begun += 1;
      else history.acknowledged.push(id);
      signs.emit('news');
    });
    child.once('exit', (...end) => {
      if (killed.has(child)) return;
      failure = new Error(`A writer ended with ${end.join(' ').trim()}.`);
      signs.emit('news');
    });
    return child;
  }

  /** Resolves when all that it told has been heard. */
  async function kill(child: ChildProcess): Promise<void> {
    if (!child.connected) return;
    killed.add(child);
    const gone = Promise.all([once(child, 'exit'), once(child, 'disconnect')]);
    child.kill('SIGKILL');
    await gone;
  }

  const writers = Array.from({ length: WRITERS }, start);
  return {
    history,
    async acknowledge(count) {
      while (history.acknowledged.length < count) {
        if (failure !== undefined) throw failure;
        await once(signs, 'news');
      }
    },
    async replace(index) {
      const [old] = writers.splice(index, 1, start());
      if (old !== undefined) await kill(old);
    },
    async end() {
      await Promise.all(writers.map(kill));
    },
  };
}

/**
 * The life of a writer: revokes until it is killed, and tells.
 *
 * @param checks Whether it tells of an acknowledgement only when it has also read what was acknowledged.
 */
async function write(storeUrl: string, prefix: string, checks: boolean): Promise<undefined> {
  process.once('disconnect', () => process.exit());
  const tell = (news: News) => process.send?.(news);
  const store = openStore(storeUrl);
  let begun = 0;
  async function revokeOn(): Promise<never> {
    for (;;) {
      const id = `${prefix}${begun}`;
      begun += 1;
      tell({ id, is: 'begun' });
      await retryWhileUnavailable(PATIENCE_MS, (timeoutMs) => store.revoke(revocationOf(id), timeoutMs));
      if (!checks || (await isRevoked(store, id))) tell({ id, is: 'acknowledged' });
      await setImmediate(); // A store that works synchronously would let nothing else happen.
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, revokeOn));
}

/** The acknowledged revocations that the store does not know. */
async function findLost(storeUrl: string, acknowledged: readonly string[]): Promise<string[]> {
  const store = openStore(storeUrl);
  const lost: string[] = [];
  const left = acknowledged.values();
  async function checkOn(): Promise<void> {
    for (const id of left) if (!(await isRevoked(store, id))) lost.push(id);
  }
  try {
    if (await isRevoked(store, 'never.0')) throw new Error('The store calls everything revoked: nothing is shown.');
    await Promise.all(Array.from({ length: CHECKERS }, checkOn));
    return lost;
  } finally {
    await store.close();
  }
}

async function isRevoked(store: TokenRevocationStore, id: string): Promise<boolean> {
  return (await retryWhileUnavailable(PATIENCE_MS, (timeoutMs) => store.check(tokenOf(id), timeoutMs))).revoked;
}

/** A loss that the store's URL accepts is what is looked for here: nobody need be warned of it. */
function openStore(storeUrl: string): TokenRevocationStore {
  return openTokenRevocationStore({ STORE_URL: storeUrl, ...DYNAMODB_KEY }, { ...LOCAL_PLATFORM, warn() {} });
}

/** By turns a token id, a grant and a cut-off. */
function revocationOf(id: string): Revocation {
  const expiresAt = Math.floor(Date.now() / 1000) + 86_400;
  const { tokenIds, grants, cutOffKeys } = tokenOf(id);
  return { tokenIds, grants, cutOffs: cutOffKeys.map((key) => ({ key, issuedUpTo: 1000 })), expiresAt };
}

function tokenOf(id: string): PresentedToken {
  const kind = Number(id.slice(id.indexOf('.') + 1)) % 3;
  return {
    tokenIds: kind === 0 ? [id] : [],
    grants: kind === 1 ? [id] : [],
    cutOffKeys: kind === 2 ? [id] : [],
    issuedAt: 1000,
  };
}

function printRow({ store, acknowledged, unknown, serverKills, changes, writerKills, lost, seconds }: Outcome): void {
  const count = (number: number, width: number) => number.toLocaleString('en').padStart(width);
  const columns = [
    store.padEnd(18),
    count(acknowledged, 13),
    count(unknown, 9),
    serverKills === 0 ? '–'.padStart(17) : count(serverKills, 17),
    changes === 0 ? '–'.padStart(10) : count(changes, 10),
    count(writerKills, 18),
    count(lost.length, 6),
    `${seconds.toFixed(0)} s`.padStart(7),
  ];
  console.log(columns.join(' '));
  if (lost.length > 0) console.error(`Lost: ${lost.slice(0, 5).join(', ')}${lost.length > 5 ? ', …' : ''}`);
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

const [, , mode, storeUrl = '', prefix = '', check] = process.argv;
(mode === '--writer' ? write(storeUrl, prefix, check === '--check') : main()).then(
  (status = 0) => {
    process.exitCode = status;
  },
  (error: unknown) => process.exit(complain(error)),
);
