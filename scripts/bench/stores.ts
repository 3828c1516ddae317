import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createRequire } from 'node:module';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import aws4 from 'aws4';
import { Redis } from 'iovalkey';
import pg from 'pg';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { openSqliteDatabase } from '#shared/databases/sqlite.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import { DYNAMODB_CREDENTIALS, startDynamodbServer } from '#test/support/dynamodb-server.ts';
import { startDynamodbProxy } from '#test/support/iam-proxy.ts';
import { startPostgresServer } from '#test/support/postgres-server.ts';
import { startRedisServer } from '#test/support/redis-server.ts';
import { ensureServices } from '#test/support/test-services.ts';
import { migrate } from '../migrate.ts';

const USAGE = `npm run bench:stores -- [--store <name>] … [--short] [--json]

  --store <name>  sqlite, postgres, redis, dynamodb or dynamodb-stub; repeatable, default: all of them
  --short         a quick look instead of a measurement
  --json          one JSON document instead of tables

The AWS SDK takes part when it is there: npm --prefix scripts/bench/peers install
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

/** A way to a store. What `revoke` is given is new to it, what `check` is given is revoked. */
interface Client {
  readonly name: string;
  revoke(id: string): unknown;
  check(id: string): unknown;
}

/** The clients of one store; the first is the driver. */
interface Course {
  readonly title: string;
  readonly callers: readonly number[];
  readonly clients: readonly [Client, ...Client[]];
}

/** Makes what is compared; `onEnd` keeps what ends it, the latest first. */
type SetUp = (folder: string, onEnd: (end: () => unknown) => void) => Promise<readonly Course[]>;

const COURSES: Readonly<Record<string, SetUp>> = {
  async sqlite(folder, onEnd) {
    const path = join(folder, 'store.sqlite');
    const driver = await openDriver('driver', `sqlite:${path}`, onEnd);
    await fill(driver);
    // The driver's settings, WAL with synchronous=FULL, and of its statements the one that does the work.
    const database = openSqliteDatabase(path);
    onEnd(() => database.close());
    const insert = database.prepare('INSERT INTO revoked_id (id, revoked_at, expires_at) VALUES (?, ?, ?)');
    const select = database.prepare('SELECT revoked_at FROM revoked_id WHERE id = ? AND expires_at > ?');
    const raw: Client = {
      name: 'node:sqlite, one prepared statement',
      revoke: (id) => insert.run(id, nowS(), EXPIRES_AT),
      check: (id) => select.get(id, nowS()),
    };
    return [{ title: 'SQLite', callers: [1], clients: [driver, raw] }];
  },

  async postgres(_folder, onEnd) {
    const server = await startPostgresServer();
    onEnd(server.stop);
    const driver = await openDriver('driver', server.url, onEnd);
    const { query } = pg.Client.prototype;
    const seen: pg.QueryConfig<unknown[]>[] = [];
    // Its overloads are many; the driver uses the one that takes a statement with its values.
    pg.Client.prototype.query = function record(this: pg.Client, ...given: unknown[]) {
      seen.push(given[0] as pg.QueryConfig<unknown[]>);
      return Reflect.apply(query, this, given);
    } as typeof query;
    const [revoke, check] = await recordStatements(driver, () => seen.at(-1));
    pg.Client.prototype.query = query;
    await fill(driver);
    const pool = new pg.Pool({ ...readPostgresUrl(server.url).connection, max: 2 });
    onEnd(() => pool.end());
    const send = (statement: pg.QueryConfig<unknown[]>) => {
      const put = inPlaceOf(statement.values ?? []);
      return (id: string) => pool.query({ ...statement, values: put(id) });
    };
    const raw: Client = { name: 'pg.Pool', revoke: send(revoke), check: send(check) };
    return [{ title: 'PostgreSQL', callers: [1, 32], clients: [driver, raw] }];
  },

  async redis(_folder, onEnd) {
    const server = await startRedisServer();
    onEnd(server.stop);
    const driver = await openDriver('driver', server.url, onEnd);
    const { evalsha } = Redis.prototype;
    const seen: unknown[][] = [];
    Redis.prototype.evalsha = function record(this: Redis, ...given: unknown[]) {
      seen.push(given);
      return Reflect.apply(evalsha, this, given);
    } as typeof evalsha; // its overloads differ in how a callback is taken
    const [revoke, check] = await recordStatements(driver, () => seen.at(-1));
    Redis.prototype.evalsha = evalsha;
    await fill(driver);
    const redis = new Redis(server.url);
    onEnd(() => redis.disconnect());
    const send = ([sha, keys, ...rest]: unknown[]) => {
      const put = inPlaceOf(rest);
      return (id: string) => redis.evalsha(String(sha), Number(keys), ...(put(id) as string[])); // as the driver gave them
    };
    const raw: Client = { name: 'iovalkey', revoke: send(revoke), check: send(check) };
    return [{ title: 'Redis, appendfsync always', callers: [1, 32], clients: [driver, raw] }];
  },

  async dynamodb(_folder, onEnd) {
    const server = await startDynamodbServer();
    onEnd(server.stop);
    const url = `${server.url}&table=${TABLE}`;
    const driver = await openDriver('driver', url, onEnd);
    await fill(driver);
    const raw = createApiClient('node:http and aws4', url, signed, await recordRequests(url), onEnd);
    return [{ title: 'DynamoDB Local, in memory, SigV4', callers: [1, 32], clients: [driver, raw] }];
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

const EXPIRES_AT = nowS() + 86_400;
const IAM_TOKEN = 't1.bench';
const TABLE = 'bench';

/** Stands for the id in a statement that is recorded. As long as a SHA-256 in base64url, as all ids here. */
const SAMPLE = idOf('sample', 0);

/** How many revoked ids there are to be checked. */
const KNOWN = 1000;

function idOf(kind: string, index: number): string {
  return `${kind}-${index}-`.padEnd(43, 'x');
}

function nowS(): number {
  return Math.floor(Date.now() / 1000);
}

/** The driver, as a function has it, for a store that is migrated first. */
async function openDriver(
  name: string,
  url: string,
  onEnd: (end: () => unknown) => void,
  { isMigrated = false } = {},
): Promise<Client> {
  if (!isMigrated) await (url.startsWith('dynamodb') ? migrateTable(url) : migrate(url));
  const { accessKeyId, secretAccessKey } = DYNAMODB_CREDENTIALS;
  const store = openTokenRevocationStore(
    { STORE_URL: url, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey },
    { ...LOCAL_PLATFORM, iamToken: () => IAM_TOKEN },
  );
  onEnd(() => store.close());
  return {
    name,
    revoke: (id) => store.revoke({ tokenIds: [id], grants: [], cutOffs: [], expiresAt: EXPIRES_AT }),
    check: (id) => store.check({ tokenIds: [id], grants: [], cutOffKeys: [], issuedAt: 1000 }),
  };
}

async function migrateTable(url: string): Promise<void> {
  process.env.AWS_ACCESS_KEY_ID ??= DYNAMODB_CREDENTIALS.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY ??= DYNAMODB_CREDENTIALS.secretAccessKey;
  await migrate(url);
}

async function fill(driver: Client): Promise<void> {
  for (let index = 0; index < KNOWN; index += 1) await driver.revoke(idOf('known', index));
}

/** What the driver sends for a revocation and for a check of {@link SAMPLE}. */
async function recordStatements<Statement>(
  driver: Client,
  latest: () => Statement | undefined,
): Promise<[Statement, Statement]> {
  const statements: Statement[] = [];
  for (const work of [driver.revoke, driver.check]) {
    await work(SAMPLE);
    const statement = latest();
    if (statement !== undefined) statements.push(statement);
  }
  const [revoke, check] = statements;
  if (revoke === undefined || check === undefined) throw new Error('the driver sent nothing that could be recorded');
  return [revoke, check];
}

/** Returns what puts an id where {@link SAMPLE} is in values or in lists of them. */
function inPlaceOf(values: readonly unknown[]): (id: string) => unknown[] {
  const put = (value: unknown, id: string): unknown => {
    if (Array.isArray(value)) return value.map((item) => put(item, id));
    return typeof value === 'string' && value.includes(SAMPLE) ? value.replace(SAMPLE, id) : value;
  };
  return (id) => values.map((value) => put(value, id));
}

/** Bodies of the DynamoDB API, with {@link SAMPLE} in them. */
interface Requests {
  readonly revoke: { readonly action: string; readonly body: string };
  readonly check: { readonly action: string; readonly body: string };
}

async function recordRequests(url: string): Promise<Requests> {
  const seen: { action: string; body: string }[] = [];
  const proxy = await startDynamodbProxy(url, `auth=sigv4&table=${TABLE}`, ({ action, body }, forward) => {
    seen.push({ action, body: JSON.stringify(body) });
    return forward();
  });
  const ends: (() => unknown)[] = [];
  const driver = await openDriver('driver', proxy.url, (end) => ends.push(end), { isMigrated: true });
  const [revoke, check] = await recordStatements(driver, () => seen.at(-1));
  for (const end of ends) await end();
  await proxy.stop();
  return { revoke, check };
}

type Headers = Readonly<Record<string, string>>;
/** Adds to the headers of a request who sends it. */
type Authorize = (request: { path: string; body: string; headers: Headers }) => import('node:http').OutgoingHttpHeaders;

const signed: Authorize = (request) =>
  aws4.sign(
    { ...request, headers: { ...request.headers }, method: 'POST', service: 'dynamodb', region: 'local' },
    DYNAMODB_CREDENTIALS,
  ).headers ?? {};
const bearing: Authorize = ({ headers }) => ({ ...headers, authorization: `Bearer ${IAM_TOKEN}` });

/** The DynamoDB API with what Node and `aws4` offer. */
function createApiClient(
  name: string,
  storeUrl: string,
  authorize: Authorize,
  { revoke, check }: Requests,
  onEnd: (end: () => unknown) => void,
): Client {
  const { hostname, port, host } = new URL(storeUrl.replace('dynamodb+', ''));
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  onEnd(() => agent.destroy());
  async function call(action: string, body: string): Promise<unknown> {
    const headers = authorize({
      path: '/',
      body,
      headers: { host, 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `DynamoDB_20120810.${action}` },
    });
    return new Promise((resolve, reject) => {
      request({ hostname, port, path: '/', method: 'POST', headers, agent }, (answer) => {
        let received = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          received += chunk;
        });
        answer.on('end', () => {
          if (answer.statusCode === 200) resolve(JSON.parse(received));
          else reject(new Error(`${answer.statusCode} ${received}`));
        });
      })
        .on('error', reject)
        .end(body);
    });
  }
  return {
    name,
    revoke: (id) => call(revoke.action, revoke.body.replaceAll(SAMPLE, id)),
    check: (id) => call(check.action, check.body.replaceAll(SAMPLE, id)),
  };
}

/** What is used of `@aws-sdk/client-dynamodb`, which is not installed with the project. */
interface AwsSdk {
  readonly DynamoDBClient: new (options: object) => { send(command: object): Promise<unknown>; destroy(): void };
  readonly TransactWriteItemsCommand: new (input: object) => object;
  readonly BatchGetItemCommand: new (input: object) => object;
}

/** The AWS SDK as a client, or nothing when it is not there. */
function openAwsSdk(
  endpoint: string,
  { revoke, check }: Requests,
  onEnd: (end: () => unknown) => void,
): Client | undefined {
  let sdk: AwsSdk;
  try {
    sdk = createRequire(join(import.meta.dirname, 'peers/'))('@aws-sdk/client-dynamodb');
  } catch {
    console.error('The AWS SDK is left out: npm --prefix scripts/bench/peers install');
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

function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.slice(Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2) + 1);
  return middle.reduce((sum, value) => sum + value, 0) / middle.length;
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
