import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { MAX_LINKS, type NewLink, TOMBSTONE_MS, type Unlink } from '#shared/account-link/account-link.ts';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { DIRECTORY_SCHEMA, type Directory } from '#shared/directory/directory.ts';
import { CLAIM_JOBS } from '#shared/outbox/drivers/postgres.ts';
import type { NewJob } from '#shared/outbox/outbox.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { MAX_BINDINGS } from '#shared/threepid/threepid-binding.ts';
import { startFaultProxy } from '#test/faults/fault-proxy.ts';
import { loadPorts } from '#test/support/load-ports.ts';
import { createDatabase, type TestDatabase } from '#test/support/postgres-server.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import {
  DIRECTORY_TABLES,
  type DurableDirectoryBackend,
  directoryContract,
  durableDirectoryContract,
} from './directory.ts';
import { newBinding } from './threepid-bindings.ts';

const { openOutbox, openPostgresDirectory, openPostgresOutbox } = await loadPorts('postgres');
const { openSqliteDirectory } = await loadPorts('sqlite');

/** One for all tests of the contract: to make one takes as long as ten of them. */
let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase(inject('postgresUrl'), inject('postgresTemplate'));
});
afterAll(() => database.drop());

directoryContract('postgres', () => createBackend());
durableDirectoryContract('postgres', () => createBackend());
directoryContract('postgres without prepared statements', () => createBackend('?prepare=false'));

function createBackend(parameters = ''): DurableDirectoryBackend {
  const { url, client } = database;
  return {
    openOutboxBySettings: () => openOutbox({ DIRECTORY_URL: url }, LOCAL_PLATFORM),
    open: (options) => openPostgresDirectory(`${url}${parameters}`, options),
    openOutbox: (options) => openPostgresOutbox(`${url}${parameters}`, options),
    auditRecords: async () => (await client.query('SELECT record FROM audit_record')).rows.map(({ record }) => record),
    dump: async () => JSON.stringify(await rowsOf(client)),
    loseMarker: async () => void (await client.query(`DELETE FROM schema_marker WHERE component = 'directory'`)),
    ageMarker: async () =>
      void (await client.query(`UPDATE schema_marker SET version = version - 1 WHERE component = 'directory'`)),
    async failAuditRecords() {
      await client.query(`
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
        CREATE TRIGGER no_audit BEFORE INSERT ON audit_record EXECUTE FUNCTION refuse()`);
    },
    async dispose() {
      await client.query(`
        DROP FUNCTION IF EXISTS refuse CASCADE;
        ${DIRECTORY_TABLES.map((table) => `DELETE FROM ${table};`).join('\n')}
        INSERT INTO schema_marker (component, version) VALUES ('directory', ${DIRECTORY_SCHEMA.version})
          ON CONFLICT (component) DO UPDATE SET version = excluded.version`);
    },
  };
}

/** The rows of all tables. */
async function rowsOf(client: pg.Client): Promise<unknown[][]> {
  const tables = [];
  for (const table of DIRECTORY_TABLES) tables.push((await client.query(`SELECT * FROM ${table} ORDER BY 1`)).rows);
  return tables;
}

const newLink = (parts: Partial<NewLink>): NewLink => ({
  ...{ fpType: 'vk', fpName: 'vk_1', sid: '1234', subject: 'ann', evidence: 'asserted' },
  audit: { actor: 'operator', requestId: 'r-1' },
  ...parts,
});
const unlinkOf = (parts: Partial<Unlink>): Unlink => ({ ...newLink({}), keepLast: false, force: false, ...parts });
const newJob = (id: string): NewJob => ({
  ...{ id, kind: 'grant-revocation', details: {}, boundTo: id, requestId: 'r-1' },
});

async function createTestDatabase(): Promise<TestDatabase> {
  const own = await createDatabase(inject('postgresUrl'), inject('postgresTemplate'));
  onTestFinished(own.drop);
  return own;
}

async function openForTest(url: string, options?: { now: () => number }): Promise<Directory> {
  const directory = await openPostgresDirectory(url, options);
  onTestFinished(() => directory.close());
  return directory;
}

