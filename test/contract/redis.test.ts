import { inspect } from 'node:util';
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { migrateRedis } from '#scripts/migrate-redis.ts';
import { openRedisStore } from '#shared/token-revocation/drivers/redis.ts';
import { claimDatabase, startRedisServer, type TestRedis } from '#test/support/redis-server.ts';
import { type DurableBackend, durableStoreContract, tokenRevocationStoreContract } from './token-revocation-store.ts';

tokenRevocationStoreContract('redis', createBackend);
durableStoreContract('redis', createBackend);

const KEYS = 'unlink:{token-revocation}:';

async function createBackend(): Promise<DurableBackend> {
  const { url, client, drop } = await claimDatabase(inject('redisUrl'));
  await migrateRedis(url);
  // A user of its own, whose rights can be taken away.
  const user = `test-${crypto.randomUUID()}`;
  await client.acl('SETUSER', user, 'on', '>secret', '+@all', '~*');
  const asUser = new URL(url);
  Object.assign(asUser, { username: user, password: 'secret' });
  return {
    open: (options) => openRedisStore(asUser.href, options),
    countRows: () => client.zcard(`${KEYS}expiries`),
    loseMarker: async () => void (await client.del(`${KEYS}schema`)),
    failCutOffs: async () =>
      void (await client.acl('SETUSER', user, 'resetkeys', `%R~${KEYS}cut-off:*`, `~${KEYS}id:*`, `~${KEYS}[es]*`)),
    async dispose() {
      await client.acl('DELUSER', user);
      await drop();
    },
  };
}

async function claimForTest(serverUrl = inject('redisUrl')): Promise<TestRedis> {
  const database = await claimDatabase(serverUrl);
  onTestFinished(database.drop);
  return database;
}

async function startForTest(...settings: Parameters<typeof startRedisServer>) {
  const server = await startRedisServer(...settings);
  onTestFinished(server.stop);
  return server;
}

async function openForTest(url: string, warn?: (sentence: string) => void) {
  const store = await openRedisStore(url, { warn });
  onTestFinished(() => store.close());
  return store;
}

const revocationOf = (...tokenIds: string[]) => ({ tokenIds, grants: [], cutOffs: [], expiresAt: 4_000_000_000 });
const tokenOf = (...tokenIds: string[]) => ({ tokenIds, grants: [], cutOffKeys: [] });

