import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';
import { expect, inject, onTestFinished, test } from 'vitest';
import { deadlineIn } from '#shared/databases/deadline.ts';
import { openDynamodb } from '#shared/databases/dynamodb.ts';
import { openDynamodbStore } from '#shared/token-revocation/drivers/dynamodb.ts';
import { openPostgresStore } from '#shared/token-revocation/drivers/postgres.ts';
import { MARKER_KEY, openRedisStore } from '#shared/token-revocation/drivers/redis.ts';
import { openSqliteStore } from '#shared/token-revocation/drivers/sqlite.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { OLDER_STORE } from './contract/token-revocation-store.ts';
import { DYNAMODB_CREDENTIALS, urlOfNewTable } from './support/dynamodb-server.ts';
import { createDatabase } from './support/postgres-server.ts';
import { claimDatabase } from './support/redis-server.ts';
import { startScript } from './support/script-process.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

/** A store of version 1, to which the migrations from the third on were not applied. */
const MAKE_OLDER = `
  UPDATE schema_marker SET version = 1;
  DROP TABLE threepid_binding;
  DELETE FROM applied_migration WHERE file LIKE '%003-%'`;

async function createPostgres() {
  const { url, drop } = await createDatabase(inject('postgresUrl'));
  return {
    url,
    open: () => openPostgresStore(url),
    remove: drop,
    makeOlder: () => changePostgres(url, MAKE_OLDER),
    read: () =>
      usePostgres(url, async (client) => {
        const tables = await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1");
        const markers = await client.query('SELECT * FROM schema_marker ORDER BY component');
        const files = await client.query('SELECT * FROM applied_migration ORDER BY file');
        return [tables.rows, markers.rows, files.rows];
      }),
  };
}

async function createRedis() {
  const { url, client, drop } = await claimDatabase(inject('redisUrl'));
  return {
    url,
    open: () => openRedisStore(url),
    remove: drop,
    makeOlder: () => client.set(MARKER_KEY, '1'),
    read: async () => [await client.keys('*'), await client.get(MARKER_KEY)],
  };
}

async function createSqlite() {
  const { path: folder, remove } = createTemporaryFolder();
  const path = join(folder, 'store.sqlite');
  const url = `sqlite:${path}`;
  return {
    url,
    open: () => openSqliteStore(path),
    remove: async () => remove(),
    makeOlder: async () => changeSqlite(url, MAKE_OLDER),
    read: async () => {
      const database = new DatabaseSync(path);
      const rows = ['schema_marker', 'applied_migration', 'sqlite_schema'].map((table) =>
        database.prepare(`SELECT * FROM ${table}`).all(),
      );
      database.close();
      return rows;
    },
  };
}

async function createDynamodb() {
  const url = urlOfNewTable(inject('dynamodbUrl'));
  async function call(action: string, body: object) {
    const client = await openDynamodb(url, TOKEN_REVOCATION_SCHEMA, { credentials: DYNAMODB_CREDENTIALS });
    const answer = await client.call(action, { TableName: client.table, ...body }, deadlineIn(10_000));
    client.close();
    return answer;
  }
  return {
    url,
    open: () => openDynamodbStore(url, { credentials: DYNAMODB_CREDENTIALS }),
    remove: async () => void (await call('DeleteTable', {})),
    makeOlder: async () => {
      await call('DeleteItem', { Key: { id: { S: 'schema#directory' } } });
      await call('PutItem', { Item: { id: { S: 'schema#token-revocation' }, v: { N: '1' } } });
    },
    read: async () => (await call('Scan', { ConsistentRead: true }))?.Items,
  };
}

function changeSqlite(url: string, sql: string): void {
  const database = new DatabaseSync(url.replace('sqlite:', ''));
  database.exec(sql);
  database.close();
}

async function changePostgres(url: string, sql: string): Promise<void> {
  await usePostgres(url, (client) => client.query(sql));
}

async function usePostgres<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Who an operator is at DynamoDB. */
const AWS = {
  AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
};

