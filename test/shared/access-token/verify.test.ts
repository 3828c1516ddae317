import { generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto';
import { exportJWK, SignJWT } from 'jose';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { AccessTokenEnvironment } from '#shared/access-token/issuers.ts';
import { createAccessTokenVerifier } from '#shared/access-token/verify.ts';
import { send } from '#shared/outgoing/send.ts';
import { readEnvironment } from '#shared/runtime/environment.ts';
import { startHttpServer } from '#test/support/http-server.ts';

const ISSUER = 'https://auth.example';
const AUDIENCE = 'https://api.example';
const NOW_S = 1_800_000_000;

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ed = generateKeyPairSync('ed25519');

const jwkOf = async (key: KeyObject, members: object = {}) => ({ ...(await exportJWK(key)), ...members });
const rsaJwk = await jwkOf(rsa.publicKey, { kid: 'r1', alg: 'RS256' });

const CLAIMS = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: 'user-1',
  client_id: 'skill',
  scope: 'a b',
  iat: NOW_S - 10,
  exp: NOW_S + 3600,
  jti: 'j-1',
  sid: 'grant-1',
};

const encode = (value: unknown) =>
  (Buffer.isBuffer(value) ? value : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))).toString(
    'base64url',
  );

/** A JWT signed with RS256, whatever its header says. */
function jwt(claims: unknown, header: unknown = {}, key: KeyObject = rsa.privateKey): string {
  const full = typeof header === 'string' ? header : { alg: 'RS256', typ: 'at+jwt', kid: 'r1', ...(header as object) };
  const input = `${encode(full)}.${encode(claims)}`;
  return `${input}.${signBytes('sha256', Buffer.from(input), key).toString('base64url')}`;
}

const without = (name: string) => Object.fromEntries(Object.entries(CLAIMS).filter(([key]) => key !== name));

/** What the functions read of these variables alone. */
function settingsOf(variables: Readonly<Record<string, string>>) {
  for (const name of Object.keys(AccessTokenEnvironment)) vi.stubEnv(name, variables[name]);
  return readEnvironment(AccessTokenEnvironment);
}

/** A verifier of these rows, whose `sid` names a grant, on a clock that stands at NOW_S. */
function verifierOf(rows: object[], { now = () => NOW_S * 1000 } = {}) {
  const all = rows.map((row) => ({ ...row, session_names_grant: true }));
  const settings = settingsOf({ ISSUERS: JSON.stringify(all), GRANT_CLAIM: 'sid' });
  return createAccessTokenVerifier(settings, { send, now, monotonic: now });
}

const verify = verifierOf([{ issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [rsaJwk] } }]);
const check = (token: string, atAnyTime = false) => verify(token, { timeoutMs: 5000, atAnyTime });
const refused = (reason: string) => ({ status: 'refused', reason });

describe('a JWT that verifies', () => {
  test('says who is calling', async () => {
    expect(await check(jwt(CLAIMS))).toEqual({
      status: 'verified',
      token: {
        issuer: ISSUER,
        subject: 'user-1',
        isApplication: false,
        client: 'skill',
        scopes: ['a', 'b'],
        issuedAt: NOW_S - 10,
        expiresAt: NOW_S + 3600,
        grant: { claim: 'sid', value: 'grant-1' },
        jwtId: 'j-1',
        claims: CLAIMS,
      },
    });
  });

  test.each<[name: string, claims: object, header?: object]>([
    ['typ JWT', CLAIMS, { typ: 'JWT' }],
    ['typ application/at+jwt', CLAIMS, { typ: 'application/at+JWT' }],
    ['no kid where there is one key', CLAIMS, { kid: undefined }],
    ['a kid that is null', CLAIMS, { kid: null }],
    ['a kid that is empty', CLAIMS, { kid: '' }],
    ['a list in which text looks like a key', { ...CLAIMS, roles: ['a', ':b', '"', '\\":'] }],
    ['several audiences, ours among them', { ...CLAIMS, aud: ['https://other.example', AUDIENCE] }],
    ['an iat a week old', { ...CLAIMS, iat: NOW_S - 604_800 }],
    // The clock of an issuer may be ahead of ours; an unlink's cut-off then is at least this iat.
    ['an iat in the future', { ...CLAIMS, iat: NOW_S + 30 }],
    ['no iat', without('iat')],
    ['no jti, no grant, no client', { iss: ISSUER, aud: AUDIENCE, sub: 'user-1', exp: NOW_S + 1 }],
    ['an exp inside the skew', { ...CLAIMS, exp: NOW_S - 59 }],
    ['an nbf inside the skew', { ...CLAIMS, nbf: NOW_S + 60 }],
    [
      'a header that points to keys elsewhere, which is ignored',
      CLAIMS,
      { jku: 'https://evil.example', x5u: 'https://evil.example', jwk: { kty: 'oct' } },
    ],
  ])('may have %s', async (_name, claims, header) => {
    expect(await check(jwt(claims, header))).toMatchObject({ status: 'verified', token: { subject: 'user-1' } });
  });

  test.each([
    ['client_id before azp', { client_id: 'c', azp: 'a' }, 'c'],
    ['azp', { client_id: undefined, azp: 'a' }, 'a'],
  ])('names its client by %s', async (_name, members, client) => {
    expect(await check(jwt({ ...CLAIMS, ...members }))).toMatchObject({ token: { client } });
  });

  test.each([
    ['a list', { scope: undefined, scp: ['a', 'b'] }, ['a', 'b']],
    ['commas, which are part of a name', { scope: 'a,b' }, ['a,b']],
    ['tabs, which are part of a name', { scope: 'a\tb' }, ['a\tb']],
    ['none', { scope: undefined }, []],
  ])('has scopes by %s', async (_name, members, scopes) => {
    expect(await check(jwt({ ...CLAIMS, ...members }))).toMatchObject({ token: { scopes } });
  });
});

