import { expect, test } from 'vitest';
import { INACTIVE_LIFETIME_S, keptUntil, MaxTokenLifetime } from '#shared/token-revocation/lifetime.ts';

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
  ['as long as the longest token lives', 1000, 100, undefined, 1100],
  ['no shorter by what the token itself says', 1000, 100, 700, 1100],
  ['until the token has expired on a clock that is five minutes behind', 1000, 100, 2000, 2300],
])('a revocation is kept %s', (_title, nowS, maxTokenLifetimeS, expiresAt, until) => {
  expect(keptUntil(nowS, maxTokenLifetimeS, expiresAt)).toBe(until);
});

test('what an issuer calls inactive is kept for an hour', () => {
  expect(INACTIVE_LIFETIME_S).toBe(3600);
});
