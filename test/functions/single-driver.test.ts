/** Functions as `npm run build -- --store <name>` builds them, on the store that their driver is for. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { bundleFunction } from '#scripts/build.ts';
import { migrateDynamodb } from '#scripts/migrate-dynamodb.ts';
import { migrateRedis } from '#scripts/migrate-redis.ts';
import { DYNAMODB_CREDENTIALS, urlOfNewTable } from '#test/support/dynamodb-server.ts';
import { startProject } from '#test/support/emulated-project.ts';
import { createDatabase } from '#test/support/postgres-server.ts';
import { claimDatabase } from '#test/support/redis-server.ts';

const outDir = mkdtempSync(join(tmpdir(), 'unlink-single-'));
afterAll(() => rmSync(outDir, { recursive: true, force: true }));

interface TestedStore {
  readonly driver: 'postgres' | 'redis' | 'dynamodb';
  /** Settings that name a migrated store of the test's own. */
  readonly settings: () => Promise<Record<string, string>>;
  /** The settings with credentials that the server refuses. */
  readonly refused: (settings: Record<string, string>) => Record<string, string>;
}

const withPassword = (settings: Record<string, string>) => {
  const url = Object.assign(new URL(settings.STORE_URL ?? ''), { username: 'nobody', password: 'wrong' });
  return { ...settings, STORE_URL: url.href };
};

const STORES: readonly TestedStore[] = [
  {
    driver: 'postgres',
    async settings() {
      const { url, drop } = await createDatabase(inject('postgresUrl'), inject('postgresTemplate'));
      onTestFinished(drop);
      return { STORE_URL: url };
    },
    refused: withPassword,
  },
  {
    driver: 'redis',
    async settings() {
      const { url, drop } = await claimDatabase(inject('redisUrl'));
      onTestFinished(drop);
      await migrateRedis(url);
      return { STORE_URL: url };
    },
    refused: withPassword,
  },
  {
    driver: 'dynamodb',
    async settings() {
      const url = urlOfNewTable(inject('dynamodbUrl'));
      await migrateDynamodb(url, { credentials: DYNAMODB_CREDENTIALS });
      return {
        STORE_URL: url,
        AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
      };
    },
    // The server is there, and has no such table; DynamoDB Local refuses no key.
    refused: (settings) => ({ ...settings, STORE_URL: `${settings.STORE_URL}-elsewhere` }),
  },
];

describe.each(STORES)('smart-home-unlink with the $driver driver alone', ({ driver, settings, refused }) => {
  async function start(local: Record<string, string>) {
    const bundles = join(outDir, driver);
    await bundleFunction('smart-home-unlink', { outDir: bundles, stores: [driver] });
    const project = await startProject({ bundles, local, timeout: 1 });
    onTestFinished(() => project.close());
    const unlink = () =>
      project.raw('smart-home-unlink', {
        headers: { request_id: 'r-1', authorization: 'Bearer 123qwe456a' },
        request_type: 'unlink',
        api_version: 1,
      });
    return { project, unlink };
  }

  test('unlinks, once and again', async () => {
    const { project, unlink } = await start(await settings());
    for (const first of [true, false]) {
      expect(await unlink()).toMatchObject({ status: 200, body: '{"request_id":"r-1"}' });
      expect(project.takeLogLine()).toMatchObject({ outcome: 'ok', first });
    }
  });

  test('logs the fault of a store that refuses it, which the alert counts', async () => {
    const { project, unlink } = await start(refused(await settings()));
    expect((await unlink()).status).toBe(502);
    const store_fault = driver === 'dynamodb' ? 'not_migrated' : 'refused';
    expect(project.takeLogLine()).toMatchObject({ code: 'temporarily_unavailable', store_fault });
  });
});