describe('a JWT is refused', () => {
  const hs256 = async (secret: Buffer) =>
    new SignJWT(CLAIMS).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: 'r1' }).sign(secret);
  const publicPem = Buffer.from(rsa.publicKey.export({ type: 'spki', format: 'pem' }));
  const publicDer = rsa.publicKey.export({ type: 'spki', format: 'der' });
  const unsigned = (alg: unknown) => `${encode({ alg, typ: 'at+jwt' })}.${encode(CLAIMS)}.`;

  test.each<[name: string, token: string | Promise<string>, reason: string]>([
    ['alg none', unsigned('none'), 'algorithm_not_allowed'],
    ['alg None', unsigned('None'), 'algorithm_not_allowed'],
    ['alg nOnE', unsigned('nOnE'), 'algorithm_not_allowed'],
    ['alg none with a signature', jwt(CLAIMS, { alg: 'none' }), 'algorithm_not_allowed'],
    ['an HMAC with the public key, PEM', hs256(publicPem), 'algorithm_not_allowed'],
    ['an HMAC with the public key, DER', hs256(publicDer), 'algorithm_not_allowed'],
    ['an HMAC with the public key, JWK text', hs256(Buffer.from(JSON.stringify(rsaJwk))), 'algorithm_not_allowed'],
    ['an algorithm that the key is not for', jwt(CLAIMS, { alg: 'PS256' }), 'unusable_key'],
    ['a null algorithm', unsigned(null), 'unknown_issuer'],
    ['a list of algorithms', unsigned(['RS256']), 'unknown_issuer'],
    ['no algorithm', unsigned(undefined), 'unknown_issuer'],
    ['an unknown algorithm', jwt(CLAIMS, { alg: 'RS999' }), 'algorithm_not_allowed'],
    ['an unknown critical header', jwt(CLAIMS, { crit: ['x'], x: 1 }), 'malformed'],
    ['an unencoded payload', jwt(CLAIMS, { crit: ['b64'], b64: false }), 'malformed'],
    ['a key id that is a path', jwt(CLAIMS, { kid: '../../x' }), 'unusable_key'],
    ['a key id that is SQL', jwt(CLAIMS, { kid: "' OR 1=1--" }), 'unusable_key'],
    ['a key id that is an object', jwt(CLAIMS, { kid: { a: 1 } }), 'unusable_key'],
    ['another key', jwt(CLAIMS, {}, otherRsa.privateKey), 'bad_signature'],
    ['a changed claim', jwt(CLAIMS).replace(/\.[^.]+\./, `.${encode({ ...CLAIMS, sub: 'admin' })}.`), 'bad_signature'],
    ['an empty signature', `${jwt(CLAIMS).split('.').slice(0, 2).join('.')}.`, 'bad_signature'],
    ['an expiry in the past', jwt({ ...CLAIMS, exp: NOW_S - 61 }), 'expired'],
    ['an expiry at the edge of the skew', jwt({ ...CLAIMS, exp: NOW_S - 60 }), 'expired'],
    ['a negative expiry', jwt({ ...CLAIMS, exp: -1 }), 'expired'],
    ['an expiry that is text', jwt({ ...CLAIMS, exp: String(NOW_S + 10) }), 'bad_claims'],
    ['an expiry that is infinite', jwt(JSON.stringify(CLAIMS).replace(/"exp":\d+/, '"exp":1e400')), 'bad_claims'],
    ['no expiry', jwt(without('exp')), 'bad_claims'],
    ['an nbf in the future', jwt({ ...CLAIMS, nbf: NOW_S + 61 }), 'not_yet_valid'],
    ['an iat that is text', jwt({ ...CLAIMS, iat: 'yesterday' }), 'bad_claims'],
    ['an iat that is negative', jwt({ ...CLAIMS, iat: -1 }), 'bad_claims'],
    ['an issuer with a slash behind', jwt({ ...CLAIMS, iss: `${ISSUER}/` }), 'unknown_issuer'],
    ['an issuer in capitals', jwt({ ...CLAIMS, iss: ISSUER.toUpperCase() }), 'unknown_issuer'],
    ['no issuer', jwt(without('iss')), 'unknown_issuer'],
    ['a list of issuers', jwt({ ...CLAIMS, iss: [ISSUER] }), 'unknown_issuer'],
    ['another audience', jwt({ ...CLAIMS, aud: 'https://other.example' }), 'wrong_audience'],
    ['no audience', jwt(without('aud')), 'wrong_audience'],
    ['an empty list of audiences', jwt({ ...CLAIMS, aud: [] }), 'wrong_audience'],
    ['an audience that is a number', jwt({ ...CLAIMS, aud: 1 }), 'wrong_audience'],
    ['a subject of 1025 characters', jwt({ ...CLAIMS, sub: 'x'.repeat(1025) }), 'bad_claims'],
    ['a grant that is no text', jwt({ ...CLAIMS, sid: { a: 1 } }), 'bad_claims'],
    ['the typ of a logout token', jwt(CLAIMS, { typ: 'logout+jwt' }), 'wrong_type'],
    ['the typ of a security event token', jwt(CLAIMS, { typ: 'secevent+jwt' }), 'wrong_type'],
    ['a claim named twice', jwt(`{"sub":"admin",${JSON.stringify(CLAIMS).slice(1)}`), 'malformed'],
    ['a header named twice', jwt(CLAIMS, '{"alg":"RS256","typ":"at+jwt","kid":"r1","typ":"at+jwt"}'), 'malformed'],
    ['a typ that is a list', jwt(CLAIMS, { typ: ['at+jwt'] }), 'wrong_type'],
    ['an issuer that is a list', jwt({ ...CLAIMS, iss: [ISSUER] }), 'unknown_issuer'],
    [
      'a subject that is not UTF-8',
      jwt(Buffer.from(JSON.stringify({ ...CLAIMS, sub: '\xff' }), 'latin1')),
      'malformed',
    ],
    ['claims of 65 levels', jwt({ ...CLAIMS, deep: JSON.parse(`${'['.repeat(64)}${']'.repeat(64)}`) }), 'malformed'],
    ['a payload that is a list', jwt([CLAIMS]), 'unknown_issuer'],
    ['a payload that is not JSON', jwt('no json'), 'unknown_issuer'],
    ['two parts', jwt(CLAIMS).split('.').slice(0, 2).join('.'), 'unknown_issuer'],
    ['four parts', `${jwt(CLAIMS)}.x`, 'unknown_issuer'],
    ['five parts, as encrypted ones have', `${jwt(CLAIMS)}.x.y`, 'unknown_issuer'],
  ])('with %s', async (_name, token, reason) => {
    expect(await check(await token)).toEqual(refused(reason));
  });

  // Real servers send these: they are no forgeries.
  test.each<[name: string, token: string, known: object]>([
    ['no subject', jwt(without('sub')), { subject: undefined, client: 'skill' }],
    ['an empty subject', jwt({ ...CLAIMS, sub: '' }), { subject: undefined, client: 'skill' }],
    ['a subject that is a number', jwt({ ...CLAIMS, sub: 1 }), { subject: '1' }],
    ['a grant that is empty', jwt({ ...CLAIMS, sid: '' }), { subject: 'user-1', grant: undefined }],
    ['no typ', jwt(CLAIMS, { typ: undefined }), { subject: 'user-1' }],
  ])('but not with %s', async (_name, token, known) => {
    expect(await check(token)).toMatchObject({ status: 'verified', token: known });
  });

  test('with a signature by ES256 of r = s = 0', async () => {
    const verifyEc = verifierOf([{ issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [await jwkOf(ec.publicKey)] } }]);
    const input = `${encode({ alg: 'ES256', typ: 'at+jwt' })}.${encode(CLAIMS)}`;
    const zero = `${input}.${Buffer.alloc(64).toString('base64url')}`;
    expect(await verifyEc(zero, { timeoutMs: 1 })).toEqual(refused('bad_signature'));
  });
});

