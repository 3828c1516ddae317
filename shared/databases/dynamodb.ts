import { createHash } from 'node:crypto';
import { monotonicMs } from '../clock.ts';
import { decodeContent } from '../content-coding.ts';
import { Failure, Misconfigured, type StoreFault, StoreUnavailable } from '../errors.ts';
import { isDeeperThan, isJsonObject, MAX_FOREIGN_DEPTH } from '../json.ts';
import { deadlineIn } from './deadline.ts';
import { notMigrated, type StoreSchema } from './store-schema.ts';

/** How a client of the DynamoDB API says who it is. */
export interface DynamodbOptions {
  /** With `auth=iam`: the access token of the invocation's `context.token`. Asked for at each request. */
  readonly iamToken?: (() => string | undefined) | undefined;
  /** With `auth=sigv4`: what AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN hold. */
  readonly credentials?: AwsCredentials | undefined;
}

/** An AWS key; one that is lent for a time has a session token. */
export interface AwsCredentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

/**
 * A client of one table behind the DynamoDB API, YDB's Document API or DynamoDB itself, that holds one schema.
 *
 * Both dialects are treated alike, whatever `auth` says, because a key of AWS also signs requests to YDB. What holds is
 * what both promise (yandex.cloud/en/docs/ydb/docapi/api-ref):
 * - A cancelled transaction may come without its reasons: see {@link WriteOutcome}.
 * - An error may come with a namespace or without, and malformed input is a `ValidationException` or a `ValidationError`.
 * - There is no `ClientRequestToken`: who repeats a write looks whether it was done.
 * - A transaction has at most 25 actions, each of another item, and 4 MB; an item has 400 KB, a key 2,048 bytes (AWS).
 * - A page of a scan has at most 100 items (YDB) and 1 MB. A description of a table may lack its indexes (YDB).
 */
export interface DynamodbClient {
  readonly table: string;
  /**
   * Calls one action. What was throttled or failed on the server's side is tried again with full jitter.
   *
   * @param until When to give up, on the clock of {@link monotonicMs}.
   * @returns The answer, or undefined when a condition did not hold or another transaction was in the way: then
   *   nothing was written.
   * @throws {StoreUnavailable} After a write it is not known whether it was done.
   * @throws {DynamodbRefusal} The request itself is wrong.
   */
  call(action: string, body: object, until: number): Promise<DynamodbAnswer | undefined>;
  /** The items of these keys that exist, by key, each read strongly consistent and with the schema marker. */
  read(keys: readonly string[], until: number): Promise<Map<string, Item>>;
  /** One transaction of at most 24 actions that also checks the schema marker. Rejects as `call` does. */
  write(actions: readonly Action[], until: number): Promise<WriteOutcome>;
  close(): void;
}

/**
 * What came of a transaction. Nothing was written unless it is `done`. `conflict`: the API says that another transaction
 * was in the way. `cancelled`: a condition did not hold, or the API gives no reason, as YDB does not. Then it may also
 * mean an item that is too large, throughput or malformed data, and only a read tells.
 */
export type WriteOutcome = 'done' | 'conflict' | 'cancelled';

/** Puts or removes the item of `key`, or else only checks it, if the condition holds for what is there. */
export interface Action {
  readonly key: string;
  /** The attributes without the key. */
  readonly put?: Item;
  readonly remove?: true;
  readonly condition: string;
  readonly values?: Item;
}

export type AttributeValue = { readonly S?: string; readonly N?: string };
export type Item = Readonly<Record<string, AttributeValue>>;

/** The fields of the answers that are used: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/. */
export interface DynamodbAnswer {
  readonly Item?: Item;
  readonly Items?: readonly Item[];
  readonly LastEvaluatedKey?: Item;
  readonly Responses?: Readonly<Record<string, readonly Item[]>>;
  readonly UnprocessedKeys?: Readonly<Record<string, { readonly Keys: readonly Item[] }>>;
  readonly Table?: {
    readonly TableStatus?: string;
    readonly GlobalSecondaryIndexes?: readonly { readonly IndexName?: string; readonly IndexStatus?: string }[];
  };
  readonly TimeToLiveDescription?: { readonly TimeToLiveStatus?: string; readonly AttributeName?: string };
}

