import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { migratePostgres } from '#scripts/migrate-postgres.ts';
import type { NewLink } from '#shared/account-link/account-link.ts';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { TOKEN_REVOCATION_SCHEMA, type TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import { startPooler } from '#test/support/pooler.ts';
import { createDatabase, runOnce, startPostgresServer, type TestDatabase } from '#test/support/postgres-server.ts';
import {
  type DurableBackend,
  durableStoreContract,
  OLDER_STORE,
  tokenRevocationStoreContract,
} from './token-revocation-store.ts';

const { openPostgresDirectory, openPostgresStore } = await loadPorts('postgres');

/** One for all tests of the contract: to make one takes as long as ten of them. */
let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase(inject('postgresUrl'), inject('postgresTemplate'));
});
afterAll(() => database.drop());

tokenRevocationStoreContract('postgres', () => createBackend());
durableStoreContract('postgres', () => createBackend());
tokenRevocationStoreContract('postgres without prepared statements', () => createBackend('?prepare=false'));

function createBackend(parameters = ''): DurableBackend {
  const { url, client } = database;
  return {
    open: (options) => openPostgresStore(`${url}${parameters}`, options),
    async countRows() {
      const { rows } = await client.query(
        'SELECT (SELECT count(*) FROM revoked_id) + (SELECT count(*) FROM revocation_cut_off) AS rows',
      );
      return Number(rows[0]?.rows);
    },
    loseMarker: async () => void (await client.query('DELETE FROM schema_marker')),
    setMarker: async (version) => void (await client.query('UPDATE schema_marker SET version = $1', [version])),
    async failCutOffs() {
      await client.query(`
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER no_cut_offs BEFORE INSERT ON revocation_cut_off EXECUTE FUNCTION refuse()`);
    },
    async dispose() {
      await client.query(`
        DROP FUNCTION IF EXISTS refuse CASCADE;
        DELETE FROM revoked_id;
        DELETE FROM revocation_cut_off;
        DELETE FROM schema_marker;
        INSERT INTO schema_marker (component, version) VALUES ('token-revocation', ${TOKEN_REVOCATION_SCHEMA.version})`);
    },
  };
}

async function createTestDatabase({ isMigrated = true } = {}): Promise<TestDatabase> {
  const database = await createDatabase(inject('postgresUrl'), isMigrated ? inject('postgresTemplate') : 'template0');
  onTestFinished(database.drop);
  return database;
}

async function openForTest(url: string): Promise<TokenRevocationStore> {
  const store = await openPostgresStore(url);
  onTestFinished(() => store.close());
  return store;
}

/** The server's processes that serve other connections to this database than `client`. */
async function otherSessions(client: pg.Client): Promise<number[]> {
  const { rows } = await client.query<{ pid: number }>(`
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`);
  return rows.map(({ pid }) => pid);
}

/** A connection beside those of the store, as the superuser. */
async function connectBeside(url: string): Promise<pg.Client> {
  const client = new pg.Client(readPostgresUrl(url).connection);
  client.on('error', () => {}); // its server may be stopped
  await client.connect();
  onTestFinished(() => client.end());
  return client;
}

async function countOthers(client: pg.Client): Promise<number> {
  return (await otherSessions(client)).length;
}

async function countWaiting(client: pg.Client): Promise<number> {
  const { rows } = await client.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  );
  return rows.length;
}

/** Whether a new connection commits to the disk: then all have been told. */
async function isSynchronous(url: string): Promise<boolean> {
  const client = new pg.Client(readPostgresUrl(url).connection);
  await client.connect();
  const { rows } = await client.query('SHOW synchronous_commit');
  await client.end();
  return rows[0]?.synchronous_commit === 'on';
}

/** Where `startPostgresServer` puts them, seen from its data. */
const CERTIFICATE = { ssl_cert_file: '../certificate.pem', ssl_key_file: '../key.pem' };

const revocationOf = (...tokenIds: string[]) => ({ tokenIds, grants: [], cutOffs: [], expiresAt: 4_000_000_000 });
const tokenOf = (...tokenIds: string[]) => ({ tokenIds, grants: [], cutOffKeys: [] });
const LINK: NewLink = {
  ...{ subject: 'ann', fpType: 'vk', fpName: 'vk_1', sid: '1', evidence: 'proved' },
  audit: { actor: 'subject:ann', requestId: 'r-1' },
};
const BIND = { id: 'bind', data: 'k1.d', expiresAt: 4_000_000_000_000 };