/** Two of one database, as two instances have them. */
async function openTwo(): Promise<TestDatabase & { directories: [Directory, Directory] }> {
  const own = await createTestDatabase();
  return { ...own, directories: [await openForTest(own.url), await openForTest(own.url)] };
}

/** A directory whose connection is open, and can be cut instead of the answer to the next call. */
async function openForLostAnswer() {
  const { url } = await createTestDatabase();
  const proxy = await startFaultProxy(Number(new URL(url).port || 5432));
  onTestFinished(proxy.stop);
  const directory = await openForTest(Object.assign(new URL(url), { port: String(proxy.port) }).href);
  await directory.links.list('nobody');
  return {
    directory,
    others: await openForTest(url),
    loseAnswer({ reconnectsSlowly = false } = {}) {
      // So slowly that others get something done before the call is repeated.
      if (reconnectsSlowly) proxy.treat({ delayMs: 100 });
      proxy.treatOpen('reset-on-answer');
    },
  };
}

const SOON = { timeout: 5000, interval: 5 };

/** Resolves when a statement waits for a lock. */
async function seeWaiting(client: pg.Client): Promise<void> {
  const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  await vi.waitFor(async () => expect((await client.query(waiting)).rows).toHaveLength(1), SOON);
}

describe('a PostgreSQL directory', () => {
  test('of two instances that link one identity to two subjects one does, round after round', async () => {
    const { directories } = await openTwo();
    for (let round = 0; round < 100; round += 1) {
      const outcomes = await Promise.all(
        directories.map(({ links }, index) => links.link(newLink({ sid: `${round}`, subject: `subject-${index}` }))),
      );
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['linked', 'taken']);
    }
  });

  test('of two instances that delete the last two links one does, round after round', async () => {
    const { directories } = await openTwo();
    for (let round = 0; round < 100; round += 1) {
      const subject = `subject-${round}`;
      const both = [`${round}-a`, `${round}-b`];
      for (const sid of both) await directories[0].links.link(newLink({ subject, sid }));
      const outcomes = await Promise.all(
        directories.map(({ links }, index) =>
          links.unlink(unlinkOf({ subject, sid: both[index] ?? '', keepLast: true })),
        ),
      );
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['last_link', 'unlinked']);
    }
  });

  test('of two instances that make the last link a subject may have one does, round after round', async () => {
    const { client, directories } = await openTwo();
    await client.query(
      `INSERT INTO account_link (subject, fp_type, fp_name, sid, evidence, linked_at)
      SELECT 'ann', 'vk', 'vk_1', 'many-' || number, 'asserted', 1 FROM generate_series(2, $1) AS number`,
      [MAX_LINKS],
    );
    for (let round = 0; round < 50; round += 1) {
      const sids = [`${round}-a`, `${round}-b`];
      const outcomes = await Promise.all(
        directories.map(({ links }, index) => links.link(newLink({ sid: sids[index] ?? '' }))),
      );
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['limit_reached', 'linked']);
      await Promise.all(sids.map((sid) => directories[0].links.unlink(unlinkOf({ sid }))));
    }
  });

  test('whoever links, proves and deletes what at once, nobody waits for ever', async () => {
    const { directories } = await openTwo();
    const subjects = ['ann', 'bob', 'eve'];
    const sids = ['1', '2', '3'];
    for (let round = 0; round < 30; round += 1) {
      await Promise.all(
        directories.flatMap(({ links }) =>
          subjects.flatMap((subject) =>
            sids.flatMap((sid) => [
              links.link(newLink({ subject, sid })),
              links.unlink(unlinkOf({ subject, sid, keepLast: true })),
              links.link(newLink({ subject, sid, evidence: 'proved' })),
              links.unlink(unlinkOf({ subject, sid })),
            ]),
          ),
        ),
      );
    }
    const lists = await Promise.all(subjects.map((subject) => directories[0].links.list(subject)));
    const left = lists.flat().map(({ sid }) => sid);
    expect(new Set(left).size).toBe(left.length);
  });

  test('a claim does not wait for a job that somebody is writing', async () => {
    const { client, directories } = await openTwo();
    for (const id of ['a', 'b', 'c']) await directories[0].outbox.add(newJob(id));
    await client.query(`BEGIN; SELECT FROM outbox_job WHERE id = 'a' FOR UPDATE`);
    const claimed = await directories[0].outbox.claim('one', { jobs: 2, leaseMs: 60_000 });
    expect(claimed.map(({ id }) => id).sort()).toEqual(['b', 'c']);

    await client.query('ROLLBACK');
    expect(await directories[1].outbox.claim('two', { jobs: 2, leaseMs: 60_000 })).toMatchObject([{ id: 'a' }]);
  });

  test('claims of two instances share no job and leave none, round after round', async () => {
    const { client, directories } = await openTwo();
    for (let round = 0; round < 30; round += 1) {
      await client.query(
        `INSERT INTO outbox_job SELECT $1 || number, 'grant-revocation', '{}', NULL, '', '', 'pending', NULL, NULL,
          0, 0, number, 1, 1, NULL, NULL FROM generate_series(1, 20) AS number`,
        [`${round}-`],
      );
      const claimed: string[] = [];
      for (let turn = 0; claimed.length < 20 && turn < 20; turn += 1) {
        const claims = await Promise.all(
          [...directories, ...directories].map(({ outbox }, index) =>
            outbox.claim(`${round}-${turn}-${index}`, { jobs: 3, leaseMs: 60_000 }),
          ),
        );
        for (const jobs of claims) expect(jobs.length).toBeLessThanOrEqual(3);
        claimed.push(...claims.flat().map(({ id }) => id));
      }
      expect(new Set(claimed).size).toBe(20);
      expect(claimed).toHaveLength(20);
    }
  });

  test('of two instances that take one bind up one gets it, round after round', async () => {
    const { directories } = await openTwo();
    for (let round = 0; round < 100; round += 1) {
      const id = `${round}`;
      await directories[0].binds.begin({ id, data: 'k1.d', expiresAt: Date.now() + 60_000 });
      const taken = await Promise.all([...directories, ...directories].map(({ binds }) => binds.take(id)));
      expect(taken.map(({ status }) => status).sort()).toEqual(['taken', 'used', 'used', 'used']);
    }
  });

  /** Makes a change in a transaction that ends once `work` waits for it, and `look` has looked. */
  async function whileChanging<Result>(
    { url, client }: TestDatabase,
    change: string,
    work: () => Promise<Result>,
    look = async () => {},
  ): Promise<Result> {
    const other = new pg.Client(readPostgresUrl(url).connection);
    onTestFinished(() => other.end());
    await other.connect();
    await other.query(`BEGIN; ${change}`);
    const working = work();
    await seeWaiting(client);
    await look();
    await other.query('COMMIT');
    return await working;
  }

  const whileResealing = <Result>(own: TestDatabase, work: () => Promise<Result>) =>
    whileChanging(own, `UPDATE account_link SET tokens = 'k2.new'`, work);

  test('tokens that are sealed anew while their link is deleted go into its job as they are then', async () => {
    const { directories, ...own } = await openTwo();
    const [{ links, outbox }] = directories;
    await links.link(newLink({ tokens: 'k1.old' }));
    const outcome = await whileResealing(own, () => links.unlink(unlinkOf({ job: newJob('j') })));
    expect(outcome).toMatchObject({ status: 'unlinked', revocation: 'pending' });
    expect(await outbox.find('j')).toMatchObject({ secret: 'k2.new' });
  });

  test('tokens that are sealed anew while their link gets a name stay so', async () => {
    const { directories, ...own } = await openTwo();
    const [{ links, sealed }] = directories;
    await links.link(newLink({ tokens: 'k1.old' }));
    const outcome = await whileResealing(own, () => links.link(newLink({ userName: 'Ann' })));
    expect(outcome).toMatchObject({ change: 'updated' });
    expect(await sealed.find('k1', 10)).toMatchObject([{ sealed: 'k2.new' }]);
  });

  test('a bind that is confirmed while it is forgotten as pending stays known, and the others go', async () => {
    const { directories, ...own } = await openTwo();
    const [{ threepids }] = directories;
    for (const bindId of ['a', 'b']) await threepids.put(newBinding({ bindId }));
    const confirmation = `UPDATE threepid_binding SET state = 'bound' WHERE bind_id = 'a'`;
    await whileChanging(own, confirmation, () =>
      threepids.forget([newBinding({ bindId: 'a' }), newBinding({ bindId: 'b' })]),
    );
    expect(await threepids.find(newBinding())).toEqual([newBinding({ bindId: 'a', state: 'bound' })]);
  });

  test('binds are forgotten in one order, however they are given, so that no two wait for each other', async () => {
    const { directories, ...own } = await openTwo();
    const [{ threepids }] = directories;
    for (const bindId of ['a', 'b', 'c']) await threepids.put(newBinding({ bindId }));
    const last = `SELECT FROM threepid_binding WHERE bind_id = 'c' FOR UPDATE`;
    const forget = () => threepids.forget(['c', 'b', 'a'].map((bindId) => newBinding({ bindId })));
    await whileChanging(own, last, forget, async () => {
      const free = await own.client.query('SELECT bind_id FROM threepid_binding FOR UPDATE SKIP LOCKED');
      expect(free.rows).toEqual([]);
    });
    expect(await threepids.find(newBinding())).toEqual([]);
  });

  test('a job whose lease has ended is claimed anew, by whom it was left too', async () => {
    let timeMs = 1_800_000_000_000;
    const { url } = await createTestDatabase();
    const { outbox } = await openForTest(url, { now: () => timeMs });
    await outbox.add(newJob('a'));
    await outbox.claim('one', { jobs: 1, leaseMs: 1000 });
    timeMs += 1000;
    expect(await outbox.claim('one', { jobs: 1, leaseMs: 1000 })).toMatchObject([{ id: 'a', attemptsStarted: 2 }]);
    expect(await outbox.claim('two', { jobs: 1, leaseMs: 1000 })).toEqual([]);
  });

  describe('whose answer is lost, and which asks again,', () => {
    test('has linked once, and says so', async () => {
      const { directory, others, loseAnswer } = await openForLostAnswer();
      loseAnswer();
      expect(await directory.links.link(newLink({}))).toEqual({ status: 'linked', change: 'created' });

      await directory.links.list('ann');
      loseAnswer();
      const proof = newLink({ subject: 'bob', evidence: 'proved' });
      expect(await directory.links.link(proof)).toEqual({ status: 'linked', change: 'created', replaced: 'ann' });
      expect(await others.links.list('bob')).toHaveLength(1);
    });

    test('has deleted once, with one job', async () => {
      const { directory, others, loseAnswer } = await openForLostAnswer();
      await others.links.link(newLink({ tokens: 'k1.s' }));
      loseAnswer();
      const outcome = await directory.links.unlink(unlinkOf({ job: newJob('j') }));
      expect(outcome).toEqual({ status: 'repeated', revocation: { state: 'pending' } });
      expect(await others.outbox.list('pending', { limit: 10 })).toMatchObject([{ id: 'j', secret: 'k1.s' }]);
    });

    test('has the jobs that it has claimed, and no more', async () => {
      const { directory, others, loseAnswer } = await openForLostAnswer();
      for (const id of ['a', 'b']) await others.outbox.add(newJob(id));
      loseAnswer();
      const claimed = await directory.outbox.claim('one', { jobs: 1, leaseMs: 60_000 });
      expect(claimed).toMatchObject([{ claim: 'one', attemptsStarted: 1 }]);
      expect(await others.outbox.claim('two', { jobs: 10, leaseMs: 60_000 })).toHaveLength(1);
    });

    test('has begun a bind, and nobody has one that it took', async () => {
      const { directory, others, loseAnswer } = await openForLostAnswer();
      loseAnswer();
      await directory.binds.begin({ id: 'a', data: 'k1.d', expiresAt: Date.now() + 60_000 });
      await directory.links.list('nobody');
      loseAnswer();
      expect(await directory.binds.take('a')).toEqual({ status: 'used' });
      expect(await others.binds.take('a')).toEqual({ status: 'used' });
    });

    test('knows a bind at an identity server, the last that the user may have too, and forgets it', async () => {
      const { directory, others, loseAnswer } = await openForLostAnswer();
      for (let index = 1; index < MAX_BINDINGS; index += 1) {
        await others.threepids.put(newBinding({ bindId: `bind-${index}` }));
      }
      const last = newBinding({ bindId: 'last' });
      loseAnswer();
      expect(await directory.threepids.put(last)).toBe(true);
      await directory.links.list('nobody');
      loseAnswer();
      await directory.threepids.forget([last]);
      expect(await others.threepids.find(last)).toHaveLength(MAX_BINDINGS - 1);
    });

    test('does not link again what others have deleted since', async () => {
      const { directory, others, loseAnswer } = await openForLostAnswer();
      loseAnswer({ reconnectsSlowly: true });
      const linking = directory.links.link(newLink({}));
      await vi.waitFor(async () => expect(await others.links.list('ann')).toHaveLength(1), SOON);
      await others.links.unlink(unlinkOf({}));

      expect(await linking).toEqual({ status: 'linked', change: 'created' });
      expect(await others.links.list('ann')).toEqual([]);
    });

    test('does not delete what others have linked anew since', async () => {
      const { directory, others, loseAnswer } = await openForLostAnswer();
      await others.links.link(newLink({ tokens: 'k1.old' }));
      loseAnswer({ reconnectsSlowly: true });
      const unlinking = directory.links.unlink(unlinkOf({ job: newJob('j') }));
      await vi.waitFor(async () => expect(await others.links.list('ann')).toEqual([]), SOON);
      await others.links.link(newLink({ tokens: 'k1.new' }));

      expect(await unlinking).toEqual({ status: 'repeated', revocation: { state: 'pending' } });
      expect(await others.sealed.find('k2', 10)).toMatchObject([
        { of: 'link', sealed: 'k1.new' },
        { of: 'job', sealed: 'k1.old' },
      ]);
    });
  });

  test('decides of links as the rules do that SQLite asks', { timeout: 60_000 }, async () => {
    let timeMs = 1_800_000_000_000;
    const now = () => timeMs;
    const { url, client } = await createTestDatabase();
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const path = join(folder.path, 'directory.sqlite');
    migrateSqlite(path);
    const sqlite = await openSqliteDirectory(path, { now });
    onTestFinished(() => sqlite.close());
    const directories = [sqlite, await openForTest(url, { now })];

    const identity = { subject: fc.constantFrom('ann', 'bob'), sid: fc.constantFrom('1', '2', '3') };
    const sometimes = <Value>(...values: Value[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
    const change = fc.oneof(
      fc.record({
        ...identity,
        evidence: fc.constantFrom('asserted' as const, 'proved' as const),
        userName: sometimes('', 'Ann', 'ж"\\'),
        tokens: sometimes('k1.a', 'k1.b'),
        emailDigest: sometimes('k1.c'),
        linkedAt: sometimes(1),
        begunAgo: sometimes(0, 1, TOMBSTONE_MS),
      }),
      fc.record({
        ...identity,
        keepLast: fc.boolean(),
        force: fc.boolean(),
        job: fc.constantFrom(undefined, {}, { claim: { name: 'inline', leaseMs: 1000 } }),
      }),
    );
    let made = 0;
    async function make(
      { links }: Directory,
      asked: typeof change extends fc.Arbitrary<infer Change> ? Change : never,
    ) {
      if (!('keepLast' in asked)) {
        const { begunAgo, ...parts } = asked;
        return await links.link(newLink({ ...parts, begunAt: begunAgo === undefined ? undefined : timeMs - begunAgo }));
      }
      return await links.unlink(unlinkOf({ ...asked, job: asked.job && { ...newJob(`job-${made}`), ...asked.job } }));
    }
    const step = fc.tuple(change, fc.constantFrom(1, 1, 1, TOMBSTONE_MS - 1));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
        for (const [asked, laterMs] of steps) {
          made += 1;
          timeMs += laterMs;
          const [expected, outcome] = await Promise.all(directories.map((directory) => make(directory, asked)));
          expect(outcome).toEqual(expected);
          const [listed, list] = await Promise.all(directories.map(({ links }) => links.list(asked.subject)));
          expect(list).toEqual(listed);
        }
      }),
      { numRuns: 40 },
    );

    const database = new DatabaseSync(path);
    onTestFinished(() => database.close());
    const expected = database.prepare('SELECT record FROM audit_record ORDER BY at').all();
    const { rows } = await client.query('SELECT record FROM audit_record ORDER BY at');
    expect(rows.length).toBeGreaterThan(100);
    expect(rows.map(({ record }) => record)).toEqual(
      expected.map(({ record }) => ({ ...JSON.parse(String(record)), id: expect.any(String) })),
    );
  });

  test('a claim finds due jobs by their indexes, without sorting what is due', async () => {
    const { client } = await createTestDatabase();
    // Of few rows a scan is cheaper: what matters is whether the indexes can do it.
    await client.query(`
      SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan;
      PREPARE claim_jobs AS ${CLAIM_JOBS.text}`);
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN EXECUTE claim_jobs ('me', 1, 20, 1)`);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toMatch(/Index Scan using outbox_job_due on .*\n *Index Cond: \(due_at <= \$2\)/);
    expect(plan).toMatch(/Index Scan using outbox_job_due_last on .*\n *Index Cond: \(due_at <= \$2\)/);
    expect(plan).not.toMatch(/Sort Key: .*due_at/);
  });

  test('without its schema marker a database is not written to', async () => {
    const { url, client } = await createTestDatabase();
    const { links, binds, outbox, sealed, threepids, purgeExpired } = await openForTest(url);
    await threepids.put(newBinding());
    await links.link(newLink({ tokens: 'k1.s' }));
    await links.link(newLink({ sid: 'b' }));
    await links.unlink(unlinkOf({ sid: 'b' }));
    await binds.begin({ id: 'old', data: 'k1.d', expiresAt: 1 });
    for (const id of ['a', 'b']) {
      await outbox.add({ ...newJob(id), secret: 'k1.s' });
      await outbox.claim(id, { jobs: 1, leaseMs: 60_000 });
    }
    await outbox.add(newJob('due'));
    const before = await rowsOf(client);
    await client.query(`DELETE FROM schema_marker WHERE component = 'directory'`);

    const [link, job] = [JSON.stringify(['vk', 'vk_1', '1234']), 'a'];
    const attempts = [
      () => links.link(newLink({ userName: 'Ann' })),
      () => links.unlink(unlinkOf({})),
      () => binds.begin({ id: 'new', data: 'd', expiresAt: 1 }),
      () => binds.take('old'),
      () => outbox.add(newJob('new')),
      () => outbox.claim('other', { jobs: 1, leaseMs: 1 }),
      () => outbox.settle({ id: 'a', claim: 'a' }, { state: 'done', result: 'x' }),
      () => outbox.replay('b'),
      () => sealed.replace({ of: 'link', key: link, boundTo: '', sealed: 'k1.s' }, 'k2.s'),
      () => sealed.replace({ of: 'job', key: job, boundTo: '', sealed: 'k1.s' }, 'k2.s'),
      () => threepids.put(newBinding({ state: 'bound' })),
      () => threepids.put(newBinding({ bindId: 'new' })),
      () => threepids.forget([newBinding()]),
      () => purgeExpired(10),
    ];
    for (const attempt of attempts) {
      await expect(attempt(), attempt.toString()).rejects.toMatchObject({ fault: 'not_migrated' });
    }
    expect(await rowsOf(client)).toEqual(before);
  });

  test('a database that was migrated before there were directories is refused', async () => {
    const { url, client } = await createTestDatabase();
    await client.query(`
      DROP FUNCTION lock_account_link, record_link_change, link_account, unlink_account, take_bind;
      DROP TABLE account_link, unlinked_identity, bind_transaction, outbox_job, audit_record, threepid_binding;
      DELETE FROM schema_marker WHERE component = 'directory'`);
    const { links, binds, outbox, sealed, threepids, purgeExpired } = await openForTest(url);
    const attempts = [
      () => links.list('ann'),
      () => links.link(newLink({})),
      () => links.unlink(unlinkOf({ job: newJob('j') })),
      () => binds.begin({ id: 'a', data: 'd', expiresAt: 1 }),
      () => binds.take('a'),
      () => outbox.add(newJob('a')),
      () => outbox.claim('one', { jobs: 1, leaseMs: 1 }),
      () => sealed.find('k', 1),
      () => threepids.find(newBinding()),
      () => threepids.put(newBinding()),
      () => threepids.forget([newBinding()]),
      () => purgeExpired(1),
    ];
    for (const attempt of attempts) {
      await expect(attempt(), attempt.toString()).rejects.toMatchObject({ fault: 'not_migrated' });
    }
  });
});
