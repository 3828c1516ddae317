/** Each store with the rights of docs/store-rights.md and no more. */
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { migrateDynamodb } from '#scripts/migrate-dynamodb.ts';
import { migrateRedis } from '#scripts/migrate-redis.ts';
import type { Directory } from '#shared/directory/directory.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { DYNAMODB_CREDENTIALS, urlOfNewTable } from '#test/support/dynamodb-server.ts';
import { startDynamodbProxy } from '#test/support/iam-proxy.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import { createDatabase, runOnce } from '#test/support/postgres-server.ts';
import { claimDatabase } from '#test/support/redis-server.ts';
import { newBinding } from './threepid-bindings.ts';

const DOCUMENT = readFileSync('docs/store-rights.md', 'utf8');
const START_MS = 1_800_000_000_000;

const { openPostgresDirectory, openPostgresStore } = await loadPorts('postgres');
const { openRedisStore } = await loadPorts('redis');
const { openDynamodbDirectory, openDynamodbStore } = await loadPorts('dynamodb');

/** All that functions ask of a store of revocations. */
async function useRevocations(store: TokenRevocationStore): Promise<void> {
  const revocation = {
    tokenIds: ['id'],
    grants: ['grant'],
    cutOffs: [{ key: 'key', issuedUpTo: 1 }],
    expiresAt: 1_800_000_001,
  };
  expect(await store.revoke(revocation)).toMatchObject({ first: true });
  expect(await store.revoke(revocation)).toMatchObject({ first: false });
  expect(await store.check({ tokenIds: ['id'], grants: ['grant'], cutOffKeys: ['key'] })).toMatchObject({
    revoked: true,
  });
}

/** All that functions ask of a directory. */
async function useDirectory({ links, binds, outbox, threepids }: Directory): Promise<void> {
  const identity = { fpType: 'vk', fpName: 'vk_1', sid: '1' };
  const audit = { actor: 'operator', requestId: 'r' };
  const link = { ...identity, subject: 'ann', audit };
  expect(await links.link({ ...link, evidence: 'asserted', tokens: 'k1.t' })).toMatchObject({ status: 'linked' });
  expect(await links.link({ ...link, evidence: 'proved', tokens: 'k1.u' })).toMatchObject({ status: 'linked' });
  expect(await links.link({ ...link, subject: 'bob', evidence: 'asserted' })).toMatchObject({ status: 'taken' });
  expect(await links.find({ subject: 'ann' })).toHaveLength(1);
  const job = { id: 'job', kind: 'grant-revocation', details: {}, boundTo: 'b', requestId: 'r' } as const;
  expect(await links.unlink({ ...link, keepLast: false, force: false, job })).toMatchObject({ status: 'unlinked' });
  expect(await links.unlink({ ...link, keepLast: false, force: false })).toMatchObject({ status: 'repeated' });
  await binds.begin({ id: 'bind', data: 'k1.d', expiresAt: START_MS + 1 });
  expect(await binds.take('bind')).toMatchObject({ status: 'taken' });
  expect(await threepids.put(newBinding())).toBe(true);
  await threepids.forget(await threepids.find(newBinding()));
  await outbox.add({ ...job, id: 'another', secret: 'k1.s' });
  expect(await outbox.claim('run', { jobs: 5, leaseMs: 1 })).toHaveLength(2);
}

describe('PostgreSQL', () => {
  /** A database whose owner has migrated it and given the rights of the document. */
  async function createGranted(): Promise<{ urlOf: (role: string) => string; client: pg.Client }> {
    const { url, client, drop } = await createDatabase(inject('postgresUrl'), inject('postgresTemplate'));
    const suffix = crypto.randomUUID().replaceAll('-', '');
    const [, sql = ''] = /```sql\n(.*?)```/s.exec(DOCUMENT) ?? [];
    await client.query(
      sql.replaceAll(/\bunlink_(functions|matrix|maintenance)\b/g, `$&_${suffix}`).replaceAll('…', suffix),
    );
    onTestFinished(async () => {
      await drop();
      for (const role of ['maintenance', 'matrix', 'functions'])
        await runOnce(inject('postgresUrl'), `DROP ROLE unlink_${role}_${suffix}`);
    });
    const urlOf = (role: string) =>
      Object.assign(new URL(url), { username: `unlink_${role}_${suffix}`, password: suffix }).href;
    return { urlOf, client };
  }

  async function open(url: string, now = START_MS) {
    const [revocations, directory] = [
      await openPostgresStore(url, { now: () => now }),
      await openPostgresDirectory(url, { now: () => now }),
    ];
    onTestFinished(async () => {
      await revocations.close();
      await directory.close();
    });
    return { revocations, directory };
  }

  test('functions work with their rights, and cannot purge', async () => {
    const { urlOf } = await createGranted();
    const { revocations, directory } = await open(urlOf('functions'));
    await useRevocations(revocations);
    await useDirectory(directory);
    await expect(revocations.purgeExpired(1)).rejects.toMatchObject({ fault: 'refused' });
    await expect(directory.purgeExpired(1)).rejects.toMatchObject({ fault: 'refused' });
  });

  test('the Matrix functions check tokens and keep binds with their rights, and revoke and read nothing else', async () => {
    const { urlOf } = await createGranted();
    await useRevocations((await open(urlOf('functions'))).revocations);
    const { revocations, directory } = await open(urlOf('matrix'));

    const presented = { tokenIds: ['id'], grants: [], cutOffKeys: [] };
    expect(await revocations.check(presented)).toEqual({ revoked: true, by: 'token' });
    expect(await directory.threepids.put(newBinding())).toBe(true);
    await directory.threepids.forget(await directory.threepids.find(newBinding()));
    expect(await directory.threepids.find(newBinding())).toEqual([]);
    const revocation = { tokenIds: ['other'], grants: [], cutOffs: [], expiresAt: 1_800_000_001 };
    await expect(revocations.revoke(revocation)).rejects.toMatchObject({ fault: 'refused' });
    await expect(directory.links.find({ subject: 'ann' })).rejects.toMatchObject({ fault: 'refused' });
  });

  test('maintenance purges with its rights', async () => {
    const { urlOf } = await createGranted();
    const { revocations, directory } = await open(urlOf('functions'));
    await useRevocations(revocations);
    await useDirectory(directory);
    const later = await open(urlOf('maintenance'), START_MS + 10 ** 11);
    expect(await later.revocations.purgeExpired(10)).toBe(2);
    expect(await later.directory.purgeExpired(10)).toBeGreaterThan(0);
  });
});

