import { Redis } from 'iovalkey';
import { migrateRedis } from '#scripts/migrate-redis.ts';
import { MARKER_KEY } from '#shared/token-revocation/drivers/redis.ts';
import { startRedisServer } from '#test/support/redis-server.ts';
import { findProgram } from '#test/support/test-services.ts';
import { startKillableServer } from './killable-server.ts';
import { createNetworkStore, type End, leadAstray, type NetworkStore } from './network-store.ts';

const PASSWORD = 'of-this-test';

/** With a password, and as durable as the store asks for. */
const SETTINGS = { requirepass: PASSWORD, appendonly: 'yes', appendfsync: 'always', save: '' };

/** Starts a Redis or Valkey server with a store in it. */
export async function startRedisStore(): Promise<NetworkStore> {
  const server = await startKillableServer({
    command: (port, folder) => [
      findProgram('redis-server', 'valkey-server') ?? 'redis-server',
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', folder],
      ...Object.entries(SETTINGS).flatMap(([name, value]) => [`--${name}`, value]),
    ],
    isReady: /Ready to accept connections/,
    stopSignal: 'KILL',
  });
  const urlAt = (port: number) => `redis://:${PASSWORD}@127.0.0.1:${port}`;
  await migrateRedis(urlAt(server.port));

  const connect = () => {
    const client = new Redis(urlAt(server.port), { retryStrategy: () => null, enableReadyCheck: false });
    client.on('error', () => {}); // what it is asked fails and tells
    return client;
  };
  async function asAdministrator<Result>(work: (client: Redis) => Promise<Result>): Promise<Result> {
    const client = connect();
    try {
      return await work(client);
    } finally {
      client.disconnect();
    }
  }
  async function whileSet(name: string, value: string, otherwise: string): Promise<End> {
    const client = connect(); // with the password of now
    await client.config('SET', name, value);
    return async () => {
      await client.config('SET', name, otherwise);
      client.disconnect();
    };
  }
  async function whileHolds(key: string, value: string): Promise<End> {
    const before = await asAdministrator((client) => client.getset(key, value));
    return async () => void (await asAdministrator((client) => client.set(key, before ?? '')));
  }

  return createNetworkStore('redis', server, urlAt, (proxy) => ({
    async refuseMore() {
      proxy.cut();
      return whileSet('maxclients', '1', '10000');
    },
    async refuseCredentials() {
      proxy.cut();
      return whileSet('requirepass', 'changed', PASSWORD);
    },
    async loseDurability() {
      proxy.cut();
      return whileSet('appendfsync', 'everysec', 'always');
    },
    ageSchema: () => whileHolds(MARKER_KEY, '0'),
    corrupt: (id) => whileHolds(`unlink:{token-revocation}:id:${id}`, 'yes'),
    async block() {
      const [killer, looper] = [connect(), connect()];
      await killer.config('SET', 'busy-reply-threshold', '1');
      const loop = looper.eval('while true do end', 0).catch(() => {});
      while ((await killer.ping().catch(() => 'BUSY')) === 'PONG');
      return async () => {
        await killer.script('KILL');
        await loop;
        killer.disconnect();
        looper.disconnect();
      };
    },
    // Less than it has already: it refuses what would need more.
    fill: () => whileSet('maxmemory', '1', '0'),
    async becomeReplica() {
      // Of itself, for want of another: it has not and will not have a link to its master.
      await asAdministrator((client) => client.replicaof('127.0.0.1', String(server.port)));
      return async () => void (await asAdministrator((client) => client.replicaof('NO', 'ONE')));
    },
    changes: {
      'appendonly no': () => whileSet('appendonly', 'no', 'yes'),
      async 'appendonly no and yes again'() {
        const client = connect();
        // So slowly that it takes some seconds.
        await client.config('SET', 'rdb-key-save-delay', String(Math.ceil(3_000_000 / (await client.dbsize()))));
        await client.config('SET', 'appendonly', 'no');
        await client.config('SET', 'appendonly', 'yes');
        return async () => {
          await client.config('SET', 'rdb-key-save-delay', '0');
          client.disconnect();
        };
      },
      'appendfsync everysec': () => whileSet('appendfsync', 'everysec', 'always'),
      'no-appendfsync-on-rewrite yes': () => whileSet('no-appendfsync-on-rewrite', 'yes', 'no'),
      'maxmemory-policy allkeys-lru': () => whileSet('maxmemory-policy', 'allkeys-lru', 'noeviction'),
      async 'a replica, with replica-read-only no'() {
        const takeWrites = await whileSet('replica-read-only', 'no', 'yes');
        await asAdministrator((client) => client.replicaof('127.0.0.1', String(server.port)));
        return async () => {
          await asAdministrator((client) => client.replicaof('NO', 'ONE'));
          await takeWrites();
        };
      },
      'another password': () => whileSet('requirepass', 'changed', PASSWORD),
      'no more connections': () => whileSet('maxclients', '1', '10000'),
    },
    async failOver() {
      const other = await startRedisServer({ requirepass: PASSWORD });
      const comeBack = leadAstray(proxy, other.port);
      return async () => {
        await comeBack();
        await other.stop();
      };
    },
  }));
}