/** The API refused a request as wrong: trying again cannot help. */
export class DynamodbRefusal extends Failure {
  /** The API's name of the error. Of malformed input always `ValidationException`, which YDB also calls `ValidationError`. */
  readonly type: string;

  constructor(action: string, status: number, type: string) {
    super('server_error', `store: ${action} was refused: ${status} ${type}`);
    this.type = type === 'ValidationError' ? 'ValidationException' : type;
  }
}

/** The most bytes of an answer, decoded. The API ends a read of many items at 16 MB, not counting what JSON adds. */
const MAX_ANSWER_BYTES = 24_000_000;

/** The longest pause before another attempt, and what the first is at the most, in milliseconds. */
const MAX_PAUSE_MS = 1000;
const FIRST_PAUSE_MS = 25;

/** With less than this left no other attempt is made, in milliseconds: what stood in the way says more than `timed_out`. */
const MIN_ATTEMPT_MS = 100;

/** How often a transaction that is cancelled while nothing changes is sent again. */
const RETRIES_IN_VAIN = 4;

/** A read takes 100 keys: the marker and these. */
const KEYS_PER_READ = 99;

/** How much of the table one purge reads: the server collects what has expired by itself. */
const PAGES_PER_PURGE = 10;
const ITEMS_PER_PAGE = 100;

/** The year 2100, in seconds: a time after 2105 overflows in YDB, and such an item can wait for a purge. */
const LATEST_TTL = 4_102_444_800;

/**
 * By the name of the error, with `Exception` behind it or without, or of the reason why a transaction was cancelled:
 * docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html, the lists of its clients
 * (docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html), and YDB's
 * (yandex.cloud/en/docs/ydb/docapi/common-errors).
 */
const FAULTS: readonly (readonly [RegExp, StoreFault])[] = [
  [/^(Throttl(ing|ed)|RequestThrottled|ProvisionedThroughputExceeded|RequestLimitExceeded|LimitExceeded)/, 'busy'],
  [/^(TooManyRequests|SlowDown|BandwidthLimitExceeded|PriorRequestNotComplete)/, 'busy'],
  [/^(TransactionConflict|TransactionInProgress|ReplicatedWriteConflict)/, 'busy'],
  [/^(InternalServerError|InternalFailure|InternalError|ServiceUnavailable)/, 'unreachable'],
  [/^RequestTimeout/, 'timed_out'],
  [/^(AccessDenied|NotAuthorized|OptInRequired|UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId)/, 'refused'],
  [/^(ExpiredToken|RequestExpired|RequestTimeTooSkewed|RequestInTheFuture|AuthFailure)/, 'refused'],
  [/^(InvalidSignature|IncompleteSignature|SignatureDoesNotMatch|MissingAuthenticationToken)/, 'refused'],
  [/^(KMS|InaccessibleEncryptionCredentials)/, 'refused'], // the key that the table is encrypted with
  [/^ItemCollectionSizeLimitExceeded/, 'full'],
  [/^(ResourceNotFound|TableNotFound)/, 'not_migrated'],
];

/** What another attempt may get past: it is made within the call. */
const PASSING: ReadonlySet<StoreFault> = new Set<StoreFault>(['busy', 'timed_out', 'unreachable']);

/**
 * A client for `dynamodb+https://host/path?table=&auth=iam` or `…?table=&auth=sigv4&region=`. `dynamodb+http` is for a
 * server on this machine alone, because a bearer token would be readable on its way.
 *
 * @throws {Misconfigured} Says what is wrong with the URL, never its value.
 */
