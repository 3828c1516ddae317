import { inspect } from 'node:util';
import { Redis } from 'iovalkey';
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { findFreePort } from '#scripts/authorization-server/listen.ts';
import { migrateRedis } from '#scripts/migrate-redis.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import { failWith, startRedisProxy } from '#test/support/redis-proxy.ts';
import { claimDatabase, startRedisServer, type TestRedis } from '#test/support/redis-server.ts';
import { type DurableBackend, durableStoreContract, tokenRevocationStoreContract } from './token-revocation-store.ts';

const { openRedisStore } = await loadPorts('redis');

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
    setMarker: async (version) => void (await client.set(`${KEYS}schema`, version)),
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

/** Error replies of Redis, Valkey and what stands before them, and the faults that they are. */
const REPLIES = [
  ['ASK 1234 127.0.0.1:7001', 'busy'],
  ['BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.', 'busy'],
  ['CLUSTERDOWN Hash slot not served', 'unreachable'],
  ['DENIED Redis is running in protected mode', 'refused'],
  ['ERR DB index is out of range', 'not_migrated'],
  ['ERR max number of clients reached', 'busy'],
  ['ERR max number of clients + cluster connections reached', 'busy'],
  ["ERR The user executing the script can't run this command or subcommand", 'refused'],
  ['LOADING Redis is loading the dataset in memory', 'busy'],
  ["MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", 'read_only'],
  ['MISCONF Errors writing to the AOF file: No space left on device', 'full'],
  ['MOVED 1234 127.0.0.1:7001', 'unreachable'],
  ['NOAUTH Authentication required.', 'refused'],
  ["NOPERM this user has no permissions to run the 'evalsha' command", 'refused'],
  ['NOREPLICAS Not enough good replicas to write.', 'busy'],
  ["OOM command not allowed when used memory > 'maxmemory'.", 'full'],
  ["READONLY You can't write against a read only replica.", 'read_only'],
  ['REDIRECT 127.0.0.1:7001', 'read_only'],
  ['TRYAGAIN Multiple keys request during rehashing of slot', 'busy'],
  ['UNKILLABLE The busy script was sent by a master instance', 'busy'],
  ['WRONGPASS invalid username-password pair or user is disabled.', 'refused'],
  ['WRONGTYPE Operation against a key holding the wrong kind of value', 'corrupt'],
] as const;

