import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';
import { expect, inject, onTestFinished, test } from 'vitest';
import { deadlineIn } from '#shared/databases/deadline.ts';
import { openDynamodb } from '#shared/databases/dynamodb.ts';
import { openDynamodbStore } from '#shared/token-revocation/drivers/dynamodb.ts';
import { openPostgresStore } from '#shared/token-revocation/drivers/postgres.ts';
import { openRedisStore } from '#shared/token-revocation/drivers/redis.ts';
import { openSqliteStore } from '#shared/token-revocation/drivers/sqlite.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { DYNAMODB_CREDENTIALS, urlOfNewTable } from './support/dynamodb-server.ts';
import { createDatabase } from './support/postgres-server.ts';
import { claimDatabase } from './support/redis-server.ts';
import { startScript } from './support/script-process.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

async function createPostgres() {
  const { url, drop } = await createDatabase(inject('postgresUrl'));
  return { url, open: () => openPostgresStore(url), remove: drop };
}

async function createRedis() {
  const { url, drop } = await claimDatabase(inject('redisUrl'));
  return { url, open: () => openRedisStore(url), remove: drop };
}

async function createSqlite() {
  const { path: folder, remove } = createTemporaryFolder();
  const path = join(folder, 'store.sqlite');
  return { url: `sqlite:${path}`, open: () => openSqliteStore(path), remove: async () => remove() };
}

async function createDynamodb() {
  const url = urlOfNewTable(inject('dynamodbUrl'));
  return {
    url,
    open: () => openDynamodbStore(url, { credentials: DYNAMODB_CREDENTIALS }),
    remove: async () => {
      const client = await openDynamodb(url, TOKEN_REVOCATION_SCHEMA, { credentials: DYNAMODB_CREDENTIALS });
      await client.call('DeleteTable', { TableName: client.table }, deadlineIn(10_000));
      client.close();
    },
  };
}

function changeSqlite(url: string, sql: string): void {
  const database = new DatabaseSync(url.replace('sqlite:', ''));
  database.exec(sql);
  database.close();
}

async function changePostgres(url: string, sql: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(sql);
  await client.end();
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
