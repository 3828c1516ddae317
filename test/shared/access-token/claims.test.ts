import { describe, expect, test } from 'vitest';
import {
  isPresent,
  presentMembers,
  readAccessToken,
  readClaims,
  readRefreshToken,
  valueAt,
} from '#shared/access-token/claims.ts';
import { VerifiedTokenEnvironment } from '#shared/access-token/issuers.ts';

const ISSUER = 'https://auth.example';
const INTROSPECTION = { endpoint: 'https://auth.example/i', client_id: 'us', client_secret: 's' };

/** A row of `ISSUERS` as the settings read it. */
function rowOf(members: object = {}) {
  const [row] = VerifiedTokenEnvironment.ISSUERS.parse(
    JSON.stringify([{ issuer: ISSUER, introspection: INTROSPECTION, ...members }]),
  );
  if (row === undefined) throw new Error('ISSUERS has no row');
  return row;
}

const read = (claims: object, members: object = {}) =>
  readClaims(presentMembers({ sub: 'user-1', ...claims }), rowOf(members));

test('a token has to name nothing', () => {
  const claims = { own: 1 };

  expect(readClaims(claims, rowOf())).toEqual({
    ...{ issuer: ISSUER, subject: undefined, isApplication: false, client: undefined, scopes: [], issuedAt: undefined },
    ...{ expiresAt: undefined, grant: undefined, jwtId: undefined, claims },
  });
});

test('each claim is read under its own name', () => {
  const claims = { client_id: 'c', scope: 'a b', iat: 1, exp: 2, jti: 'j', grant_id: 'g' };

  expect(read(claims, { grant: { claim: 'grant_id' } })).toMatchObject({
    ...{ subject: 'user-1', client: 'c', scopes: ['a', 'b'], issuedAt: 1, expiresAt: 2, jwtId: 'j' },
    grant: { claim: 'grant_id', value: 'g' },
  });
});

test.each([
  ['azp names the client where client_id does not', { azp: 'a', cid: 'b', appid: 'c' }, { client: 'a' }],
  ['client_id goes before azp', { client_id: 'c', azp: 'a' }, { client: 'c' }],
  ['cid names the client where azp does not', { cid: 'b', appid: 'c' }, { client: 'b' }],
  ['appid names the client where nothing else does', { appid: 'c' }, { client: 'c' }],
  ['scp names the scopes where scope does not', { scp: ['a', 'b c'] }, { scopes: ['a', 'b', 'c'] }],
  ['scope goes before scp', { scope: 'a', scp: 'b' }, { scopes: ['a'] }],
  ['a fraction of a second is dropped', { iat: 1.9, exp: 2.9 }, { issuedAt: 1, expiresAt: 2 }],
  ['the epoch is a time', { iat: 0, exp: 0 }, { issuedAt: 0, expiresAt: 0 }],
  ['a subject that is a number is its decimal text', { sub: 123_456 }, { subject: '123456' }],
  ['a subject of zero is one', { sub: 0 }, { subject: '0' }],
])('%s', (_title, claims, expected) => {
  expect(read(claims)).toMatchObject(expected);
});

describe('a member that says nothing counts as absent', () => {
  test.each([[null], [''], [[]]])('%j', (nothing) => {
    const names = ['client_id', 'azp', 'cid', 'appid', 'scope', 'scp', 'iat', 'exp', 'nbf', 'jti', 'grant_id'];
    const claims = Object.fromEntries(names.map((name) => [name, nothing]));

    expect(isPresent(nothing)).toBe(false);
    expect(presentMembers(claims)).toEqual({});
    expect(read({ ...claims, azp: 'a', scp: ['b'] }, { grant: { claim: 'grant_id' } })).toEqual(
      read({ azp: 'a', scp: ['b'] }, { grant: { claim: 'grant_id' } }),
    );
  });

  test.each([[0], [false], [' '], [[null]], [{}]])('unlike %j', (something) => {
    expect(isPresent(something)).toBe(true);
    expect(presentMembers({ a: something })).toEqual({ a: something });
  });
});

describe('the value at a path', () => {
  test.each([
    ['a', { a: 1 }, 1],
    ['ext.grant_id', { ext: { grant_id: 'g' } }, 'g'],
    ['a.b.c', { a: { b: { c: 1 } } }, 1],
    ['https://as.example/grant', { 'https://as.example/grant': 'g' }, 'g'],
    ['ext.grant_id', { 'ext.grant_id': 'whole', ext: { grant_id: 'part' } }, 'whole'],
    ['ext.grant_id', { ext: {} }, undefined],
    ['ext.grant_id', { ext: null }, undefined],
    ['ext.0', { ext: ['g'] }, undefined],
    ['ext.length', { ext: 'text' }, undefined],
    ['toString', {}, undefined],
    ['ext.constructor.name', { ext: {} }, undefined],
  ])('%j of %j is %j', (path, claims, value) => {
    expect(valueAt(claims, path)).toBe(value);
  });
});