/** Two nodes of a cluster. The first has all keys. */
async function startCluster() {
  const startNode = async () =>
    startForTest({ 'cluster-enabled': 'yes', 'cluster-port': String(await findFreePort()) });
  const [first, second] = [await startNode(), await startNode()];
  const [source, target] = [first, second].map(({ url }) => new Redis(url)) as [Redis, Redis]; // one each
  onTestFinished(() => {
    source.disconnect();
    target.disconnect();
  });
  await source.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  const [, busPort = ''] = /@(\d+)/.exec(String(await target.call('CLUSTER', 'NODES'))) ?? [];
  await source.call('CLUSTER', 'MEET', '127.0.0.1', String(second.port), busPort);
  await vi.waitFor(async () => expect(await target.call('CLUSTER', 'INFO')).toContain('cluster_state:ok'), {
    timeout: 20_000,
  });
  await migrateRedis(first.url);
  const [sourceId, targetId] = [await source.call('CLUSTER', 'MYID'), await target.call('CLUSTER', 'MYID')].map(String);
  const slot = String(await source.call('CLUSTER', 'KEYSLOT', `${KEYS}schema`));
  return {
    url: first.url,
    /** The keys are going to the second node, and the first has not all of them any more. */
    async beginToMove() {
      await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', sourceId ?? '');
      await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', targetId ?? '');
    },
    async move() {
      const keys = (await source.call('CLUSTER', 'GETKEYSINSLOT', slot, '100')) as string[]; // their names
      await source.call('MIGRATE', '127.0.0.1', String(second.port), '', '0', '5000', 'KEYS', ...keys);
      for (const node of [target, source]) await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', targetId ?? '');
    },
  };
}

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
    ['that bars CONFIG', { 'rename-command': ['CONFIG', ''] }, '?accept-loss=everysec', 'cannot be read'],
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

  test.each([
    ['ERR Unsupported CONFIG parameter: maxmemory-policy'],
    ["ERR Command is not available: 'CONFIG'. See https://example.com for details"],
    ['ERR unknown command `CONFIG`, with args beginning with: `GET`'],
    ['ERR command is not allowed'],
    ["NOPERM User default has no permissions to run the 'config|get' command"],
    ['BARRED'],
  ])('a server that answers CONFIG with "%s" is unsafe, unless the URL accepts an unknown loss', async (message) => {
    const { url, client } = await claimForTest();
    await migrateRedis(url);
    const hosted = await startRedisProxy(url, (command) => (command[0] === 'CONFIG' ? failWith(message) : command));
    const warnings: string[] = [];
    const strict = await openForTest(hosted);
    const lenient = await openForTest(`${hosted}?accept-loss=unknown`, (sentence) => warnings.push(sentence));

    await expect(strict.check(tokenOf('a'))).rejects.toMatchObject({
      fault: 'unsafe',
      cause: { message: 'Redis: maxmemory-policy cannot be read: accept-loss=unknown in the URL accepts that' },
    });
    expect(await lenient.revoke(revocationOf('a'))).toMatchObject({ first: true });
    expect(warnings).toEqual([expect.stringContaining('cannot be read')]);
    expect(await client.exists(`${KEYS}id:a`)).toBe(1);
  });

  test.each([
    ['nothing', [], 'maxmemory-policy cannot be read'],
    ['one setting alone', ['maxmemory-policy'], 'appendonly cannot be read'],
    ['all but one', ['maxmemory-policy', 'appendonly', 'no-appendfsync-on-rewrite'], 'appendfsync cannot be read'],
  ])('a server that tells %s of its settings is unsafe, unless the URL accepts an unknown loss', async (...row) => {
    const [, told, reason] = row;
    const { url } = await claimForTest();
    await migrateRedis(url);
    const hosted = await startRedisProxy(url, (command) =>
      command[0] === 'CONFIG' ? ['CONFIG', 'GET', 'no-such-setting', ...told] : command,
    );
    const strict = await openForTest(hosted);
    const lenient = await openForTest(`${hosted}?accept-loss=unknown`, () => {});

    await expect(strict.check(tokenOf('a'))).rejects.toMatchObject({
      fault: 'unsafe',
      cause: { message: expect.stringContaining(reason) },
    });
    expect(await lenient.revoke(revocationOf('a'))).toMatchObject({ first: true });
  });

  test('a setting that is told and bad is refused, also where the URL accepts an unknown loss', async () => {
    const { url } = await startForTest({ appendfsync: 'no' });
    const hosted = await startRedisProxy(url, (command) =>
      command[0] === 'CONFIG' ? ['CONFIG', 'GET', 'appendfsync'] : command,
    );
    const store = await openForTest(`${hosted}?accept-loss=unknown`, () => {});
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({
      fault: 'unsafe',
      cause: { message: 'Redis: appendfsync is "no", not "always"' },
    });
  });

  test.each(['NOPROTO unsupported protocol version', "ERR unknown command 'HELLO'"])(
    'a server that answers HELLO with "%s" is too old, and is named so',
    async (message) => {
      const { url } = await claimForTest();
      const old = await startRedisProxy(url, (command) => (command[0] === 'HELLO' ? failWith(message) : command));
      await expect((await openForTest(old)).check(tokenOf('a'))).rejects.toMatchObject({
        fault: 'unsafe',
        cause: { message: 'Redis: it does not know HELLO 2: Redis 7 or Valkey is needed' },
      });
    },
  );

  test.each(REPLIES)('the reply "%s" is the fault %s', async (message, fault) => {
    const { url } = await claimForTest();
    await migrateRedis(url);
    const store = await openForTest(
      await startRedisProxy(url, (command) => (/^eval/i.test(command[0] ?? '') ? failWith(message) : command)),
    );
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault, cause: { message } });
    await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({ fault });
  });

  test('a reply that is not known is no fault: its first word is the code', async () => {
    const { url } = await claimForTest();
    await migrateRedis(url);
    const unknown = failWith('NOVELTY the token is canary-7f3a');
    const store = await openForTest(
      await startRedisProxy(url, (command) => (/^eval/i.test(command[0] ?? '') ? unknown : command)),
    );
    const error = await store.check(tokenOf('a')).catch((rejection: unknown) => rejection);
    expect(error).toMatchObject({ code: 'NOVELTY' });
    expect(error).not.toHaveProperty('fault');
  });

  test('a node of a cluster that does not have the keys, or is moving them, is named so', async () => {
    const nodes = await startCluster();
    const store = await openForTest(nodes.url);
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: true });

    await nodes.beginToMove();
    await expect(store.check(tokenOf('b'))).rejects.toMatchObject({
      fault: 'busy',
      cause: { message: expect.stringMatching(/^(ASK|TRYAGAIN) /) },
    });
    await nodes.move();
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({
      fault: 'unreachable',
      cause: { message: expect.stringMatching(/^MOVED /) },
    });
  });

  test.each([
    ['to run scripts', ['-evalsha', '-eval'], { check: 'refused', revoke: 'refused' }],
    ['to write', ['-@write'], { check: 'done', revoke: 'refused' }],
    ['to its keys', ['resetkeys', '~elsewhere:*'], { check: 'refused', revoke: 'refused' }],
  ])('a user without the right %s is refused', async (_name, rules, outcomes) => {
    const { url, client } = await claimForTest();
    await migrateRedis(url);
    const username = `test-${crypto.randomUUID()}`;
    await client.acl('SETUSER', username, 'on', '>secret', '+@all', '~*', ...rules);
    onTestFinished(() => void client.acl('DELUSER', username));
    const store = await openForTest(Object.assign(new URL(url), { username, password: 'secret' }).href);
    const outcome = (call: Promise<unknown>) =>
      call.then(
        () => 'done',
        (error: { fault?: string }) => error.fault,
      );
    expect({
      check: await outcome(store.check(tokenOf('a'))),
      revoke: await outcome(store.revoke(revocationOf('a'))),
    }).toEqual(outcomes);
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
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    await expect(check('localhost')).rejects.toMatchObject({ fault: 'unreachable' });
  });

  test('where the clock was set back, settings are asked for again at once', async () => {
    const { url } = await startForTest();
    await migrateRedis(url);
    const store = await openForTest(url);
    await store.check(tokenOf('a'));
    const client = new Redis(url);
    onTestFinished(() => client.disconnect());
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 });
    onTestFinished(() => void vi.useRealTimers());
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'unsafe' });
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

  test('a revocation that waits too long for a rewrite says so, and leaves the connection to others', async () => {
    const { url } = await startForTest();
    await migrateRedis(url);
    const store = await openForTest(url);
    await store.check(tokenOf('a'));
    const client = new Redis(url);
    onTestFinished(async () => {
      await client.config('SET', 'appendonly', 'no'); // ends the process that rewrites
      client.disconnect();
    });
    const countConnections = async () => /total_connections_received:(\d+)/.exec(await client.info('stats'))?.[1];
    // One key is there, the marker: so long that no call can wait.
    await client.config('SET', 'rdb-key-save-delay', '30000000');
    await client.call('BGREWRITEAOF');
    const connections = await countConnections();

    const refusal = { fault: 'timed_out', cause: { message: expect.stringContaining('is being rewritten') } };
    const long = expect(store.revoke(revocationOf('b'), 1000)).rejects.toMatchObject(refusal);
    await expect(store.revoke(revocationOf('a'), 300)).rejects.toMatchObject(refusal);
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
    await long;
    expect(await countConnections()).toBe(connections);
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
