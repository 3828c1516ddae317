import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  MAX_REVOCATION_ITEMS,
  type PresentedToken,
  type Revocation,
  type RevocationStatus,
  type TokenRevocationStore,
} from '#shared/token-revocation/store.ts';

/** A fresh, migrated backend for one test. */
export interface Backend {
  open(options: { now: () => number }): Promise<TokenRevocationStore>;
  dispose(): void | Promise<void>;
}

/** A backend that outlives the connection to it. */
export interface DurableBackend extends Backend {
  /** How many revoked ids and cut-offs it holds. */
  countRows(): number | Promise<number>;
  /** Takes the schema marker away, as a failover to an empty copy does. */
  loseMarker(): void | Promise<void>;
  /** Has the schema marker say this version. */
  setMarker(version: number): void | Promise<void>;
  /** Makes every write of a cut-off fail. */
  failCutOffs(): void | Promise<void>;
}

const revocation = (parts: Partial<Revocation>): Revocation => ({
  tokenIds: [],
  grants: [],
  cutOffs: [],
  expiresAt: UNTIL_S,
  ...parts,
});

const token = (parts: Partial<PresentedToken>): PresentedToken => ({
  tokenIds: [],
  grants: [],
  cutOffKeys: [],
  ...parts,
});

/** What is said of a store whose grants were recorded under the names of version 1. */
export const OLDER_STORE =
  'The store has version 1 of the schema token-revocation, this code needs version 2. It cannot be upgraded: its grants ' +
  'were recorded under names that this version does not look up. Make a new store: npm run migrate, with the URL of an ' +
  'empty one.';

const START_S = 1_800_000_000;
const UNTIL_S = START_S + 1000;
const NOT_REVOKED: RevocationStatus = { revoked: false };