describe('a grant', () => {
  const grantOf = (claims: object, grant: object) => read(claims, { grant })?.grant;

  test('is read only where the settings name its claim, and may be absent', () => {
    expect(read({ grant_id: 'g' })?.grant).toBeUndefined();
    expect(read({}, { grant: { claim: 'grant_id' } })).toMatchObject({ subject: 'user-1', grant: undefined });
  });

  test.each([
    ['at a path', { ext: { grant_id: 'g' } }, { claim: 'ext.grant_id' }],
    ['by a namespaced name', { 'https://as.example/grant': 'g' }, { claim: 'https://as.example/grant' }],
    ['in an id whose group a pattern takes', { jti: 'x_g-at_1' }, { claim: 'jti', match: '^x_([^-]+)-' }],
    ['in an id of which a pattern takes all that it matches', { jti: 'g.1' }, { claim: 'jti', match: '^[a-z]+' }],
  ])('is named %s', (_title, claims, grant) => {
    expect(grantOf(claims, grant)).toEqual({ claim: grant.claim, value: 'g' });
  });

  test('is the same for each token of a Zitadel session', () => {
    const grant = { claim: 'jti', match: '^(V2_[^.-]+)' };

    expect(grantOf({ jti: 'V2_551-at_552' }, grant)).toEqual({ claim: 'jti', value: 'V2_551' });
    expect(grantOf({ jti: 'V2_551.at_777' }, grant)).toEqual({ claim: 'jti', value: 'V2_551' });
  });

  test('that the pattern does not match is none', () => {
    expect(grantOf({ jti: 'V1_551-at_552' }, { claim: 'jti', match: '^(V2_[^.-]+)' })).toBeUndefined();
  });

  test('that is a number is its decimal text', () => {
    expect(grantOf({ gnt: 7 }, { claim: 'gnt' })).toEqual({ claim: 'gnt', value: '7' });
  });

  test('lives as long as the row says, and for good if it says nothing', () => {
    expect(read({}, { grant_lifetime_s: 60 })?.grantLifetimeS).toBe(60);
    expect(read({})?.grantLifetimeS).toBeUndefined();
  });
});

test('the row says how far the clock of its issuer is ahead', () => {
  expect(read({}, { iat_offset_s: -300 })?.iatOffsetS).toBe(-300);
});

test('a jti names the token, unless the row says that it does not', () => {
  expect(read({ jti: 'j' })?.jwtId).toBe('j');
  expect(read({ jti: 'j' }, { jti: '^j' })?.jwtId).toBe('j');
  expect(read({ jti: 'j' }, { jti: false })?.jwtId).toBeUndefined();
});

describe('the client that a row names by a claim', () => {
  test.each([
    ['one audience', { aud: 'spk' }, 'spk'],
    ['a list of one audience', { aud: ['spk'], azp: 'other' }, 'spk'],
    ['several audiences, of which azp is one', { aud: ['home', 'spk'], azp: 'spk' }, 'spk'],
    ['several audiences, none of which is azp', { aud: ['home', 'spk'], azp: 'other' }, undefined],
    ['several audiences without azp', { aud: ['home', 'spk'] }, undefined],
    ['the usual members where it is absent, as in the introspection of some servers', {}, 'caller'],
  ])('is read of %s', (_title, claims, client) => {
    const token = read({ client_id: 'caller', ...claims }, { client_claim: 'aud' });

    expect(token).toMatchObject({ subject: 'user-1' });
    expect(token?.client).toBe(client);
  });

  test('is nobody where it is absent and decides whether the token is accepted', () => {
    expect(read({ client_id: 'spk' }, { client_claim: 'azp', clients: ['spk'] })?.client).toBeUndefined();
    expect(read({ client_id: 'spk' }, { clients: ['spk'] })?.client).toBe('spk');
  });

  test('is found at a path', () => {
    expect(read({ ext: { client: 'spk' } }, { client_claim: 'ext.client' })?.client).toBe('spk');
  });
});

describe('who is meant', () => {
  test('is the subject, in the claim that the row names', () => {
    expect(read({ sub: 'pairwise', oid: 'o1', scp: 'a' }, { subject_claim: 'oid' })?.subject).toBe('o1');
    expect(read({ sub: 'pairwise' }, { subject_claim: 'oid' })).toMatchObject({ subject: undefined });
  });

  test.each<[string, object]>([
    ['without a subject', { sub: undefined, client_id: 'bot' }],
    ['with an empty subject', { sub: '', client_id: 'bot' }],
    ['whose subject is its client', { sub: 'bot', client_id: 'bot' }],
    ['whose subject is its client by azp', { sub: 'bot', azp: 'bot' }],
    ['of Auth0 for a client', { sub: 'bot@clients', azp: 'other' }],
    ['whose grant is client-credentials', { sub: 'svc', gty: 'client-credentials', azp: 'bot' }],
    ['whose grants have client_credentials', { sub: 'svc', gty: ['x', 'client_credentials'], azp: 'bot' }],
    ['of Entra ID for an application', { sub: 'sp1', oid: 'sp1', azp: 'app2', roles: ['Run'] }],
  ])('is nobody by a token %s: no user, and nothing fills one', (_title, claims) => {
    expect(read(claims)).toMatchObject({ subject: undefined, isApplication: false });
  });

  test.each<[string, object]>([
    ['with a scope', { sub: 'o1', oid: 'o1', azp: 'app', scp: 'Use' }],
    ['of another subject', { sub: 'p1', oid: 'o1', azp: 'app', roles: ['Run'] }],
  ])('is a user by a token with an oid %s', (_title, claims) => {
    expect(read(claims)).toMatchObject({ subject: (claims as { sub: string }).sub });
  });

  test('is an application only by a token that names no user, of a client that the row declares', () => {
    const row = { client_tokens: ['bot'] };

    expect(read({ sub: undefined, client_id: 'bot' }, row)).toMatchObject({ isApplication: true, client: 'bot' });
    expect(read({ sub: 'bot', client_id: 'bot' }, row)).toMatchObject({ subject: undefined, isApplication: true });
    expect(read({ sub: undefined, client_id: 'other' }, row)).toMatchObject({ isApplication: false });
    expect(read({ sub: 'user-1', client_id: 'bot' }, row)).toMatchObject({ subject: 'user-1', isApplication: false });
    expect(read({ sub: undefined }, row)).toMatchObject({ isApplication: false });
  });
});