describe('the kind of a JWT', () => {
  const BARE = { iss: ISSUER, aud: AUDIENCE, sub: 'user-1', exp: NOW_S + 3600 };
  const judged = (claims: object, header: object = {}, row: object = {}) =>
    verifierOf([{ issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [rsaJwk] }, ...row }])(
      jwt({ ...BARE, ...claims }, { typ: 'JWT', ...header }),
      { timeoutMs: 1 },
    );
  const accepted = { status: 'verified' };

  test.each<[name: string, claims: object, header?: object]>([
    ['the header at+jwt', { nonce: 'n', at_hash: 'h' }, { typ: 'at+jwt' }],
    ['the claim typ, in any case', { typ: 'BEARER', nonce: 'n' }],
    ['token_use', { token_use: 'access', at_hash: 'h' }],
    ['tokenType', { tokenType: 'access-token', nonce: 'n' }],
    ['stt', { stt: 1 }],
    ['tt', { tt: 0 }],
    ['a jti of Okta', { jti: 'AT.x' }],
    ['a scope', { scope: 'a' }],
    ['scp', { scp: ['a'] }],
    ['client_id', { client_id: 'spk' }],
    ['cid', { cid: 'spk' }],
    ['appid', { appid: 'spk' }],
    ['azp and roles', { azp: 'spk', roles: ['a'] }],
    ['azp and gty', { azp: 'spk', gty: 'password' }],
    ['marks beside negative ones that say nothing', { scope: 'a', nonce: '', at_hash: null }],
  ])('is an access token by %s', async (_name, claims, header) => {
    expect(await judged(claims, header)).toMatchObject(accepted);
  });

  test.each<[name: string, claims: object, reason: string, header?: object]>([
    ['nothing', {}, 'unmarked'],
    ['azp alone', { azp: 'spk' }, 'unmarked'],
    ['roles alone', { roles: ['a'] }, 'unmarked'],
    ['marks that say nothing', { scope: '', scp: [], client_id: null }, 'unmarked'],
    ['nonce', { nonce: 'n', scope: 'a' }, 'id_token'],
    ['at_hash', { at_hash: 'h', scope: 'a' }, 'id_token'],
    ['c_hash', { c_hash: 'h', scope: 'a' }, 'id_token'],
    ['s_hash', { s_hash: 'h', scope: 'a' }, 'id_token'],
    ['events', { events: { a: {} }, scope: 'a' }, 'wrong_type'],
    ['events, though the header says at+jwt', { events: { a: {} } }, 'wrong_type', { typ: 'at+jwt' }],
    ['typ ID', { typ: 'ID', scope: 'a' }, 'wrong_type'],
    ['typ ID, though the header says at+jwt', { typ: 'ID' }, 'wrong_type', { typ: 'at+jwt' }],
    ['typ Refresh', { typ: 'Refresh', scope: 'a' }, 'refresh_token'],
    ['typ Offline', { typ: 'Offline', scope: 'a' }, 'refresh_token'],
    ['token_use id', { token_use: 'id', scope: 'a' }, 'wrong_type'],
    ['one of two marks', { tokenType: 'access-token', TokenType: 'refresh-token' }, 'refresh_token'],
    ['stt 0', { stt: 0, scope: 'a' }, 'wrong_type'],
    ['tt 1', { tt: 1, scope: 'a' }, 'refresh_token'],
    ['a jti of Okta for an ID token', { jti: 'ID.x', scope: 'a' }, 'wrong_type'],
    ['the header of a DPoP proof', { scope: 'a' }, 'wrong_type', { typ: 'dpop+jwt' }],
    ['the header of a refresh token', { scope: 'a' }, 'refresh_token', { typ: 'oi_reft+jwt' }],
  ])('is another by %s', async (_name, claims, reason, header) => {
    expect(await judged(claims, header)).toEqual(refused(reason));
  });

  test('is an access token with what its row requires, and without what it forbids', async () => {
    expect(await judged({ ext: { a: 1 } }, {}, { require: ['ext.a'] })).toMatchObject(accepted);
    expect(await judged({ scope: 'a' }, {}, { require: ['ext.a'] })).toEqual(refused('row_rule'));
    expect(await judged({}, {}, { forbid: ['azp', 'sid'] })).toMatchObject(accepted);
    expect(await judged({ sid: 's', scope: 'a' }, {}, { forbid: ['azp', 'sid'] })).toEqual(refused('row_rule'));
    expect(await judged({ sid: 's' }, { typ: 'at+jwt' }, { forbid: ['sid'] })).toEqual(refused('row_rule'));
    expect(await judged({ nonce: 'n' }, {}, { forbid: ['sid'] })).toEqual(refused('id_token'));
    expect(await judged({ scope: 'a', jti: 'AT-1' }, {}, { jti: '^AT-' })).toMatchObject(accepted);
    expect(await judged({ scope: 'a', jti: 'RT-1' }, {}, { jti: '^AT-' })).toEqual(refused('row_rule'));
    expect(await judged({ scope: 'a' }, {}, { jti: '^AT-' })).toEqual(refused('row_rule'));
  });

  test('is an access token though it is an ID token, where the row says so, and never another kind', async () => {
    const row = { id_tokens_too: true };

    expect(await judged({ nonce: 'n', at_hash: 'h' }, {}, row)).toMatchObject(accepted);
    expect(await judged({ nonce: 'n' })).toEqual(refused('id_token'));
    expect(await judged({ events: { a: {} } }, {}, row)).toEqual(refused('wrong_type'));
    expect(await judged({ typ: 'Refresh' }, {}, row)).toEqual(refused('refresh_token'));
  });

  test('is told where tokens name no audience, for the clients of the row alone', async () => {
    const row = { audience: 'none', clients: ['spk'] };

    expect(await judged({ aud: undefined, client_id: 'spk' }, {}, row)).toMatchObject(accepted);
    expect(await judged({ aud: undefined, client_id: 'tv' }, {}, row)).toEqual(refused('wrong_client'));
  });

  test('is told by members that say something alone', async () => {
    const silent = { nonce: null, at_hash: '', scope: [], azp: [], typ: null, nbf: null };

    expect(await judged({ ...silent, client_id: 'spk' })).toMatchObject({
      ...accepted,
      token: { client: 'spk', claims: { ...BARE, client_id: 'spk' } },
    });
  });

  test('is a refresh token only to who asks for one', async () => {
    const verifyBoth = verifierOf([{ issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [rsaJwk] } }]);
    const token = jwt({ ...BARE, aud: ISSUER, typ: 'Refresh', client_id: 'skill' }, { typ: 'JWT' });
    const asking = { timeoutMs: 1, refreshTokens: { hint: undefined } };

    expect(await verifyBoth(token, asking)).toMatchObject({ status: 'refresh', token: { client: 'skill' } });
    expect(await verifyBoth(token, { timeoutMs: 1 })).toEqual(refused('refresh_token'));
  });
});