/** The contract of the port {@link TokenRevocationStore}: every driver passes it. */
export function tokenRevocationStoreContract(driver: string, createBackend: () => Backend | Promise<Backend>): void {
  describe(`token revocation store, ${driver}`, () => {
    let backend: Backend;
    let store: TokenRevocationStore;
    let timeS: number;

    beforeEach(async () => {
      timeS = START_S;
      backend = await createBackend();
      store = await backend.open({ now: () => timeS * 1000 });
    });

    afterEach(async () => {
      await store.close();
      await backend.dispose();
    });

    const revokeId = (id: string, expiresAt = UNTIL_S) => store.revoke(revocation({ tokenIds: [id], expiresAt }));
    const checkId = (id: string) => store.check(token({ tokenIds: [id] }));
    const cutOff = (key: string, issuedUpTo: number, parts: Partial<Revocation> = {}) =>
      store.revoke(revocation({ cutOffs: [{ key, issuedUpTo }], ...parts }));
    const checkIssued = (issuedAt: number | undefined, ...cutOffKeys: string[]) =>
      store.check(token({ tokenIds: ['unknown'], cutOffKeys, issuedAt }));

    describe('token ids', () => {
      test('an unknown id is not revoked', async () => {
        expect(await checkId('unknown')).toEqual(NOT_REVOKED);
      });

      test('the first revocation says so, and the id is revoked', async () => {
        expect(await revokeId('a')).toEqual({ first: true, at: START_S });
        expect(await checkId('a')).toEqual({ revoked: true, by: 'token' });
        expect(await checkId('b')).toEqual(NOT_REVOKED);
      });

      test('revoking again keeps the first time', async () => {
        await revokeId('a');
        timeS += 10;
        expect(await revokeId('a')).toEqual({ first: false, at: START_S });
        timeS += 10;
        expect(await revokeId('a')).toEqual({ first: false, at: START_S });
      });

      test('of two expiries the later one is kept', async () => {
        await revokeId('a', START_S + 10);
        await revokeId('a', START_S + 20);
        timeS = START_S + 19;
        expect((await checkId('a')).revoked).toBe(true);
      });

      test('an earlier expiry never shortens', async () => {
        await revokeId('a', START_S + 20);
        await revokeId('a', START_S + 10);
        timeS = START_S + 19;
        expect((await checkId('a')).revoked).toBe(true);
      });

      test('a revocation ends at the very second of its expiry', async () => {
        await revokeId('a', START_S + 10);
        timeS = START_S + 9;
        expect((await checkId('a')).revoked).toBe(true);
        timeS = START_S + 10;
        expect((await checkId('a')).revoked).toBe(false);
      });

      test('an expired id can be revoked anew, whether its row was purged or not', async () => {
        await revokeId('a', START_S + 10);
        timeS = START_S + 10;
        expect(await revokeId('a')).toEqual({ first: true, at: timeS });
        expect((await checkId('a')).revoked).toBe(true);
      });

      test.each([
        ['of 8 KB', 'x'.repeat(8192)],
        ['that is not ASCII', 'ключ-鍵-🔑'],
        ['with quotes and escapes', `'";--\\0%_`],
      ])('an id %s is kept as it is', async (_name, id) => {
        await revokeId(id);
        expect((await checkId(id)).revoked).toBe(true);
        expect((await checkId(`${id}x`)).revoked).toBe(false);
      });

      test('ids that differ in case or by a trailing space are different', async () => {
        await revokeId('k1.Abc');
        expect((await checkId('k1.abc')).revoked).toBe(false);
        expect((await checkId('k1.Abc ')).revoked).toBe(false);
      });

      test.each([1, 99, 100, 1000])('one revoked id among %i is found in one check', async (count) => {
        const ids = Array.from({ length: count }, (_, index) => `id-${index}`);
        expect(await store.check(token({ tokenIds: ids }))).toEqual(NOT_REVOKED);
        await revokeId(`id-${count - 1}`);
        expect(await store.check(token({ tokenIds: ids }))).toEqual({ revoked: true, by: 'token' });
      });

      test('a token known under an older pepper is not revoked for the first time', async () => {
        await revokeId('k1.a');
        timeS += 10;
        const again = revocation({ tokenIds: ['k2.a'], presented: token({ tokenIds: ['k2.a', 'k1.a'] }) });
        expect(await store.revoke(again)).toEqual({ first: false, at: START_S });
        expect((await checkId('k2.a')).revoked).toBe(true);
      });

      test('of a thousand revocations of one id at once exactly one is the first', async () => {
        const all = await Promise.all(Array.from({ length: 1000 }, () => revokeId('a')));
        expect(all.filter(({ first }) => first)).toHaveLength(1);
      });
    });

    describe('grants', () => {
      test('a revoked grant revokes each token of it', async () => {
        await store.revoke(revocation({ tokenIds: ['a'], grants: ['g'] }));
        expect(await store.check(token({ tokenIds: ['b'], grants: ['g'] }))).toEqual({ revoked: true, by: 'grant' });
        expect(await store.check(token({ tokenIds: ['b'], grants: ['h'] }))).toEqual(NOT_REVOKED);
      });

      test('a grant stays revoked when the tokens of its revocation have expired', async () => {
        await store.revoke(revocation({ tokenIds: ['a'], grants: ['g'] }));
        timeS = UNTIL_S + 1_000_000_000;
        await store.purgeExpired(100);
        expect((await store.check(token({ tokenIds: ['b'], grants: ['g'] }))).revoked).toBe(true);
        expect((await checkId('a')).revoked).toBe(false);
      });

      const revokeGrant = (grantsExpireAt?: number) =>
        store.revoke(revocation({ grants: ['g'], ...(grantsExpireAt !== undefined && { grantsExpireAt }) }));
      const checkGrant = () => store.check(token({ grants: ['g'] }));

      test('a grant with an expiry ends at that very second, whatever the expiry of the rest', async () => {
        await store.revoke(revocation({ tokenIds: ['a'], grants: ['g'], grantsExpireAt: UNTIL_S + 10 }));
        timeS = UNTIL_S + 9;
        expect(await store.check(token({ tokenIds: ['a'], grants: ['g'] }))).toEqual({ revoked: true, by: 'grant' });
        timeS = UNTIL_S + 10;
        expect(await checkGrant()).toEqual(NOT_REVOKED);
      });

      test('a grant may end before the token ids of its revocation', async () => {
        await store.revoke(revocation({ tokenIds: ['a'], grants: ['g'], grantsExpireAt: START_S + 10 }));
        timeS = START_S + 10;
        expect(await checkGrant()).toEqual(NOT_REVOKED);
        expect((await checkId('a')).revoked).toBe(true);
      });

      test.each<[string, first: number | undefined, second: number | undefined, last: number]>([
        ['of two expiries the later one, written last', START_S + 10, START_S + 20, START_S + 19],
        ['of two expiries the later one, written first', START_S + 20, START_S + 10, START_S + 19],
        ['for good behind an expiry', START_S + 10, undefined, UNTIL_S + 1_000_000_000],
        ['for good before an expiry', undefined, START_S + 10, UNTIL_S + 1_000_000_000],
      ])('of a grant that is revoked twice it keeps the first time and %s', async (_name, first, second, last) => {
        expect(await revokeGrant(first)).toEqual({ first: true, at: START_S });
        timeS += 5;
        expect(await revokeGrant(second)).toEqual({ first: false, at: START_S });
        timeS = last;
        await store.purgeExpired(100);
        expect((await checkGrant()).revoked).toBe(true);
        expect(await revokeGrant(second)).toEqual({ first: false, at: START_S });
      });

      test('an expired grant can be revoked anew, and lets cut-offs move as one that is not known', async () => {
        await revokeGrant(START_S + 10);
        timeS = START_S + 10;
        const presented = token({ grants: ['g'], cutOffKeys: ['link'], issuedAt: START_S });
        expect(await cutOff('link', START_S + 500, { presented, grants: ['g'], grantsExpireAt: START_S + 20 })).toEqual(
          {
            first: true,
            at: timeS,
          },
        );
        expect((await checkIssued(START_S + 500, 'link')).revoked).toBe(true);
        timeS = START_S + 19;
        expect((await checkGrant()).revoked).toBe(true);
      });

      test.each([
        ['the id', UNTIL_S, START_S + 10],
        ['the grant', START_S + 10, UNTIL_S],
      ])(
        'of a name that is an id and a grant of one revocation, the expiry of %s is kept if it is later',
        async (...row) => {
          const [, expiresAt, grantsExpireAt] = row;
          await store.revoke(revocation({ tokenIds: ['g'], grants: ['g'], expiresAt, grantsExpireAt }));
          timeS = UNTIL_S - 1;
          await store.purgeExpired(100);
          expect((await checkGrant()).revoked).toBe(true);
        },
      );

      test('grants that have expired are purged, and no others', async () => {
        const revokeUntil = (grant: string, grantsExpireAt: number) =>
          store.revoke(revocation({ grants: [grant], grantsExpireAt }));
        await revokeUntil('old', START_S + 1);
        await revokeUntil('later', START_S + 2);
        await revokeGrant();
        timeS += 1;
        expect([await store.purgeExpired(100), await store.purgeExpired(100)]).toEqual([1, 0]);
        timeS += 1;
        expect([await store.purgeExpired(100), await store.purgeExpired(100)]).toEqual([1, 0]);
        expect((await checkGrant()).revoked).toBe(true);
      });
    });

    describe('cut-offs', () => {
      test('what was issued up to a cut-off is revoked, the equal second included', async () => {
        await cutOff('subject', START_S);
        expect(await checkIssued(START_S - 1, 'subject')).toEqual({ revoked: true, by: 'cut_off' });
        expect(await checkIssued(START_S, 'subject')).toEqual({ revoked: true, by: 'cut_off' });
        expect(await checkIssued(START_S + 1, 'subject')).toEqual(NOT_REVOKED);
      });

      test('a token without a time of issue counts as issued before every cut-off', async () => {
        await cutOff('subject', 0);
        expect((await checkIssued(undefined, 'subject')).revoked).toBe(true);
      });

      test('without a cut-off a token without a time of issue is not revoked', async () => {
        expect(await checkIssued(undefined, 'subject')).toEqual(NOT_REVOKED);
      });

      test.each([
        ['the subject', 'subject'],
        ['the client', 'client'],
        ['the subject at the client', 'subject-at-client'],
      ])('a cut-off of %s revokes a token that all three could', async (_name, key) => {
        await cutOff(key, START_S);
        expect((await checkIssued(START_S, 'subject', 'client', 'subject-at-client')).revoked).toBe(true);
        expect((await checkIssued(START_S, 'another subject', 'another client')).revoked).toBe(false);
      });

      test('of several cut-offs that apply the latest decides', async () => {
        await cutOff('client', START_S - 100);
        await cutOff('subject', START_S);
        expect((await checkIssued(START_S - 50, 'subject', 'client')).revoked).toBe(true);
        expect((await checkIssued(START_S - 50, 'client', 'subject')).revoked).toBe(true);
      });

      test('a cut-off moves forward only', async () => {
        expect(await cutOff('subject', START_S)).toMatchObject({ first: true });
        expect(await cutOff('subject', START_S - 100)).toMatchObject({ first: false });
        expect((await checkIssued(START_S, 'subject')).revoked).toBe(true);
        expect(await cutOff('subject', START_S + 100)).toMatchObject({ first: true });
        expect((await checkIssued(START_S + 100, 'subject')).revoked).toBe(true);
      });

      test('a cut-off keeps its later expiry and ends with it', async () => {
        await cutOff('subject', START_S, { expiresAt: START_S + 20 });
        await cutOff('subject', START_S, { expiresAt: START_S + 10 });
        timeS = START_S + 19;
        expect((await checkIssued(START_S, 'subject')).revoked).toBe(true);
        timeS = START_S + 20;
        expect((await checkIssued(START_S, 'subject')).revoked).toBe(false);
      });

      describe('a token that is already revoked, presented again', () => {
        /** At START_S + 100, with a cut-off that asks for more than any of these tokens may have. */
        const replay = (presented: PresentedToken) => {
          timeS = START_S + 100;
          return cutOff('link', START_S + 500, { tokenIds: presented.tokenIds, presented });
        };

        test('by its id: moves a cut-off up to then and no further', async () => {
          await revokeId('old');
          const presented = token({ tokenIds: ['old'], cutOffKeys: ['link'], issuedAt: START_S - 10 });
          expect(await replay(presented)).toEqual({ first: false, at: START_S });
          expect((await checkIssued(START_S, 'link')).revoked).toBe(true);
          expect((await checkIssued(START_S + 1, 'link')).revoked).toBe(false);
        });

        test('by its id, issued by a clock ahead of ours: moves a cut-off up to its time of issue', async () => {
          await revokeId('old');
          await replay(token({ tokenIds: ['old'], cutOffKeys: ['link'], issuedAt: START_S + 20 }));
          expect((await checkIssued(START_S + 20, 'link')).revoked).toBe(true);
          expect((await checkIssued(START_S + 21, 'link')).revoked).toBe(false);
        });

        test.each([
          ['ahead of', 40],
          ['behind', -40],
        ])('by its id, of an issuer whose clock is %s ours: up to then by that clock', async (_name, iatOffsetS) => {
          await revokeId('old');
          timeS = START_S + 100;
          const presented = token({ tokenIds: ['old'], cutOffKeys: ['link'], issuedAt: START_S - 500 });
          await cutOff('link', START_S + 100 + iatOffsetS, { tokenIds: ['old'], presented, iatOffsetS });
          expect((await checkIssued(START_S + iatOffsetS, 'link')).revoked).toBe(true);
          expect((await checkIssued(START_S + iatOffsetS + 1, 'link')).revoked).toBe(false);
        });

        test('by its id under an older pepper: the same', async () => {
          await revokeId('k1.old');
          const presented = token({ tokenIds: ['k2.old', 'k1.old'], cutOffKeys: ['link'], issuedAt: START_S - 10 });
          timeS += 100;
          await cutOff('link', START_S + 500, { tokenIds: ['k2.old'], presented });
          expect((await checkIssued(START_S, 'link')).revoked).toBe(true);
          expect((await checkIssued(START_S + 1, 'link')).revoked).toBe(false);
        });

        test('by its grant: moves a cut-off up to then and no further', async () => {
          await store.revoke(revocation({ grants: ['g'] }));
          await replay(token({ tokenIds: ['old'], grants: ['g'], cutOffKeys: ['link'], issuedAt: START_S - 10 }));
          expect((await checkIssued(START_S, 'link')).revoked).toBe(true);
          expect((await checkIssued(START_S + 1, 'link')).revoked).toBe(false);
        });

        test('by a cut-off that covers its time of issue: moves none, however often', async () => {
          await cutOff('client', START_S);
          const presented = token({ tokenIds: ['old'], cutOffKeys: ['link', 'client'], issuedAt: START_S - 1 });
          for (const round of [1, 2, 3]) {
            expect(await replay(presented)).toMatchObject({ first: false });
            timeS += round;
          }
          expect((await checkIssued(START_S - 1, 'link')).revoked).toBe(false);
        });

        test('one issued after the cut-off moves it as far as is asked', async () => {
          await cutOff('client', START_S);
          await replay(token({ tokenIds: ['new'], cutOffKeys: ['link', 'client'], issuedAt: START_S + 1 }));
          expect((await checkIssued(START_S + 500, 'link')).revoked).toBe(true);
        });
      });
    });

    describe('made before now, as one that is rebuilt', () => {
      const rebuild = (parts: Partial<Revocation>) => store.revoke(revocation({ madeAt: START_S - 100, ...parts }));
      const presented = token({ tokenIds: ['old'], cutOffKeys: ['link'], issuedAt: START_S - 200 });

      test('an id is revoked since then', async () => {
        expect(await rebuild({ tokenIds: ['a'] })).toEqual({ first: true, at: START_S - 100 });
        expect(await revokeId('a')).toEqual({ first: false, at: START_S - 100 });
        expect((await checkId('a')).revoked).toBe(true);
      });

      test('it keeps the time of one that is there, and an expiry that is later', async () => {
        await revokeId('a', START_S + 20);
        expect(await rebuild({ tokenIds: ['a'], expiresAt: START_S + 10 })).toMatchObject({ first: false });
        timeS = START_S + 19;
        expect(await revokeId('a')).toEqual({ first: false, at: START_S });
      });

      test('a cut-off that is later than it stays, and so does one that has expired since', async () => {
        await cutOff('later', START_S);
        await cutOff('expired', START_S, { expiresAt: START_S + 1 });
        timeS += 1;
        await rebuild({ cutOffs: ['later', 'expired'].map((key) => ({ key, issuedUpTo: START_S - 100 })) });
        expect((await checkIssued(START_S, 'later')).revoked).toBe(true);
        expect((await checkIssued(START_S, 'expired')).revoked).toBe(true);
      });

      test('a token that was revoked only after it moves the cut-off as far as is asked', async () => {
        await revokeId('old');
        await rebuild({ tokenIds: ['old'], cutOffs: [{ key: 'link', issuedUpTo: START_S - 100 }], presented });
        expect((await checkIssued(START_S - 100, 'link')).revoked).toBe(true);
        expect((await checkIssued(START_S - 99, 'link')).revoked).toBe(false);
      });

      test('one that was revoked before it moves the cut-off up to then and no further', async () => {
        await rebuild({ tokenIds: ['old'], madeAt: START_S - 150 });
        await rebuild({ tokenIds: ['old'], cutOffs: [{ key: 'link', issuedUpTo: START_S - 100 }], presented });
        expect((await checkIssued(START_S - 150, 'link')).revoked).toBe(true);
        expect((await checkIssued(START_S - 149, 'link')).revoked).toBe(false);
      });

      test('a time to come counts as now, and lowers no cut-off', async () => {
        await cutOff('link', START_S + 50);
        expect(
          await rebuild({ madeAt: UNTIL_S + 1, tokenIds: ['a'], cutOffs: [{ key: 'link', issuedUpTo: START_S }] }),
        ).toEqual({ first: true, at: START_S });
        expect((await checkIssued(START_S + 50, 'link')).revoked).toBe(true);
      });
    });

    describe('one write', () => {
      test('ids, grants and cut-offs are recorded together', async () => {
        const presented = token({ tokenIds: ['a'], grants: ['g'], cutOffKeys: ['c'], issuedAt: START_S });
        await store.revoke({
          ...revocation({ tokenIds: ['a'], grants: ['g'] }),
          cutOffs: [{ key: 'c', issuedUpTo: START_S }],
          presented,
        });
        expect(await checkId('a')).toEqual({ revoked: true, by: 'token' });
        expect(await store.check(token({ grants: ['g'] }))).toEqual({ revoked: true, by: 'grant' });
        expect(await checkIssued(START_S, 'c')).toEqual({ revoked: true, by: 'cut_off' });
      });

      test(`takes ${MAX_REVOCATION_ITEMS} items and refuses none and more, storing nothing`, async () => {
        const ids = Array.from({ length: MAX_REVOCATION_ITEMS + 1 }, (_, index) => `id-${index}`);
        await expect(store.revoke(revocation({ tokenIds: ids }))).rejects.toThrow(RangeError);
        await expect(store.revoke(revocation({}))).rejects.toThrow(RangeError);
        expect(await store.check(token({ tokenIds: ids }))).toEqual(NOT_REVOKED);
        const cutOffs = [{ key: 'c', issuedUpTo: START_S }];
        await store.revoke(revocation({ tokenIds: ids.slice(0, 22), grants: ['g'], cutOffs }));
        expect((await checkId('id-21')).revoked).toBe(true);
      });
    });

    test('expired rows are purged in batches of the given size while checks go on', async () => {
      for (let index = 0; index < 25; index += 1) await revokeId(`old-${index}`, START_S + 1);
      await cutOff('old', START_S, { expiresAt: START_S + 1 });
      await revokeId('kept');
      timeS += 1;

      const deleted: number[] = [];
      for (let batch = 0; batch < 4; batch += 1) {
        const [count, kept] = await Promise.all([store.purgeExpired(10), checkId('kept')]);
        deleted.push(count);
        expect(kept.revoked).toBe(true);
      }
      expect(deleted).toEqual([10, 10, 6, 0]);
    });

    test('a closed store rejects instead of guessing, and closing twice is fine', async () => {
      await store.close();
      await store.close();
      await expect(checkId('a')).rejects.toMatchObject({ fault: 'closed' });
      await expect(revokeId('a')).rejects.toMatchObject({ fault: 'closed' });
      await expect(store.purgeExpired(1)).rejects.toMatchObject({ fault: 'closed' });
    });
  });
}