describe('a Redis store', () => {
  test.each([
    ['that may drop keys', { 'maxmemory-policy': 'allkeys-lru' }, '', 'maxmemory-policy is "allkeys-lru"'],
    ['without an append-only file', { appendonly: 'no' }, '', 'appendonly is "no"'],
    ['that syncs each second', { appendfsync: 'everysec' }, '', 'appendfsync is "everysec"'],
    ['that never syncs', { appendfsync: 'no' }, '?accept-loss=everysec', 'appendfsync is "no"'],
    [
      'that does not sync while it rewrites',
      { 'no-appendfsync-on-rewrite': 'yes' },
      '?accept-loss=everysec',
      'rewrite',
    ],
    ['whose settings can be read and are bad', { appendonly: 'no' }, '?accept-loss=unknown', 'appendonly is "no"'],
    ['that bars CONFIG', { 'rename-command': ['CONFIG', ''] }, '?accept-loss=everysec', 'CONFIG is barred'],
  ])('a server %s is refused, and says why', async (_name, settings, parameters, reason) => {
    const { url } = await startForTest(settings);
    const store = await openForTest(`${url}${parameters}`);
    const refusal = { fault: 'unsafe', cause: { message: expect.stringContaining(reason) } };
    await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject(refusal);
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject(refusal);
  });

  test.each([
    ['everysec', { appendfsync: 'everysec' }, 'the last second'],
    ['unknown', { 'rename-command': ['CONFIG', ''] }, 'cannot be read'],
  ])('accept-loss=%s takes such a server, and warns', async (loss, settings, warning) => {
    const { url } = await startForTest(settings);
    const warnings: string[] = [];
    const store = await openForTest(`${url}?accept-loss=${loss}`, (sentence) => warnings.push(sentence));
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'not_migrated' });
    expect(warnings).toEqual([expect.stringContaining(warning)]);
  });

  test('accept-loss is not warned of where nothing can be lost', async () => {
    const { url } = await claimForTest();
    const warnings: string[] = [];
    const store = await openForTest(`${url}?accept-loss=everysec`, (sentence) => warnings.push(sentence));
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'not_migrated' });
    expect(warnings).toEqual([]);
  });

  test.each([
    ['with another password', (url: URL) => Object.assign(url, { username: 'nobody', password: 'wrong' }), 'refused'],
    ['where nobody listens', (url: URL) => Object.assign(url, { port: '1' }), 'unreachable'],
    ['that speaks no TLS', (url: URL) => new URL(url.href.replace('redis:', 'rediss:')), 'timed_out'],
    ['without this database', (url: URL) => Object.assign(url, { pathname: '/99999' }), 'not_migrated'],
  ])('a server %s is refused by its fault', async (_name, change, fault) => {
    const store = await openForTest(change(new URL(inject('redisUrl'))).href);
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault });
  });

  test('what is logged of a refused password is not the password', async () => {
    const url = Object.assign(new URL(inject('redisUrl')), { username: 'nobody', password: 'canary-7f3a' });
    const store = await openForTest(url.href);
    const error = await store.check(tokenOf('a')).catch((rejection: unknown) => rejection);
    expect(error).toMatchObject({ fault: 'refused', cause: { message: expect.stringContaining('WRONGPASS') } });
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain('canary-7f3a');
  });

  test('with TLS a server must prove to be the host that the URL names', async () => {
    const tls = { 'tls-cert-file': 'certificate.pem', 'tls-key-file': 'key.pem', 'tls-auth-clients': 'no' };
    const server = await startForTest({ ...tls, 'tls-ca-cert-file': 'certificate.pem' }, { isTls: true });
    const check = async (host: string, parameters = '') =>
      (await openForTest(`rediss://${host}:${server.port}${parameters}`)).check(tokenOf('a'));
    const rootCertificate = `?sslrootcert=${server.folder}/certificate.pem`;
    await expect(check('localhost', rootCertificate)).rejects.toMatchObject({ fault: 'not_migrated' });
    await expect(check('127.0.0.1', rootCertificate)).rejects.toMatchObject({ fault: 'unreachable' });
    await expect(check('localhost')).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test('a connection that was idle for a minute is not trusted', async () => {
    const { url, client } = await claimForTest((await startForTest()).url);
    await migrateRedis(url);
    const store = await openForTest(url);
    const connections = async () => String(await client.call('CLIENT', 'LIST', 'TYPE', 'normal')).match(/^id=\d+/gm);
    await store.check(tokenOf('a'));
    const before = await connections();
    await store.check(tokenOf('a'));
    expect(await connections()).toEqual(before);

    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 });
    onTestFinished(() => void vi.useRealTimers());
    await store.check(tokenOf('a'));
    expect(await connections()).not.toEqual(before);
  });

  test('a replica is refused, also one that was the master when the connection was made', async () => {
    const { url, port } = await startForTest();
    const { client } = await claimForTest(url);
    await migrateRedis(url);
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));

    await client.replicaof('127.0.0.1', String(port));
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'read_only' });
    await expect(store.revoke(revocationOf('b'))).rejects.toMatchObject({ fault: 'read_only' });
    await client.replicaof('NO', 'ONE');
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
  });

  test('a full server refuses revocations, answers checks and can be purged', async () => {
    const { url } = await startForTest();
    const { client } = await claimForTest(url);
    await migrateRedis(url);
    const store = await openForTest(url);
    await store.revoke({ ...revocationOf('a'), expiresAt: 1 });
    await client.config('SET', 'maxmemory', '1');
    await expect(store.revoke(revocationOf('b'))).rejects.toMatchObject({ fault: 'full' });
    expect((await store.check(tokenOf('b'))).revoked).toBe(false);
    expect(await store.purgeExpired(10)).toBe(1);
  });

  test('a connection that has died is replaced within the same call', async () => {
    const { url, client } = await claimForTest((await startForTest()).url);
    await migrateRedis(url);
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));
    const killing = client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
    await killing;
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: false });
  });

  test('a server that hangs is given up in time, and answers again when it goes on', async () => {
    const { url, client } = await claimForTest((await startForTest()).url);
    await migrateRedis(url);
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));
    const processId = Number(/process_id:(\d+)/.exec(await client.info('server'))?.[1]);

    process.kill(processId, 'SIGSTOP');
    await expect(store.check(tokenOf('a'), 50)).rejects.toMatchObject({ fault: 'timed_out' });
    await expect(store.revoke(revocationOf('b'), 50)).rejects.toMatchObject({ fault: 'timed_out' });
    process.kill(processId, 'SIGCONT');

    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
  });

  test('a server that has forgotten the scripts learns them anew', async () => {
    const { url, client } = await claimForTest();
    await migrateRedis(url);
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));
    await client.script('FLUSH');
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
    expect(await store.revoke(revocationOf('b'))).toMatchObject({ first: true });
  });

  test.each([
    ['a value that is not ours', (client: TestRedis['client'], key: string) => client.set(key, 'yes')],
    ['a value of another type', (client: TestRedis['client'], key: string) => client.lpush(key, 'yes')],
  ])('%s is an error, not "not revoked"', async (_name, put) => {
    const { url, client } = await claimForTest();
    await migrateRedis(url);
    await put(client, `${KEYS}id:a`);
    const store = await openForTest(url);
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'corrupt' });
    await expect(store.revoke(revocationOf('b', 'a'))).rejects.toMatchObject({ fault: 'corrupt' });
    expect((await store.check(tokenOf('b'))).revoked).toBe(false);
  });
});

describe('migrating Redis', () => {
  test('twice at once and again afterwards keeps what is stored', async () => {
    const { url } = await claimForTest();
    await Promise.all([migrateRedis(url), migrateRedis(url)]);
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));
    await migrateRedis(url);
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
  });

  test('a server that a newer version has migrated is refused in a sentence, and keeps its marker', async () => {
    const { url, client } = await claimForTest();
    await client.set(`${KEYS}schema`, '7');
    await expect(migrateRedis(url)).rejects.toThrow(
      'The store has the schema token-revocation 7, which this version does not know: use a newer one.',
    );
    expect(await client.get(`${KEYS}schema`)).toBe('7');
  });
});