export async function openDynamodb(
  url: string,
  schema: StoreSchema,
  options: DynamodbOptions,
): Promise<DynamodbClient> {
  const { endpoint, isTls, table, region } = parseUrl(url);
  const authorize = region === undefined ? bearer(options) : await signer(options, region);
  // On demand and not imported: a function that keeps its rows elsewhere must not pay for loading them.
  const { request, Agent }: Pick<typeof import('node:http'), 'request' | 'Agent'> = process.getBuiltinModule(
    isTls ? 'node:https' : 'node:http',
  );
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  const target = {
    hostname: endpoint.hostname.replace(/^\[|\]$/g, ''),
    port: endpoint.port,
    path: endpoint.pathname,
    method: 'POST',
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    ...(isTls && { rejectUnauthorized: true }),
  };
  const markerKey = schemaKey(schema);
  let isClosed = false;

  /** @param isFresh On a connection of its own, because the pooled one was dead. */
  function send(action: string, body: string, until: number, isFresh = false): Promise<Received> {
    return new Promise((resolve, reject) => {
      const headers = authorize({
        path: target.path,
        body,
        headers: {
          host: endpoint.host,
          'content-type': 'application/x-amz-json-1.0',
          'x-amz-target': `DynamoDB_20120810.${action}`,
        },
      });
      // Not signed: something in between may change it.
      const unsigned = { ...headers, 'accept-encoding': 'identity' };
      const outgoing = request({ ...target, headers: unsigned, agent: isFresh ? false : agent }, (answer) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        answer.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          bytes += chunk.length;
          if (bytes > MAX_ANSWER_BYTES) fail(new Error('the answer is too large'));
        });
        answer.on('end', () => {
          try {
            const body = decodeContent(Buffer.concat(chunks), answer.headers['content-encoding'], MAX_ANSWER_BYTES);
            resolve({ status: answer.statusCode ?? 0, text: body.toString() });
          } catch (error) {
            fail(error as Error); // as decodeContent throws
          }
        });
        answer.on('error', fail);
      });
      let isGivenUp = false;
      const fail = (cause: Error, fault: StoreFault = 'unreachable') => {
        isGivenUp = true;
        reject(new StoreUnavailable(fault, { cause }));
        outgoing.destroy();
      };
      const timer = setTimeout(() => fail(new Error(`${action} took too long`), 'timed_out'), until - monotonicMs());
      outgoing.on('close', () => clearTimeout(timer));
      outgoing.on('error', (error) => {
        if (isGivenUp) return; // we have ended it ourselves
        // The server, or a freeze of this instance, has ended the pooled connection: what we send is safe to repeat.
        if (outgoing.reusedSocket && !isFresh && isConnectionLost(error)) resolve(send(action, body, until, true));
        else fail(error);
      });
      outgoing.end(body);
    });
  }

  async function execute(action: string, body: object, until: number): Promise<Executed> {
    const text = JSON.stringify(body);
    let failure: StoreUnavailable | undefined;
    for (let attempt = 0; ; attempt += 1) {
      if (isClosed) throw new StoreUnavailable('closed');
      if (monotonicMs() >= until) throw failure ?? new StoreUnavailable('timed_out');
      const outcome = interpret(action, await send(action, text, until));
      if (!('fault' in outcome)) return outcome;
      failure = new StoreUnavailable(outcome.fault, { cause: outcome.cause });
      if (!outcome.isPassing) throw failure;
      await pauseBeforeRetry(attempt, until, failure);
    }
  }

  async function call(action: string, body: object, until: number): Promise<DynamodbAnswer | undefined> {
    return (await execute(action, body, until)).answer;
  }

  async function batchGet(ids: readonly string[], until: number): Promise<Item[]> {
    let items: Item[] = [];
    let keys: readonly Item[] = ids.map((id) => ({ id: { S: id } }));
    for (let attempt = 0; ; attempt += 1) {
      const body = { RequestItems: { [table]: { Keys: keys, ConsistentRead: true } } };
      const answer = await call('BatchGetItem', body, until);
      items = items.concat(Object.values(answer?.Responses ?? {}).flat());
      keys = Object.values(answer?.UnprocessedKeys ?? {}).flatMap(({ Keys }) => Keys);
      if (keys.length === 0) return items;
      await pauseBeforeRetry(attempt, until);
    }
  }

  async function readWithMarker(keys: readonly string[], until: number): Promise<[string, Item][]> {
    const items = await batchGet([markerKey, ...keys], until);
    const byKey = items.map((item): [string, Item] => [String(item.id?.S), item]);
    const marker = byKey.find(([key]) => key === markerKey)?.[1];
    const version = marker && integerOf(marker.v);
    if (version === undefined || version < schema.version) throw notMigrated(schema, version);
    return byKey.filter(([key]) => key !== markerKey);
  }

  return {
    table,
    call,
    async read(keys, until) {
      const all = [...new Set(keys)];
      const batches = Array.from({ length: Math.max(1, Math.ceil(all.length / KEYS_PER_READ)) }, (_, index) =>
        all.slice(index * KEYS_PER_READ, (index + 1) * KEYS_PER_READ),
      );
      return new Map((await Promise.all(batches.map((batch) => readWithMarker(batch, until)))).flat());
    },
    async write(actions, until) {
      const marker = { key: markerKey, condition: 'v >= :v', values: { ':v': numberValue(schema.version) } };
      const TransactItems = [marker, ...actions].map((action) => transactItem(table, action));
      const { answer, isConflict } = await execute('TransactWriteItems', { TransactItems }, until);
      if (answer !== undefined) return 'done';
      return isConflict ? 'conflict' : 'cancelled';
    },
    close() {
      isClosed = true;
      agent.destroy();
    },
  };
}

