/** The raw clients of stores: what drivers are compared with, and what the smallest handler is made of. */
import { Agent, request } from 'node:http';
import aws4 from 'aws4';
import { Redis } from 'iovalkey';
import pg from 'pg';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { openSqliteDatabase } from '#shared/databases/sqlite.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import { DYNAMODB_CREDENTIALS } from '#test/support/dynamodb-server.ts';
import { startDynamodbProxy } from '#test/support/iam-proxy.ts';
import { migrate } from '../migrate.ts';

/** A way to a store. What `revoke` is given is new to it. */
export interface Client {
  readonly name: string;
  revoke(id: string): unknown;
  check(id: string): unknown;
}

/** Keeps what ends something that was opened, the latest first. */
export type OnEnd = (end: () => unknown) => void;

const IAM_TOKEN = 't1.bench';

/** Stands for the id in a statement that is recorded. As long as a SHA-256 in base64url, as all ids here. */
export const SAMPLE = idOf('sample', 0);

/** An id as long as those of the product. */
export function idOf(kind: string, index: number): string {
  return `${kind}-${index}-`.padEnd(43, 'x');
}

function nowS(): number {
  return Math.floor(Date.now() / 1000);
}

function expiresAt(): number {
  return nowS() + 86_400;
}

/** The driver, as a function has it, for a store that is migrated first. */
export async function openDriver(
  name: string,
  url: string,
  onEnd: OnEnd,
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
    revoke: (id) => store.revoke({ tokenIds: [id], grants: [], cutOffs: [], expiresAt: expiresAt() }),
    check: (id) => store.check({ tokenIds: [id], grants: [], cutOffKeys: [], issuedAt: 1000 }),
  };
}

/** Migrates a table as an operator whom DynamoDB Local takes. */
export async function migrateTable(url: string): Promise<void> {
  process.env.AWS_ACCESS_KEY_ID ??= DYNAMODB_CREDENTIALS.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY ??= DYNAMODB_CREDENTIALS.secretAccessKey;
  await migrate(url);
}

/**
 * The raw client of the store that `driver` was opened for: it sends the very statement that the driver sends and nothing
 * around it, no deadline, no translation of errors, no other try. Of SQLite, the one statement that does the work.
 */
export async function openRawClient(url: string, driver: Client, onEnd: OnEnd): Promise<Client> {
  if (url.startsWith('sqlite:')) return openRawSqlite(url.slice('sqlite:'.length), onEnd);
  if (url.startsWith('postgres:')) return openRawPostgres(url, driver, onEnd);
  if (url.startsWith('redis:')) return openRawRedis(url, driver, onEnd);
  return createApiClient('node:http and aws4', url, signed, await recordRequests(url), onEnd);
}

/** The driver's settings, WAL with synchronous=FULL. */
function openRawSqlite(path: string, onEnd: OnEnd): Client {
  const database = openSqliteDatabase(path);
  onEnd(() => database.close());
  const insert = database.prepare('INSERT INTO revoked_id (id, revoked_at, expires_at) VALUES (?, ?, ?)');
  const select = database.prepare('SELECT revoked_at FROM revoked_id WHERE id = ? AND expires_at > ?');
  return {
    name: 'node:sqlite, one prepared statement',
    revoke: (id) => insert.run(id, nowS(), expiresAt()),
    check: (id) => select.get(id, nowS()),
  };
}

async function openRawPostgres(url: string, driver: Client, onEnd: OnEnd): Promise<Client> {
  const { query } = pg.Client.prototype;
  const seen: pg.QueryConfig<unknown[]>[] = [];
  // Its overloads are many; the driver uses the one that takes a statement with its values.
  pg.Client.prototype.query = function record(this: pg.Client, ...given: unknown[]) {
    seen.push(given[0] as pg.QueryConfig<unknown[]>);
    return Reflect.apply(query, this, given);
  } as typeof query;
  const [revoke, check] = await recordStatements(driver, () => seen.at(-1));
  pg.Client.prototype.query = query;
  const pool = new pg.Pool({ ...readPostgresUrl(url).connection, max: 2 });
  onEnd(() => pool.end());
  const send = (statement: pg.QueryConfig<unknown[]>) => {
    const put = inPlaceOf(statement.values ?? []);
    return (id: string) => pool.query({ ...statement, values: put(id) });
  };
  return { name: 'pg.Pool', revoke: send(revoke), check: send(check) };
}

async function openRawRedis(url: string, driver: Client, onEnd: OnEnd): Promise<Client> {
  const { evalsha } = Redis.prototype;
  const seen: unknown[][] = [];
  Redis.prototype.evalsha = function record(this: Redis, ...given: unknown[]) {
    seen.push(given);
    return Reflect.apply(evalsha, this, given);
  } as typeof evalsha; // its overloads differ in how a callback is taken
  const [revoke, check] = await recordStatements(driver, () => seen.at(-1));
  Redis.prototype.evalsha = evalsha;
  const redis = new Redis(url);
  onEnd(() => redis.disconnect());
  const send = ([sha, keys, ...rest]: unknown[]) => {
    const put = inPlaceOf(rest);
    return (id: string) => redis.evalsha(String(sha), Number(keys), ...(put(id) as string[])); // as the driver gave them
  };
  return { name: 'iovalkey', revoke: send(revoke), check: send(check) };
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
export interface Requests {
  readonly revoke: { readonly action: string; readonly body: string };
  readonly check: { readonly action: string; readonly body: string };
}

/** The table that a store's URL names. */
export function tableOf(url: string): string {
  return new URL(url).searchParams.get('table') ?? '';
}

/** What the driver sends to a table. */
export async function recordRequests(url: string): Promise<Requests> {
  const seen: { action: string; body: string }[] = [];
  const proxy = await startDynamodbProxy(url, `auth=sigv4&table=${tableOf(url)}`, ({ action, body }, forward) => {
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
export type Authorize = (request: {
  path: string;
  body: string;
  headers: Headers;
}) => import('node:http').OutgoingHttpHeaders;

/** By SigV4, with the credentials that DynamoDB Local takes. */
export const signed: Authorize = (request) =>
  aws4.sign(
    { ...request, headers: { ...request.headers }, method: 'POST', service: 'dynamodb', region: 'local' },
    DYNAMODB_CREDENTIALS,
  ).headers ?? {};
/** By an IAM token. */
export const bearing: Authorize = ({ headers }) => ({ ...headers, authorization: `Bearer ${IAM_TOKEN}` });

/** The DynamoDB API with what Node and `aws4` offer. */
export function createApiClient(
  name: string,
  storeUrl: string,
  authorize: Authorize,
  { revoke, check }: Requests,
  onEnd: OnEnd,
): Client {
  const call = callDynamodb(storeUrl, authorize, onEnd);
  return {
    name,
    revoke: (id) => call(revoke.action, revoke.body.replaceAll(SAMPLE, id)),
    check: (id) => call(check.action, check.body.replaceAll(SAMPLE, id)),
  };
}

/** Returns what sends one action of the DynamoDB API. It rejects with what is not answered 200. */
export function callDynamodb(
  storeUrl: string,
  authorize: Authorize,
  onEnd: OnEnd,
): (action: string, body: string) => Promise<unknown> {
  const { hostname, port, host } = new URL(storeUrl.replace('dynamodb+', ''));
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  onEnd(() => agent.destroy());
  return async (action, body) => {
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
  };
}
