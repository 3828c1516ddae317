import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import {
  type ExternalIdentity,
  type LinkQuery,
  MAX_LINKS,
  type NewLink,
  TOMBSTONE_MS,
  type Unlink,
} from '#shared/account-link/account-link.ts';
import { SPENT_BIND_MS } from '#shared/account-link/bind-transaction.ts';
import { boundToLink } from '#shared/account-link/provider-tokens.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { JOB_BUDGET_MS, type NewJob, type OutboxStore, SETTLED_JOB_MS } from '#shared/outbox/outbox.ts';
import { newBinding, threepidBindingsContract } from './threepid-bindings.ts';

/** The tables of a directory in an SQL database. */
export const DIRECTORY_TABLES = [
  'account_link',
  'unlinked_identity',
  'bind_transaction',
  'outbox_job',
  'audit_record',
  'threepid_binding',
];

/** A fresh, migrated backend for one test. */
export interface DirectoryBackend {
  open(options: { now: () => number }): Promise<Directory>;
  /** The outbox of the same store, with a connection of its own where it has one. */
  openOutbox(options: { now: () => number }): Promise<OutboxStore>;
  dispose(): void | Promise<void>;
}

/** A backend that outlives the connection to it. */
export interface DurableDirectoryBackend extends DirectoryBackend {
  /** The outbox of the same store, opened by the settings that name it. */
  openOutboxBySettings(): OutboxStore;
  /** The audit records as they were written, in any order. */
  auditRecords(): Promise<Record<string, unknown>[]>;
  /** All that it holds, as text, in which to search for what must not be there. */
  dump(): Promise<string>;
  /** Takes the schema marker away, as a failover to an empty copy does. */
  loseMarker(): void | Promise<void>;
  /** Puts the schema marker back to the version before this code's. */
  ageMarker(): void | Promise<void>;
  /** Makes every write of an audit record fail. */
  failAuditRecords(): void | Promise<void>;
}

const OLDER_DIRECTORY =
  'The store has version 1 of the schema directory, this code needs version 2. Upgrade the store: npm run migrate.';

const START_MS = 1_800_000_000_000;
const VK: ExternalIdentity = { fpType: 'vk', fpName: 'vk_1', sid: '1234' };
const AUDIT = { actor: 'subject:ann', requestId: 'r-1' };

const newLink = (parts: Partial<NewLink> = {}): NewLink => ({
  ...VK,
  subject: 'ann',
  evidence: 'asserted',
  audit: AUDIT,
  ...parts,
});
const newJob = (id: string, parts: Partial<NewJob> = {}): NewJob => ({
  id,
  kind: 'grant-revocation',
  details: { fpType: 'vk', note: 'ж"\\' },
  boundTo: `bound to ${id}`,
  requestId: 'r-1',
  ...parts,
});
const unlinkOf = (parts: Partial<Unlink> = {}): Unlink => ({
  ...VK,
  subject: 'ann',
  keepLast: false,
  force: false,
  audit: AUDIT,
  ...parts,
});