/** The key of the marker that says which schema a table has, in its attribute `v`. */
export function schemaKey({ component }: StoreSchema): string {
  return `schema#${component}`;
}

/** A part of a key: the text as it is, or its digest when it is too long for a key, which takes 2048 bytes. */
export function keyPart(text: string): string {
  if (Buffer.byteLength(text) <= 1024) return `#${text}`;
  return `-sha256#${createHash('sha256').update(text).digest('base64url')}`;
}

/** The attribute that tells the server when it may collect an item, in seconds. It may need days for it. */
export function timeToLive(expiresAtS: number): Item {
  return expiresAtS > 0 && expiresAtS <= LATEST_TTL ? { ttl: numberValue(expiresAtS) } : {};
}

/**
 * Makes what deletes expired items: each time at most `limit` of a part of the table. The table itself keeps where that
 * part ended, in an item of its own, because the next call may come from another process. Two calls at once may take the
 * same part; no part is left out for good.
 *
 * @param schema Whose items they are. It names the item, `purge#<component>`, whose `c` is the last key that was read.
 * @param expired The condition, which has the time as `:now`.
 * @param prefix What the keys begin with.
 */
export function createPurge(
  { table: TableName, call, read }: DynamodbClient,
  { component }: StoreSchema,
  expired: string,
  prefix = '',
): (now: number, limit: number) => Promise<number> {
  const place = `purge#${component}`;
  return async (now, limit) => {
    const until = deadlineIn();
    const atThatTime = { TableName, ExpressionAttributeValues: { ':now': numberValue(now) } };
    const from = (await read([place], until)).get(place)?.c;
    let reached = from;
    let deleted = 0;
    for (let page = 0; page < PAGES_PER_PURGE && deleted < limit; page += 1) {
      const start = reached && { ExclusiveStartKey: { id: reached } };
      const scan = { ...atThatTime, ...start, FilterExpression: expired, Limit: ITEMS_PER_PAGE };
      const answer = await call('Scan', scan, until);
      const found = (answer?.Items ?? []).flatMap(({ id }) => (id?.S?.startsWith(prefix) ? [{ id }] : []));
      const due = found.slice(0, limit - deleted);
      // The condition again: what was written anew since the scan must stay.
      const deletions = due.map((Key) =>
        call('DeleteItem', { ...atThatTime, Key, ConditionExpression: expired }, until),
      );
      deleted += (await Promise.all(deletions)).filter((done) => done !== undefined).length;
      if (due.length < found.length) break;
      reached = answer?.LastEvaluatedKey?.id;
      if (reached === undefined) break;
    }
    if (reached?.S !== from?.S) {
      const Item = { id: { S: place }, ...(reached && { c: reached }) };
      await call('PutItem', { TableName, Item }, until);
    }
    return deleted;
  };
}

