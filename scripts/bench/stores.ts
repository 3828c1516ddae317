import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DYNAMODB_CREDENTIALS, startDynamodbServer } from '#test/support/dynamodb-server.ts';
import { startPostgresServer } from '#test/support/postgres-server.ts';
import { startRedisServer } from '#test/support/redis-server.ts';
import { ensureServices } from '#test/support/test-services.ts';
import {
  bearing,
  type Client,
  createApiClient,
  idOf,
  migrateTable,
  type OnEnd,
  openDriver,
  openRawClient,
  type Requests,
  recordRequests,
  SAMPLE,
  signed,
} from './raw-client.ts';
import { median } from './statistics.ts';

const USAGE = `npm run bench:stores -- [--store <name>] … [--short] [--json]

  --store <name>  sqlite, postgres, redis, dynamodb or dynamodb-stub; repeatable, default: all of them
  --short         a quick look instead of a measurement
  --json          one JSON document instead of tables

The AWS SDK takes part when it is there: npm --prefix scripts/bench/peers ci
`;

/**
 * Each driver beside the raw client of its store, which sends the very statement that the driver sends and nothing
 * around it: no deadline, no translation of errors, no other try. In turns, in one process, on private servers.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      store: { type: 'string', multiple: true, default: Object.keys(COURSES) },
      short: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  const unknown = values.store.find((name) => !(name in COURSES));
  if (values.help || unknown !== undefined) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  ensureServices();
  const effort = values.short ? { rounds: 5, roundMs: 100 } : { rounds: 21, roundMs: 200 };
  const results: Result[] = [];
  for (const name of values.store) {
    for await (const result of measure(name, effort)) {
      results.push(result);
      if (!values.json) printTable(result);
    }
  }
  if (values.json)
    console.log(JSON.stringify({ node: process.version, cpus: cpus().length, effort, results }, null, 2));
}

async function* measure(name: string, effort: Effort): AsyncGenerator<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-stores-'));
  const ends: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];
  try {
    for (const course of (await COURSES[name]?.(folder, (end) => ends.unshift(end))) ?? []) {
      yield await runCourse(course, effort);
    }
  } finally {
    for (const end of ends) await end();
  }
}

/** The clients of one store; the first is the driver. */
interface Course {
  readonly title: string;
  readonly callers: readonly number[];
  readonly clients: readonly [Client, ...Client[]];
}

/** Makes what is compared. */
type SetUp = (folder: string, onEnd: OnEnd) => Promise<readonly Course[]>;

const COURSES: Readonly<Record<string, SetUp>> = {
  async sqlite(folder, onEnd) {
    const clients = await openClients(`sqlite:${join(folder, 'store.sqlite')}`, onEnd);
    return [{ title: 'SQLite', callers: [1], clients }];
  },

  async postgres(_folder, onEnd) {
    const server = await startPostgresServer();
    onEnd(server.stop);
    return [{ title: 'PostgreSQL', callers: [1, 32], clients: await openClients(server.url, onEnd) }];
  },

  async redis(_folder, onEnd) {
    const server = await startRedisServer();
    onEnd(server.stop);
    return [{ title: 'Redis, appendfsync always', callers: [1, 32], clients: await openClients(server.url, onEnd) }];
  },

  async dynamodb(_folder, onEnd) {
    const server = await startDynamodbServer();
    onEnd(server.stop);
    const clients = await openClients(`${server.url}&table=${TABLE}`, onEnd);
    return [{ title: 'DynamoDB Local, in memory, SigV4', callers: [1, 32], clients }];
  },

  async 'dynamodb-stub'(_folder, onEnd) {
    const server = await startDynamodbServer();
    await migrateTable(`${server.url}&table=${TABLE}`);
    const requests = await recordRequests(`${server.url}&table=${TABLE}`);
    await server.stop();

    const stub = fork(fileURLToPath(import.meta.resolve('./dynamodb-stub.ts')), [TABLE]);
    onEnd(() => stub.disconnect());
    const [port] = await once(stub, 'message');
    const address = `dynamodb+http://127.0.0.1:${port}/?table=${TABLE}`;
    const sigv4 = `${address}&region=local&auth=sigv4`;
    const open = (name: string, url: string) => openDriver(name, url, onEnd, { isMigrated: true });
    const sdk = openAwsSdk(`http://127.0.0.1:${port}`, requests, onEnd);
    return [
      {
        title: 'DynamoDB API, a stub that answers at once, SigV4',
        callers: [1, 32],
        clients: [
          await open('driver', sigv4),
          createApiClient('node:http and aws4', sigv4, signed, requests, onEnd),
          ...(sdk === undefined ? [] : [sdk]),
        ],
      },
      {
        title: 'DynamoDB API, a stub that answers at once, IAM token',
        callers: [1, 32],
        clients: [
          await open('driver', `${address}&auth=iam`),
          createApiClient('node:http', `${address}&auth=iam`, bearing, requests, onEnd),
        ],
      },
    ];
  },
};

/** The driver and its raw client, for a store that holds some revocations. */
async function openClients(url: string, onEnd: OnEnd): Promise<[Client, Client]> {
  const driver = await openDriver('driver', url, onEnd);
  const raw = await openRawClient(url, driver, onEnd);
  for (let index = 0; index < KNOWN; index += 1) await driver.revoke(idOf('known', index));
  return [driver, raw];
}

/** The table of the DynamoDB API that is measured on. */
const TABLE = 'bench';

/** How many revoked ids there are to be checked. */
const KNOWN = 1000;