/** What a driver whose rows outlive its connection promises besides. */
export function durableStoreContract(
  driver: string,
  createBackend: () => DurableBackend | Promise<DurableBackend>,
): void {
  describe(`durable token revocation store, ${driver}`, () => {
    let backend: DurableBackend;
    let store: TokenRevocationStore;
    const now = () => START_S * 1000;

    beforeEach(async () => {
      backend = await createBackend();
      store = await backend.open({ now });
    });

    afterEach(async () => {
      await store.close();
      await backend.dispose();
    });

    test('what is revoked is so for another connection at once, and after this one is closed', async () => {
      const other = await backend.open({ now });
      await store.revoke(revocation({ tokenIds: ['a'] }));
      expect((await other.check(token({ tokenIds: ['a'] }))).revoked).toBe(true);
      await store.close();
      expect((await other.check(token({ tokenIds: ['a'] }))).revoked).toBe(true);
      await other.close();
    });

    test('any number of revocations of one id make one row', async () => {
      await Promise.all(Array.from({ length: 50 }, () => store.revoke(revocation({ tokenIds: ['a'] }))));
      expect(await backend.countRows()).toBe(1);
    });

    test('purging leaves the rows that have not expired', async () => {
      await store.revoke(revocation({ tokenIds: ['old'], expiresAt: START_S }));
      await store.revoke(revocation({ tokenIds: ['kept'], grants: ['g'], cutOffs: [{ key: 'c', issuedUpTo: 1 }] }));
      await store.purgeExpired(100);
      expect(await backend.countRows()).toBe(3);
    });

    test('when one part cannot be written, none is', async () => {
      await backend.failCutOffs();
      const both = revocation({ tokenIds: ['a'], grants: ['g'], cutOffs: [{ key: 'c', issuedUpTo: START_S }] });
      await expect(store.revoke(both)).rejects.toThrow();
      expect(await store.check(token({ tokenIds: ['a'], grants: ['g'] }))).toEqual(NOT_REVOKED);
      expect(await backend.countRows()).toBe(0);
    });

    test('without its schema marker it rejects: a copy that lost its rows must not open the door', async () => {
      await store.revoke(revocation({ tokenIds: ['a'] }));
      await backend.loseMarker();
      const rejection = { fault: 'not_migrated' };
      await expect(store.check(token({ tokenIds: ['b'] }))).rejects.toMatchObject(rejection);
      await expect(store.revoke(revocation({ tokenIds: ['b'] }))).rejects.toMatchObject(rejection);
      await expect(store.purgeExpired(1)).rejects.toMatchObject(rejection);
    });

    test('with the marker of version 1 it rejects, says why and what would be right, and writes nothing', async () => {
      await store.revoke(revocation({ tokenIds: ['a'], expiresAt: START_S }));
      await backend.setMarker(1);
      const rejection = { fault: 'not_migrated', cause: { message: OLDER_STORE } };
      await expect(store.check(token({ tokenIds: ['a'] }))).rejects.toMatchObject(rejection);
      await expect(store.revoke(revocation({ tokenIds: ['b'] }))).rejects.toMatchObject(rejection);
      await expect(store.purgeExpired(1)).rejects.toMatchObject(rejection);
      expect(await backend.countRows()).toBe(1);
    });
  });
}
