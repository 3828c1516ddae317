import { createServer } from 'node:http';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { migrateDynamodb } from '#scripts/migrate-dynamodb.ts';
import { deadlineIn } from '#shared/databases/deadline.ts';
import { type DynamodbOptions, type Item, openDynamodb } from '#shared/databases/dynamodb.ts';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { DIRECTORY_SCHEMA } from '#shared/directory/directory.ts';
import { TOKEN_REVOCATION_SCHEMA, type TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { CONTENT_CODINGS } from '#test/support/content-codings.ts';
import { DYNAMODB_CREDENTIALS, startDynamodbServer, urlOfNewTable } from '#test/support/dynamodb-server.ts';
import {
  type ApiAnswer,
  type ApiRequest,
  apiError,
  type DynamodbProxy,
  type Handle,
  startDynamodbProxy,
  startIamProxy,
} from '#test/support/iam-proxy.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import {
  type DurableBackend,
  durableStoreContract,
  OLDER_STORE,
  tokenRevocationStoreContract,
} from './token-revocation-store.ts';

const { openDynamodbDirectory, openDynamodbStore } = await loadPorts('dynamodb');

const SIGNED: DynamodbOptions = { credentials: DYNAMODB_CREDENTIALS };
const TOKEN = 't1.test-iam-token';
const BEARING: DynamodbOptions = { iamToken: () => TOKEN };

tokenRevocationStoreContract('dynamodb with SigV4', () => createBackend(inject('dynamodbUrl'), SIGNED));
durableStoreContract('dynamodb with SigV4', () => createBackend(inject('dynamodbUrl'), SIGNED));
tokenRevocationStoreContract('dynamodb with an IAM token', createIamBackend);
durableStoreContract('dynamodb with an IAM token', createIamBackend);

async function createIamBackend(): Promise<DurableBackend> {
  const proxy = await startIamProxy(inject('dynamodbUrl'), TOKEN);
  const backend = await createBackend(proxy.url, BEARING);
  return {
    ...backend,
    dispose: async () => {
      await backend.dispose();
      await proxy.stop();
    },
  };
}

async function createBackend(serverUrl: string, options: DynamodbOptions): Promise<DurableBackend> {
  const url = urlOfNewTable(serverUrl);
  await migrateDynamodb(url, options);
  const { call, close, table: TableName } = await openTable(url, options);
  // The contract's clock stands still: one day its rows have expired for the server, which would collect them.
  const TimeToLiveSpecification = { Enabled: false, AttributeName: 'ttl' };
  await call('UpdateTimeToLive', { TableName, TimeToLiveSpecification });
  return {
    open: (more) => openDynamodbStore(url, { ...options, ...more }),
    countRows: async () => {
      let count = 0;
      for await (const items of scan(call, { TableName, FilterExpression: 'attribute_exists(e)' }))
        count += items.length;
      return count;
    },
    loseMarker: async () => {
      await call('DeleteItem', { TableName, Key: { id: { S: 'schema#token-revocation' } } });
    },
    setMarker: async (version) => {
      await call('PutItem', { TableName, Item: { id: { S: 'schema#token-revocation' }, v: { N: String(version) } } });
    },
    // DynamoDB has no triggers: something that is no cut-off stands where the contract's is to be written.
    failCutOffs: async () => {
      await call('PutItem', { TableName, Item: { id: { S: 'revoked-cut-off#c' }, t: { S: 'not a number' } } });
    },
    dispose: async () => {
      await call('DeleteTable', { TableName });
      close();
    },
  };
}

/** The raw API of a table. */
async function openTable(url: string, options: DynamodbOptions = SIGNED) {
  const client = await openDynamodb(url, TOKEN_REVOCATION_SCHEMA, options);
  const call = (action: string, body: object) => client.call(action, body, deadlineIn(10_000));
  return { call, close: client.close, table: client.table };
}

/** All items, read strongly consistent, a page at a time. */
async function* scan(
  call: Awaited<ReturnType<typeof openTable>>['call'],
  body: object,
): AsyncGenerator<readonly Item[]> {
  let start: Item | undefined;
  do {
    const answer = await call('Scan', { ...body, ConsistentRead: true, ...(start && { ExclusiveStartKey: start }) });
    yield answer?.Items ?? [];
    start = answer?.LastEvaluatedKey;
  } while (start !== undefined);
}

const revocationOf = (id: string) => ({ tokenIds: [id], grants: [], cutOffs: [], expiresAt: 4_000_000_000 });
const tokenOf = (...tokenIds: string[]) => ({ tokenIds, grants: [], cutOffKeys: [] });

/**
 * The store URL of a table that is deleted after the test: DynamoDB Local builds no index beside many that expire.
 *
 * @param directUrl The server that `serverUrl` leads to.
 */
