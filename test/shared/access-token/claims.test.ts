import { describe, expect, test } from 'vitest';
import { readClaims } from '#shared/access-token/claims.ts';

const ISSUER = 'https://auth.example';
const read = (claims: object, grantClaim?: string) => readClaims({ sub: 'user-1', ...claims }, ISSUER, grantClaim);

test('a subject is all that a token has to name', () => {
  const claims = { sub: 'user-1', own: 1 };

  expect(readClaims(claims, ISSUER)).toEqual({
    ...{ issuer: ISSUER, subject: 'user-1', client: undefined, scopes: [], issuedAt: undefined },
    ...{ expiresAt: undefined, grant: undefined, jwtId: undefined, claims },
  });
});

test('each claim is read under its own name', () => {
  expect(read({ client_id: 'c', scope: 'a b', iat: 1, exp: 2, jti: 'j', sid: 'g' }, 'sid')).toMatchObject({
    ...{ client: 'c', scopes: ['a', 'b'], issuedAt: 1, expiresAt: 2, jwtId: 'j', grant: 'g' },
  });
});

test.each([
  ['azp names the client where client_id does not', { azp: 'a' }, { client: 'a' }],
  ['client_id goes before azp', { client_id: 'c', azp: 'a' }, { client: 'c' }],
  ['scp names the scopes where scope does not', { scp: ['a', 'b c'] }, { scopes: ['a', 'b', 'c'] }],
  ['scope goes before scp', { scope: 'a', scp: 'b' }, { scopes: ['a'] }],
  ['a fraction of a second is dropped', { iat: 1.9, exp: 2.9 }, { issuedAt: 1, expiresAt: 2 }],
  ['the epoch is a time', { iat: 0, exp: 0 }, { issuedAt: 0, expiresAt: 0 }],
])('%s', (_title, claims, expected) => {
  expect(read(claims)).toMatchObject(expected);
});

test('a grant is read only where the settings name its claim, and may be absent', () => {
  expect(read({ sid: 'g' })?.grant).toBeUndefined();
  expect(read({}, 'sid')).toMatchObject({ subject: 'user-1' });
});

describe('claims have no meaning', () => {
  test.each<[string, object]>([
    ['without a subject', { sub: undefined }],
    ['with an empty subject', { sub: '' }],
    ['with a subject of 1025 characters', { sub: 'x'.repeat(1025) }],
    ['with an empty client', { client_id: '' }],
    ['with a client that is a number', { azp: 7 }],
    ['with a scope that is a number', { scope: 7 }],
    ['with a list of scopes that are numbers', { scp: [7] }],
    ['with a negative time', { iat: -1 }],
    ['with a time beyond what a number counts exactly', { exp: 2 ** 53 }],
    ['with a time that is text', { exp: '1' }],
    ['with an empty jti', { jti: '' }],
    ['with a grant that is empty', { sid: '' }],
    ['with a grant that is a number', { sid: 7 }],
    ['with a grant that is null', { sid: null }],
  ])('%s', (_title, claims) => {
    expect(read(claims, 'sid')).toBeUndefined();
  });

  test('unless they are just within the bounds', () => {
    expect(read({ sub: 'x'.repeat(1024), exp: Number.MAX_SAFE_INTEGER })).toMatchObject({
      ...{ subject: 'x'.repeat(1024), expiresAt: Number.MAX_SAFE_INTEGER },
    });
  });
});