export function numberValue(value: number): AttributeValue {
  return { N: String(value) };
}

/** @throws {StoreUnavailable} It is not there or none: something else has written this item. */
export function integerOf(value: AttributeValue | undefined): number {
  const result = Number(value?.N);
  if (!Number.isSafeInteger(result)) throw new StoreUnavailable('corrupt');
  return result;
}

/** Waits a random time that grows with the attempts ("full jitter"), or throws when `until` comes too soon after it. */
export async function pauseBeforeRetry(
  attempt: number,
  until: number,
  failure = new StoreUnavailable('busy'),
): Promise<void> {
  const pauseMs = Math.random() * Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
  if (monotonicMs() + pauseMs + MIN_ATTEMPT_MS >= until) throw failure;
  // On demand: a call that succeeds at once need not load it.
  const { setTimeout: sleep } = await import('node:timers/promises');
  await sleep(pauseMs);
}

/**
 * Makes what a call does after each transaction that was cancelled although nothing that it depends on has changed: it
 * waits before another attempt, or throws after a few.
 *
 * @throws {StoreUnavailable} `busy`, as for a conflict, which is the one cause that passes. It is not retryable: an item
 *   over 400 KB, a transaction over 4 MB and malformed data do not pass, and the API does not tell them apart.
 */
export function createRetriesInVain(until: number): () => Promise<void> {
  let count = 0;
  return async () => {
    count += 1;
    const cause = new Error(
      `TransactWriteItems: TransactionCanceledException, ${count} times, while nothing that it depends on changed`,
    );
    const failure = new StoreUnavailable('busy', { cause, isRetryable: count <= RETRIES_IN_VAIN });
    if (!failure.isRetryable) throw failure;
    await pauseBeforeRetry(count, until, failure);
  };
}

type Received = { readonly status: number; readonly text: string };
type Outgoing = { readonly path: string; readonly body: string; readonly headers: Record<string, string> };
type Authorize = (request: Outgoing) => import('node:http').OutgoingHttpHeaders;
type Executed = { readonly answer: DynamodbAnswer | undefined; readonly isConflict?: boolean };
type Outcome = Executed | { readonly fault: StoreFault; readonly cause: Error; readonly isPassing: boolean };

function bearer({ iamToken }: DynamodbOptions): Authorize {
  if (iamToken === undefined) throw new Misconfigured('auth=iam of the store URL needs the token of a service account');
  return ({ headers }) => {
    const token = iamToken();
    if (token === undefined) {
      throw new StoreUnavailable('refused', { cause: new Error('the function has no service account') });
    }
    return { ...headers, authorization: `Bearer ${token}` };
  };
}

