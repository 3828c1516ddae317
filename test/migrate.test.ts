import { join } from 'node:path';
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

/** Who an operator is at DynamoDB. */
const AWS = {
  AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
};

test.each([
  ['DynamoDB', createDynamodb],
  ['PostgreSQL', createPostgres],
  ['Redis', createRedis],
  ['SQLite', createSqlite],
])('npm run migrate makes a store in %s usable, and may be repeated', async (_name, create) => {
  const { url, open, remove } = await create();
  onTestFinished(remove);
  for (let time = 0; time < 2; time += 1) expect(await startScript('migrate', ['--store', url], AWS).ended).toBe(0);

  const store = await open();
  onTestFinished(() => store.close());
  expect(await store.check({ tokenIds: ['a'], grants: [], cutOffKeys: [] })).toEqual({ revoked: false });
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