/** What writes in a database. */
type Stores = Pick<Directory, 'links' | 'binds'> & { readonly store: TokenRevocationStore };

/** SQLSTATEs that a server may answer a statement with, and the faults that they are. */
const SQLSTATES = [
  ['08006', 'unreachable'],
  ['25006', 'read_only'],
  ['25P03', 'unreachable'],
  ['25P04', 'timed_out'],
  ['26000', 'pooled'],
  ['28000', 'refused'],
  ['3D000', 'not_migrated'],
  ['3F000', 'not_migrated'],
  ['40001', 'busy'],
  ['40P01', 'busy'],
  ['42501', 'refused'],
  ['42703', 'not_migrated'],
  ['42704', 'not_migrated'],
  ['42883', 'not_migrated'],
  ['42P01', 'not_migrated'],
  ['42P05', 'pooled'],
  ['53100', 'full'],
  ['53200', 'busy'],
  ['53300', 'busy'],
  ['53400', 'full'],
  ['55006', 'busy'],
  ['55P03', 'busy'],
  ['57014', 'timed_out'],
  ['57P01', 'unreachable'],
  ['57P02', 'unreachable'],
  ['57P03', 'unreachable'],
  ['57P04', 'not_migrated'],
  ['57P05', 'unreachable'],
  ['58030', 'unreachable'],
  ['58P01', 'corrupt'],
  ['XX001', 'corrupt'],
  ['XX002', 'corrupt'],
] as const;

/** A store whose writes the server answers with this SQLSTATE. */
async function openAnswering(sqlState: string): Promise<TokenRevocationStore> {
  const { url, client } = await createTestDatabase();
  await client.query(`
    CREATE FUNCTION answer() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'canary-7f3a' USING ERRCODE = '${sqlState}'; END $$;
    CREATE TRIGGER answer BEFORE INSERT ON revoked_id EXECUTE FUNCTION answer()`);
  return await openForTest(url);
}