describe('claims have no meaning', () => {
  test.each<[string, object]>([
    ['with a subject of 1025 characters', { sub: 'x'.repeat(1025) }],
    ['with a subject that is true', { sub: true }],
    ['with a subject that is a list', { sub: ['user-1'] }],
    ['with a subject that is a fraction', { sub: 1.5 }],
    ['with a subject beyond what a number counts exactly', { sub: 2 ** 53 }],
    ['with a client that is a number', { azp: 7 }],
    ['with a scope that is a number', { scope: 7 }],
    ['with a list of scopes that are numbers', { scp: [7] }],
    ['with a negative time', { iat: -1 }],
    ['with a time beyond what a number counts exactly', { exp: 2 ** 53 }],
    ['with an exp that is text', { exp: '1' }],
    ['with an iat that is text', { iat: '1' }],
    ['with an nbf that is text', { nbf: '1' }],
    ['with a grant that is an object', { grant_id: { a: 1 } }],
    ['with a grant that is true', { grant_id: true }],
    ['with a grant of 1025 characters', { grant_id: 'x'.repeat(1025) }],
  ])('%s', (_title, claims) => {
    const row = { grant: { claim: 'grant_id' } };

    expect(read(claims, row)).toBeUndefined();
    const all = presentMembers({ sub: 'user-1', ...claims });
    expect(readAccessToken(all, rowOf(row))).toEqual({ status: 'refused', reason: 'bad_claims' });
    expect(readRefreshToken(all, rowOf(row))).toEqual({ status: 'refused', reason: 'bad_claims' });
  });

  test('unless they are just within the bounds', () => {
    expect(read({ sub: 'x'.repeat(1024), exp: Number.MAX_SAFE_INTEGER })).toMatchObject({
      ...{ subject: 'x'.repeat(1024), expiresAt: Number.MAX_SAFE_INTEGER },
    });
  });
});

describe('an access token', () => {
  const accept = (claims: object, members: object) => readAccessToken({ sub: 'user-1', ...claims }, rowOf(members));

  test('is of one of the clients that the row names', () => {
    const row = { audience: 'none', clients: ['spk', 'tv'] };

    expect(accept({ client_id: 'tv' }, row)).toMatchObject({ status: 'verified' });
    expect(accept({ client_id: 'tv', aud: 'https://other.example' }, row)).toMatchObject({ status: 'verified' });
    for (const claims of [{ client_id: 'other' }, {}]) {
      expect(accept(claims, row)).toEqual({ status: 'refused', reason: 'wrong_client' });
    }
  });

  test('is of one of them beside an audience too', () => {
    const row = { audience: 'home', clients: ['spk'] };

    expect(accept({ client_id: 'spk', aud: 'home' }, row)).toMatchObject({ status: 'verified' });
    expect(accept({ client_id: 'tv', aud: 'home' }, row)).toEqual({ status: 'refused', reason: 'wrong_client' });
    expect(accept({ client_id: 'spk', aud: 'none' }, row)).toEqual({ status: 'refused', reason: 'wrong_audience' });
  });

  test('is for us; a refresh token is for its server', () => {
    const claims = { sub: 'user-1', aud: 'https://auth.example' };

    expect(accept(claims, { audience: 'home' })).toEqual({ status: 'refused', reason: 'wrong_audience' });
    expect(readRefreshToken(claims, rowOf({ audience: 'home' }))).toMatchObject({ status: 'refresh' });
  });
});

test.each([
  ["a user's token that lacks the subject_claim is no application's own", { sub: 'user-1' }, false],
  ['nor is one whose sub is a number', { sub: 5 }, false],
  ["a client's own token that lacks it is", { sub: 'bot' }, true],
  ["a token without either is the application's own", { sub: undefined }, true],
])('%s', (_title, claims, isApplication) => {
  const token = read({ client_id: 'bot', ...claims }, { subject_claim: 'oid', client_tokens: ['bot'] });

  expect(token).toMatchObject({ subject: undefined, isApplication });
});