/** What is used of `@aws-sdk/client-dynamodb`, which is not installed with the project. */
interface AwsSdk {
  readonly DynamoDBClient: new (options: object) => { send(command: object): Promise<unknown>; destroy(): void };
  readonly TransactWriteItemsCommand: new (input: object) => object;
  readonly BatchGetItemCommand: new (input: object) => object;
}

/** The AWS SDK as a client, or nothing when it is not there. */
function openAwsSdk(endpoint: string, { revoke, check }: Requests, onEnd: OnEnd): Client | undefined {
  let sdk: AwsSdk;
  try {
    sdk = createRequire(join(import.meta.dirname, 'peers/'))('@aws-sdk/client-dynamodb');
  } catch {
    console.error('The AWS SDK is left out: npm --prefix scripts/bench/peers ci');
    return undefined;
  }
  const client = new sdk.DynamoDBClient({ endpoint, region: 'local', credentials: DYNAMODB_CREDENTIALS });
  onEnd(() => client.destroy());
  return {
    name: '@aws-sdk/client-dynamodb',
    revoke: (id) => client.send(new sdk.TransactWriteItemsCommand(JSON.parse(revoke.body.replaceAll(SAMPLE, id)))),
    check: (id) => client.send(new sdk.BatchGetItemCommand(JSON.parse(check.body.replaceAll(SAMPLE, id)))),
  };
}

/** One client doing one thing: medians of the rounds. */
interface Row {
  readonly work: 'revoke' | 'check';
  readonly callers: number;
  readonly client: string;
  readonly perSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** What an operation takes of this process's time on the processor: the measure that other load blurs least. */
  readonly cpuUs: number;
  /** The driver's operations a second in terms of this client's, round by round. */
  readonly driverRatio: number;
}

interface Result {
  readonly title: string;
  /** Of the machine over the last minute, when this course began. */
  readonly load: number;
  readonly rows: readonly Row[];
}

interface Effort {
  readonly rounds: number;
  readonly roundMs: number;
}

async function runCourse({ title, callers, clients }: Course, effort: Effort): Promise<Result> {
  const [load = 0] = loadavg();
  const rows: Row[] = [];
  for (const work of ['revoke', 'check'] as const) {
    for (const count of callers) rows.push(...(await compare(clients, work, count, effort)));
  }
  return { title, load, rows };
}

/** Rounds of all clients in turns, each time beginning with another one; the first is to warm up. */
async function compare(
  clients: Course['clients'],
  work: 'revoke' | 'check',
  callers: number,
  { rounds, roundMs }: Effort,
): Promise<Row[]> {
  const measured = clients.map((): Round[] => []);
  for (let round = 0; round <= rounds; round += 1) {
    for (let turn = 0; turn < clients.length; turn += 1) {
      const index = (round + turn) % clients.length;
      const client = clients[index];
      if (client === undefined) continue;
      const result = await runRound(client, work, callers, roundMs);
      if (round > 0) measured[index]?.push(result);
    }
  }
  const [driver = []] = measured;
  return clients.map(({ name }, index) => {
    const own = measured[index] ?? [];
    return {
      work,
      callers,
      client: name,
      perSecond: median(own.map(({ perSecond }) => perSecond)),
      p50Us: median(own.map(({ p50Us }) => p50Us)),
      p99Us: median(own.map(({ p99Us }) => p99Us)),
      cpuUs: median(own.map(({ cpuUs }) => cpuUs)),
      driverRatio: median(own.map(({ perSecond }, round) => (driver[round]?.perSecond ?? Number.NaN) / perSecond)),
    };
  });
}

type Round = Pick<Row, 'perSecond' | 'p50Us' | 'p99Us' | 'cpuUs'>;

/** Ids that nobody has revoked, of all rounds. */
let revoked = 0;

async function runRound(client: Client, work: 'revoke' | 'check', callers: number, roundMs: number): Promise<Round> {
  const latenciesMs: number[] = [];
  const usedAtStart = process.cpuUsage();
  const startedAt = performance.now();
  const endsAt = startedAt + roundMs;
  async function callOn(): Promise<void> {
    for (let from = performance.now(); from < endsAt; ) {
      revoked += 1;
      await (work === 'revoke' ? client.revoke(idOf('new', revoked)) : client.check(idOf('known', revoked % KNOWN)));
      const to = performance.now();
      latenciesMs.push(to - from);
      from = to;
    }
  }
  await Promise.all(Array.from({ length: callers }, callOn));
  const seconds = (performance.now() - startedAt) / 1000;
  const used = process.cpuUsage(usedAtStart);
  const sorted = latenciesMs.sort((one, other) => one - other);
  const percentileUs = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? Number.NaN) * 1000;
  return {
    perSecond: sorted.length / seconds,
    p50Us: percentileUs(0.5),
    p99Us: percentileUs(0.99),
    cpuUs: (used.user + used.system) / sorted.length,
  };
}
function printTable({ title, load, rows }: Result): void {
  console.log(`\n${title} (load ${load.toFixed(1)})\n`);
  console.log('work    callers  client                                 ops/s   p50 µs   p99 µs   CPU µs   driver is');
  for (const { work, callers, client, perSecond, p50Us, p99Us, cpuUs, driverRatio } of rows) {
    const numbers = [perSecond, p50Us, p99Us, cpuUs].map((value) => Math.round(value).toLocaleString('en').padStart(8));
    const ratio = client === 'driver' ? '' : `${driverRatio.toFixed(2)}×`.padStart(11);
    console.log([work.padEnd(7), String(callers).padStart(7), ` ${client.padEnd(35)}`, ...numbers, ratio].join(' '));
  }
}

await main();
