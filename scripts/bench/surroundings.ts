import { fork } from 'node:child_process';
import { once as event } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { once } from '#shared/once.ts';
import { startDynamodbServer } from '#test/support/dynamodb-server.ts';
import { createDatabase, startPostgresServer } from '#test/support/postgres-server.ts';
import { claimDatabase, startRedisServer } from '#test/support/redis-server.ts';
import { ensureServices } from '#test/support/test-services.ts';
import { bundleFunction } from '../build.ts';
import { migrate } from '../migrate.ts';
import { introspectionOf } from './events.ts';
import { migrateTable } from './raw-client.ts';
import { STORES, type Store } from './side.ts';

/** What calls are measured in: private servers, built functions, and an issuer that introspects its tokens. */
export interface Surroundings {
  readonly folder: string;
  /** The built functions, in one folder a store. */
  bundles(): Promise<string>;
  readonly introspection: string;
  /** The URL of a store on the DynamoDB API that answers at once. */
  readonly dynamodbStub: string;
  /** Makes an empty store and returns its URL. */
  openStore(store: Store, folder: string): Promise<string>;
  end(): Promise<void>;
}

/** The functions that are called. */
const FUNCTIONS = [
  'smart-home-unlink',
  'token-authorize',
  'external-provider-list',
  'external-provider-link',
  'external-provider-delete',
] as const;

/** Starts all of it. */
export async function startSurroundings(): Promise<Surroundings> {
  ensureServices();
  const folder = mkdtempSync(join(tmpdir(), 'unlink-bench-'));
  const [postgres, redis, issuer] = await Promise.all([startPostgresServer(), startRedisServer(), startIssuer()]);
  // What not every section needs.
  const dynamodb = once(startDynamodbServer);
  const bundles = once(() => buildFunctions(join(folder, 'bundles')));
  let tables = 0;
  const openStore = async (store: Store, own: string) => {
    if (store === 'memory') return 'memory:';
    const url = await urlOf(store, own);
    await (store === 'dynamodb' ? migrateTable(url) : migrate(url));
    return url;
  };
  async function urlOf(store: Exclude<Store, 'memory'>, own: string): Promise<string> {
    switch (store) {
      case 'sqlite':
        return `sqlite:${join(own, 'store.sqlite')}`;
      case 'postgres': {
        const { url, client } = await createDatabase(postgres.url);
        await client.end();
        return url;
      }
      case 'redis': {
        const { url, client } = await claimDatabase(redis.url);
        client.disconnect();
        return url;
      }
      case 'dynamodb': {
        tables += 1;
        const table = `bench-${tables}`;
        return `${(await dynamodb()).url}&table=${table}`;
      }
    }
  }
  const stub = fork(join(import.meta.dirname, 'dynamodb-stub.ts'), [STUB_TABLE]);
  const [port] = await event(stub, 'message');
  const dynamodbStub = `dynamodb+http://127.0.0.1:${port}/?region=local&auth=sigv4&table=${STUB_TABLE}`;
  return {
    ...{ folder, bundles, introspection: issuer.url, openStore, dynamodbStub },
    async end() {
      stub.disconnect();
      await Promise.all([postgres.stop(), redis.stop(), (await dynamodb.kept())?.stop(), issuer.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function buildFunctions(bundles: string): Promise<string> {
  for (const store of STORES) {
    const outDir = join(bundles, store);
    // With a second driver each is a file of its own, which for memory all functions are to share.
    const stores = store === 'memory' ? (['memory', 'sqlite'] as const) : [store];
    await Promise.all(FUNCTIONS.map((name) => bundleFunction(name, { stores, outDir })));
  }
  shareDirectory(join(bundles, 'memory'));
  return bundles;
}

/** In memory each function has a directory of its own, and could delete no link: here they have one together. */
function shareDirectory(outDir: string): void {
  const driver = 'drivers/directory-memory.js';
  writeFileSync(
    join(outDir, 'directory.js'),
    `const { openMemoryDirectory } = require('./external-provider-list/${driver}.original.js');
let directory;
exports.openMemoryDirectory = () => (directory ??= openMemoryDirectory());
`,
  );
  renameSync(
    join(outDir, 'external-provider-list', driver),
    join(outDir, 'external-provider-list', `${driver}.original.js`),
  );
  for (const name of FUNCTIONS.filter((name) => name.startsWith('external-provider-'))) {
    writeFileSync(join(outDir, name, driver), `module.exports = require('../../directory.js');\n`);
  }
}

const STUB_TABLE = 'bench';

/** Introspection (RFC 7662), which is asked once in 30 s for each subject. */
async function startIssuer(): Promise<{ url: string; stop: () => Promise<void> }> {
  const server = createServer((request, response) => {
    text(request).then(
      (body) => {
        const token = new URLSearchParams(body).get('token') ?? '';
        response.setHeader('content-type', 'application/json').end(JSON.stringify(introspectionOf(token)));
      },
      () => response.destroy(),
    );
  });
  await event(server.listen(0, '127.0.0.1'), 'listening');
  // An HTTP server's address is never a path.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/introspection`,
    async stop() {
      server.close();
      server.closeAllConnections();
    },
  };
}
