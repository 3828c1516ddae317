import type { TestProject } from 'vitest/node';
import { migratePostgres } from '#scripts/migrate-postgres.ts';
import { startDynamodbServer } from './dynamodb-server.ts';
import { createDatabase, startPostgresServer } from './postgres-server.ts';
import { startRedisServer } from './redis-server.ts';
import { ensureServices } from './test-services.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** A PostgreSQL server, as a user who may make databases. */
    readonly postgresUrl: string;
    /** A migrated database on it, to be copied. */
    readonly postgresTemplate: string;
    /** A Redis or Valkey server with many databases. */
    readonly redisUrl: string;
  }
}

const NOTHING_TO_STOP = async () => {};

/** Starts the servers that stores are tested on, once for the whole test run; the environment may name others instead. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  ensureServices();
  const { TEST_POSTGRES_URL, TEST_REDIS_URL } = process.env;
  const [postgres, redis, dynamodb] = await Promise.all([
    TEST_POSTGRES_URL === undefined ? startPostgresServer() : { url: TEST_POSTGRES_URL, stop: NOTHING_TO_STOP },
    TEST_REDIS_URL === undefined ? startRedisServer() : { url: TEST_REDIS_URL, stop: NOTHING_TO_STOP },
    startDynamodbServer(),
  ]);
  const stop = async () => void (await Promise.all([postgres.stop(), redis.stop(), dynamodb.stop()]));
  try {
    const template = await createDatabase(postgres.url);
    await migratePostgres(template.url);
    await template.client.end(); // a database that somebody is connected to cannot be copied
    project.provide('postgresUrl', postgres.url);
    project.provide('postgresTemplate', new URL(template.url).pathname.slice(1));
    project.provide('redisUrl', redis.url);
    project.provide('dynamodbUrl', dynamodb.url);
    return async () => {
      await template.drop();
      await stop();
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
