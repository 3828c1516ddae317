import { expect, test } from 'vitest';
import {
  assertRevocation,
  logRevocation,
  MAX_REVOCATION_ITEMS,
  NEVER,
  type Revocation,
  TOKEN_REVOCATION_SCHEMA,
  timeOfRevocation,
} from '#shared/token-revocation/store.ts';

const NOTHING: Revocation = { tokenIds: [], grants: [], cutOffs: [], expiresAt: 2000 };
const ids = (count: number) => Array.from({ length: count }, (_, index) => `id-${index}`);
const cutOff = (key: string) => ({ key, issuedUpTo: 1000 });

test.each<[string, Partial<Revocation>]>([
  ['one id', { tokenIds: ['a'] }],
  ['one grant', { grants: ['g'] }],
  ['one cut-off', { cutOffs: [cutOff('c')] }],
  ['24 items of all kinds', { tokenIds: ids(8), grants: ids(8), cutOffs: ids(8).map(cutOff) }],
])('a revocation may have %s', (_title, parts) => {
  expect(() => assertRevocation({ ...NOTHING, ...parts })).not.toThrow();
});

test.each<[number, Partial<Revocation>]>([
  [0, {}],
  [25, { tokenIds: ids(9), grants: ids(8), cutOffs: ids(8).map(cutOff) }],
  [25, { tokenIds: ids(8), grants: ids(9), cutOffs: ids(8).map(cutOff) }],
  [25, { tokenIds: ids(8), grants: ids(8), cutOffs: ids(9).map(cutOff) }],
])('a revocation has 1 to 24 items, not %i', (count, parts) => {
  expect(() => assertRevocation({ ...NOTHING, ...parts })).toThrow(
    new RangeError(`a revocation has 1 to ${MAX_REVOCATION_ITEMS} items, not ${count}`),
  );
});

test.each([
  ['now, where nothing else is said', undefined, 1000],
  ['when it was made', 900, 900],
  ['now, where it was made in time to come', 1100, 1000],
])('a revocation is recorded as of %s', (_title, madeAt, time) => {
  expect(timeOfRevocation({ ...NOTHING, ...(madeAt !== undefined && { madeAt }) }, 1000)).toBe(time);
});

test('a log line has all of a revocation', () => {
  const presented = { tokenIds: ['a', 'b'], grants: ['g'], cutOffKeys: ['c'], issuedAt: 990 };
  const items = { tokenIds: ['a'], grants: ['g'], grantsExpireAt: 3000, cutOffs: [cutOff('c')] };
  const revocation = { ...NOTHING, ...items, presented };

  expect(logRevocation(revocation, 1000)).toEqual({
    ...{ made_at: 1000, token_ids: ['a'], grants: ['g'], expires_at: 2000, grants_expire_at: 3000 },
    cut_offs: [{ key: 'c', issued_up_to: 1000 }],
    presented: { token_ids: ['a', 'b'], grants: ['g'], cut_off_keys: ['c'], issued_at: 990 },
  });
});

test("a log line has the offset of the issuer's clock", () => {
  expect(logRevocation({ ...NOTHING, iatOffsetS: -300 }, 1000)).toMatchObject({ iat_offset_s: -300 });
});

test('a log line has nothing that a revocation does not have', () => {
  const presented = { tokenIds: ['a'], grants: [], cutOffKeys: [] };

  expect(Object.keys(logRevocation(NOTHING, 1000))).not.toContain('presented');
  expect(logRevocation({ ...NOTHING, presented }, 1000).presented).toEqual({
    ...{ token_ids: ['a'], grants: [], cut_off_keys: [] },
  });
  expect(Object.keys(logRevocation(NOTHING, 1000))).not.toContain('grants_expire_at');
  expect(Object.keys(logRevocation(NOTHING, 1000))).not.toContain('iat_offset_s');
  expect(logRevocation({ ...NOTHING, presented }, 1000).presented).not.toHaveProperty('issued_at');
});

test('what is stored is told apart by these: to change them is to change what is stored', () => {
  expect(TOKEN_REVOCATION_SCHEMA).toMatchObject({ component: 'token-revocation', version: 2, upgradable: { from: 2 } });
  expect(NEVER).toBe(9_007_199_254_740_991);
});