function urlForTest(serverUrl = inject('dynamodbUrl'), directUrl = inject('dynamodbUrl')): string {
  const url = urlOfNewTable(serverUrl);
  onTestFinished(async () => {
    const name = new URL(url).searchParams.get('table');
    const { call, close, table: TableName } = await openTable(`${directUrl}&table=${name}`);
    await call('DeleteTable', { TableName });
    close();
  });
  return url;
}

/** A migrated table of this test's own, as it is seen without anything between. */
async function createTable(url = urlForTest()): Promise<{ url: string; store: TokenRevocationStore }> {
  await migrateDynamodb(url, SIGNED);
  const store = await openForTest(url);
  return { url, store };
}

async function openForTest(url: string, options: DynamodbOptions = SIGNED): Promise<TokenRevocationStore> {
  const store = await openDynamodbStore(url, options);
  onTestFinished(() => store.close());
  return store;
}

/** A store that reaches the table of `url` through a proxy, and the requests that came by. */
async function openThrough(url: string, handle: Handle): Promise<{ store: TokenRevocationStore; seen: ApiRequest[] }> {
  const seen: ApiRequest[] = [];
  const proxy = await startDynamodbProxy(
    url,
    `auth=sigv4&table=${new URL(url).searchParams.get('table')}`,
    (...given) => {
      seen.push(given[0]);
      return handle(...given);
    },
  );
  onTestFinished(proxy.stop);
  return { store: await openForTest(proxy.url), seen };
}

/** Answers the first request of one action in another way. */
function onceFor(action: string, first: Handle): Handle {
  let isFirst = true;
  return async (request, forward) => {
    if (request.action !== action || !isFirst) return forward();
    isFirst = false;
    return first(request, forward);
  };
}

