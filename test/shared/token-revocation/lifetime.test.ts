import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InactiveTokenLifetime, isTooOld, keptUntil, MaxTokenLifetime } from '#shared/token-revocation/lifetime.ts';

test.each([
  ['1', 1],
  ['86400', 86_400],
  ['9999999999', 9_999_999_999],
  [undefined, 400 * 86_400],
])('the longest life of a token, set to %j, is %i seconds', (text, seconds) => {
  expect(MaxTokenLifetime.parse(text)).toBe(seconds);
});

test.each(['', '0', '-1', '1.5', '01', '1s', 's1', '12345678901'])('it cannot be set to %j', (text) => {
  expect(MaxTokenLifetime.safeParse(text).error?.issues).toMatchObject([
    { message: 'must be a whole number of seconds' },
  ]);
});

test.each([
  ['as long as the longest token lives', {}, 1100],
  ['no shorter by what the token itself says', { expiresAt: 700 }, 1100],
  ['from when the token has expired on a clock that is five minutes behind', { expiresAt: 2000 }, 2400],
  ['from when the longest token of that time has expired', { issuedAt: 2000 }, 2500],
  ['by the expiry of a token that says it, and not by its time of issue', { issuedAt: 5000, expiresAt: 2000 }, 2400],
])('a revocation is kept %s', (_title, times, until) => {
  expect(keptUntil(1000, 100, times)).toBe(until);
});

test.each([
  ['that expired as long ago as revocations are kept', { expiresAt: 900 }, false],
  ['that expired longer ago', { expiresAt: 899 }, true],
  ['that was issued so long ago that it expired so long ago', { issuedAt: 800 }, false],
  ['that was issued longer ago', { issuedAt: 799 }, true],
  ['that was issued long ago and expires late', { issuedAt: 1, expiresAt: 950 }, false],
  ['that expired at the epoch', { expiresAt: 0 }, true],
  ['that was issued at the epoch', { issuedAt: 0 }, true],
  ['that says neither', {}, false],
])('a token %s is too old: %s', (_title, times, expected) => {
  expect(isTooOld(1000, 100, times)).toBe(expected);
});

test('a token is too old as soon as its revocation is deleted, whenever it was unlinked and is presented again', () => {
  const seconds = fc.oneof(fc.nat(1000), fc.nat(4_000_000_000));
  const times = fc.oneof(
    fc.record({ expiresAt: seconds }),
    fc.record({ issuedAt: seconds }),
    fc.record({ issuedAt: seconds, expiresAt: seconds }),
  );
  fc.assert(
    fc.property(seconds, seconds, fc.integer({ min: 1, max: 100_000_000 }), times, (unlinkedAt, after, max, token) => {
      const again = unlinkedAt + after;
      return keptUntil(unlinkedAt, max, token) > again || isTooOld(again, max, token);
    }),
    { numRuns: 2000 },
  );
});

test.each([
  [undefined, 86_400],
  ['60', 60],
  ['9999999999', 9_999_999_999],
])('what an issuer calls inactive is kept, set to %j, for %i seconds', (text, seconds) => {
  expect(InactiveTokenLifetime.parse(text)).toBe(seconds);
});

test.each(['', '0', '59', '-60', '60.5', '060', '60s', '12345678901'])('it cannot be kept for %j', (text) => {
  expect(InactiveTokenLifetime.safeParse(text).error?.issues).toMatchObject([
    { message: 'must be a whole number of seconds, at least 60' },
  ]);
});