const UNKNOWN = 'Every token that was revoked so far is unknown in this store, and is let in.';
const UNCHANGED = 'Nothing was changed: the store has the schema of this version already.\n';

async function migrateWith(url: string) {
  const { ended, printed } = startScript('migrate', ['--store', url], AWS);
  return { status: await ended, ...printed };
}

test.each([
  ['DynamoDB', createDynamodb],
  ['PostgreSQL', createPostgres],
  ['Redis', createRedis],
  ['SQLite', createSqlite],
])('npm run migrate makes a store in %s usable, and may be repeated', async (_name, create) => {
  const { url, open, remove } = await create();
  onTestFinished(remove);
  const [first, second] = [await migrateWith(url), await migrateWith(url)];

  expect(first).toMatchObject({ status: 0, stdout: expect.stringMatching(/^The store had no schema\. Created: \S/) });
  expect(first.stdout).toContain(UNKNOWN);
  expect(second).toEqual({ status: 0, stdout: UNCHANGED, stderr: '' });

  const store = await open();
  onTestFinished(() => store.close());
  expect(await store.check({ tokenIds: ['a'], grants: [], cutOffKeys: [] })).toEqual({ revoked: false });
});

test('npm run migrate tells an upgrade, which keeps what is stored, from a new store', async () => {
  const { url, open, remove } = await createSqlite();
  onTestFinished(remove);
  await migrateWith(url);
  const store = await open();
  onTestFinished(() => store.close());
  const expiresAt = Math.floor(Date.now() / 1000) + 1000;
  await store.revoke({ tokenIds: ['a'], grants: [], cutOffs: [], expiresAt });
  changeSqlite(url, "DROP TABLE threepid_binding; DELETE FROM applied_migration WHERE file LIKE '000003%'");

  const { status, stdout } = await migrateWith(url);

  expect({ status, stdout }).toEqual({
    status: 0,
    stdout:
      'The store has the schema of this version now. Applied: 000003-threepid-binding.sql. What it held is kept.\n',
  });
  expect(await store.check({ tokenIds: ['a'], grants: [], cutOffKeys: [] })).toMatchObject({ revoked: true });
});

test.each([
  ['SQLite', createSqlite, async (url: string) => changeSqlite(url, 'DELETE FROM schema_marker')],
  ['PostgreSQL', createPostgres, (url: string) => changePostgres(url, 'DELETE FROM schema_marker')],
])('npm run migrate does not call a store in %s up to date that has lost its marker', async (_name, create, change) => {
  const { url, remove } = await create();
  onTestFinished(remove);
  await migrateWith(url);
  await change(url);

  expect(await migrateWith(url)).toMatchObject({
    status: 1,
    stderr:
      'The store has lost its schema marker, though all migrations were applied to it: restore it from a backup.\n',
  });
});

test.each([
  ['DynamoDB', createDynamodb],
  ['PostgreSQL', createPostgres],
  ['Redis', createRedis],
  ['SQLite', createSqlite],
])('npm run migrate refuses a store of version 1 in %s, and changes nothing', async (_name, create) => {
  const { url, makeOlder, read, remove } = await create();
  onTestFinished(remove);
  await migrateWith(url);
  await makeOlder();
  const before = await read();

  expect(await migrateWith(url)).toEqual({ status: 1, stdout: '', stderr: `${OLDER_STORE}\n` });
  expect(await read()).toEqual(before);
});

test.each([
  ['without a store', [], '--store must be'],
  ['with a scheme that is not known', ['--store', 'mysql://u:canary@h/d'], '--store must be'],
  ['where nobody listens', ['--store', 'postgres://u:canary@127.0.0.1:1/d'], 'ECONNREFUSED'],
  ['where nobody listens, on Redis', ['--store', 'redis://u:canary@127.0.0.1:1'], 'store: unreachable'],
])('npm run migrate %s ends with a sentence and no password', async (_name, args, sentence) => {
  const { ended, printed } = startScript('migrate', args);
  expect(await ended).toBe(1);
  expect(printed.stderr).toContain(sentence);
  expect(printed.stderr + printed.stdout).not.toMatch(/canary|\n +at /);
});