describe('Redis', () => {
  const lines = DOCUMENT.split('\n').filter((line) => line.startsWith('ACL SETUSER '));

  /** A database of the test's own, and what names it as each user of the document. */
  async function claimGranted() {
    const { url, client, drop } = await claimDatabase(inject('redisUrl'));
    const password = crypto.randomUUID();
    const users: string[] = [];
    for (const line of lines) {
      const [, , name = '', ...rules] = line.split(' ');
      users.push(`${name}-${password}`);
      await client.call('ACL', 'SETUSER', `${name}-${password}`, ...rules.map((rule) => rule.replace('…', password)));
    }
    onTestFinished(async () => {
      await client.call('ACL', 'DELUSER', ...users);
      await drop();
    });
    const urlOf = (role: string) =>
      Object.assign(new URL(url), { username: `unlink-${role}-${password}`, password }).href;
    return { client, urlOf, password };
  }

  async function open(url: string, now = START_MS) {
    const store = await openRedisStore(url, { now: () => now });
    onTestFinished(() => store.close());
    return store;
  }

  test('each works with its rights', async () => {
    const { urlOf } = await claimGranted();
    await migrateRedis(urlOf('migrate'));
    await useRevocations(await open(urlOf('functions')));
    expect(await (await open(urlOf('maintenance'), START_MS + 10 ** 11)).purgeExpired(10)).toBe(2);
  });

  test.each(['zadd', 'mset', 'zrem', 'del'])('without the right to %s nothing is written', async (command) => {
    const { client, urlOf, password } = await claimGranted();
    await migrateRedis(urlOf('migrate'));
    const revocation = { tokenIds: ['id'], grants: [], cutOffs: [], expiresAt: 1_800_000_001 };
    await (await open(urlOf('functions'))).revoke(revocation);
    const before = await dump(client);
    await client.call('ACL', 'SETUSER', `unlink-maintenance-${password}`, `-${command}`);
    const store = await open(urlOf('maintenance'), START_MS + 10 ** 11);
    const writes = command === 'zadd' || command === 'mset';
    await expect(
      writes ? store.revoke({ ...revocation, tokenIds: ['other'] }) : store.purgeExpired(10),
    ).rejects.toMatchObject({ fault: 'refused' });
    expect(await dump(client)).toEqual(before);
  });

  async function dump(client: Awaited<ReturnType<typeof claimDatabase>>['client']) {
    const keys = (await client.keys('unlink:*')).sort();
    return await Promise.all(keys.map(async (key) => [key, (await client.dumpBuffer(key))?.toString('hex')]));
  }
});

describe('the DynamoDB API', () => {
  /** The actions that the document allows. */
  const allowedTo = (who: string) => {
    const [, row = ''] = new RegExp(`^\\| ${who}.* \\| (.*) \\|$`, 'm').exec(DOCUMENT) ?? [];
    return [...row.matchAll(/dynamodb:(\w+)/g)].map(([, action = '']) => action);
  };

  test('functions, maintenance and migrate ask for no other action than the document allows them', async () => {
    const seen = new Set<string>();
    const url = urlOfNewTable(inject('dynamodbUrl'));
    const proxy = await startDynamodbProxy(url, 'auth=sigv4', async ({ action, body }, forward) => {
      // Whoever sends a transaction needs the right to each of its parts.
      const items = action === 'TransactWriteItems' ? (body.TransactItems as object[]) : undefined; // as the driver writes it
      const parts: Record<string, string> = {
        Put: 'PutItem',
        Delete: 'DeleteItem',
        ConditionCheck: 'ConditionCheckItem',
      };
      const actions = items?.flatMap((item) => Object.keys(item)).map((part) => parts[part] ?? part) ?? [action];
      for (const each of actions) seen.add(each);
      return await forward();
    });
    onTestFinished(proxy.stop);
    const through = `${proxy.url}&table=${new URL(url).searchParams.get('table')}`;
    const options = { credentials: DYNAMODB_CREDENTIALS };
    const take = () => {
      const actions = [...seen].sort();
      seen.clear();
      return actions;
    };

    await migrateDynamodb(through, options);
    const migrates = take();
    expect(allowedTo('`npm run migrate`')).toEqual(expect.arrayContaining(migrates));

    const revocations = await openDynamodbStore(through, { ...options, now: () => START_MS });
    const directory = await openDynamodbDirectory(through, { ...options, now: () => START_MS });
    onTestFinished(async () => {
      await revocations.close();
      await directory.close();
    });
    await useRevocations(revocations);
    await useDirectory(directory);
    expect(take()).toEqual(allowedTo('functions'));

    await revocations.purgeExpired(10);
    await directory.purgeExpired(10);
    expect([...allowedTo('functions'), ...allowedTo('`maintenance`')]).toEqual(expect.arrayContaining(take()));
  });
});