describe('a PostgreSQL store', () => {
  test.each(SQLSTATES)('the SQLSTATE %s is the fault %s', async (sqlState, fault) => {
    const store = await openAnswering(sqlState);
    await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({ fault });
    expect((await store.check(tokenOf('a'))).revoked).toBe(false);
  });

  test('a SQLSTATE that is not known is no fault: it is the code', async () => {
    const store = await openAnswering('XX000');
    const error = await store.revoke(revocationOf('a')).catch((rejection: unknown) => rejection);
    expect(error).toMatchObject({ code: 'XX000' });
    expect(error).not.toHaveProperty('fault');
  });

  test('behind a pooler in transaction mode it says what the URL needs, and works with that', async () => {
    const { url } = await createTestDatabase();
    const pooled = await startPooler(url);
    // Both prepare the same statement on the one connection that the pooler has.
    const stores = [await openForTest(pooled), await openForTest(pooled)];
    const revokes = await Promise.allSettled(stores.map((store) => store.revoke(revocationOf('a'))));
    expect(revokes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: {
        fault: 'pooled',
        cause: { message: expect.stringMatching(/Behind a pooler in transaction mode the URL needs prepare=false$/) },
      },
    });

    const unprepared = [await openForTest(`${pooled}?prepare=false`), await openForTest(`${pooled}?prepare=false`)];
    for (let round = 0; round < 5; round += 1) {
      for (const store of unprepared) {
        await store.revoke(revocationOf(`id-${round}`));
        expect((await store.check(tokenOf(`id-${round}`))).revoked).toBe(true);
      }
    }
  });

  test.each([
    ['with another password', (url: URL) => Object.assign(url, { password: 'wrong' }), 'refused'],
    ['as somebody it does not know', (url: URL) => Object.assign(url, { username: 'nobody' }), 'refused'],
    ['for a database that is not there', (url: URL) => Object.assign(url, { pathname: '/nowhere' }), 'not_migrated'],
  ])('a pooler that is asked %s is refused by its fault', async (_name, change, fault) => {
    const { url } = await createTestDatabase();
    const store = await openForTest(change(new URL(await startPooler(url))).href);
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault });
  });

  test('a pooler that takes no more clients is busy', async () => {
    const { url } = await createTestDatabase();
    const full = `${await startPooler(url, { max_client_conn: '1' })}?prepare=false`;
    const [first, second] = [await openForTest(full), await openForTest(full)];
    await first.check(tokenOf('a'));
    await expect(second.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'busy' });
  });

  test.each([
    ['synchronous_commit = off', 'unsafe'],
    ['default_transaction_isolation = "repeatable read"', 'unsafe'],
    ['default_transaction_read_only = on', 'read_only'],
  ])('a database with %s is refused, and taken once that is mended', async (setting, fault) => {
    const { url, client } = await createTestDatabase();
    const name = new URL(url).pathname.slice(1);
    await client.query(`ALTER DATABASE ${name} SET ${setting}`);
    const store = await openForTest(url);
    await expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({ fault });
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault });

    await client.query('SET default_transaction_read_only = off');
    await client.query(`ALTER DATABASE ${name} RESET ALL`);
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: true });
  });

  test('a database of version 1 is refused as such by a change that it has no function for', async () => {
    const { url, client } = await createTestDatabase();
    await client.query('DROP FUNCTION record_revocation; UPDATE schema_marker SET version = 1');
    const rejection = { fault: 'not_migrated', cause: { message: OLDER_STORE } };
    await expect((await openForTest(url)).revoke(revocationOf('a'))).rejects.toMatchObject(rejection);
  });

  test.each([
    ['that is not migrated', (url: URL) => url, 'not_migrated'],
    ['that does not exist', (url: URL) => Object.assign(url, { pathname: '/nowhere' }), 'not_migrated'],
    ['with another password', (url: URL) => Object.assign(url, { password: 'wrong' }), 'refused'],
    ['with no password', (url: URL) => Object.assign(url, { password: '' }), 'refused'],
    ['where nobody listens', (url: URL) => Object.assign(url, { port: '1' }), 'unreachable'],
    ['that speaks no TLS', (url: URL) => Object.assign(url, { search: '?sslmode=require' }), 'unreachable'],
  ])('a database %s is refused by its fault', async (_name, change, fault) => {
    const { url } = await createTestDatabase({ isMigrated: false });
    const store = await openForTest(change(new URL(url)).href);
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault });
  });

  test('a connection that has died is replaced within the same call', async () => {
    const { url, client } = await createTestDatabase();
    const store = await openForTest(url);
    await Promise.all([store.revoke(revocationOf('a')), store.revoke(revocationOf('b'))]);
    const sessions = await otherSessions(client);
    expect(sessions).toHaveLength(2);

    // Both at once, and no turn of the event loop in which the client could notice.
    const ending = client.query('SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid', [sessions]);
    const checks = await Promise.all([store.check(tokenOf('a')), store.revoke(revocationOf('a')), ending]);
    expect(checks.slice(0, 2)).toMatchObject([{ revoked: true }, { first: false }]);
    expect((await store.check(tokenOf('b'))).revoked).toBe(true);
  });

  test('a call that is not answered in time is given up, and the next one has another connection', async () => {
    const { url, client } = await createTestDatabase();
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));

    await client.query('BEGIN; LOCK TABLE revoked_id IN ACCESS EXCLUSIVE MODE');
    await expect(store.check(tokenOf('a'), 50)).rejects.toMatchObject({ fault: 'timed_out' });
    await expect(store.revoke(revocationOf('b'), 50)).rejects.toMatchObject({ fault: 'timed_out' });
    await client.query('ROLLBACK');

    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
  });

  test('the server is told to end what nobody waits for any more, but not through a pooler', async () => {
    const { url, client } = await createTestDatabase();
    const timeouts = `CREATE TABLE seen (value text);
      CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO seen VALUES (current_setting('statement_timeout')); RETURN NULL; END $$;
      CREATE TRIGGER see AFTER INSERT ON revoked_id EXECUTE FUNCTION see()`;
    await client.query(timeouts);
    await (await openForTest(url)).revoke(revocationOf('a'));
    await (await openForTest(url)).revoke(revocationOf('b'), 4321);
    await (await openForTest(`${url}?prepare=false`)).revoke(revocationOf('c'));
    expect((await client.query('SELECT value FROM seen')).rows.map(({ value }) => value)).toEqual(['9s', '4s', '0']);
  });

  test.each([
    ['PostgreSQL 15.19 on x86_64-pc-linux-gnu, compiled by gcc', '1s'],
    ['PostgreSQL 15.19, compiled by Visual C++ build 1940, 64-bit', '0'],
  ])('a server that says it is %s looks for us each %s', async (version, interval) => {
    const { url, client } = await createTestDatabase();
    // What a server of another system says: there it would be an error to set the interval.
    await client.query(`
      CREATE FUNCTION version() RETURNS text LANGUAGE sql AS $$ SELECT '${version}' $$;
      CREATE TABLE seen (value text);
      CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO seen VALUES (current_setting('client_connection_check_interval')); RETURN NULL; END $$;
      CREATE TRIGGER see AFTER INSERT ON revoked_id EXECUTE FUNCTION see()`);
    await client.query(`ALTER DATABASE ${new URL(url).pathname.slice(1)} SET search_path = public, pg_catalog`);
    await (await openForTest(url)).revoke(revocationOf('a'));
    expect((await client.query('SELECT value FROM seen')).rows).toEqual([{ value: interval }]);
  });

  test('through a pooler that the URL does not tell of, nothing of the session is set either', async () => {
    const { url } = await createTestDatabase();
    const pooled = await startPooler(url);
    const settings = async (beside: pg.Client) => {
      const { rows } = await beside.query(`SELECT name, setting FROM pg_settings
        WHERE name IN ('client_connection_check_interval', 'row_security', 'statement_timeout') ORDER BY name`);
      return rows.map(({ setting }) => setting);
    };
    const store = await openForTest(pooled);
    await store.check(tokenOf('a'));
    await store.check(tokenOf('a'), 4321);
    // On the one connection that the pooler has.
    expect(await settings(await connectBeside(pooled))).toEqual(['0', 'on', '0']);
  });

  test('callers that wait for a lock and try again hold one backend each, and none when they have given up', async () => {
    const { url, client } = await createTestDatabase();
    const stores = await Promise.all(Array.from({ length: 12 }, () => openForTest(url)));
    for (const store of stores) await store.check(tokenOf('a'));
    await client.query('BEGIN; LOCK TABLE revoked_id IN SHARE MODE');

    let most = 0;
    const watcher = await connectBeside(url);
    const waiting = stores.map((store, index) =>
      retryWhileUnavailable(3000, (timeoutMs) => store.revoke(revocationOf(`id-${index}`), timeoutMs)),
    );
    const isOver = Promise.allSettled(waiting).then((outcomes) => outcomes.map(({ status }) => status));
    let over: string[] | undefined;
    void isOver.then((outcomes) => {
      over = outcomes;
    });
    while (over === undefined) most = Math.max(most, await countOthers(watcher));

    expect(over).toEqual(stores.map(() => 'rejected'));
    expect(most).toBeLessThanOrEqual(stores.length + 1); // and the one with the lock
    await vi.waitFor(async () => expect(await countWaiting(watcher)).toBe(0), 10_000);
    await client.query('ROLLBACK');
  });

  test('a write commits to the disk although the server has been told otherwise since the connection was made', async () => {
    const server = await startPostgresServer();
    onTestFinished(server.stop);
    await migratePostgres(server.url);
    const client = await connectBeside(server.url);
    // What holds when the transaction commits, and what would hold without a word of ours.
    await client.query(`
      CREATE TABLE seen (at_commit text, otherwise text);
      CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO seen SELECT setting, reset_val FROM pg_settings WHERE name = 'synchronous_commit';
        RETURN NULL;
      END $$;
      CREATE CONSTRAINT TRIGGER see AFTER INSERT ON revoked_id DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION see();
      CREATE CONSTRAINT TRIGGER see AFTER INSERT ON bind_transaction DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION see()`);
    const store = await openForTest(server.url);
    const directory = await openPostgresDirectory(server.url);
    onTestFinished(() => directory.close());
    await store.check(tokenOf('a'));
    await directory.links.list('ann');
    await client.query('ALTER SYSTEM SET synchronous_commit = off');
    await client.query('SELECT pg_reload_conf()');
    while (await isSynchronous(server.url));

    await store.revoke(revocationOf('a'));
    await directory.binds.begin({ id: 'bind', data: 'k1.d', expiresAt: 4_000_000_000_000 });
    const { rows } = await client.query('SELECT at_commit, otherwise FROM seen');
    expect(rows).toEqual([
      { at_commit: 'on', otherwise: 'off' },
      { at_commit: 'on', otherwise: 'off' },
    ]);
  });

  test.each([
    ['revoked_id', 'a revocation', ({ store }) => store.revoke(revocationOf('a'))],
    ['account_link', 'a link', ({ links }) => links.link({ ...LINK, sid: '2' })],
    ['unlinked_identity', 'an unlink', ({ links }) => links.unlink({ ...LINK, keepLast: false, force: false })],
    ['bind_transaction', 'a new bind', ({ binds }) => binds.begin({ ...BIND, id: 'new' })],
    ['bind_transaction', 'the end of a bind', ({ binds }) => binds.take(BIND.id)],
  ] satisfies [string, string, (stores: Stores) => Promise<unknown>][])(
    'where the table %s becomes UNLOGGED while %s waits for it, that is not acknowledged',
    async (table, _name, write) => {
      const { url, client } = await createTestDatabase();
      const directory = await openPostgresDirectory(url);
      onTestFinished(() => directory.close());
      const stores = { store: await openForTest(url), ...directory };
      await stores.store.check(tokenOf('a'));
      await directory.links.link(LINK);
      await directory.binds.begin(BIND);
      const watcher = await connectBeside(url);

      await client.query(`BEGIN; ALTER TABLE ${table} SET UNLOGGED`);
      const refusal = expect(write(stores)).rejects.toMatchObject({
        fault: 'unsafe',
        cause: { message: `the table ${table} is not logged` },
      });
      await vi.waitFor(async () => expect(await countWaiting(watcher)).toBe(1), 10_000);
      await client.query('COMMIT');
      await refusal;
    },
  );

  test('a commit whose wait for a synchronous standby is cancelled is not acknowledged, and can be done again', async () => {
    const server = await startPostgresServer();
    onTestFinished(server.stop);
    await migratePostgres(server.url);
    const store = await openForTest(server.url);
    await store.check(tokenOf('a'));
    const client = await connectBeside(server.url);
    const setStandby = async (name: string) => {
      await client.query(`ALTER SYSTEM SET synchronous_standby_names = '${name}'`);
      await client.query('SELECT pg_reload_conf()');
    };
    const findWaiting = async () => {
      const { rows } = await client.query("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
      expect(rows).toHaveLength(1);
      return rows[0]?.pid;
    };

    await setStandby('nobody');
    while ((await client.query('SHOW synchronous_standby_names')).rows[0]?.synchronous_standby_names === '');
    const refusal = expect(store.revoke(revocationOf('a'))).rejects.toMatchObject({
      fault: 'unsafe',
      cause: { message: expect.stringContaining('wait for the synchronous standby was cancelled') },
    });
    await client.query('SELECT pg_cancel_backend($1)', [await vi.waitFor(findWaiting, 10_000)]);
    await refusal;

    await setStandby('');
    expect(await store.revoke(revocationOf('a'))).toMatchObject({ first: false });
  });

  test.each(['LATIN1', 'WIN1251', 'SQL_ASCII'])('a database in %s is refused, and not migrated', async (encoding) => {
    const name = `unlink_test_${crypto.randomUUID().replaceAll('-', '')}`;
    await runOnce(
      inject('postgresUrl'),
      `CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}' LC_COLLATE 'C' LC_CTYPE 'C'`,
    );
    onTestFinished(() => runOnce(inject('postgresUrl'), `DROP DATABASE ${name} WITH (FORCE)`));
    const url = Object.assign(new URL(inject('postgresUrl')), { pathname: `/${name}` }).href;
    const refusal = {
      fault: 'unsafe',
      cause: { message: `PostgreSQL: the encoding of the database is ${encoding}, not UTF8` },
    };
    await expect(migratePostgres(url)).rejects.toMatchObject(refusal);
    await expect((await openForTest(url)).check(tokenOf('a'))).rejects.toMatchObject(refusal);
  });

  test('where the clock was set back, settings are asked for again at once', async () => {
    const { url, client } = await createTestDatabase();
    const store = await openForTest(url);
    await store.check(tokenOf('a'));
    await client.query('ALTER TABLE revoked_id SET UNLOGGED');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 });
    onTestFinished(() => void vi.useRealTimers());
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'unsafe' });
  });

  test('a connection that was idle for a minute is not trusted', async () => {
    const { url, client } = await createTestDatabase();
    const store = await openForTest(url);
    await store.check(tokenOf('a'));
    const before = await otherSessions(client);
    await store.check(tokenOf('a'));
    expect(await otherSessions(client)).toEqual(before);

    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 });
    onTestFinished(() => void vi.useRealTimers());
    await store.check(tokenOf('a'));
    expect(await otherSessions(client)).not.toContain(before[0]);
  });

  test('with TLS a server must prove to be the host that the URL names, unless the URL waives that', async () => {
    const server = await startPostgresServer({ ssl: 'on', ...CERTIFICATE });
    onTestFinished(server.stop);
    const check = async (host: string, parameters: string) => {
      const url = server.url.replace('127.0.0.1', host);
      return (await openForTest(`${url}?${parameters}`)).check(tokenOf('a'));
    };
    const rootCertificate = `sslrootcert=${server.folder}/certificate.pem`;
    const [reached, refused] = [{ fault: 'not_migrated' }, { fault: 'unreachable' }];
    await expect(check('localhost', `sslmode=verify-full&${rootCertificate}`)).rejects.toMatchObject(reached);
    await expect(check('127.0.0.1', `sslmode=verify-full&${rootCertificate}`)).rejects.toMatchObject(refused);
    await expect(check('localhost', 'sslmode=verify-full')).rejects.toMatchObject(refused);
    await expect(check('127.0.0.1', 'sslmode=require')).rejects.toMatchObject(reached);
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    await expect(check('localhost', 'sslmode=verify-full')).rejects.toMatchObject(refused);
  });

  test('a server that does not sync to disk is refused', async () => {
    const server = await startPostgresServer({ fsync: 'off' });
    onTestFinished(server.stop);
    const store = await openForTest(server.url);
    await expect(store.check(tokenOf('a'))).rejects.toMatchObject({ fault: 'unsafe' });
  });

  test('an id that PostgreSQL cannot hold is an error, and the store goes on', async () => {
    const { url } = await createTestDatabase();
    const store = await openForTest(url);
    await expect(store.revoke(revocationOf('a\0b'))).rejects.toThrow();
    await expect(store.check(tokenOf('a\0b'))).rejects.toThrow();
    expect((await store.check(tokenOf('a'))).revoked).toBe(false);
  });

  test('of two stores that revoke one token under two peppers at once, one is the first, round after round', async () => {
    const { url } = await createTestDatabase();
    const stores = await Promise.all([openForTest(url), openForTest(url)]);
    for (let round = 0; round < 200; round += 1) {
      const ids = [`k1.${round}`, `k2.${round}`];
      const results = await Promise.all(
        stores.map((store, index) =>
          store.revoke({ ...revocationOf(ids[index] ?? ''), grants: [], presented: tokenOf(...ids) }),
        ),
      );
      expect(results.filter(({ first }) => first)).toHaveLength(1);
    }
  });

  test('of two tokens that each end the other by a cut-off, one moves it, round after round', async () => {
    const { url } = await createTestDatabase();
    const stores = await Promise.all([openForTest(url), openForTest(url)]);
    for (let round = 0; round < 200; round += 1) {
      const keys = [`subject-${round}`, `client-${round}`];
      const results = await Promise.all(
        stores.map((store, index) =>
          store.revoke({
            ...revocationOf(),
            cutOffs: [{ key: keys[index] ?? '', issuedUpTo: 1000 }],
            presented: { ...tokenOf(`t-${round}-${index}`), cutOffKeys: keys, issuedAt: 900 },
          }),
        ),
      );
      expect(results.filter(({ first }) => first)).toHaveLength(1);
    }
  });
});

describe('migrating PostgreSQL', () => {
  test('twice at once and again afterwards makes one schema, and keeps what is stored', async () => {
    const { url, client } = await createTestDatabase({ isMigrated: false });
    await Promise.all([migratePostgres(url), migratePostgres(url)]);
    const store = await openForTest(url);
    await store.revoke(revocationOf('a'));
    await migratePostgres(url);
    expect((await store.check(tokenOf('a'))).revoked).toBe(true);
    const { rows } = await client.query('SELECT file FROM applied_migration ORDER BY file');
    expect(rows.map(({ file }) => file)).toEqual([
      '0001-token-revocation.sql',
      '0002-directory.sql',
      '0003-threepid-binding.sql',
      '0004-safe-commit.sql',
    ]);
  });

  test('a database that a newer version has migrated is refused in a sentence', async () => {
    const { url, client } = await createTestDatabase();
    await client.query("INSERT INTO applied_migration VALUES ('9999-new.sql')");
    await expect(migratePostgres(url)).rejects.toThrow(
      'The store has the schema of 9999-new.sql, which this version does not know: use a newer one.',
    );
  });
});