describe('a JWT that has verified before', () => {
  let nowMs = NOW_S * 1000;
  beforeEach(() => {
    nowMs = NOW_S * 1000;
  });
  const onClock = () =>
    verifierOf([{ issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [rsaJwk] } }], { now: () => nowMs });

  test('is remembered, and says the same', async () => {
    const again = onClock();
    const token = jwt(CLAIMS);
    const first = await again(token, { timeoutMs: 1 });
    expect(await again(token, { timeoutMs: 1 })).toBe(first);
  });

  test('is refused when it has expired since', async () => {
    const again = onClock();
    const token = jwt({ ...CLAIMS, exp: NOW_S + 10 });
    expect(await again(token, { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
    nowMs += 69_000;
    expect(await again(token, { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
    nowMs += 1000;
    expect(await again(token, { timeoutMs: 1 })).toEqual(refused('expired'));
  });

  test.each([
    ['that has expired', { ...CLAIMS, exp: NOW_S - 3600 }, 'expired'],
    ['that is not valid yet', { ...CLAIMS, nbf: NOW_S + 3600 }, 'not_yet_valid'],
  ])('at an unlink, though it is one %s, is refused elsewhere', async (_name, claims, reason) => {
    const again = onClock();
    const token = jwt(claims);
    expect(await again(token, { timeoutMs: 1, atAnyTime: true })).toMatchObject({ status: 'verified' });
    expect(await again(token, { timeoutMs: 1 })).toEqual(refused(reason));
  });

  test('lends nothing to the same claims with another signature', async () => {
    const again = onClock();
    expect(await again(jwt(CLAIMS), { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
    expect(await again(jwt(CLAIMS, {}, otherRsa.privateKey), { timeoutMs: 1 })).toEqual(refused('bad_signature'));
  });

  test('verifies anew after a thousand others', async () => {
    const secret = 's'.repeat(32);
    const hmac = verifierOf([{ issuer: ISSUER, audience: AUDIENCE, secret }]);
    const sign = (sub: string) =>
      new SignJWT({ ...CLAIMS, sub }).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(Buffer.from(secret));
    const token = await sign('user-1');
    const first = await hmac(token, { timeoutMs: 1 });
    for (let index = 0; index < 1000; index += 1) await hmac(await sign(`user-1-${index}`), { timeoutMs: 1 });
    const anew = await hmac(token, { timeoutMs: 1 });
    expect(anew).toEqual(first);
    expect(anew).not.toBe(first);
  });
});

describe('the keys of an issuer', () => {
  const es256 = () => new SignJWT(CLAIMS).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt' }).sign(ec.privateKey);
  const eddsa = () => new SignJWT(CLAIMS).setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt' }).sign(ed.privateKey);
  const withKeys = (keys: unknown[], more: object = {}) =>
    verifierOf([{ issuer: ISSUER, audience: AUDIENCE, jwks: { keys }, ...more }]);

  test('may be of several kinds', async () => {
    const both = withKeys([await jwkOf(ec.publicKey), await jwkOf(ed.publicKey)]);
    expect(await both(await es256(), { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
    expect(await both(await eddsa(), { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
  });

  test('are used with the algorithms that are allowed, and no others', async () => {
    const only = withKeys([await jwkOf(ec.publicKey), rsaJwk], { algorithms: ['RS256'] });
    expect(await only(await es256(), { timeoutMs: 1 })).toEqual(refused('algorithm_not_allowed'));
    expect(await only(jwt(CLAIMS), { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
  });

  test.each<[name: string, keys: () => Promise<unknown[]>, header?: object]>([
    ['an RSA key of 1024 bits', async () => [await jwkOf(weakRsa.publicKey, { kid: 'r1' })]],
    ['a symmetric key', async () => [{ kty: 'oct', k: encode('x'.repeat(32)), kid: 'r1' }]],
    ['an EC key for RS256', async () => [await jwkOf(ec.publicKey, { kid: 'r1' })]],
    ['no key at all', async () => []],
    ['a key that is none', async () => [{ kty: 'RSA', kid: 'r1' }]],
  ])('%s verifies nothing', async (_name, keys, header) => {
    const key = _name.includes('1024') ? weakRsa.privateKey : rsa.privateKey;
    expect(await withKeys(await keys())(jwt(CLAIMS, header, key), { timeoutMs: 1 })).toEqual(refused('unusable_key'));
  });

  const keySet = async (kids: string[], ours: number) =>
    Promise.all(
      kids.map(async (kid, index) => jwkOf((index === ours ? rsa : otherRsa).publicKey, { kid, alg: 'RS256' })),
    );
  const kidsOf = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`);

  test.each<[name: string, keys: () => Promise<unknown[]>, header: object]>([
    ['one key id twice, the first ours', () => keySet(['r1', 'r1'], 0), {}],
    ['one key id twice, the second ours', () => keySet(['r1', 'r1'], 1), {}],
    ['two keys and no key id, the first ours', () => keySet(['r1', 'r2'], 0), { kid: undefined }],
    ['two keys and no key id, the second ours', () => keySet(['r1', 'r2'], 1), { kid: undefined }],
    ['eight keys and no key id, the last ours', () => keySet(kidsOf(8), 7), { kid: undefined }],
    [
      'a key of 1024 bits before ours and no key id',
      async () => [await jwkOf(weakRsa.publicKey, { kid: 'weak' }), rsaJwk],
      { kid: undefined },
    ],
    [
      'a key that is none before ours and no key id',
      async () => [{ kty: 'RSA', kid: 'none' }, rsaJwk],
      { kid: undefined },
    ],
  ])('%s: each is tried', async (_name, keys, header) => {
    expect(await withKeys(await keys())(jwt(CLAIMS, header), { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
  });

  test.each<[name: string, keys: () => Promise<unknown[]>, header: object]>([
    ['two keys of one id, neither ours', () => keySet(['r1', 'r1'], -1), {}],
    ['two keys and no key id, neither ours', () => keySet(['r1', 'r2'], -1), { kid: undefined }],
    ['nine keys and no key id, the ninth ours', () => keySet(kidsOf(9), 8), { kid: undefined }],
  ])('%s: the token is refused', async (_name, keys, header) => {
    expect(await withKeys(await keys())(jwt(CLAIMS, header), { timeoutMs: 1 })).toEqual(refused('bad_signature'));
  });

  test('a shared secret verifies HMAC of every length', async () => {
    const secret = 's'.repeat(32);
    const verifyHmac = verifierOf([{ issuer: ISSUER, audience: AUDIENCE, secret }]);
    for (const alg of ['HS256', 'HS384', 'HS512', 'HS256']) {
      const token = new SignJWT(CLAIMS).setProtectedHeader({ alg, typ: 'JWT' }).sign(Buffer.from(secret));
      expect(await verifyHmac(await token, { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
    }
  });

  test('a shared secret verifies HMAC and nothing else', async () => {
    const secret = 's'.repeat(32);
    const verifyHmac = verifierOf([{ issuer: ISSUER, audience: AUDIENCE, secret }]);
    const good = new SignJWT(CLAIMS).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(Buffer.from(secret));
    const bad = new SignJWT(CLAIMS).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(Buffer.from('x'.repeat(32)));
    expect(await verifyHmac(await good, { timeoutMs: 1 })).toMatchObject({ status: 'verified' });
    expect(await verifyHmac(await bad, { timeoutMs: 1 })).toEqual(refused('bad_signature'));
    expect(await verifyHmac(jwt(CLAIMS), { timeoutMs: 1 })).toEqual(refused('algorithm_not_allowed'));
  });
});

describe('keys at a jwks_uri', () => {
  let keys: unknown;
  let status: number;
  let fetches: number;
  let nowMs: number;
  let remote: ReturnType<typeof createAccessTokenVerifier>;

  beforeEach(async () => {
    keys = [rsaJwk];
    status = 200;
    fetches = 0;
    nowMs = NOW_S * 1000;
    const url = await startHttpServer((_request, response) => {
      fetches += 1;
      response.statusCode = status;
      response.end(JSON.stringify({ keys }));
    });
    remote = verifierOf([{ issuer: ISSUER, audience: AUDIENCE, jwks_uri: `${url}/jwks` }], { now: () => nowMs });
  });

  const ask = (token: string) => remote(token, { timeoutMs: 5000 });
  const unknownKey = () => jwt(CLAIMS, { kid: 'new' }, otherRsa.privateKey);

  test('are fetched once and kept', async () => {
    for (let index = 0; index < 3; index += 1) expect(await ask(jwt(CLAIMS))).toMatchObject({ status: 'verified' });
    expect(fetches).toBe(1);
  });

  test('are fetched again for an unknown key id, at most once in 30 seconds', async () => {
    await ask(jwt(CLAIMS));
    for (let index = 0; index < 5; index += 1) expect(await ask(unknownKey())).toEqual(refused('unusable_key'));
    expect(fetches).toBe(1);

    nowMs += 30_000;
    keys = [rsaJwk, await jwkOf(otherRsa.publicKey, { kid: 'new' })];
    expect(await ask(unknownKey())).toMatchObject({ status: 'verified' });
    for (let index = 0; index < 5; index += 1) await ask(jwt(CLAIMS, { kid: 'another' }));
    expect(fetches).toBe(2);
  });

  test('are forgotten when the issuer withdrew them, and what verified with them too', async () => {
    const token = jwt(CLAIMS);
    await ask(token);
    keys = [await jwkOf(otherRsa.publicKey, { kid: 'new' })];
    nowMs += 600_001;
    expect(await ask(token)).toEqual(refused('unusable_key'));
  });

  test('that cannot be had anew make a token with an unknown key a failure, never a refusal', async () => {
    await ask(jwt(CLAIMS));
    status = 503;
    nowMs += 30_001;
    const failure = { code: 'temporarily_unavailable' };
    await expect(ask(unknownKey())).rejects.toMatchObject(failure);
    await expect(ask(unknownKey())).rejects.toMatchObject(failure);
    expect(await ask(jwt(CLAIMS))).toMatchObject({ status: 'verified' });
  });

  test('are not asked for again within 30 seconds at an unlink either: a made-up key id is refused', async () => {
    await ask(jwt(CLAIMS));
    const late = remote(unknownKey(), { timeoutMs: 5000, atAnyTime: true });
    expect(await late).toEqual(refused('unusable_key'));
    expect(fetches).toBe(1);
  });

  test('that are none among others do not take them along', async () => {
    keys = [null, 'x', 1, rsaJwk];
    expect(await ask(jwt(CLAIMS))).toMatchObject({ status: 'verified' });
  });

  test('are fetched once by calls that need them at once', async () => {
    await Promise.all(Array.from({ length: 5 }, () => ask(jwt(CLAIMS))));
    expect(fetches).toBe(1);
  });

  test('are forgotten when they could not be had anew for a day', async () => {
    await ask(jwt(CLAIMS));
    status = 503;
    nowMs += 86_400_001;
    await expect(ask(jwt(CLAIMS))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('at hand go on serving when they cannot be had anew', async () => {
    await ask(jwt(CLAIMS));
    status = 503;
    nowMs += 600_001;
    expect(await ask(jwt(CLAIMS))).toMatchObject({ status: 'verified' });
  });

  test.each<[name: string, answer: () => void]>([
    [
      'an error',
      () => {
        status = 500;
      },
    ],
    [
      'no list',
      () => {
        keys = 'x';
      },
    ],
    [
      'a thousand keys',
      () => {
        keys = Array.from({ length: 1000 }, () => rsaJwk);
      },
    ],
    [
      '5 MB',
      () => {
        keys = ['x'.repeat(5_000_000)];
      },
    ],
  ])('that cannot be had are a failure, never a refusal: %s', async (_name, answer) => {
    answer();
    await expect(ask(jwt(CLAIMS))).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });
});

describe('at any time, as an unlink asks', () => {
  test.each([
    ['an expired JWT verifies', { ...CLAIMS, exp: NOW_S - 1_000_000 }],
    ['one that is not valid yet does', { ...CLAIMS, nbf: NOW_S + 1_000_000 }],
  ])('%s', async (_name, claims) => {
    expect(await check(jwt(claims), true)).toMatchObject({ status: 'verified' });
  });

  test.each<[name: string, token: string, reason: string]>([
    ['a bad signature', jwt(CLAIMS, {}, otherRsa.privateKey), 'bad_signature'],
    ['a foreign issuer', jwt({ ...CLAIMS, iss: 'https://evil.example' }), 'unknown_issuer'],
    ['another audience', jwt({ ...CLAIMS, aud: 'https://other.example' }), 'wrong_audience'],
    ['no expiry', jwt(without('exp')), 'bad_claims'],
  ])('%s is refused all the same', async (_name, token, reason) => {
    expect(await check(token, true)).toEqual(refused(reason));
  });
});

describe('introspection (RFC 7662)', () => {
  let answer: Record<string, unknown> | string;
  let status: number;
  let requests: { authorization: string | undefined; body: string }[];
  let nowMs: number;
  let opaque: ReturnType<typeof createAccessTokenVerifier>;

  beforeEach(async () => {
    answer = {
      active: true,
      token_type: 'Bearer',
      aud: AUDIENCE,
      sub: 'user-1',
      client_id: 'skill',
      iat: NOW_S - 10,
      exp: NOW_S + 3600,
      sid: 'grant-1',
    };
    status = 200;
    requests = [];
    nowMs = NOW_S * 1000;
    const url = await startHttpServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      requests.push({ authorization: request.headers.authorization, body: Buffer.concat(chunks).toString() });
      response.statusCode = status;
      response.end(typeof answer === 'string' ? answer : JSON.stringify(answer));
    });
    const introspection = { endpoint: `${url}/introspect`, client_id: 'us', client_secret: 'se:cret+' };
    opaque = verifierOf([{ issuer: ISSUER, audience: AUDIENCE, introspection }], { now: () => nowMs });
  });

  const ask = (token = 'opaque&token') => opaque(token, { timeoutMs: 5000 });

  test('the issuer is asked, as a client that authenticates, with the token in the body', async () => {
    expect(await ask()).toMatchObject({
      status: 'verified',
      token: {
        issuer: ISSUER,
        subject: 'user-1',
        client: 'skill',
        grant: { claim: 'sid', value: 'grant-1' },
        issuedAt: NOW_S - 10,
      },
    });
    expect(requests).toEqual([
      {
        authorization: `Basic ${Buffer.from('us:se%3Acret%2B').toString('base64')}`,
        body: 'token=opaque%26token&token_type_hint=access_token',
      },
    ]);
  });

  test.each<[name: string, more: object, verification: object]>([
    ['active false', { active: false }, { status: 'inactive' }],
    ['an expiry in the past', { exp: NOW_S - 60 }, { status: 'inactive' }],
    ['an expiry inside the skew', { exp: NOW_S - 59 }, { status: 'verified' }],
    ['another issuer', { iss: 'https://evil.example' }, refused('unknown_issuer')],
    ['another audience', { aud: ['https://other.example'] }, refused('wrong_audience')],
    ['a subject that is a number', { sub: 7 }, { status: 'verified', token: { subject: '7' } }],
    [
      'neither subject nor client',
      { sub: undefined, client_id: undefined },
      { status: 'verified', token: { subject: undefined, client: undefined } },
    ],
    ['no audience, where one is asked for', { aud: undefined }, refused('wrong_audience')],
    ['the type of a refresh token', { token_type: 'refresh_token' }, refused('refresh_token')],
    ['no type', { token_type: undefined }, refused('unmarked')],
    ['the type Bearer', { token_type: 'bearer' }, { status: 'verified' }],
    ['our audience', { aud: [AUDIENCE] }, { status: 'verified' }],
    ['the client alone', { sub: undefined }, { status: 'verified', token: { subject: undefined, client: 'skill' } }],
  ])('an answer with %s', async (_name, more, verification) => {
    answer = { ...(answer as object), ...more };
    expect(await ask()).toMatchObject(verification);
  });

  test.each<[name: string, set: () => void]>([
    [
      '401',
      () => {
        status = 401;
      },
    ],
    [
      '500',
      () => {
        status = 500;
      },
    ],
    [
      'no JSON',
      () => {
        answer = '<html>';
      },
    ],
    [
      'a JSON list',
      () => {
        answer = '[]';
      },
    ],
  ])('an answer that cannot be used is a failure, never a refusal: %s', async (_name, set) => {
    set();
    await expect(ask()).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('a server that does not introspect this kind of token says that it is nothing of its own', async () => {
    status = 400;
    answer = { error: 'unsupported_token_type' };
    expect(await ask()).toEqual({ status: 'inactive' });
  });

  test.each<[name: string, given: object]>([
    ['active as text', { active: 'true' }],
    ['active as a number', { active: 1 }],
    ['no active', { active: undefined }],
  ])('an answer that does not say whether the token is active is a failure too: %s', async (_name, given) => {
    answer = { ...(answer as object), ...given };
    await expect(ask()).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('so is a 400 that is about us and not about the token', async () => {
    status = 400;
    answer = { error: 'invalid_client' };
    await expect(ask()).rejects.toMatchObject({ code: 'temporarily_unavailable' });
  });

  test('at an unlink a token that its issuer calls active is one, whatever its expiry', async () => {
    answer = { ...(answer as object), exp: NOW_S - 1000 };
    expect(await opaque('late', { timeoutMs: 5000, atAnyTime: true })).toMatchObject({ status: 'verified' });
  });

  test('"active" is believed for 30 seconds, or until the token expires', async () => {
    await ask();
    nowMs += 29_999;
    await ask();
    expect(requests).toHaveLength(1);
    nowMs += 1;
    await ask();
    expect(requests).toHaveLength(2);

    answer = { ...(answer as object), exp: nowMs / 1000 + 5 };
    await ask('short-lived');
    nowMs += 5000;
    const before = requests.length;
    await ask('short-lived');
    expect(requests).toHaveLength(before + 1);
  });

  test('"not active" is not kept', async () => {
    answer = { active: false };
    await ask();
    await ask();
    expect(requests).toHaveLength(2);
  });

  test('a JWT of another issuer is shown to nobody', async () => {
    expect(await ask(jwt({ ...CLAIMS, iss: 'https://evil.example' }))).toEqual(refused('unknown_issuer'));
    expect(requests).toEqual([]);
  });

  test.each([
    ['no issuer', without('iss')],
    ['an empty issuer', { ...CLAIMS, iss: '' }],
    ['an issuer that is null', { ...CLAIMS, iss: null }],
  ])('a JWT with %s is, as an opaque token', async (_name, claims) => {
    expect(await ask(jwt(claims, { typ: 'JWT' }))).toMatchObject({ status: 'verified', token: { issuer: ISSUER } });
    expect(requests).toHaveLength(1);
  });

  test('a JWT of this issuer is, since there are no keys for it', async () => {
    expect(await ask(jwt(CLAIMS))).toMatchObject({ status: 'verified' });
  });
});

test('acceptance never widens by a mark of another kind, or without a claim that a token must have', async () => {
  const access = { ...CLAIMS, typ: 'Bearer' };
  const others = [{ events: { a: {} } }, { token_use: 'id' }, { tokenType: 'refresh-token' }, { stt: 2 }, { tt: 1 }];
  for (const mark of [...others, { aud: undefined }, { exp: undefined }]) {
    expect(await check(jwt({ ...access, ...mark }))).toMatchObject({ status: 'refused' });
  }
});

describe('several issuers', () => {
  test.each([
    ['first', true],
    ['last', false],
  ])('one that calls a token inactive, asked %s, says more than one that refuses it', async (_name, isFirst) => {
    const server = (answer: object) => startHttpServer((_request, response) => response.end(JSON.stringify(answer)));
    const row = async (issuer: string, answer: object) => ({
      issuer,
      introspection: { endpoint: await server(answer), client_id: 'us', client_secret: 's' },
    });
    const inactive = await row('https://one.example', { active: false });
    const refusing = await row('https://two.example', { active: true, iss: 'https://other.example' });
    const verifyBoth = verifierOf(isFirst ? [inactive, refusing] : [refusing, inactive]);
    expect(await verifyBoth('opaque', { timeoutMs: 5000 })).toEqual({ status: 'inactive' });
  });

  test('one that knows a token is the last that is asked about it', async () => {
    const asked: string[] = [];
    const answers: Record<string, object> = {
      one: { active: false },
      two: { active: true, token_type: 'Bearer', sub: 'user-1' },
    };
    const ISSUERS = ['one', 'two', 'three'].map((name) => ({
      issuer: `https://${name}.example`,
      introspection: { endpoint: `https://${name}.example/i`, client_id: 'us', client_secret: 's' },
    }));
    const verifyAll = createAccessTokenVerifier(
      { ISSUERS },
      {
        async send({ url }) {
          const name = new URL(url).host.replace('.example', '');
          asked.push(name);
          return { status: 200, headers: {}, body: Buffer.from(JSON.stringify(answers[name] ?? {})) };
        },
      },
    );
    expect(await verifyAll('opaque', { timeoutMs: 1 })).toMatchObject({ token: { issuer: 'https://two.example' } });
    expect(asked).toEqual(['one', 'two']);
  });

  test('each verifies its own tokens, by its own keys', async () => {
    const second = 'https://second.example';
    const verifyBoth = verifierOf([
      { issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [rsaJwk] } },
      { issuer: second, audience: AUDIENCE, jwks: { keys: [await jwkOf(otherRsa.publicKey, { kid: 'r1' })] } },
    ]);
    const ofSecond = { ...CLAIMS, iss: second };
    expect(await verifyBoth(jwt(ofSecond, {}, otherRsa.privateKey), { timeoutMs: 1 })).toMatchObject({
      token: { issuer: second },
    });
    expect(await verifyBoth(jwt(ofSecond), { timeoutMs: 1 })).toEqual(refused('bad_signature'));
  });
});

describe('the settings', () => {
  const row = { issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [rsaJwk] } };
  const introspection = { endpoint: 'https://auth.example/i', client_id: 'a', client_secret: 'b' };

  test.each<[name: string, issuers: unknown]>([
    ['not JSON', '{'],
    ['no list', row],
    ['an empty list', []],
    ['one issuer twice', [row, row]],
    ['no way to verify', [{ issuer: ISSUER, audience: AUDIENCE }]],
    ['two kinds of keys', [{ ...row, secret: 'x'.repeat(32) }]],
    ['keys without an audience', [{ issuer: ISSUER, jwks: { keys: [rsaJwk] } }]],
    ['a short secret', [{ issuer: ISSUER, audience: AUDIENCE, secret: 'x'.repeat(31) }]],
    ['the algorithm none', [{ ...row, algorithms: ['none'] }]],
    ['an HMAC algorithm with public keys', [{ ...row, algorithms: ['HS256'] }]],
    [
      'a public-key algorithm with a secret',
      [{ issuer: ISSUER, audience: AUDIENCE, secret: 'x'.repeat(32), algorithms: ['RS256'] }],
    ],
    ['keys fetched without TLS', [{ issuer: ISSUER, audience: AUDIENCE, jwks_uri: 'http://auth.example/jwks' }]],
    [
      'introspection without TLS',
      [{ issuer: ISSUER, introspection: { ...introspection, endpoint: 'http://auth.example/i' } }],
    ],
    ['introspection without a secret', [{ issuer: ISSUER, introspection: { ...introspection, client_secret: '' } }]],
    ['a member that does not exist', [{ ...row, audiense: 'x' }]],
  ])('%s is refused by the name of the variable, without its value', (_name, issuers) => {
    const text = typeof issuers === 'string' ? issuers : JSON.stringify(issuers);
    expect(() => settingsOf({ ISSUERS: text })).toThrow(/^ISSUERS must be JSON: a list of \{.*\}, each issuer once$/);
  });

  test('keys and introspection of one issuer may stand side by side', () => {
    const text = JSON.stringify([{ ...row, introspection }]);
    expect(settingsOf({ ISSUERS: text }).ISSUERS).toEqual(JSON.parse(text));
  });

  test.each<[name: string, settings: Record<string, string>]>([
    ['neither', {}],
    ['both', { ISSUERS: JSON.stringify([row]), UNVERIFIED_TOKENS: '1' }],
  ])('%s of ISSUERS and UNVERIFIED_TOKENS does not start', (_name, settings) => {
    expect(() => createAccessTokenVerifier(settingsOf(settings), { send })).toThrow(
      /^ISSUERS must be set, or UNVERIFIED_TOKENS=1/,
    );
  });

  test('with UNVERIFIED_TOKENS=1 nothing is said of a token', async () => {
    const unverified = createAccessTokenVerifier(settingsOf({ UNVERIFIED_TOKENS: '1' }), { send });
    expect(await unverified(jwt(CLAIMS), { timeoutMs: 1 })).toEqual({ status: 'unverified' });
  });
});