/** The contracts of the ports of a {@link Directory}: every driver passes them. */
export function directoryContract(
  driver: string,
  createBackend: () => DirectoryBackend | Promise<DirectoryBackend>,
): void {
  describe(`directory, ${driver}`, () => {
    let backend: DirectoryBackend;
    let directory: Directory;
    let timeMs: number;

    beforeEach(async () => {
      timeMs = START_MS;
      backend = await createBackend();
      directory = await backend.open({ now: () => timeMs });
    });

    afterEach(async () => {
      await directory.close();
      await backend.dispose();
    });

    const link = (parts: Partial<NewLink> = {}) => directory.links.link(newLink(parts));
    const unlink = (parts: Partial<Unlink> = {}) => directory.links.unlink(unlinkOf(parts));
    const sids = async (subject: string) => (await directory.links.list(subject)).map(({ sid }) => sid);

    describe('account links', () => {
      test('a subject without links has an empty list', async () => {
        expect(await directory.links.list('nobody')).toEqual([]);
      });

      test('what is linked is listed, and to its subject alone', async () => {
        expect(await link({ userName: 'Ann' })).toEqual({ status: 'linked', change: 'created' });
        expect(await directory.links.list('ann')).toEqual([
          { ...VK, userName: 'Ann', evidence: 'asserted', linkedAt: START_MS },
        ]);
        expect(await directory.links.list('an')).toEqual([]);
        expect(await directory.links.list('ANN')).toEqual([]);
      });

      test('links are listed in the order they were made, also within one millisecond', async () => {
        for (const sid of ['9', '1', '5', '10', '2']) await link({ sid });
        timeMs += 1;
        await link({ sid: '0' });
        expect(await sids('ann')).toEqual(['9', '1', '5', '10', '2', '0']);
      });

      test('a link that is imported keeps its place in time', async () => {
        await link({ sid: 'new' });
        await link({ sid: 'old', linkedAt: START_MS - 1000 });
        expect(await sids('ann')).toEqual(['old', 'new']);
      });

      test('linking again changes nothing, and without a name keeps it', async () => {
        await link({ userName: 'Ann' });
        timeMs += 5;
        expect(await link()).toEqual({ status: 'linked', change: 'unchanged' });
        expect(await link({ userName: 'Anna' })).toEqual({ status: 'linked', change: 'updated' });
        expect(await directory.links.list('ann')).toEqual([
          { ...VK, userName: 'Anna', evidence: 'asserted', linkedAt: START_MS },
        ]);
      });

      test('a name that changes leaves the order as it is', async () => {
        await link({ sid: 'a' });
        await link({ sid: 'b' });
        await link({ sid: 'a', userName: 'New' });
        expect(await sids('ann')).toEqual(['a', 'b']);
      });

      test('links are found by subject, by e-mail and by identity, in the order they were made', async () => {
        await link({ sid: 'a', emailDigest: 'k1.ann', userName: 'Ann', tokens: 'k1.sealed' });
        timeMs += 1;
        await link({ sid: 'b', emailDigest: 'k0.ann', subject: 'bob' });
        timeMs += 1;
        await link({ sid: 'c' });
        const sidsOf = async (by: LinkQuery) => (await directory.links.find(by)).map(({ sid }) => sid);
        expect(await directory.links.find({ identities: [{ ...VK, sid: 'a' }] })).toEqual([
          {
            ...{ ...VK, sid: 'a', subject: 'ann', userName: 'Ann', emailDigest: 'k1.ann' },
            ...{ evidence: 'asserted', linkedAt: START_MS },
          },
        ]);
        expect(await sidsOf({ subject: 'ann' })).toEqual(['a', 'c']);
        expect(await sidsOf({ subject: 'nobody' })).toEqual([]);
        expect(await sidsOf({ emailDigests: ['k0.ann', 'k1.ann', 'k2.ann'] })).toEqual(['a', 'b']);
        expect(await sidsOf({ emailDigests: ['k1.bob'] })).toEqual([]);
        expect(await sidsOf({ emailDigests: [] })).toEqual([]);
        expect(
          await sidsOf({
            identities: [
              { ...VK, sid: 'c' },
              { ...VK, sid: 'a' },
              { ...VK, sid: 'd' },
            ],
          }),
        ).toEqual(['a', 'c']);
        await unlink({ sid: 'a' });
        expect(await sidsOf({ emailDigests: ['k1.ann'] })).toEqual([]);
        await link({ sid: 'b', subject: 'ann', evidence: 'proved' });
        expect(await sidsOf({ emailDigests: ['k0.ann'] })).toEqual([]);
      });

      test("another subject's identity is taken, asserted or proved", async () => {
        await link();
        expect(await link({ subject: 'bob' })).toEqual({ status: 'taken' });
        await link({ evidence: 'proved' });
        expect(await link({ subject: 'bob' })).toEqual({ status: 'taken' });
        expect(await link({ subject: 'bob', evidence: 'proved' })).toEqual({ status: 'taken' });
        expect(await sids('bob')).toEqual([]);
      });

      test('a proof replaces what another subject has asserted, with nothing left of theirs', async () => {
        await link({ userName: 'Squatter', tokens: 'k1.squatter', emailDigest: 'k1.squatter' });
        timeMs += 5;
        expect(await link({ subject: 'bob', evidence: 'proved' })).toEqual({
          status: 'linked',
          change: 'created',
          replaced: 'ann',
        });
        expect(await sids('ann')).toEqual([]);
        expect(await directory.links.list('bob')).toEqual([
          { ...VK, userName: undefined, evidence: 'proved', linkedAt: START_MS + 5 },
        ]);
        expect(await directory.sealed.find('k9', 10)).toEqual([]);
        expect(await unlink()).toEqual({ status: 'not_linked' });
      });

      test('what is proved is not asserted again', async () => {
        await link({ evidence: 'proved' });
        expect(await link()).toEqual({ status: 'linked', change: 'unchanged' });
        expect(await directory.links.list('ann')).toMatchObject([{ evidence: 'proved' }]);
      });

      test('of the subjects that race for one identity exactly one wins', async () => {
        const subjects = Array.from({ length: 20 }, (_, index) => `subject-${index}`);
        const outcomes = await Promise.all(subjects.map((subject) => link({ subject })));
        expect(outcomes.filter(({ status }) => status === 'linked')).toHaveLength(1);
        expect(outcomes.filter(({ status }) => status === 'taken')).toHaveLength(19);
        const lists = await Promise.all(subjects.map(sids));
        expect(lists.flat()).toEqual(['1234']);
      });

      test('identities that look alike are different ones', async () => {
        const alike: ExternalIdentity[] = [
          { fpType: 'a', fpName: 'b', sid: 'c' },
          { fpType: 'a', fpName: 'b#c', sid: '' },
          { fpType: 'a#b', fpName: 'c', sid: '' },
          { fpType: 'a', fpName: 'b', sid: 'C' },
          { fpType: 'a', fpName: 'b', sid: 'c ' },
          { fpType: 'a', fpName: 'b', sid: 'e\u0301' },
          { fpType: 'a', fpName: 'b', sid: '\u00e9' },
          { fpType: 'a', fpName: 'b', sid: '","' },
          { fpType: 'a', fpName: 'b', sid: '😀'.repeat(127) },
        ];
        for (const [index, identity] of alike.entries()) {
          expect(await link({ ...identity, subject: `subject-${index}` })).toMatchObject({ change: 'created' });
        }
        for (const [index, identity] of alike.entries()) {
          expect(await directory.links.list(`subject-${index}`)).toMatchObject([identity]);
          expect(await unlink({ ...identity, subject: `subject-${index}` })).toMatchObject({ status: 'unlinked' });
        }
      });

      test('many links made at once are all there', async () => {
        const made = Array.from({ length: 20 }, (_, index) => `sid-${index}`);
        await Promise.all(made.map((sid) => link({ sid })));
        expect((await sids('ann')).sort()).toEqual(made.sort());
      });

      test('a subject has so many links at the most', { timeout: 120_000 }, async () => {
        for (let index = 0; index < MAX_LINKS; index += 1) await link({ sid: `sid-${index}` });
        expect(await link({ sid: 'one more' })).toEqual({ status: 'limit_reached' });
        expect(await link({ sid: 'sid-0', userName: 'known' })).toMatchObject({ change: 'updated' });
        await unlink({ sid: 'sid-0' });
        expect(await link({ sid: 'one more' })).toMatchObject({ change: 'created' });
        expect(await directory.links.list('ann')).toHaveLength(MAX_LINKS);
      });
    });

    describe('unlinking', () => {
      const claimed = { name: 'inline', leaseMs: 30_000 };

      test('what is unlinked is gone, and can be linked again', async () => {
        await link();
        expect(await unlink()).toEqual({ status: 'unlinked', revocation: 'unsupported' });
        expect(await directory.links.list('ann')).toEqual([]);
        expect(await link({ subject: 'bob' })).toMatchObject({ change: 'created' });
      });

      test('what was never linked, or is linked to another, is not', async () => {
        expect(await unlink()).toEqual({ status: 'not_linked' });
        await link();
        expect(await unlink({ subject: 'bob' })).toEqual({ status: 'not_linked' });
        expect(await sids('ann')).toEqual(['1234']);
      });

      test('a repeated deletion is known as such for a day, to its subject', async () => {
        await link();
        await unlink();
        expect(await unlink({ subject: 'bob' })).toEqual({ status: 'not_linked' });
        timeMs += TOMBSTONE_MS - 1;
        expect(await unlink()).toEqual({ status: 'repeated', revocation: 'unsupported' });
        timeMs += 1;
        expect(await unlink()).toEqual({ status: 'not_linked' });
      });

      test("a repeated deletion leaves another subject's new link alone, and is known after their deletion too", async () => {
        await link();
        await unlink();
        await link({ subject: 'bob' });
        expect(await unlink()).toMatchObject({ status: 'repeated' });
        expect(await sids('bob')).toEqual(['1234']);
        await unlink({ subject: 'bob' });
        expect(await unlink()).toMatchObject({ status: 'repeated' });
        expect(await unlink({ subject: 'bob' })).toMatchObject({ status: 'repeated' });
      });

      test('a link made anew is really deleted', async () => {
        await link();
        await unlink();
        await link();
        expect(await unlink()).toMatchObject({ status: 'unlinked' });
        expect(await sids('ann')).toEqual([]);
      });

      test('a link without tokens leaves no job', async () => {
        await link();
        expect(await unlink({ job: newJob('j') })).toEqual({ status: 'unlinked', revocation: 'no_token' });
        expect(await directory.outbox.find('j')).toBeUndefined();
        expect(await unlink({ job: newJob('j') })).toEqual({ status: 'repeated', revocation: 'no_token' });
      });

      test("a link's tokens go into its job, and what becomes of that is told to a repetition", async () => {
        await link({ tokens: 'k1.sealed' });
        const outcome = await unlink({ job: newJob('j', { claim: claimed }) });
        expect(outcome).toEqual({
          status: 'unlinked',
          revocation: 'pending',
          job: {
            ...newJob('j', { secret: 'k1.sealed' }),
            claim: 'inline',
            attemptsStarted: 1,
            attemptsFinished: 0,
            createdAt: START_MS,
            giveUpAt: START_MS + JOB_BUDGET_MS,
          },
        });
        expect(await unlink()).toEqual({ status: 'repeated', revocation: { state: 'pending' } });
        await directory.outbox.settle({ id: 'j', claim: 'inline' }, { state: 'done', result: 'revoked' });
        expect(await unlink()).toEqual({ status: 'repeated', revocation: { state: 'done', result: 'revoked' } });
      });

      test('of the deletions that race exactly one deletes and leaves a job', async () => {
        await link({ tokens: 'k1.sealed' });
        const jobs = Array.from({ length: 20 }, (_, index) => newJob(`j-${index}`));
        const outcomes = await Promise.all(jobs.map((job) => unlink({ job })));
        expect(outcomes.filter(({ status }) => status === 'unlinked')).toHaveLength(1);
        expect(outcomes.filter(({ status }) => status === 'repeated')).toHaveLength(19);
        expect(await directory.outbox.list('pending', { limit: 100 })).toHaveLength(1);
      });

      test('the last link stays where it has to, unless it is forced', async () => {
        await link({ sid: 'a' });
        await link({ sid: 'b' });
        expect(await unlink({ sid: 'a', keepLast: true })).toMatchObject({ status: 'unlinked' });
        expect(await unlink({ sid: 'b', keepLast: true })).toEqual({ status: 'last_link' });
        expect(await unlink({ sid: 'a', keepLast: true })).toMatchObject({ status: 'repeated' });
        expect(await sids('ann')).toEqual(['b']);
        expect(await unlink({ sid: 'b', keepLast: true, force: true })).toMatchObject({ status: 'unlinked' });
      });

      test('of two deletions that race for the last two links exactly one succeeds', async () => {
        for (let round = 0; round < 5; round += 1) {
          const subject = `subject-${round}`;
          const both = [`${round}-a`, `${round}-b`];
          for (const sid of both) await link({ subject, sid });
          const outcomes = await Promise.all(both.map((sid) => unlink({ subject, sid, keepLast: true })));
          expect(outcomes.map(({ status }) => status).sort()).toEqual(['last_link', 'unlinked']);
          expect(await sids(subject)).toHaveLength(1);
        }
      });

      test('a deletion ends the binds of the identity that began before it, whoever makes it', async () => {
        await link();
        timeMs += 10;
        await unlink();
        timeMs += 10;
        const bind = { evidence: 'proved', begunAt: START_MS + 10 } as const;
        expect(await link(bind)).toEqual({ status: 'unlinked_since' });
        expect(await link({ ...bind, subject: 'bob' })).toEqual({ status: 'unlinked_since' });
        expect(await link({ ...bind, sid: 'another' })).toMatchObject({ status: 'linked' });
        expect(await link({ ...bind, begunAt: START_MS + 11 })).toMatchObject({ status: 'linked' });
      });
    });

    describe('bind transactions', () => {
      const bind = (id: string) => ({ id, data: `k1.data of ${id}`, expiresAt: START_MS + 600_000 });

      test('a transaction is taken once', async () => {
        await directory.binds.begin(bind('a'));
        expect(await directory.binds.take('b')).toEqual({ status: 'unknown' });
        expect(await directory.binds.take('a')).toEqual({ status: 'taken', data: 'k1.data of a' });
        expect(await directory.binds.take('a')).toEqual({ status: 'used' });
      });

      test('of fifty at once one gets it', async () => {
        await directory.binds.begin(bind('a'));
        const taken = await Promise.all(Array.from({ length: 50 }, () => directory.binds.take('a')));
        expect(taken.filter(({ status }) => status === 'taken')).toHaveLength(1);
        expect(taken.filter(({ status }) => status === 'used')).toHaveLength(49);
      });

      test('it expires at the very millisecond, and is known for a while as expired or used', async () => {
        for (const id of ['a', 'b', 'c']) await directory.binds.begin(bind(id));
        timeMs = START_MS + 600_000 - 1;
        expect(await directory.binds.take('a')).toMatchObject({ status: 'taken' });
        timeMs += 1;
        expect(await directory.binds.take('b')).toEqual({ status: 'expired' });
        timeMs += SPENT_BIND_MS - 1;
        expect(await directory.binds.take('a')).toEqual({ status: 'used' });
        timeMs += 1;
        expect(await directory.binds.take('a')).toEqual({ status: 'unknown' });
        expect(await directory.binds.take('c')).toEqual({ status: 'unknown' });
      });
    });

    describe.each([
      ['outbox', async (): Promise<OutboxStore> => ({ ...directory.outbox, close: async () => {} })],
      ['outbox that is opened alone', () => backend.openOutbox({ now: () => timeMs })],
    ])('%s', (_name, open) => {
      let outbox: OutboxStore;
      beforeEach(async () => {
        outbox = await open();
      });
      afterEach(() => outbox.close());

      const claim = (name: string, jobs = 20) => outbox.claim(name, { jobs, leaseMs: 60_000 });

      test('a job is added once and found again', async () => {
        expect(await outbox.add(newJob('a', { secret: 'k1.s' }))).toBe(true);
        timeMs += 5;
        expect(await outbox.add(newJob('a', { secret: 'k1.other' }))).toBe(false);
        expect(await outbox.find('a')).toEqual({
          ...newJob('a', { secret: 'k1.s' }),
          state: 'pending',
          attemptsStarted: 0,
          attemptsFinished: 0,
          dueAt: START_MS,
          createdAt: START_MS,
          giveUpAt: START_MS + JOB_BUDGET_MS,
          lastError: undefined,
          finishedAt: undefined,
        });
        expect(await outbox.find('b')).toBeUndefined();
      });

      test('due jobs are claimed, the longest due first, and each attempt is counted', async () => {
        for (const id of ['c', 'a', 'b']) {
          await outbox.add(newJob(id));
          timeMs += 1;
        }
        expect((await claim('one', 2)).map(({ id }) => id).sort()).toEqual(['a', 'c']);
        const [job, ...others] = await claim('two');
        expect(others).toEqual([]);
        expect(job).toMatchObject({ id: 'b', claim: 'two', attemptsStarted: 1, attemptsFinished: 0 });
        expect(await claim('three')).toEqual([]);
      });

      test('unverified jobs are claimed last, in the same order, however long they are due', async () => {
        const kind = 'unverified-upstream-revocation';
        const ids = Array.from({ length: 50 }, (_, index) => `unverified-${String(index).padStart(2, '0')}`);
        for (const id of ids) {
          await outbox.add(newJob(id, { kind }));
          timeMs += 1;
        }
        await outbox.add(newJob('early'));
        timeMs += 1;
        await outbox.add(newJob('late', { kind: 'upstream-revocation' }));
        const next = async (name: string, jobs: number) => (await claim(name, jobs)).map(({ id }) => id).sort();
        expect(await next('one', 1)).toEqual(['early']);
        expect(await next('two', 20)).toEqual(['late', ...ids.slice(0, 19)]);
        expect(await outbox.find('unverified-00')).toMatchObject({ kind, attemptsStarted: 1 });
        expect(await next('three', 20)).toEqual(ids.slice(19, 39));
        expect(await next('four', 20)).toEqual(ids.slice(39));
        expect(await next('five', 20)).toEqual([]);
      });

      test('an unverified job that is put off or replayed is claimed last again', async () => {
        const kind = 'unverified-upstream-revocation';
        for (const id of ['a', 'b']) await outbox.add(newJob(id, { kind }));
        await claim('one');
        await outbox.settle({ id: 'a', claim: 'one' }, { state: 'pending', dueAt: timeMs + 1, error: 'timed_out' });
        expect(await outbox.replay('b')).toBe(true);
        timeMs += 2;
        await outbox.add(newJob('c'));
        for (const [name, id] of [
          ['two', 'c'],
          ['three', 'b'],
          ['four', 'a'],
        ] as const) {
          expect(await claim(name, 1)).toMatchObject([{ id }]);
        }
      });

      test('pending jobs are listed by age, verified or not', async () => {
        for (const id of ['a', 'b', 'c', 'd']) {
          await outbox.add(newJob(id, id === 'b' ? {} : { kind: 'unverified-upstream-revocation' }));
          timeMs += 1;
        }
        const first = await outbox.list('pending', { limit: 2 });
        expect(first).toMatchObject([{ id: 'a', kind: 'unverified-upstream-revocation' }, { id: 'b' }]);
        expect(await outbox.list('pending', { limit: 3, after: first.at(-1) })).toMatchObject([
          { id: 'c' },
          { id: 'd' },
        ]);
      });

      test('a job that is written as claimed is due when its lease ends', async () => {
        await outbox.add(newJob('a', { claim: { name: 'inline', leaseMs: 1000 } }));
        timeMs += 999;
        expect(await claim('one')).toEqual([]);
        timeMs += 1;
        expect(await claim('one')).toMatchObject([{ id: 'a', attemptsStarted: 2, attemptsFinished: 0 }]);
      });

      test('a claim that is not settled ends with its lease', async () => {
        await outbox.add(newJob('a'));
        await claim('dead');
        timeMs += 59_999;
        expect(await claim('next')).toEqual([]);
        timeMs += 1;
        expect(await claim('next')).toMatchObject([{ id: 'a', claim: 'next', attemptsStarted: 2 }]);
        expect(await outbox.settle({ id: 'a', claim: 'dead' }, { state: 'done', result: 'late' })).toBe(false);
        expect(await outbox.settle({ id: 'a', claim: 'next' }, { state: 'done', result: 'ok' })).toBe(true);
        expect(await outbox.settle({ id: 'a', claim: 'next' }, { state: 'done', result: 'x' })).toBe(false);
      });

      test('claims at once never share a job', async () => {
        const ids = Array.from({ length: 30 }, (_, index) => `job-${index}`);
        for (const id of ids) await outbox.add(newJob(id));
        const claims = await Promise.all(Array.from({ length: 10 }, (_, index) => claim(`runner-${index}`, 5)));
        const claimed = claims.flat().map(({ id }) => id);
        expect(new Set(claimed).size).toBe(claimed.length);
        // Where claims get in each other's way, a later one gets what was left.
        for (let rest = await claim('rest'); rest.length > 0; rest = await claim(`rest ${claimed.length}`)) {
          claimed.push(...rest.map(({ id }) => id));
        }
        expect(claimed.sort()).toEqual(ids.sort());
      });

      test('a job that is put off is due again at its time, with its secret and the reason', async () => {
        await outbox.add(newJob('a', { secret: 'k1.s' }));
        await claim('one');
        const dueAt = timeMs + 5000;
        await outbox.settle({ id: 'a', claim: 'one' }, { state: 'pending', dueAt, error: 'timed_out' });
        expect(await outbox.find('a')).toMatchObject({
          ...{ state: 'pending', dueAt, lastError: 'timed_out', secret: 'k1.s' },
          ...{ attemptsStarted: 1, attemptsFinished: 1 },
        });
        timeMs = dueAt - 1;
        expect(await claim('two')).toEqual([]);
        timeMs = dueAt;
        expect(await claim('two')).toMatchObject([
          { id: 'a', secret: 'k1.s', attemptsStarted: 2, attemptsFinished: 1 },
        ]);
      });

      test.each([
        [{ state: 'done', result: 'revoked' } as const, { lastError: undefined }],
        [{ state: 'dead', result: 'failed', error: 'status 400' } as const, { lastError: 'status 400' }],
      ])('what is settled for good has no secret: %o', async (settlement, rest) => {
        await outbox.add(newJob('a', { secret: 'k1.s' }));
        await claim('one');
        timeMs += 7;
        await outbox.settle({ id: 'a', claim: 'one' }, settlement);
        const { state, result } = settlement;
        expect(await outbox.find('a')).toMatchObject({ state, result, finishedAt: timeMs, ...rest });
        expect((await outbox.find('a'))?.secret).toBeUndefined();
        timeMs += JOB_BUDGET_MS;
        expect(await claim('two')).toEqual([]);
        expect(await outbox.replay('a')).toBe(false);
      });

      test('a job that was given up is written anew when it is added again, one that is done is not', async () => {
        await outbox.add(newJob('a', { secret: 'k1.s' }));
        await outbox.add(newJob('b', { secret: 'k1.s' }));
        await claim('one');
        await outbox.settle({ id: 'a', claim: 'one' }, { state: 'dead', result: 'failed', error: 'status 400' });
        await outbox.settle({ id: 'b', claim: 'one' }, { state: 'done', result: 'revoked' });
        timeMs += 7;

        expect(await outbox.add(newJob('a', { secret: 'k1.anew', requestId: 'again' }))).toBe(true);
        expect(await outbox.add(newJob('a', { secret: 'k1.late' }))).toBe(false);
        expect(await outbox.add(newJob('b', { secret: 'k1.anew' }))).toBe(false);

        expect(await outbox.list('dead', { limit: 10 })).toEqual([]);
        expect(await claim('two')).toMatchObject([
          {
            id: 'a',
            secret: 'k1.anew',
            requestId: 'again',
            attemptsStarted: 1,
            attemptsFinished: 0,
            createdAt: timeMs,
          },
        ]);
        const { lastError, finishedAt } = (await outbox.find('a')) ?? {};
        expect([lastError, finishedAt]).toEqual([undefined, undefined]);
      });

      test('a job that is set aside waits for an operator, with its secret', async () => {
        await outbox.add(newJob('a', { secret: 'k1.s' }));
        await claim('one');
        await outbox.settle({ id: 'a', claim: 'one' }, { state: 'set_aside', error: 'killed its runner' });
        timeMs += JOB_BUDGET_MS;
        expect(await claim('two')).toEqual([]);
        expect(await outbox.list('set_aside', { limit: 10 })).toMatchObject([{ id: 'a', secret: 'k1.s' }]);
        expect(await outbox.replay('a')).toBe(true);
        expect(await outbox.replay('unknown')).toBe(false);
        expect(await claim('three')).toMatchObject([
          { id: 'a', secret: 'k1.s', attemptsStarted: 1, attemptsFinished: 0, giveUpAt: timeMs + JOB_BUDGET_MS },
        ]);
      });

      test('a job that is replayed is taken from whom it was claimed by', async () => {
        await outbox.add(newJob('a'));
        await claim('one');
        expect(await outbox.replay('a')).toBe(true);
        expect(await claim('two')).toMatchObject([{ id: 'a', claim: 'two' }]);
        expect(await outbox.settle({ id: 'a', claim: 'one' }, { state: 'done', result: 'x' })).toBe(false);
      });

      test('jobs are listed by state, the oldest first, a page at a time', async () => {
        for (const id of ['c', 'a', 'b']) await outbox.add(newJob(id));
        timeMs += 1;
        await outbox.add(newJob('0'));
        const first = await outbox.list('pending', { limit: 3 });
        expect(first.map(({ id }) => id)).toEqual(['a', 'b', 'c']);
        const rest = await outbox.list('pending', { limit: 3, after: first.at(-1) });
        expect(rest.map(({ id }) => id)).toEqual(['0']);
        expect(await outbox.list('dead', { limit: 3 })).toEqual([]);
      });
    });

    threepidBindingsContract(() => directory);

    describe('sealed texts', () => {
      test('those of another key are found, and replaced where they still stand', async () => {
        await link({ sid: 'old', tokens: 'k1.old' });
        await link({ sid: 'new', tokens: 'k2.new' });
        await link({ sid: 'none' });
        await directory.outbox.add(newJob('j', { secret: 'k1.job' }));
        await directory.outbox.add(newJob('k'));
        const found = await directory.sealed.find('k2', 10);
        expect(found.map(({ of, boundTo, sealed }) => ({ of, boundTo, sealed }))).toEqual([
          { of: 'link', boundTo: boundToLink({ ...VK, subject: 'ann', sid: 'old' }), sealed: 'k1.old' },
          { of: 'job', boundTo: 'bound to j', sealed: 'k1.job' },
        ]);
        expect(await directory.sealed.find('k2', 1)).toHaveLength(1);
        for (const text of found) {
          expect(await directory.sealed.replace(text, text.sealed.replace('k1', 'k2'))).toBe(true);
          expect(await directory.sealed.replace(text, 'k2.again')).toBe(false);
        }
        expect(await directory.sealed.find('k2', 10)).toEqual([]);
        expect(await directory.outbox.find('j')).toMatchObject({ secret: 'k2.job' });
        expect(await unlink({ sid: 'old', job: newJob('l') })).toMatchObject({ revocation: 'pending' });
        expect(await directory.outbox.find('l')).toMatchObject({ secret: 'k2.old' });
      });

      test('what has gone meanwhile is not replaced', async () => {
        await link({ tokens: 'k1.a' });
        const [text] = await directory.sealed.find('k2', 10);
        await unlink();
        expect(text && (await directory.sealed.replace(text, 'k2.a'))).toBe(false);
        expect(await directory.sealed.find('k3', 10)).toEqual([]);
      });
    });

    describe('purging', () => {
      test('deletes what has expired, so much at a time, and nothing else', async () => {
        await link({ sid: 'kept', tokens: 'k1.s' });
        await directory.outbox.add(newJob('pending'));
        await directory.outbox.add(newJob('done'));
        await link();
        await unlink();
        await directory.binds.begin({ id: 'a', data: 'k1.d', expiresAt: START_MS });
        await directory.outbox.claim('one', { jobs: 2, leaseMs: 1000 });
        await directory.outbox.settle({ id: 'done', claim: 'one' }, { state: 'done', result: 'revoked' });
        await directory.threepids.put(newBinding({ begunAt: 0 }));
        timeMs += Math.max(TOMBSTONE_MS, SETTLED_JOB_MS, SPENT_BIND_MS) - 1;
        expect(await directory.purgeExpired(10)).toBe(2);
        timeMs += 1;
        expect(await directory.purgeExpired(10)).toBe(1);
        expect(await directory.purgeExpired(10)).toBe(0);
        expect(await sids('ann')).toEqual(['kept']);
        expect(await directory.outbox.find('pending')).toBeDefined();
        expect(await directory.outbox.find('done')).toBeUndefined();
        expect(await directory.threepids.find(newBinding())).toHaveLength(1);
      });

      test('takes no more than its limit', async () => {
        for (let index = 0; index < 7; index += 1) {
          await directory.binds.begin({ id: `bind-${index}`, data: 'k1.d', expiresAt: START_MS });
        }
        timeMs += SPENT_BIND_MS;
        expect(await directory.purgeExpired(5)).toBe(5);
        expect(await directory.purgeExpired(5)).toBe(2);
      });
    });

    test('a directory that is closed rejects', async () => {
      await directory.close();
      await expect(directory.links.list('ann')).rejects.toMatchObject({ fault: 'closed' });
      await expect(link()).rejects.toMatchObject({ fault: 'closed' });
      await expect(directory.outbox.add(newJob('a'))).rejects.toMatchObject({ fault: 'closed' });
      await expect(directory.threepids.find(newBinding())).rejects.toMatchObject({ fault: 'closed' });
      await expect(directory.threepids.put(newBinding())).rejects.toMatchObject({ fault: 'closed' });
      await expect(directory.threepids.forget([])).rejects.toMatchObject({ fault: 'closed' });
      await directory.close();
    });

    test('an outbox that is opened alone rejects once it is closed', async () => {
      const outbox = await backend.openOutbox({ now: () => timeMs });
      await outbox.close();
      await expect(outbox.add(newJob('a'))).rejects.toMatchObject({ fault: 'closed' });
      await outbox.close();
    });
  });
}

