import { Redis } from 'iovalkey';
import { makeCertificate, type PrivateServer, startPrivateServer } from './private-server.ts';
import { findProgram } from './test-services.ts';

/** The settings that a store asks for. */
const DURABLE = { appendonly: 'yes', appendfsync: 'always', databases: '4096', save: '' };

/** Starts a Redis or Valkey server with the settings that a store asks for but those given. */
export async function startRedisServer(
  settings: Readonly<Record<string, string | readonly string[]>> = {},
  { isTls = false } = {},
): Promise<PrivateServer & { url: string }> {
  const server = await startPrivateServer({
    prepare: (folder) => makeCertificate(folder),
    command: (port, folder) => [
      findProgram('redis-server', 'valkey-server') ?? 'redis-server',
      ...(isTls ? ['--port', '0', '--tls-port', String(port)] : ['--port', String(port)]),
      ...['--bind', '127.0.0.1', '--dir', folder],
      ...Object.entries({ ...DURABLE, ...settings }).flatMap(([name, value]) => [`--${name}`, value].flat()),
    ],
    isReady: /Ready to accept connections/,
  });
  return { ...server, url: `redis://127.0.0.1:${server.port}` };
}

/** A database for one test. */
export interface TestRedis {
  readonly url: string;
  /** A connection beside the store's. */
  readonly client: Redis;
  /** Empties it and lets go. */
  drop(): Promise<void>;
}

/** Marks an empty database as taken. */
const CLAIM = `
if redis.call('DBSIZE') > 0 then return 0 end
redis.call('SET', KEYS[1], 1)
return 1`;

/** Takes the first database of a server that is empty: what somebody else keeps there is left alone. */
export async function claimDatabase(serverUrl: string): Promise<TestRedis> {
  const client = new Redis(serverUrl, { retryStrategy: () => null });
  client.on('error', () => {}); // its connection may be ended by a test
  let number = 0;
  while ((await client.eval(CLAIM, 1, 'unlink-test-claim')) !== 1) {
    number += 1;
    await client.select(number); // rejects behind the last one
  }
  const url = new URL(serverUrl);
  url.pathname = `/${number}`;
  return {
    url: url.href,
    client,
    async drop() {
      await client.flushdb();
      client.disconnect();
    },
  };
}
