import { describe, expect, test } from 'vitest';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { MAX_BINDINGS, type OwnedThreepid, type ThreepidBinding } from '#shared/threepid/threepid-binding.ts';

const BEGUN_MS = 1_800_000_000_000;
const EMAIL: OwnedThreepid = { mxid: '@ann:example.org', medium: 'email', address: 'ann@example.com' };

/** A bind that is under way, with parts of it changed. */
export const newBinding = (parts: Partial<ThreepidBinding> = {}): ThreepidBinding => ({
  ...EMAIL,
  idServer: 'is.example.net',
  bindId: 'bind-1',
  state: 'pending',
  begunAt: BEGUN_MS,
  ...parts,
});

/** The contract of {@link Directory.threepids}. */
export function threepidBindingsContract(current: () => Directory): void {
  const put = (parts: Partial<ThreepidBinding> = {}) => current().threepids.put(newBinding(parts));
  const find = (parts: Partial<OwnedThreepid> = {}) => current().threepids.find({ ...EMAIL, ...parts });
  const forget = (...bindings: readonly ThreepidBinding[]) => current().threepids.forget(bindings);
  const bindIds = async (parts: Partial<OwnedThreepid> = {}) => (await find(parts)).map(({ bindId }) => bindId);

  /** Puts one after another. */
  async function putAll(bindings: readonly Partial<ThreepidBinding>[]): Promise<void> {
    for (const binding of bindings) expect(await put(binding)).toBe(true);
  }

  const numbered = (count: number, parts: Partial<ThreepidBinding> = {}): Partial<ThreepidBinding>[] =>
    Array.from({ length: count }, (_, index) => ({ ...parts, bindId: `bind-${index}` }));

  describe('binds of third-party identifiers', () => {
    test('of an identifier that was never bound nothing is known', async () => {
      expect(await find()).toEqual([]);
    });

    test('a bind is known from when it is begun, and as bound from when it is confirmed', async () => {
      expect(await put()).toBe(true);
      expect(await find()).toEqual([newBinding()]);
      expect(await put({ state: 'bound' })).toBe(true);
      expect(await find()).toEqual([newBinding({ state: 'bound' })]);
    });

    test('a bind that was confirmed is not pending again, and keeps the time it was begun', async () => {
      await putAll([{ state: 'bound' }, { state: 'pending' }, { state: 'bound', begunAt: BEGUN_MS + 1 }]);
      expect(await find()).toEqual([newBinding({ state: 'bound' })]);
    });

    test('to remember a bind again changes nothing', async () => {
      await putAll([{}, {}, {}]);
      expect(await find()).toEqual([newBinding()]);
    });

    test('each bind is its own, at one server too', async () => {
      await putAll([{}, { bindId: 'bind-2' }, { idServer: 'is.example.net:8448' }]);
      await put({ bindId: 'bind-2', state: 'bound' });
      expect(await find()).toEqual([
        newBinding(),
        newBinding({ bindId: 'bind-2', state: 'bound' }),
        newBinding({ idServer: 'is.example.net:8448' }),
      ]);
    });

    test('binds are found in the order they were begun, also within one millisecond', async () => {
      await putAll([...['z', 'a', 'm'].map((bindId) => ({ bindId })), { bindId: 'first', begunAt: BEGUN_MS - 1 }]);
      await put({ bindId: 'z', state: 'bound' });
      expect(await bindIds()).toEqual(['first', 'z', 'a', 'm']);
    });

    test('what is alike is told apart: users, media and addresses, by case, spaces and separators too', async () => {
      const alike: readonly OwnedThreepid[] = [
        EMAIL,
        { ...EMAIL, mxid: '@Ann:example.org' },
        { ...EMAIL, mxid: '@ann:example.org:8448' },
        { ...EMAIL, mxid: '@bob:example.org' },
        { ...EMAIL, address: 'Ann@example.com' },
        { ...EMAIL, address: 'ann@example.com ' },
        { ...EMAIL, address: 'ann@example.com","email' },
        { ...EMAIL, address: "ann'--@example.com" },
        { ...EMAIL, address: 'ann%_\\*@example.com' },
        { ...EMAIL, address: 'ann#@example.com' },
        { ...EMAIL, address: 'e\u0301@example.com' },
        { ...EMAIL, address: '\u00e9@example.com' },
        { ...EMAIL, address: '491700000000' },
        { ...EMAIL, medium: 'msisdn', address: '491700000000' },
      ];
      for (const [index, threepid] of alike.entries()) await putAll([{ ...threepid, bindId: `bind-${index}` }]);
      for (const [index, threepid] of alike.entries()) {
        expect(await find(threepid)).toEqual([newBinding({ ...threepid, bindId: `bind-${index}` })]);
      }
      for (const [index, threepid] of alike.entries()) {
        await forget(newBinding({ ...threepid, bindId: `bind-${index}` }));
        expect(await find(threepid)).toEqual([]);
        const left = await Promise.all(alike.map(bindIds));
        expect(left.flat()).toHaveLength(alike.length - index - 1);
      }
    });

    test('what is as long as can be is kept whole, a hundred times for a user', { timeout: 120_000 }, async () => {
      const mxid = `@${'ж'.repeat(117)}:${'a'.repeat(20)}`;
      const address = (end: string) => `${'漢'.repeat(487)}@example.com${end}`;
      const idServer = `${'i'.repeat(249)}:65535`;
      const long = { mxid, address: address('a'), idServer };
      await putAll(numbered(MAX_BINDINGS, long));
      expect(await find(long)).toEqual(numbered(MAX_BINDINGS, long).map(newBinding));
      expect(await find({ ...long, address: address('b') })).toEqual([]);
      expect(await put({ ...long, bindId: 'bind-0', state: 'bound' })).toBe(true);
      await forget(newBinding({ ...long, bindId: 'bind-0', state: 'bound' }));
      expect(await find(long)).toHaveLength(MAX_BINDINGS - 1);
    });

    test('a user has so many binds at the most, of all identifiers together', { timeout: 120_000 }, async () => {
      await putAll(numbered(MAX_BINDINGS - 1));
      const other = { medium: 'msisdn', address: '491700000000' } as const;
      expect(await put(other)).toBe(true);

      expect(await put({ bindId: 'one more' })).toBe(false);
      expect(await put({ ...other, bindId: 'one more', state: 'bound' })).toBe(false);
      expect(await find()).toHaveLength(MAX_BINDINGS - 1);
      expect(await find(other)).toHaveLength(1);
      expect(await put({ mxid: '@bob:example.org' })).toBe(true);

      // What is known is no further one.
      expect(await put({ ...other, state: 'bound' })).toBe(true);
      expect(await put({ bindId: 'bind-0' })).toBe(true);
      await forget(newBinding({ bindId: 'bind-0' }));
      expect(await put({ bindId: 'one more' })).toBe(true);
      expect(await bindIds()).toContain('one more');
    });

    test('a hundred binds of one user that begin at once are all known', { timeout: 120_000 }, async () => {
      const begun = numbered(MAX_BINDINGS);
      // Where they get in each other's way, the store is busy for a while.
      await Promise.all(
        begun.map((binding) =>
          retryWhileUnavailable(60_000, (timeoutMs) => current().threepids.put(newBinding(binding), timeoutMs)),
        ),
      );
      expect((await bindIds()).sort()).toEqual(begun.map(({ bindId }) => bindId).sort());
    });

    test('a bind that is confirmed, begun and forgotten as pending at once is bound', async () => {
      for (let round = 0; round < 10; round += 1) {
        const bindId = `bind-${round}`;
        await put({ bindId });
        await Promise.all([
          forget(newBinding({ bindId })),
          put({ bindId, state: 'bound' }),
          put({ bindId, state: 'bound' }),
          forget(newBinding({ bindId })),
        ]);
        await put({ bindId });
        expect(await find()).toMatchObject([{ bindId, state: 'bound' }]);
        await forget(newBinding({ bindId, state: 'bound' }));
      }
    });

    test('what is forgotten is gone, once or repeated, and nothing else is', async () => {
      const kept = [{ bindId: 'kept' }, { idServer: 'other.example.net' }, { mxid: '@bob:example.org' }];
      await putAll([{}, { bindId: 'bind-2', state: 'bound' }, ...kept]);
      for (let time = 0; time < 2; time += 1) {
        await forget(newBinding(), newBinding({ bindId: 'bind-2', state: 'bound' }));
        expect(await find()).toEqual([newBinding(kept[0]), newBinding(kept[1])]);
        expect(await find(kept[2])).toHaveLength(1);
      }
    });

    test('what was confirmed since is not forgotten, nor what is not confirmed', async () => {
      await putAll([{ state: 'bound' }, { bindId: 'bind-2' }]);
      await forget(newBinding(), newBinding({ bindId: 'bind-2', state: 'bound' }));
      expect(await find()).toEqual([newBinding({ state: 'bound' }), newBinding({ bindId: 'bind-2' })]);
    });

    test('to forget what was never known, or nothing, changes nothing', async () => {
      await put();
      await forget();
      await forget(newBinding({ bindId: 'unknown' }), newBinding({ mxid: '@bob:example.org' }));
      expect(await bindIds()).toEqual(['bind-1']);
    });

    test('a bind that was forgotten can begin again', async () => {
      await put({ state: 'bound' });
      await forget(newBinding({ state: 'bound' }));
      expect(await put({ begunAt: BEGUN_MS + 1 })).toBe(true);
      expect(await find()).toEqual([newBinding({ begunAt: BEGUN_MS + 1 })]);
    });

    test('two that forget the same in another order both do', async () => {
      const bindings = numbered(20).map(newBinding);
      for (let round = 0; round < 5; round += 1) {
        await putAll(bindings);
        await Promise.all([forget(...bindings), forget(...bindings.toReversed())]);
        expect(await find()).toEqual([]);
      }
    });
  });
}
