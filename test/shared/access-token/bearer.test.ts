import { expect, test } from 'vitest';
import { bearerToken } from '#shared/access-token/bearer.ts';

test.each([
  ['Bearer abc', 'abc'],
  ['bearer abc', 'abc'],
  ['BEARER   abc', 'abc'],
  ['Bearer 1|a.b-c_d~e+f/g==', '1|a.b-c_d~e+f/g=='],
  [`Bearer ${'x'.repeat(8192)}`, 'x'.repeat(8192)],
])('reads the token of %j', (authorization, token) => {
  expect(bearerToken(authorization)).toBe(token);
});

test.each([
  '',
  'abc',
  'Bearer',
  'Bearer ',
  'Bearerabc',
  ' Bearer abc',
  'Bearer abc ',
  'Bearer a b',
  'Bearer abc\n',
  'Bearer\tabc',
  'Bearer ключ',
  'Basic YTpi',
  `Bearer ${'x'.repeat(8193)}`,
])('finds no token in %j', (authorization) => {
  expect(() => bearerToken(authorization)).toThrow(
    expect.objectContaining({
      code: 'invalid_token',
      message: 'The credential is not "Bearer" and a token of 1 to 8192 visible characters.',
    }),
  );
});

test('says so when no credential arrived', () => {
  expect(() => bearerToken(undefined)).toThrow(
    expect.objectContaining({
      code: 'invalid_token',
      message: 'No credential arrived: the call carries none, or the gateway withholds it.',
    }),
  );
});