describe('a DynamoDB store', () => {
  test('a new revocation is one request, and so is a check', async () => {
    const { url } = await createTable();
    const { store, seen } = await openThrough(url, (_request, forward) => forward());
    await store.revoke({ ...revocationOf('a'), presented: tokenOf('a', 'older') });
    await store.check(tokenOf('a', 'older'));
    expect(seen.map(({ action }) => action)).toEqual(['TransactWriteItems', 'BatchGetItem']);
  });

  test('a check reads strongly consistent, the schema marker with each batch', async () => {
    const { url } = await createTable();
    const { store, seen } = await openThrough(url, (_request, forward) => forward());
    await store.check(tokenOf(...Array.from({ length: 150 }, (_, index) => `id-${index}`)));
    expect(seen).toHaveLength(2);
    for (const { body } of seen) {
      expect(JSON.stringify(body)).toContain('"ConsistentRead":true');
      expect(JSON.stringify(body)).toContain('schema#token-revocation');
    }
  });

  test.each([
    ...['BandwidthLimitExceeded', 'LimitExceededException', 'PriorRequestNotComplete'],
    ...['ProvisionedThroughputExceeded', 'ProvisionedThroughputExceededException', 'ReplicatedWriteConflictException'],
    ...[
      'RequestLimitExceeded',
      'RequestThrottledException',
      'ResourceInUseException',
      'SlowDown',
      'TableInUseException',
    ],
    ...['ThrottledException', 'Throttling', 'ThrottlingException', 'TooManyRequestsException'],
    ...['TransactionConflictException', 'TransactionInProgressException'],
    ...['InternalFailure', 'InternalServerError', 'ServiceUnavailable', 'ServiceUnavailableException'],
    ...['RequestTimeout', 'RequestTimeoutException'],
  ])('%s is tried again', async (type) => {
    const { url, store: direct } = await createTable();
    const throttled = onceFor('TransactWriteItems', async () => apiError(400, type));
    const { store, seen } = await openThrough(url, throttled);
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: true });
    expect(seen).toHaveLength(2);
    expect((await direct.check(tokenOf('a'))).revoked).toBe(true);
  });

  test.each([
    ['throttled', apiError(400, 'ThrottlingException'), 'busy'],
    ['failing', apiError(500, 'InternalServerError'), 'unreachable'],
    ['out of space', apiError(400, 'ItemCollectionSizeLimitExceededException'), 'full'],
    ['refusing the token', apiError(400, 'ExpiredTokenException'), 'refused'],
    ['without the table', apiError(400, 'ResourceNotFoundException'), 'not_migrated'],
    ['without the table, in a newer word', apiError(400, 'TableNotFoundException'), 'not_migrated'],
    ['too slow by its own word', apiError(408, 'RequestTimeoutException'), 'timed_out'],
    ['refusing without a reason', { status: 403, body: {} }, 'refused'],
    ['answering without sense', { status: 200, body: { Responses: {} } }, 'not_migrated'],
    ['answering an error as if it were none', apiError(200, 'ThrottlingException'), 'busy'],
    ['answering another error as if it were none', apiError(200, 'SomethingNewException'), 'unreachable'],
    ['failing by no name', { status: 503, body: { __type: { toString: 1 } } }, 'unreachable'],
    ['failing for no list of reasons', { status: 503, body: { CancellationReasons: { Code: 'None' } } }, 'unreachable'],
    ['failing for no reason', { status: 503, body: { CancellationReasons: [null, { Code: {} }] } }, 'unreachable'],
  ])('a server that is %s is told by its fault', async (_name, answer, fault) => {
    const { url } = await createTable();
    const { store } = await openThrough(url, async () => answer);
    await expect(store.check(tokenOf('a'), 300)).rejects.toMatchObject({ fault });
  });

  test.each([
    ...[
      'AccessDeniedException',
      'IncompleteSignatureException',
      'InvalidSignatureException',
      'KMSAccessDeniedException',
    ],
    ...['InvalidClientTokenId', 'MissingAuthenticationTokenException', 'NotAuthorized', 'OptInRequired'],
    ...['RequestExpired', 'RequestTimeTooSkewed', 'SignatureDoesNotMatch', 'UnrecognizedClientException'],
  ])('a server that answers %s refuses', async (type) => {
    const { url } = await createTable();
    const { store } = await openThrough(url, async () => apiError(400, type));
    await expect(store.check(tokenOf('a'), 300)).rejects.toMatchObject({ fault: 'refused' });
  });

  test.each([
    ['ThrottlingError', 'busy'],
    ['ProvisionedThroughputExceeded', 'busy'],
    ['TransactionConflict', 'busy'],
    ['ItemCollectionSizeLimitExceeded', 'full'],
    ['AccessDenied', 'refused'],
  ])('a transaction that is cancelled for %s is told by its fault', async (Code, fault) => {
    const { url } = await createTable();
    const cancelled = apiError(400, 'TransactionCanceledException', {
      CancellationReasons: [{ Code: 'None' }, { Code }],
    });
    const { store } = await openThrough(url, async ({ action }, forward) =>
      action === 'TransactWriteItems' ? cancelled : forward(),
    );
    await expect(store.revoke(revocationOf('a'), 300)).rejects.toMatchObject({ fault });
  });

  test.each([
    ['SomethingNewException', 'store: BatchGetItem was refused: 400 SomethingNewException'],
    ['canary-7f3a of the request', 'store: BatchGetItem was refused: 400 '],
  ])('the error %s is no fault: its name alone is told', async (type, message) => {
    const { url } = await createTable();
    const { store } = await openThrough(url, async () => apiError(400, type, { message: 'canary-7f3a' }));
    const error = await store.check(tokenOf('a'), 300).catch((rejection: unknown) => rejection);
    expect(error).toMatchObject({ code: 'server_error', message });
    expect(error).not.toHaveProperty('fault');
    expect(inspect(error, { depth: 10 })).not.toContain('canary');
  });

  test.each(CONTENT_CODINGS)('an answer in a coding that nobody asked for is decoded: %s', async (_name, ...coding) => {
    const { url } = await createTable();
    const asked: unknown[] = [];
    const { store } = await openThrough(url, async ({ headers }, forward) => {
      asked.push(headers['accept-encoding']);
      return { ...(await forward()), coding };
    });
    await store.revoke(revocationOf('a'));
    expect(await store.check(tokenOf('a'))).toBeDefined();
    expect(new Set(asked)).toEqual(new Set(['identity']));
  });

  test.each([
    [
      'a coding that nobody knows',
      'zstd',
      (body: Buffer) => body,
      'Content-Encoding must be up to 5 of gzip, deflate and br',
    ],
    ['text that is called gzip', 'gzip', (body: Buffer) => body, 'incorrect header check'],
    ['more than 24 MB, decoded', 'gzip', () => gzipSync(Buffer.alloc(24_000_001)), 'the answer is too large'],
  ])('an answer that cannot be decoded is an error: %s', async (_name, name, encode, message) => {
    const { url } = await createTable();
    const { store } = await openThrough(url, async (_request, forward) => ({
      ...(await forward()),
      coding: [name, encode],
    }));
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({
      fault: 'unreachable',
      cause: { message },
    });
  });

  const DEEP = `{"__type":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  const MANY = { Responses: { test: new Array(200_000).fill({ id: { S: 'x' } }) } };
  test.each<[string, ApiAnswer, string]>([
    ['items', { status: 200, body: MANY }, 'not_migrated'],
    ['levels', { status: 500, body: {}, coding: ['identity', () => Buffer.from(DEEP)] }, 'unreachable'],
  ])('an answer of more %s than the stack has room for is told by its fault', async (_name, answer, fault) => {
    const { url } = await createTable();
    const { store } = await openThrough(url, async () => answer);
    await expect(store.check(tokenOf('a'), 1000)).rejects.toMatchObject({ fault });
  });

  test('keys that were not processed are read again before it is decided', async () => {
    const { url, store: direct } = await createTable();
    await direct.revoke(revocationOf('a'));
    const half = onceFor('BatchGetItem', async ({ body }, forward) => {
      const [[table = '', request] = []] = Object.entries(body.RequestItems as Record<string, { Keys: unknown[] }>);
      const { status, body: answer } = await forward({
        RequestItems: { [table]: { ...request, Keys: request?.Keys.slice(0, 1) } },
      });
      return { status, body: { ...answer, UnprocessedKeys: { [table]: { Keys: request?.Keys.slice(1) } } } };
    });
    const { store, seen } = await openThrough(url, half);
    expect((await store.check(tokenOf('b', 'a'))).revoked).toBe(true);
    expect(JSON.stringify(seen[1]?.body)).toContain('"ConsistentRead":true');
  });

  test.each([
    ['that names a conflict', { CancellationReasons: [{ Code: 'None' }, { Code: 'TransactionConflict' }] }],
    ['that names no reason', {}],
  ])('a cancelled transaction %s is read again and what is due is done', async (_name, more) => {
    const { url, store: direct } = await createTable();
    const cancelled = onceFor('TransactWriteItems', async () => apiError(400, 'TransactionCanceledException', more));
    const { store, seen } = await openThrough(url, cancelled);
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: true });
    expect(seen.map(({ action }) => action)).toEqual(['TransactWriteItems', 'BatchGetItem', 'TransactWriteItems']);
    expect((await direct.check(tokenOf('a'))).revoked).toBe(true);
  });

  test('a transaction that is cancelled each time is never success', async () => {
    const { url, store: direct } = await createTable();
    const cancelled: Handle = async ({ action }, forward) =>
      action === 'TransactWriteItems' ? apiError(400, 'TransactionCanceledException') : forward();
    const { store } = await openThrough(url, cancelled);
    await expect(store.revoke(revocationOf('a'), 300)).rejects.toMatchObject({ fault: 'busy' });
    expect((await direct.check(tokenOf('a'))).revoked).toBe(false);
  });

  test.each([
    ['that names no reason', {}],
    ['that names a condition', { CancellationReasons: [{ Code: 'ConditionalCheckFailed' }] }],
  ])('a transaction that is cancelled each time, %s, is sent five times while nothing changes', async (_name, more) => {
    const { url } = await createTable();
    const cancelled: Handle = async ({ action }, forward) =>
      action === 'TransactWriteItems' ? apiError(400, 'TransactionCanceledException', more) : forward();
    const { store, seen } = await openThrough(url, cancelled);
    const asked = retryWhileUnavailable(60_000, (timeoutMs) => store.revoke(revocationOf('a'), timeoutMs));
    await expect(asked).rejects.toMatchObject({
      fault: 'busy',
      cause: {
        message: 'TransactWriteItems: TransactionCanceledException, 5 times, while nothing that it depends on changed',
      },
    });
    expect(seen.filter(({ action }) => action === 'TransactWriteItems')).toHaveLength(5);
  });

  test.each(['ValidationException', 'ValidationError'])(
    'malformed input is an error of one type, be it called %s as an error or as a reason',
    async (name) => {
      const { url } = await createTable();
      const answers = [
        apiError(400, name),
        apiError(400, 'TransactionCanceledException', { CancellationReasons: [{ Code: name }] }),
      ];
      const { store } = await openThrough(url, async () => answers.shift());
      for (const _answer of [...answers]) {
        await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({
          code: 'server_error',
          type: 'ValidationException',
          message: `store: TransactWriteItems was refused: 400 ${name}`,
        });
      }
    },
  );

  test('a token that is revoked while it is presented moves a cut-off up to then and no further', async () => {
    const { url, store: direct } = await createTable();
    const overtaken = onceFor('TransactWriteItems', async (_request, forward) => {
      await direct.revoke(revocationOf('older'));
      return forward();
    });
    const { store } = await openThrough(url, overtaken);
    const presented = { tokenIds: ['a', 'older'], grants: [], cutOffKeys: ['subject'], issuedAt: 1_000 };
    const nowS = Math.floor(Date.now() / 1000);
    const cutOffs = [{ key: 'subject', issuedUpTo: nowS + 1_000 }];
    expect(await store.revoke({ ...revocationOf('a'), cutOffs, presented })).toMatchObject({ first: false });
    expect(await direct.check({ ...tokenOf(), cutOffKeys: ['subject'], issuedAt: nowS + 500 })).toEqual({
      revoked: false,
    });
    expect((await direct.check({ ...tokenOf(), cutOffKeys: ['subject'], issuedAt: 1_500 })).revoked).toBe(true);
    expect((await direct.check(tokenOf('a'))).revoked).toBe(true);
  });

  test('a later cut-off of the same subject is one request again', async () => {
    const { url } = await createTable();
    const { store, seen } = await openThrough(url, (_request, forward) => forward());
    const unlinkAt = (issuedUpTo: number) =>
      store.revoke({
        ...revocationOf(`id-${issuedUpTo}`),
        cutOffs: [{ key: 'subject', issuedUpTo }],
        presented: { ...tokenOf(`id-${issuedUpTo}`), cutOffKeys: ['subject'], issuedAt: issuedUpTo - 10 },
      });
    await unlinkAt(1_000);
    expect(await unlinkAt(2_000)).toMatchObject({ first: true });
    expect(seen).toHaveLength(2);
    expect((await store.check({ ...tokenOf(), cutOffKeys: ['subject'], issuedAt: 2_000 })).revoked).toBe(true);
  });

  test('an answer that was lost after the write leaves the revocation in place', async () => {
    const { url, store: direct } = await createTable();
    const lost = onceFor('TransactWriteItems', async (_request, forward) => {
      await forward();
      return undefined;
    });
    const { store } = await openThrough(url, lost);
    await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({ fault: 'unreachable' });
    expect((await direct.check(tokenOf('a'))).revoked).toBe(true);
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: false });
  });

  test('a pooled connection that has died is replaced', async () => {
    const { url } = await createTable();
    let requests = 0;
    const { store } = await openThrough(url, async (_request, forward) => {
      requests += 1;
      return requests === 2 ? undefined : forward();
    });
    await store.revoke(revocationOf('a'));
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
    expect(requests).toBe(3);
  });

  test('a server that never answers ends with the time that was given', async () => {
    const { url } = await createTable();
    const { store } = await openThrough(url, () => new Promise(() => {}));
    await expect(store.revoke(revocationOf('a'), 100)).rejects.toMatchObject({ fault: 'timed_out' });
    await expect(store.check(tokenOf('a'), 100)).rejects.toMatchObject({ fault: 'timed_out' });
  });

  test('a server that sends its answer without end is cut off', async () => {
    const server = createServer((_incoming, outgoing) => {
      const send = () => {
        while (outgoing.write('x'.repeat(65_536)));
      };
      outgoing.on('drain', send);
      send();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.close();
    });
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const store = await openForTest(`dynamodb+http://127.0.0.1:${port}/?table=test&auth=iam`, BEARING);
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({
      fault: 'unreachable',
      cause: { message: 'the answer is too large' },
    });
  });

  test('where nothing listens it is unreachable, and plain HTTP is not taken for TLS', async () => {
    const nowhere = await openForTest('dynamodb+http://127.0.0.1:1/?table=test&auth=iam', BEARING);
    await expect(nowhere.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'unreachable' });
    const { port } = new URL(inject('dynamodbUrl'));
    const plain = await openForTest(`dynamodb+https://127.0.0.1:${port}/?table=test&auth=iam`, BEARING);
    await expect(plain.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test('a key that the server does not know is refused, and its error holds nothing of it', async () => {
    const { url } = await createTable();
    const store = await openForTest(url, { credentials: { accessKeyId: 'not-a-key!', secretAccessKey: 'canary' } });
    const error = await store.check(tokenOf('a')).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      fault: 'refused',
      cause: { message: 'BatchGetItem: 400 UnrecognizedClientException' },
    });
  });

  test('a wrong IAM token is refused, and one that is renewed is used at once', async () => {
    const proxy = await startForTest(startIamProxy(inject('dynamodbUrl'), TOKEN));
    const url = urlForTest(proxy.url);
    await migrateDynamodb(url, BEARING);
    let token: string | undefined = 't1.expired';
    const store = await openForTest(url, { iamToken: () => token });
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'refused' });
    token = undefined;
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'refused' });
    token = TOKEN;
    expect((await store.check(tokenOf('a'))).revoked).toBe(false);
  });

  test('a table that is missing is refused, and the store recovers when it is there', async () => {
    const url = urlForTest();
    const store = await openForTest(url);
    await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({ fault: 'not_migrated' });
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'not_migrated' });
    await migrateDynamodb(url, SIGNED);
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: true });
  });

  test('more keys than a transaction takes are refused, nothing is stored', async () => {
    const { store } = await createTable();
    const presented = tokenOf(...Array.from({ length: 25 }, (_, index) => `id-${index}`));
    await expect(store.revoke({ ...revocationOf('id-0'), presented })).rejects.toThrow(RangeError);
    expect((await store.check(presented)).revoked).toBe(false);
  });

  test('a purge reaches every expired row although each is made by a new process', { timeout: 60_000 }, async () => {
    const { url } = await createTable();
    const { call, close, table: TableName } = await openTable(url);
    const nowS = Math.floor(Date.now() / 1000);
    const row = (name: string, e: number) => ({ id: { S: `revoked-id#${name}` }, t: { N: '1' }, e: { N: `${e}` } });
    const rows = Array.from({ length: 4500 }, (_, index) =>
      index % 3 === 0 ? row(`live-${index}`, nowS + 1_000_000) : row(`expired-${index}`, nowS - 1),
    );
    const batches = Array.from({ length: 180 }, (_, index) => rows.slice(index * 25, (index + 1) * 25));
    const write = (batch: readonly Item[]) => {
      const RequestItems = { [TableName]: batch.map((Item) => ({ PutRequest: { Item } })) };
      return call('BatchWriteItem', { RequestItems });
    };
    await Promise.all(batches.map(write));

    let purged = 0;
    // Each purge reads 1,000 items: five see all of the table, and the sixth begins anew.
    for (let tick = 0; tick < 6; tick += 1) {
      const store = await openDynamodbStore(url, SIGNED);
      purged += await store.purgeExpired(1000);
      await store.close();
    }
    expect(purged).toBe(3000);
    const live: Item[] = [];
    for await (const items of scan(call, { TableName })) {
      live.push(...items.filter(({ id }) => id?.S?.startsWith('revoked-id#live-')));
    }
    expect(live).toHaveLength(1500);
    close();
  });

  test('a purge of a table that it reads whole writes nothing about where it ended', async () => {
    const { url } = await createTable();
    const { store, seen } = await openThrough(url, (_request, forward) => forward());
    expect(await store.purgeExpired(10)).toBe(0);
    expect(seen.map(({ action }) => action)).toEqual(['BatchGetItem', 'Scan']);
  });

  test('the server is told when a row may be collected, unless that is never or beyond its clock', async () => {
    const { url, store } = await createTable();
    await store.revoke({ ...revocationOf('a'), grants: ['g'] });
    await store.revoke({ ...revocationOf('late'), expiresAt: 5_000_000_000 });
    const ending = { ...revocationOf('b'), grants: ['ending', 'kept'], grantsExpireAt: 4_000_000_001 };
    await store.revoke(ending);
    await store.revoke({ ...revocationOf('c'), grants: ['kept'] });
    const { call, close, table: TableName } = await openTable(url);
    const rows = (await call('Scan', { TableName }))?.Items ?? [];
    const ttl = new Map(rows.map(({ id, ttl }) => [id?.S, ttl?.N]));
    expect(ttl.get('revoked-id#a')).toBe('4000000000');
    expect(ttl.get('revoked-id#g')).toBeUndefined();
    expect(ttl.get('revoked-id#late')).toBeUndefined();
    expect(ttl.get('revoked-id#ending')).toBe('4000000001');
    expect(ttl.get('revoked-id#kept')).toBeUndefined();
    expect(await call('DescribeTimeToLive', { TableName })).toMatchObject({
      TimeToLiveDescription: { TimeToLiveStatus: 'ENABLED', AttributeName: 'ttl' },
    });
    close();
  });
});

