import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { migrateDynamodb } from '#scripts/migrate-dynamodb.ts';
import type { ExternalIdentity, NewLink, Unlink } from '#shared/account-link/account-link.ts';
import { SPENT_BIND_MS } from '#shared/account-link/bind-transaction.ts';
import { deadlineIn } from '#shared/databases/deadline.ts';
import { type DynamodbOptions, openDynamodb } from '#shared/databases/dynamodb.ts';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { DIRECTORY_SCHEMA, type Directory } from '#shared/directory/directory.ts';
import { divide, itemOfLink, linkKey, pageChanges } from '#shared/directory/dynamodb-items.ts';
import type { NewJob } from '#shared/outbox/outbox.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { DYNAMODB_CREDENTIALS, urlOfNewTable } from '#test/support/dynamodb-server.ts';
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
import { type DurableDirectoryBackend, directoryContract, durableDirectoryContract } from './directory.ts';
import { newBinding } from './threepid-bindings.ts';

const { openDynamodbDirectory, openDynamodbOutbox, openDynamodbStore, openOutbox } = await loadPorts('dynamodb');

const SIGNED: DynamodbOptions = { credentials: DYNAMODB_CREDENTIALS };

const TOKEN = 't1.test-iam-token';
const BEARING: DynamodbOptions = { iamToken: () => TOKEN };

const BACKENDS = [
  ['dynamodb with SigV4', () => createBackend(SIGNED, (url, handle) => startDynamodbProxy(url, 'auth=sigv4', handle))],
  ['dynamodb with an IAM token', () => createBackend(BEARING, (url, handle) => startIamProxy(url, TOKEN, handle))],
] as const;
for (const [name, create] of BACKENDS) {
  directoryContract(name, create);
  durableDirectoryContract(name, create);
}