async function signer({ credentials }: DynamodbOptions, region: string): Promise<Authorize> {
  if (credentials === undefined) {
    throw new Misconfigured('auth=sigv4 of the store URL needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  }
  const { aws4 } = await import('../packages/aws4.ts');
  return (request) => aws4.sign({ ...request, method: 'POST', service: 'dynamodb', region }, credentials).headers ?? {};
}

/** With the region when requests are signed, without it when they bear a token. */
function parseUrl(text: string): { endpoint: URL; isTls: boolean; table: string; region: string | undefined } {
  const [, scheme = '', rest = ''] = /^dynamodb\+(https?):(.*)$/s.exec(text) ?? [];
  const endpoint = URL.parse(`${scheme}:${rest}`);
  const wrong = (what: string) => new Misconfigured(`the dynamodb URL of the store ${what}`);
  if (endpoint === null || scheme === '') throw wrong('must be dynamodb+https://host/path?table=&auth=');
  if (endpoint.username !== '' || endpoint.password !== '') throw wrong('must not hold credentials');
  const isTls = scheme === 'https';
  if (!isTls && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(endpoint.hostname)) {
    throw wrong('may be dynamodb+http for this machine only');
  }
  const { table, region, auth } = Object.fromEntries(endpoint.searchParams);
  if (!table) throw wrong('must name its table: ?table=');
  if (auth === 'iam') return { endpoint, isTls, table, region: undefined };
  if (auth !== 'sigv4') throw wrong('must say auth=iam or auth=sigv4');
  if (!region) throw wrong('must name its region: ?region=');
  return { endpoint, isTls, table, region };
}

/** What an answer means. The text of an error is left out: it may quote the request, its signed headers included. */
function interpret(action: string, { status, text }: Received): Outcome {
  const body = parseObject(text);
  if (status === 200 && body !== undefined && body.__type === undefined) return { answer: body };
  const type = nameIn(body?.__type);
  if (type === 'ConditionalCheckFailedException') return { answer: undefined };
  const given = Array.isArray(body?.CancellationReasons) ? body.CancellationReasons : [];
  const reasons = given.map((one: unknown) => nameIn(isJsonObject(one) ? one.Code : undefined) || 'None');
  const reason = reasons.find((code) => !EXPECTED_REASONS.has(code));
  if (type === 'TransactionCanceledException' && reason === undefined) {
    return { answer: undefined, isConflict: reasons.includes('TransactionConflict') };
  }

  // A table that is being changed: who changes tables looks what has become of it.
  const isInUse = /^(Resource|Table)InUse/.test(type) && !/Table|TimeToLive/.test(action);
  const named = isInUse ? 'busy' : FAULTS.find(([name]) => name.test(reason ?? type))?.[1];
  const fault = named ?? faultOfStatus(status);
  if (fault === undefined) throw new DynamodbRefusal(action, status, reason ?? type);
  const cause = new Error(`${action}: ${status} ${reason ?? type}`);
  return { fault, cause, isPassing: PASSING.has(fault) };
}

/** The name of an error or a reason, without its namespace. What is no name is none, for it gets into the log. */
function nameIn(text: unknown): string {
  return (typeof text === 'string' && /^(?:.*#)?([A-Za-z]{1,80})$/.exec(text)?.[1]) || '';
}

/** Why a transaction may be cancelled that another one, made after reading again, may get through. */
const EXPECTED_REASONS: ReadonlySet<string> = new Set(['None', 'ConditionalCheckFailed', 'TransactionConflict']);

function faultOfStatus(status: number): StoreFault | undefined {
  if (status === 401 || status === 403) return 'refused';
  if (status === 429) return 'busy';
  return status >= 400 && status < 500 ? undefined : 'unreachable';
}

type Parsed = DynamodbAnswer & {
  readonly __type?: unknown;
  readonly CancellationReasons?: unknown;
};

function transactItem(TableName: string, { key, put, remove, condition, values }: Action): object {
  const id = { S: key };
  const rest = { TableName, ConditionExpression: condition, ...(values && { ExpressionAttributeValues: values }) };
  if (put !== undefined) return { Put: { Item: { id, ...put }, ...rest } };
  return { [remove ? 'Delete' : 'ConditionCheck']: { Key: { id }, ...rest } };
}

function parseObject(text: string): Parsed | undefined {
  try {
    const value: unknown = JSON.parse(text);
    // Not checked further: what is read of it is, where it decides.
    return isJsonObject(value) && !isDeeperThan(value, MAX_FOREIGN_DEPTH) ? (value as Parsed) : undefined;
  } catch {
    return undefined;
  }
}

function isConnectionLost(error: Error): boolean {
  return 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}