describe('what stands in for YDB', () => {
  /** A migrated table as YDB's, and what calls the API of it: without the driver, which makes no such requests. */
  async function openStandIn() {
    const proxy = await startForTest(startIamProxy(inject('dynamodbUrl'), TOKEN));
    const url = urlForTest(proxy.url);
    await migrateDynamodb(url, BEARING);
    const TableName = String(new URL(url).searchParams.get('table'));
    const call = async (action: string, body: object) => {
      const answer = await fetch(url.replace('dynamodb+', ''), {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}`, 'x-amz-target': `DynamoDB_20120810.${action}` },
        body: JSON.stringify({ TableName, ...body }),
      });
      return { status: answer.status, body: await answer.json() };
    };
    return { call, TableName };
  }

  const put = (id: string, text = '', condition = {}) => ({ Item: { id: { S: id }, d: { S: text } }, ...condition });
  const LETTERS = [...'abcdefghijklmnopqrstuvwxyz'];
  const CANCELLED = 'TransactionCanceledException';

  test.each([
    ['a condition that does not hold', [put('a', '', { ConditionExpression: 'attribute_exists(id)' })], CANCELLED],
    ['an item over 400 KB', [put('a', 'x'.repeat(410_000))], CANCELLED],
    ['items of over 4 MB', LETTERS.slice(0, 11).map((id) => put(id, 'x'.repeat(400_000))), CANCELLED],
    ['two actions of one item', [put('a'), put('a', 'b')], CANCELLED],
    ['a key that is too long', [put('a'.repeat(2049))], CANCELLED],
    ['26 actions', LETTERS.map((id) => put(id)), 'ValidationError'],
  ])('refuses a transaction with %s, and gives no reason', async (_name, puts, type) => {
    const { call, TableName } = await openStandIn();
    const TransactItems = puts.map((Put) => ({ Put: { TableName, ...Put } }));
    const answer = await call('TransactWriteItems', { TransactItems });
    expect(answer).toEqual({ status: 400, body: { __type: type, message: 'no' } });
  });

  const LOOKUP = {
    IndexName: 'lookup',
    KeyConditionExpression: 'q = :q',
    ExpressionAttributeValues: { ':q': { S: 'x' } },
  };

  test.each([
    ['an item without its key', 'PutItem', { Item: { id: { N: '1' } } }, 'ValidationError'],
    ['an index that is not there', 'Query', { ...LOOKUP, IndexName: 'other' }, 'ValidationError'],
    ['an index, read consistently', 'Query', { ...LOOKUP, ConsistentRead: true }, 'ValidationException'],
    ['a token of a request', 'TransactWriteItems', { ClientRequestToken: 'x', TransactItems: [] }, 'ValidationError'],
    ['an action of AWS alone', 'ExecuteStatement', { Statement: 'SELECT' }, 'InvalidAction'],
    [
      'a table that is not there',
      'GetItem',
      { TableName: 'none', Key: { id: { S: 'a' } } },
      'ResourceNotFoundException',
    ],
  ])('refuses %s by the name that YDB documents', async (_name, action, body, type) => {
    const { call } = await openStandIn();
    expect(await call(action, body)).toEqual({ status: 400, body: { __type: type, message: 'no' } });
  });

  test('describes a table without its indexes, and scans 100 items at once', async () => {
    const { call, TableName } = await openStandIn();
    const { body: described } = await call('DescribeTable', {});
    expect(described.Table).toMatchObject({ TableName, TableStatus: 'ACTIVE' });
    expect(described.Table).not.toHaveProperty('GlobalSecondaryIndexes');
    for (const part of ['a', 'b', 'c', 'd', 'e']) {
      const requests = LETTERS.slice(0, 25).map((letter) => ({ PutRequest: put(part + letter) }));
      await call('BatchWriteItem', { RequestItems: { [TableName]: requests } });
    }
    expect((await call('Scan', {})).body.Items).toHaveLength(100);
  });
});

describe('a dynamodb URL', () => {
  test.each([
    ['that is none', 'dynamodb+https:', /must be/],
    ['without a table', 'dynamodb+https://host/?auth=iam', /table/],
    ['without a way to authenticate', 'dynamodb+https://host/?table=test', /auth/],
    ['with SigV4 and without a region', 'dynamodb+https://host/?table=test&auth=sigv4', /region/],
    ['without TLS to another machine', 'dynamodb+http://host/?table=test&auth=iam', /this machine/],
    ['with credentials', 'dynamodb+https://key:canary@host/?table=test&auth=iam', /credentials/],
  ])('%s is refused', async (_name, url, message) => {
    await expect(openDynamodbStore(url, { ...SIGNED, ...BEARING })).rejects.toMatchObject({
      code: 'misconfigured',
      message: expect.not.stringContaining('canary'),
    });
    await expect(openDynamodbStore(url, { ...SIGNED, ...BEARING })).rejects.toThrow(message);
  });

  test.each([['iam'], ['sigv4&region=local']])(
    'with auth=%s and nothing to authenticate with is refused',
    async (auth) => {
      const opened = openDynamodbStore(`dynamodb+https://host/?table=test&auth=${auth}`);
      await expect(opened).rejects.toMatchObject({ code: 'misconfigured' });
    },
  );
});

describe('migrating a DynamoDB table', () => {
  // A server of its own: one with the tables of other tests that expire can take minutes for an index.
  let server: Awaited<ReturnType<typeof startDynamodbServer>>;
  beforeAll(async () => {
    server = await startDynamodbServer();
  });
  afterAll(() => server.stop());
  const urlHere = () => urlForTest(server.url, server.url);

  test('again, and two at once, changes nothing', async () => {
    const url = urlHere();
    await Promise.all([migrateDynamodb(url, SIGNED), migrateDynamodb(url, SIGNED)]);
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));
    await migrateDynamodb(url, SIGNED);
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
  });

  test('that was made before there was a directory adds its index, and keeps what it has', async () => {
    const url = urlHere();
    await createTableWithoutIndex(url);
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));
    const directory = await openDynamodbDirectory(url, SIGNED);
    onTestFinished(() => directory.close());
    await expect(directory.links.list('ann')).rejects.toMatchObject({ fault: 'not_migrated' });
    await Promise.all([migrateDynamodb(url, SIGNED), migrateDynamodb(url, SIGNED)]);
    await migrateDynamodb(url, SIGNED);
    expect(await directory.links.list('ann')).toEqual([]);
    expect(await directory.outbox.list('pending', { limit: 1 })).toEqual([]);
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
  });

  test.each(['ValidationException', 'ValidationError'])(
    'waits for the index where only its answers tell that it is there, as YDB may have it: %s',
    async (name) => {
      const url = urlHere();
      await createTableWithoutIndex(url);
      const { call, close, table: TableName } = await openTable(url);
      let unanswered = 0;
      const proxy = await startDynamodbProxy(url, 'auth=sigv4', async ({ action }, forward) => {
        if (action === 'DescribeTable') return { status: 200, body: { Table: { TableStatus: 'ACTIVE' } } };
        const { Table } = (await call('DescribeTable', { TableName })) ?? {};
        const isActive = Table?.GlobalSecondaryIndexes?.[0]?.IndexStatus === 'ACTIVE';
        // However soon the index of an empty table is there: it is asked for at least three times.
        if (action !== 'Query' || (isActive && unanswered > 1)) return forward();
        unanswered += 1;
        return apiError(400, unanswered > 1 ? name : 'ResourceNotFoundException');
      });
      onTestFinished(proxy.stop);
      await migrateDynamodb(`${proxy.url}&table=${TableName}`, SIGNED);
      expect(unanswered).toBeGreaterThan(1);
      expect(await call('DescribeTable', { TableName })).toMatchObject({
        Table: { GlobalSecondaryIndexes: [{ IndexName: 'lookup', IndexStatus: 'ACTIVE' }] },
      });
      close();
    },
  );

  test.each(['ValidationException', 'ValidationError'])(
    'goes on where another migration was faster, which the API calls %s',
    async (name) => {
      const url = urlHere();
      await createTableWithoutIndex(url);
      const refused: string[] = [];
      const proxy = await startDynamodbProxy(url, 'auth=sigv4', async ({ action }, forward) => {
        if (action === 'DescribeTimeToLive') return { status: 200, body: {} };
        const answer = await forward();
        if (!/^Update/.test(action) || refused.includes(action)) return answer;
        refused.push(action);
        return apiError(400, name);
      });
      onTestFinished(proxy.stop);
      await migrateDynamodb(`${proxy.url}&table=${new URL(url).searchParams.get('table')}`, SIGNED);
      expect(refused).toEqual(['UpdateTable', 'UpdateTimeToLive']);
      expect((await (await openForTest(url)).check(tokenOf('a'))).revoked).toBe(false);
    },
  );

  test('refuses a store that version 1 of the code makes at the same time, and leaves its marker', async () => {
    const url = urlHere();
    const { call, close, table: TableName } = await openTable(url);
    onTestFinished(close);
    const id = { S: 'schema#token-revocation' };
    const proxy = await startForTest(
      startDynamodbProxy(url, 'auth=sigv4', async ({ action }, forward) => {
        if (action === 'PutItem') await call('PutItem', { TableName, Item: { id, v: { N: '1' } } });
        return forward();
      }),
    );
    await expect(migrateDynamodb(`${proxy.url}&table=${TableName}`, SIGNED)).rejects.toThrow(OLDER_STORE);
    expect(await call('GetItem', { TableName, Key: { id } })).toMatchObject({ Item: { v: { N: '1' } } });
  });

  test.each([TOKEN_REVOCATION_SCHEMA, DIRECTORY_SCHEMA])(
    'refuses a schema that is newer than the code, and a function goes on with it: $component',
    async ({ component, version }) => {
      const { url, store } = await createTable(urlHere());
      const { call, close, table: TableName } = await openTable(url);
      await call('PutItem', { TableName, Item: { id: { S: `schema#${component}` }, v: { N: String(version + 1) } } });
      close();
      await expect(migrateDynamodb(url, SIGNED)).rejects.toThrow('newer');
      expect((await store.check(tokenOf('a'))).revoked).toBe(false);
    },
  );
});

/** A table as the version before the directory has made it. */
async function createTableWithoutIndex(url: string): Promise<void> {
  const { call, close, table: TableName } = await openTable(url);
  await call('CreateTable', {
    TableName,
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
    KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
  });
  await call('UpdateTimeToLive', { TableName, TimeToLiveSpecification: { Enabled: true, AttributeName: 'ttl' } });
  const v = { N: String(TOKEN_REVOCATION_SCHEMA.version) };
  await call('PutItem', { TableName, Item: { id: { S: 'schema#token-revocation' }, v } });
  close();
}

async function startForTest(starting: Promise<DynamodbProxy>): Promise<DynamodbProxy> {
  const proxy = await starting;
  onTestFinished(proxy.stop);
  return proxy;
}