/** What holds of every directory that outlives its process. */
export function durableDirectoryContract(
  driver: string,
  createBackend: () => DurableDirectoryBackend | Promise<DurableDirectoryBackend>,
): void {
  describe(`durable directory, ${driver}`, () => {
    let backend: DurableDirectoryBackend;
    let directory: Directory;

    beforeEach(async () => {
      backend = await createBackend();
      directory = await backend.open({ now: () => START_MS });
    });

    afterEach(async () => {
      await directory.close();
      await backend.dispose();
    });

    test('what was answered is there for the next connection', async () => {
      await directory.links.link(newLink({ tokens: 'k1.s' }));
      await directory.links.link(newLink({ sid: 'other', tokens: 'k1.t' }));
      await directory.links.unlink(unlinkOf({ job: newJob('j') }));
      await directory.threepids.put(newBinding());
      await directory.threepids.put(newBinding({ bindId: 'forgotten' }));
      await directory.threepids.forget([newBinding({ bindId: 'forgotten' })]);
      await directory.close();
      const next = await backend.open({ now: () => START_MS });
      expect(await next.links.list('ann')).toMatchObject([{ sid: 'other' }]);
      expect(await next.outbox.find('j')).toMatchObject({ state: 'pending', secret: 'k1.s' });
      expect(await next.threepids.find(newBinding())).toEqual([newBinding()]);
      await next.close();
    });

    test('the outbox that the settings name is the one that a deletion writes to', async () => {
      await directory.links.link(newLink({ tokens: 'k1.s' }));
      await directory.links.unlink(unlinkOf({ job: newJob('j') }));
      const outbox = backend.openOutboxBySettings();
      onTestFinished(() => outbox.close());
      expect(await outbox.find('j')).toMatchObject({ state: 'pending', secret: 'k1.s' });
      expect(await outbox.list('pending', { limit: 10 })).toMatchObject([{ id: 'j' }]);
      expect(await outbox.replay('j')).toBe(true);
      expect(await outbox.claim('me', { jobs: 1, leaseMs: 60_000 })).toMatchObject([{ id: 'j', secret: 'k1.s' }]);
      expect(await outbox.settle({ id: 'j', claim: 'me' }, { state: 'done', result: 'revoked' })).toBe(true);
      expect(await outbox.add(newJob('k'))).toBe(true);

      expect(await directory.links.unlink(unlinkOf())).toEqual({
        ...{ status: 'repeated', revocation: { state: 'done', result: 'revoked' } },
      });
      expect(await directory.outbox.find('k')).toMatchObject({ state: 'pending' });
    });

    test('each change has one audit record, and what changes nothing has none', async () => {
      await directory.links.link(newLink());
      await directory.links.link(newLink());
      await directory.links.link(newLink({ userName: 'Ann' }));
      await directory.links.link(newLink({ subject: 'bob' }));
      await directory.links.link(newLink({ subject: 'bob', evidence: 'proved' }));
      await directory.links.unlink(unlinkOf({ subject: 'eve' }));
      await directory.links.unlink(unlinkOf({ subject: 'bob', keepLast: true }));
      await directory.links.unlink(unlinkOf({ subject: 'bob', keepLast: true, force: true }));
      await directory.links.unlink(unlinkOf({ subject: 'bob' }));
      await directory.links.link(newLink({ sid: 'last' }));
      await directory.links.unlink(unlinkOf({ sid: 'last', force: true }));
      const records = await backend.auditRecords();
      const at = { at: START_MS, ...VK, ...AUDIT };
      expect(records).toHaveLength(6);
      expect(records.filter(({ forced }) => forced)).toHaveLength(1);
      expect(records).toEqual(
        expect.arrayContaining([
          { ...at, id: expect.any(String), event: 'account_link.created', subject: 'ann', evidence: 'asserted' },
          { ...at, id: expect.any(String), event: 'account_link.updated', subject: 'ann', evidence: 'asserted' },
          {
            ...{ ...at, id: expect.any(String), event: 'account_link.replaced', subject: 'bob' },
            ...{ evidence: 'proved', replaced: 'ann' },
          },
          {
            ...{ ...at, id: expect.any(String), event: 'account_link.deleted', subject: 'bob' },
            ...{ evidence: 'proved', forced: true },
          },
        ]),
      );
    });

    test('without its audit record nothing is linked or unlinked, and no job is left', async () => {
      await directory.links.link(newLink({ tokens: 'k1.s' }));
      await backend.failAuditRecords();
      await expect(directory.links.unlink(unlinkOf({ job: newJob('j') }))).rejects.toThrow();
      await expect(directory.links.link(newLink({ sid: 'other' }))).rejects.toThrow();
      expect(await directory.links.list('ann')).toMatchObject([{ sid: '1234' }]);
      expect(await directory.outbox.find('j')).toBeUndefined();
      expect(await directory.sealed.find('k9', 10)).toMatchObject([{ of: 'link', sealed: 'k1.s' }]);
    });

    test('what is erased is in no row', async () => {
      await directory.links.link(newLink({ tokens: 'k1.canary' }));
      await directory.links.unlink(unlinkOf({ job: newJob('j', { claim: { name: 'inline', leaseMs: 1000 } }) }));
      expect(await backend.dump()).toContain('k1.canary');
      await directory.outbox.settle({ id: 'j', claim: 'inline' }, { state: 'done', result: 'revoked' });
      await directory.binds.begin({ id: 'a', data: 'k1.canary', expiresAt: START_MS + 1000 });
      await directory.binds.take('a');
      await directory.links.link(newLink({ tokens: 'k1.canary' }));
      await directory.links.unlink(unlinkOf());
      expect(await backend.dump()).not.toContain('k1.canary');
    });

    test.each([
      ['has lost its schema marker', () => backend.loseMarker(), {}],
      ['has a schema that is older than this code', () => backend.ageMarker(), { cause: { message: OLDER_DIRECTORY } }],
    ])('a store that %s is refused', async (_name, change, reason) => {
      await directory.links.link(newLink());
      await directory.threepids.put(newBinding());
      const outbox = await backend.openOutbox({ now: () => START_MS });
      onTestFinished(() => outbox.close());
      await change();
      const attempts = [
        () => outbox.add(newJob('a')),
        () => outbox.claim('one', { jobs: 1, leaseMs: 1 }),
        () => outbox.settle({ id: 'a', claim: 'one' }, { state: 'done', result: 'x' }),
        () => outbox.find('a'),
        () => outbox.list('pending', { limit: 1 }),
        () => outbox.replay('a'),
        () => directory.links.list('ann'),
        () => directory.links.find({ subject: 'ann' }),
        () => directory.links.link(newLink()),
        () => directory.links.unlink(unlinkOf()),
        () => directory.binds.begin({ id: 'a', data: 'd', expiresAt: START_MS + 1 }),
        () => directory.binds.take('a'),
        () => directory.outbox.add(newJob('a')),
        () => directory.outbox.claim('one', { jobs: 1, leaseMs: 1 }),
        () => directory.outbox.settle({ id: 'a', claim: 'one' }, { state: 'done', result: 'x' }),
        () => directory.outbox.find('a'),
        () => directory.outbox.list('pending', { limit: 1 }),
        () => directory.outbox.replay('a'),
        () => directory.sealed.find('k', 1),
        () => directory.sealed.replace({ of: 'job', key: 'a', boundTo: 'a', sealed: 'a' }, 'b'),
        () => directory.threepids.find(newBinding()),
        () => directory.threepids.put(newBinding()),
        () => directory.threepids.put(newBinding({ state: 'bound' })),
        () => directory.threepids.forget([newBinding()]),
        () => directory.threepids.forget([]),
        () => directory.purgeExpired(1),
      ];
      for (const attempt of attempts) {
        await expect(attempt(), attempt.toString()).rejects.toMatchObject({ fault: 'not_migrated', ...reason });
      }
    });
  });
}