async function createBackend(
  options: DynamodbOptions,
  start: (url: string, handle: Handle) => Promise<DynamodbProxy>,
): Promise<DurableDirectoryBackend> {
  let areAuditRecordsRefused = false;
  const direct = urlOfNewTable(inject('dynamodbUrl'));
  const proxy = await start(direct, async ({ body }, forward) => {
    const text = JSON.stringify(body);
    // Such a key the server itself refuses, and all of the transaction with it.
    return areAuditRecordsRefused
      ? forward(JSON.parse(text.replaceAll(/\{"S":"audit#[^}]*\}/g, '{"N":"1"}')))
      : forward();
  });
  const { call, close, table: TableName } = await openTable(direct);
  const url = `${proxy.url}&table=${TableName}`;
  await migrateDynamodb(url, options);
  // The contract's clock stands still: one day its rows have expired for the server, which would collect them.
  const TimeToLiveSpecification = { Enabled: false, AttributeName: 'ttl' };
  await call('UpdateTimeToLive', { TableName, TimeToLiveSpecification });
  const rows = async () => (await call('Scan', { TableName, ConsistentRead: true }))?.Items ?? [];
  return {
    openOutboxBySettings: () =>
      openOutbox(
        {
          DIRECTORY_URL: url,
          AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
          AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
        },
        { ...LOCAL_PLATFORM, iamToken: () => TOKEN },
      ),
    open: (more) => openDynamodbDirectory(url, { ...options, ...more }),
    openOutbox: (more) => openDynamodbOutbox(url, { ...options, ...more }),
    auditRecords: async () =>
      (await rows()).filter(({ id }) => id?.S?.startsWith('audit#')).map(({ d }) => JSON.parse(String(d?.S))),
    dump: async () => JSON.stringify(await rows()),
    loseMarker: async () => {
      await call('DeleteItem', { TableName, Key: { id: { S: 'schema#directory' } } });
    },
    ageMarker: async () => {
      const v = { N: String(DIRECTORY_SCHEMA.version - 1) };
      await call('PutItem', { TableName, Item: { id: { S: 'schema#directory' }, v } });
    },
    failAuditRecords: () => {
      areAuditRecordsRefused = true;
    },
    dispose: async () => {
      await call('DeleteTable', { TableName });
      close();
      await proxy.stop();
    },
  };
}

/** The raw API of a table. */
async function openTable(url: string) {
  const client = await openDynamodb(url, DIRECTORY_SCHEMA, SIGNED);
  const call = (action: string, body: object) => client.call(action, body, deadlineIn(10_000));
  return { call, close: client.close, table: client.table };
}

const VK: ExternalIdentity = { fpType: 'vk', fpName: 'vk_1', sid: '1234' };
const AUDIT = { actor: 'subject:ann', requestId: 'r-1' };
const newLink = (parts: Partial<NewLink> = {}): NewLink => ({
  ...{ ...VK, subject: 'ann', evidence: 'asserted', audit: AUDIT },
  ...parts,
});
const unlinkOf = (parts: Partial<Unlink> = {}): Unlink => ({
  ...{ ...VK, subject: 'ann', keepLast: false, force: false, audit: AUDIT },
  ...parts,
});
const newJob = (id: string, parts: Partial<NewJob> = {}): NewJob => ({
  ...{ id, kind: 'grant-revocation', details: {}, boundTo: `bound to ${id}`, requestId: 'r-1' },
  ...parts,
});
const CLAIM = { jobs: 5, leaseMs: 60_000 };

/** A migrated table of this test's own, as it is seen without anything between. */
async function createTable(): Promise<{ url: string; directory: Directory }> {
  const url = urlOfNewTable(inject('dynamodbUrl'));
  await migrateDynamodb(url, SIGNED);
  onTestFinished(async () => {
    const { call, close, table: TableName } = await openTable(url);
    await call('DeleteTable', { TableName });
    close();
  });
  return { url, directory: await openForTest(url) };
}

async function openForTest(url: string, now: () => number = Date.now): Promise<Directory> {
  const directory = await openDynamodbDirectory(url, { ...SIGNED, now });
  onTestFinished(() => directory.close());
  return directory;
}

/** A link whose names are as long as any may be: 255 characters, in UTF-8 three bytes each where not only ASCII may be. */
function longestLink(subject: string, name: string): NewLink {
  const text = (own: string) => own.padEnd(255, '€');
  const [fpType, fpName] = ['t', 'n'].map((letter) => letter.repeat(255)) as [string, string]; // of two
  return newLink({ fpType, fpName, sid: text(`${subject}-${name}-`), userName: text(''), subject });
}

/** Puts the longest links into a table, `0` first, as so many calls would. */
async function fillSubject(url: string, subject: string, count: number): Promise<void> {
  const { call, close, table } = await openTable(url);
  const links = Array.from({ length: count }, (_, index) => {
    const { audit, ...link } = longestLink(subject, String(index));
    return { ...link, linkedAt: 1000 + index };
  });
  const pages = divide(links.map(({ subject: _, ...link }) => link));
  const changes = [
    ...pageChanges(new Map(), subject, pages),
    ...links.map((link) => [linkKey(link), itemOfLink(link)] as const),
  ];
  const requests = changes.map(([key, item]) => ({
    PutRequest: { Item: { ...item, id: { S: key }, w: { S: 'test' } } },
  }));
  for (let index = 0; index < requests.length; index += 25) {
    await call('BatchWriteItem', { RequestItems: { [table]: requests.slice(index, index + 25) } });
  }
  close();
}

/** A directory that reaches the table of `url` through a proxy, and the requests that came by. */
async function openThrough(url: string, handle: Handle): Promise<{ directory: Directory; seen: ApiRequest[] }> {
  const seen: ApiRequest[] = [];
  const auth = `auth=sigv4&table=${new URL(url).searchParams.get('table')}`;
  const proxy = await startDynamodbProxy(url, auth, (...given) => {
    seen.push(given[0]);
    return handle(...given);
  });
  onTestFinished(proxy.stop);
  return { directory: await openForTest(proxy.url), seen };
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

/** Does what is asked for and says that it has failed: the client asks again. */
const withLostAnswer = () =>
  onceFor('TransactWriteItems', async (_request, forward) => {
    await forward();
    return apiError(500, 'InternalServerError');
  });

/** An answer of BatchGetItem without the items of some keys. */
function without(prefix: string, { status, body }: ApiAnswer): ApiAnswer {
  const responses = Object.entries(body.Responses as Record<string, { id: { S: string } }[]>); // as the API answers
  const rest = responses.map(([table, items]) => [table, items.filter(({ id }) => !id.S.startsWith(prefix))]);
  return { status, body: { ...body, Responses: Object.fromEntries(rest) } };
}

describe('a directory in DynamoDB', () => {
  test('a list is one strongly consistent read with the schema marker, a change is a read and one transaction', async () => {
    const { url } = await createTable();
    const { directory, seen } = await openThrough(url, (_request, forward) => forward());
    await directory.links.link(newLink({ tokens: 'k1.s' }));
    await directory.links.list('ann');
    await directory.links.unlink(unlinkOf({ job: newJob('j') }));
    const read = 'BatchGetItem';
    expect(seen.map(({ action }) => action)).toEqual([read, 'TransactWriteItems', read, read, 'TransactWriteItems']);
    for (const { action, body } of seen) {
      expect(JSON.stringify(body)).toContain('"schema#directory"');
      if (action === read) expect(JSON.stringify(body)).toContain('"ConsistentRead":true');
    }
    const [marker, ...written] = seen.flatMap(({ body }) => body.TransactItems ?? []).slice(-6) as object[]; // of the API
    expect(marker).toHaveProperty('ConditionCheck');
    expect(written.flatMap((action) => Object.keys(action))).toEqual(['Delete', 'Delete', 'Put', 'Put', 'Put']);
  });

  describe('an answer that was lost after the write', () => {
    const bind = { id: 'b', data: 'k1.d', expiresAt: Date.now() + 600_000 };

    test.each<
      [string, (directory: Directory) => Promise<unknown>, (directory: Directory) => Promise<unknown>, unknown]
    >([
      [
        'of a link leaves it linked',
        async () => {},
        ({ links }) => links.link(newLink()),
        { status: 'linked', change: 'created' },
      ],
      [
        'of a proof still tells whom it has replaced',
        ({ links }) => links.link(newLink({ subject: 'bob' })),
        ({ links }) => links.link(newLink({ evidence: 'proved' })),
        { status: 'linked', change: 'created', replaced: 'bob' },
      ],
      [
        'of a deletion is no repetition, and its job is given out',
        ({ links }) => links.link(newLink({ tokens: 'k1.s' })),
        ({ links }) => links.unlink(unlinkOf({ job: newJob('j', { claim: { name: 'me', leaseMs: 1000 } }) })),
        { status: 'unlinked', revocation: 'pending', job: { id: 'j', claim: 'me', secret: 'k1.s' } },
      ],
      ['of a bind that begins is one that has begun', async () => {}, ({ binds }) => binds.begin(bind), undefined],
      [
        'of a bind that is taken gives it out',
        ({ binds }) => binds.begin(bind),
        ({ binds }) => binds.take('b'),
        { status: 'taken', data: 'k1.d' },
      ],
      ['of a job that is added is a new job', async () => {}, ({ outbox }) => outbox.add(newJob('j')), true],
      [
        'of a claim gives the job out',
        ({ outbox }) => outbox.add(newJob('j')),
        ({ outbox }) => outbox.claim('me', CLAIM),
        [{ id: 'j', claim: 'me', attemptsStarted: 1 }],
      ],
      [
        'of a settlement is a settlement',
        ({ outbox }) => outbox.add(newJob('j', { claim: { name: 'me', leaseMs: 60_000 } })),
        ({ outbox }) => outbox.settle({ id: 'j', claim: 'me' }, { state: 'done', result: 'revoked' }),
        true,
      ],
      ['of a replay is a replay', ({ outbox }) => outbox.add(newJob('j')), ({ outbox }) => outbox.replay('j'), true],
      [
        'of a text that is sealed anew is a success',
        ({ outbox }) => outbox.add(newJob('j', { secret: 'k1.s' })),
        async ({ sealed }) => {
          const [text] = await sealed.find('k2', 1);
          return text && sealed.replace(text, 'k2.s');
        },
        true,
      ],
      [
        'of a bind at an identity server has it known',
        async () => {},
        ({ threepids }) => threepids.put(newBinding()),
        true,
      ],
      [
        'of one that is confirmed has it bound',
        ({ threepids }) => threepids.put(newBinding()),
        async ({ threepids }) => {
          await threepids.put(newBinding({ state: 'bound' }));
          return await threepids.find(newBinding());
        },
        [{ state: 'bound' }],
      ],
      [
        'of one that is forgotten has it forgotten',
        async ({ threepids }) => {
          await threepids.put(newBinding());
          await threepids.put(newBinding({ bindId: 'bind-2' }));
        },
        async ({ threepids }) => {
          await threepids.forget([newBinding()]);
          return await threepids.find(newBinding());
        },
        [{ bindId: 'bind-2' }],
      ],
    ])('%s', async (_name, before, call, outcome) => {
      const { url, directory: direct } = await createTable();
      await before(direct);
      const { directory, seen } = await openThrough(url, withLostAnswer());
      const answered = await call(directory);
      if (typeof outcome === 'object')
        expect(answered).toMatchObject(outcome as object); // not null: none above is
      else expect(answered).toBe(outcome);
      expect(seen.filter(({ action }) => action === 'TransactWriteItems')).toHaveLength(2);
    });

    test("with its connection is none of the caller's business, and a repetition for the next call", async () => {
      const { url, directory: direct } = await createTable();
      await direct.links.link(newLink());
      const reset = onceFor('TransactWriteItems', async (_request, forward) => {
        await forward();
        return undefined;
      });
      const { directory } = await openThrough(url, reset);
      expect(await directory.links.unlink(unlinkOf())).toMatchObject({ status: 'unlinked' });
      expect(await directory.links.unlink(unlinkOf())).toMatchObject({ status: 'repeated' });
    });
  });

  test.each([
    ['that names a conflict', { CancellationReasons: [{ Code: 'None' }, { Code: 'TransactionConflict' }] }],
    ['that names no reason', {}],
  ])('a cancelled transaction %s is decided again', async (_name, more) => {
    const { url, directory: direct } = await createTable();
    const overtaken = onceFor('TransactWriteItems', async () => {
      await direct.links.link(newLink({ subject: 'bob' }));
      return apiError(400, 'TransactionCanceledException', more);
    });
    const { directory } = await openThrough(url, overtaken);
    expect(await directory.links.link(newLink())).toEqual({ status: 'taken' });
    expect(await direct.links.list('ann')).toEqual([]);
  });

  test('a transaction that is cancelled each time is never success', async () => {
    const { url, directory: direct } = await createTable();
    await direct.links.link(newLink());
    await direct.outbox.add(newJob('j'));
    await direct.binds.begin({ id: 'b', data: 'd', expiresAt: Date.now() + 60_000 });
    const { directory } = await openThrough(url, async ({ action }, forward) =>
      action === 'TransactWriteItems' ? apiError(400, 'TransactionCanceledException') : forward(),
    );
    const attempts = [
      () => directory.links.link(newLink({ sid: 'other' }), 300),
      () => directory.links.unlink(unlinkOf(), 300),
      () => directory.binds.begin({ id: 'c', data: 'd', expiresAt: Date.now() + 60_000 }, 300),
      () => directory.binds.take('b', 300),
      () => directory.outbox.add(newJob('k'), 300),
      () => directory.threepids.put(newBinding(), 300),
    ];
    for (const attempt of attempts) await expect(attempt()).rejects.toMatchObject({ fault: 'busy' });
    expect(await direct.links.list('ann')).toMatchObject([{ sid: '1234' }]);
    expect(await direct.outbox.find('k')).toBeUndefined();
  });

  test('a transaction that is cancelled each time is sent five times while nothing changes', async () => {
    const { url, directory: direct } = await createTable();
    await direct.links.link(newLink());
    const { directory, seen } = await openThrough(url, async ({ action }, forward) =>
      action === 'TransactWriteItems' ? apiError(400, 'TransactionCanceledException') : forward(),
    );
    const calls = [
      (timeoutMs: number) => directory.links.unlink(unlinkOf(), timeoutMs),
      (timeoutMs: number) => directory.outbox.add(newJob('k'), timeoutMs),
    ];
    for (const call of calls) {
      seen.length = 0;
      await expect(retryWhileUnavailable<unknown>(60_000, call)).rejects.toMatchObject({ fault: 'busy' });
      expect(seen.filter(({ action }) => action === 'TransactWriteItems')).toHaveLength(5);
    }
  });

  test('a job that is too large for an item is no loop of writes on YDB, which only says that it is cancelled', async () => {
    const { url } = await createTable();
    const seen: ApiRequest[] = [];
    const proxy = await startIamProxy(inject('dynamodbUrl'), TOKEN, (request, forward) => {
      seen.push(request);
      return forward();
    });
    onTestFinished(proxy.stop);
    const table = new URL(url).searchParams.get('table');
    const directory = await openDynamodbDirectory(`${proxy.url}&table=${table}`, BEARING);
    onTestFinished(() => directory.close());
    const job = newJob('j', { details: { text: 'x'.repeat(500_000) } });
    await expect(retryWhileUnavailable<unknown>(60_000, (ms) => directory.outbox.add(job, ms))).rejects.toMatchObject({
      fault: 'busy',
      cause: { message: expect.stringContaining('TransactionCanceledException') },
    });
    expect(seen.filter(({ action }) => action === 'TransactWriteItems')).toHaveLength(5);
    expect(await directory.outbox.find('j')).toBeUndefined();
  });

  test('a server that never answers ends with the time that was given', async () => {
    const { url } = await createTable();
    const { directory } = await openThrough(url, () => new Promise(() => {}));
    await expect(directory.links.list('ann', 100)).rejects.toMatchObject({ fault: 'timed_out' });
    await expect(directory.links.unlink(unlinkOf(), 100)).rejects.toMatchObject({ fault: 'timed_out' });
    await expect(directory.threepids.find(newBinding(), 100)).rejects.toMatchObject({ fault: 'timed_out' });
    await expect(directory.threepids.put(newBinding(), 100)).rejects.toMatchObject({ fault: 'timed_out' });
    await expect(directory.threepids.forget([newBinding()], 100)).rejects.toMatchObject({ fault: 'timed_out' });
  });

  test('what was read in the middle of a deletion is read again: it is a repetition, not unknown', async () => {
    const { url, directory: direct } = await createTable();
    await direct.links.link(newLink());
    const torn = onceFor('BatchGetItem', async (_request, forward) => {
      await direct.links.unlink(unlinkOf());
      return without('unlinked', await forward());
    });
    const { directory } = await openThrough(url, torn);
    expect(await directory.links.unlink(unlinkOf())).toEqual({ status: 'repeated', revocation: 'unsupported' });
  });

  test('a deletion of the identity while its bind is completed ends the bind', async () => {
    const { url, directory: direct } = await createTable();
    const overtaken = onceFor('TransactWriteItems', async (_request, forward) => {
      await direct.links.link(newLink({ subject: 'bob' }));
      await direct.links.unlink(unlinkOf({ subject: 'bob' }));
      return forward();
    });
    const { directory } = await openThrough(url, overtaken);
    const begunAt = Date.now();
    expect(await directory.links.link(newLink({ evidence: 'proved', begunAt }))).toEqual({ status: 'unlinked_since' });
    expect(await direct.links.list('ann')).toEqual([]);
  });

  test('an index that is behind costs a try: what it shows and is not so any more is neither claimed nor listed', async () => {
    const { url, directory: direct } = await createTable();
    for (const id of ['claimed', 'done', 'due']) await direct.outbox.add(newJob(id));
    const client = await openTable(url);
    const stale = new Map<string, ApiAnswer | undefined>(); // by what the queue of the index is named
    const { directory } = await openThrough(url, async ({ action, body }, forward) => {
      if (action !== 'Query') return forward();
      const queue = JSON.stringify(Object(body.ExpressionAttributeValues)[':q']);
      if (!stale.has(queue)) stale.set(queue, await forward());
      return stale.get(queue);
    });
    expect(await directory.outbox.list('pending', { limit: 10 })).toHaveLength(3);
    for (const { id } of await direct.outbox.claim('other', { jobs: 3, leaseMs: 60_000 })) {
      const settlement =
        id === 'due'
          ? ({ state: 'pending', dueAt: 0, error: 'timed_out' } as const)
          : ({ state: 'done', result: 'revoked' } as const);
      if (id !== 'claimed') await direct.outbox.settle({ id, claim: 'other' }, settlement);
    }
    expect((await directory.outbox.list('pending', { limit: 10 })).map(({ id }) => id).sort()).toEqual([
      'claimed',
      'due',
    ]);
    expect(await directory.outbox.claim('me', CLAIM)).toMatchObject([{ id: 'due', claim: 'me' }]);
    expect(await directory.outbox.claim('me too', CLAIM)).toEqual([]);
    client.close();
  });

  test('an index that is behind leaves no gap in a page', async () => {
    const { url, directory: direct } = await createTable();
    for (const id of ['a', 'b', 'c']) {
      await direct.outbox.add(newJob(id, { claim: { name: id, leaseMs: 60_000 } }));
      await direct.outbox.settle({ id, claim: id }, { state: 'set_aside', error: 'killed its runner' });
    }
    const { directory } = await openThrough(
      url,
      onceFor('Query', async (_request, forward) => {
        const behind = await forward();
        await direct.outbox.replay('a');
        return behind;
      }),
    );
    expect(await directory.outbox.list('set_aside', { limit: 2 })).toMatchObject([{ id: 'b' }, { id: 'c' }]);
  });

  test('more jobs than a page of the index are listed and claimed', async () => {
    const { directory } = await createTable();
    const ids = Array.from({ length: 120 }, (_, index) => `job-${index}`);
    await Promise.all(ids.map((id) => directory.outbox.add(newJob(id, { details: { text: 'x'.repeat(20_000) } }))));
    const listed = await directory.outbox.list('pending', { limit: 1000 });
    expect(listed.map(({ id }) => id).sort()).toEqual(ids.toSorted());
    const claimed = await directory.outbox.claim('me', { jobs: 1000, leaseMs: 60_000 });
    expect(claimed.map(({ id }) => id).sort()).toEqual(ids.toSorted());
  });

  test('what was claimed is given out although another claim fails', async () => {
    const { url, directory: direct } = await createTable();
    for (const id of ['a', 'b']) await direct.outbox.add(newJob(id));
    const { directory } = await openThrough(
      url,
      onceFor('TransactWriteItems', async () => apiError(400, 'UnrecognizedClientException')),
    );
    expect(await directory.outbox.claim('me', CLAIM)).toHaveLength(1);
  });

  test('keys that are too long for the server are told apart', async () => {
    const { directory } = await createTable();
    const long = 'ж'.repeat(5000);
    for (const sid of [`${long}a`, `${long}b`]) {
      expect(await directory.links.link(newLink({ sid, subject: long }))).toMatchObject({ change: 'created' });
    }
    expect(await directory.links.unlink(unlinkOf({ sid: `${long}a`, subject: long }))).toMatchObject({
      status: 'unlinked',
    });
    expect(await directory.links.list(long)).toMatchObject([{ sid: `${long}b` }]);
  });

  test('links that have no room in one item are kept in several, and in their order', async () => {
    const { directory } = await createTable();
    const long = 'x'.repeat(150_000);
    const userNames = async () => (await directory.links.list('ann')).map(({ sid, userName }) => `${sid} ${userName}`);
    for (const sid of ['a', 'b', 'c', 'd', 'e']) {
      expect(await directory.links.link(newLink({ sid, userName: long }))).toMatchObject({ change: 'created' });
    }
    await directory.links.link(newLink({ sid: 'first', linkedAt: 1 }));
    await directory.links.link(newLink({ sid: 'c', userName: 'short' }));
    expect(await userNames()).toEqual([
      'first undefined',
      `a ${long}`,
      `b ${long}`,
      'c short',
      `d ${long}`,
      `e ${long}`,
    ]);
    // A page is emptied, has no room for a longer name, and is the last.
    for (const sid of ['a', 'b', 'first']) {
      expect(await directory.links.unlink(unlinkOf({ sid, keepLast: true }))).toMatchObject({ status: 'unlinked' });
    }
    await directory.links.link(newLink({ sid: 'c', userName: long }));
    expect(await userNames()).toEqual([`c ${long}`, `d ${long}`, `e ${long}`]);
    for (const sid of ['e', 'd', 'c']) await directory.links.unlink(unlinkOf({ sid }));
    expect(await userNames()).toEqual([]);
    expect(await directory.links.unlink(unlinkOf({ sid: 'a' }))).toMatchObject({ status: 'repeated' });
    await directory.links.link(newLink({ sid: 'anew' }));
    expect(await userNames()).toEqual(['anew undefined']);
  });

  test('changes of different pages at once are all made', async () => {
    const { directory } = await createTable();
    const userName = 'x'.repeat(100_000);
    const sids = Array.from({ length: 8 }, (_, index) => `sid-${index}`);
    await Promise.all(sids.map((sid) => directory.links.link(newLink({ sid, userName }))));
    const gone = sids.filter((_, index) => index % 2 === 0);
    await Promise.all([
      ...gone.map((sid) => directory.links.unlink(unlinkOf({ sid }))),
      directory.links.link(newLink({ sid: 'late', userName })),
    ]);
    const left = (await directory.links.list('ann')).map(({ sid }) => sid);
    expect(left.sort()).toEqual([...sids.filter((sid) => !gone.includes(sid)), 'late'].sort());
    expect(await directory.links.find({ subject: 'ann' })).toHaveLength(5);
  });

  test('a subject has 1,000 links however long their names are', async () => {
    const { url } = await createTable();
    const proxy = await startIamProxy(inject('dynamodbUrl'), TOKEN);
    onTestFinished(proxy.stop);
    const directory = await openDynamodbDirectory(
      `${proxy.url}&table=${new URL(url).searchParams.get('table')}`,
      BEARING,
    );
    onTestFinished(() => directory.close());
    await fillSubject(url, 'ann', 999);
    await fillSubject(url, 'bob', 1000);
    const longest = (name: string) => longestLink('ann', name);
    expect(await directory.links.link(longest('last'))).toMatchObject({ change: 'created' });
    expect(await directory.links.link(longest('one more'))).toEqual({ status: 'limit_reached' });
    expect(await directory.links.unlink(unlinkOf(longestLink('ann', '0')))).toMatchObject({ status: 'unlinked' });
    // Of the subject that has the most, too, and before all others.
    const proved = { ...longestLink('bob', '500'), subject: 'ann', evidence: 'proved', linkedAt: 1 } as const;
    expect(await directory.links.link(proved)).toMatchObject({ change: 'created', replaced: 'bob' });
    const sids = (await directory.links.list('ann')).map(({ sid }) => sid);
    expect(sids).toHaveLength(1000);
    expect([sids[0], sids[1], sids[999]]).toEqual([proved.sid, longest('1').sid, longest('last').sid]);
    expect(await directory.links.list('bob')).toHaveLength(999);
  });

  test('the server is told when an item may be collected, and of a link, an audit record, a pending job or binds nothing', async () => {
    const { url } = await createTable();
    const timeMs = Date.now();
    const directory = await openForTest(url, () => timeMs);
    await directory.links.link(newLink());
    await directory.links.unlink(unlinkOf());
    await directory.links.link(newLink());
    await directory.binds.begin({ id: 'b', data: 'd', expiresAt: timeMs });
    await directory.outbox.add(newJob('pending'));
    await directory.threepids.put(newBinding());
    const { call, close, table: TableName } = await openTable(url);
    const items = (await call('Scan', { TableName }))?.Items ?? [];
    const ttl = new Map(items.map(({ id, ttl }) => [id?.S?.replace(/#.*/, ''), ttl?.N]));
    expect(ttl.get('unlinked')).toBe(String(Math.ceil(timeMs / 1000) + 86_400));
    expect(ttl.get('bind')).toBe(String(Math.ceil((timeMs + SPENT_BIND_MS) / 1000)));
    for (const kind of ['link', 'subject', 'audit', 'job', 'threepid'])
      expect([ttl.has(kind), ttl.get(kind)]).toEqual([true, undefined]);
    close();
  });

  test('a purge leaves what revocations keep in the same table, and theirs leaves it alone', async () => {
    const { url, directory } = await createTable();
    const revocations = await openDynamodbStore(url, { ...SIGNED, now: () => 0 });
    await revocations.revoke({ tokenIds: ['a'], grants: [], cutOffs: [], expiresAt: 1 });
    await directory.binds.begin({ id: 'b', data: 'd', expiresAt: 1 });
    expect(await directory.purgeExpired(10)).toBe(1);
    await directory.binds.begin({ id: 'b', data: 'd', expiresAt: 1 });
    await revocations.close();
    const later = await openDynamodbStore(url, SIGNED);
    onTestFinished(() => later.close());
    expect(await later.purgeExpired(10)).toBe(1);
    expect(await directory.purgeExpired(10)).toBe(1);
  });

  test('an item that something else has written is corrupt, not absent', async () => {
    const { url, directory } = await createTable();
    await directory.links.link(newLink());
    const { call, close, table: TableName } = await openTable(url);
    await call('PutItem', { TableName, Item: { id: { S: 'subject#["ann"]' }, d: { S: 'no list' } } });
    await expect(directory.links.list('ann')).rejects.toMatchObject({ fault: 'corrupt' });
    await call('PutItem', { TableName, Item: { id: { S: 'subject#["ann"]' }, d: { S: '[]' } } });
    await expect(directory.links.unlink(unlinkOf())).rejects.toMatchObject({ fault: 'corrupt' });
    close();
  });
});
