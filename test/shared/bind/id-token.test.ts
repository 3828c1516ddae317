import { createHash, createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { exportJWK } from 'jose';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { FinishOutcome } from '#shared/bind/provider-client.ts';
import { CONTENT_CODINGS } from '#test/support/content-codings.ts';
import {
  ACCESS_TOKEN,
  CODE,
  createBinder,
  makeJwt,
  NOW_S,
  type OpenidProvider,
  RSA_JWK,
  RSA_PEM,
  startOpenidProvider,
} from '#test/support/openid-provider.ts';

const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const weakRsa = generateKeyPairSync('rsa', { modulusLength: 1024 });

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const failed = (error: string) => ({ status: 'failed', error, detail: expect.any(String) });
const hmac = (claims: object, secret: string) => {
  const input = `${encode({ alg: 'HS256', kid: 'r1' })}.${encode(claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
};
const halfHash = (text: string) => createHash('sha256').update(text).digest().subarray(0, 16).toString('base64url');

let provider: OpenidProvider;
let bind: (parameters?: Record<string, string>) => Promise<FinishOutcome>;

beforeEach(async () => {
  // The library reads the clock itself: what is to be within a second must not meet the next one.
  vi.useFakeTimers({ toFake: ['Date'] });
  provider = await startOpenidProvider();
  bind = createBinder(provider);
});
afterEach(() => void vi.useRealTimers());

const expectRefused = async (error = 'invalid_code') => expect(await bind()).toEqual(failed(error));
const expectKnown = async () => expect(await bind()).toMatchObject({ status: 'known', account: { sid: 'sub-1' } });

describe('an ID token is believed', () => {
  test('as it should be: its sub is the account', expectKnown);

  test.each<[string, Record<string, unknown>]>([
    ['oidcc-client-test-valid-aud-as-array', { aud: ['client-1'] }],
    ['J aud with others, azp our client', { aud: ['client-1', 'other'], azp: 'client-1' }],
    ['J exp just within the 60 s that clocks may differ', { exp: NOW_S - 59 }],
    ['J iat and nbf just within them', { iat: NOW_S + 59, nbf: NOW_S + 60 }],
    ['at_hash and c_hash that are right', { at_hash: halfHash(ACCESS_TOKEN), c_hash: halfHash(CODE) }],
  ])('%s', async (_title, claims) => {
    provider.claims = claims;

    await expectKnown();
  });

  test.each<[string, object]>([
    ['typ JWT', { typ: 'JWT' }],
    [
      'J jku, x5u, jwk and x5c of its header, none of which is looked at',
      { jku: 'http://127.0.0.1:9/', x5u: 'x', jwk: {}, x5c: ['x'] },
    ],
  ])('with %s', async (_title, header) => {
    provider.makeIdToken = (claims) => makeJwt(claims, header);

    await expectKnown();
    expect(provider.calls).toEqual(['openid-configuration', 'token', 'jwks']);
  });

  test('oidcc-client-test-kid-absent-single-jwks', async () => {
    provider.makeIdToken = (claims) => makeJwt(claims, { kid: undefined });

    await expectKnown();
  });

  test('J a key set that holds an oct key, one of another curve and one for encryption besides', async () => {
    const ecJwk = await exportJWK(ec.publicKey);
    const others = [
      { kty: 'oct', k: 'AAAA', kid: 'r1' },
      { ...ecJwk, kid: 'r1' },
      { ...RSA_JWK, use: 'enc' },
    ];
    provider.keys = [...others, RSA_JWK];

    await expectKnown();
  });
});

describe('an ID token is refused for its claims', () => {
  test.each<[string, Record<string, unknown>, string?]>([
    ['B28 oidcc-client-test-invalid-aud', { aud: 'other' }],
    ['J aud in another case', { aud: 'CLIENT-1' }],
    ['J aud empty', { aud: [] }],
    ['J aud a number', { aud: 1 }],
    ['oidcc-client-test-missing-aud', { aud: undefined }],
    ['oidcc-client-test-invalid-secondary-aud', { aud: ['client-1', 'other'] }],
    ['J azp another client', { aud: ['client-1', 'other'], azp: 'other' }],
    ['oidcc-client-test-invalid-iss', { iss: 'https://other.example' }, 'issuer_mismatch'],
    ['J iss a number', { iss: 1 }],
    ['oidcc-client-test-missing-iss', { iss: undefined }],
    ['B29 oidcc-client-test-nonce-invalid', { nonce: 'other' }, 'nonce_mismatch'],
    ['B29 oidcc-client-test-invalid-missing-nonce', { nonce: undefined }, 'nonce_mismatch'],
    ['J nonce null', { nonce: null }, 'nonce_mismatch'],
    ['oidcc-client-test-missing-sub', { sub: undefined }],
    ['J sub empty', { sub: '' }],
    ['J sub a number', { sub: 7 }],
    ['J sub of 300 characters', { sub: 's'.repeat(300) }, 'profile_unavailable'],
    ['J sub of 1 MB', { sub: 's'.repeat(1_000_000) }, 'provider_unavailable'],
    ['oidcc-client-test-invalid-missing-exp', { exp: undefined }],
    ['oidcc-client-test-invalid-expired-exp', { exp: NOW_S - 60 }],
    ['J exp a string', { exp: String(NOW_S + 300) }],
    ['J exp negative', { exp: -1 }],
    ['J nbf in the future', { nbf: NOW_S + 61 }],
    ['oidcc-client-test-missing-iat', { iat: undefined }],
    ['oidcc-client-test-idtoken-iat-is-week-in-past', { iat: NOW_S - 604_800 }],
    ['J iat in the future', { iat: NOW_S + 61 }],
    ['J iat a string', { iat: String(NOW_S) }],
    ['J at_hash of another token', { at_hash: halfHash('other') }],
    ['J c_hash of another code', { c_hash: halfHash('other') }],
  ])('%s', async (_title, claims, error) => {
    provider.claims = claims;

    await expectRefused(error);
  });

  test.each<[string, (json: string) => string | Buffer]>([
    ['J exp 1e400', (json) => json.replace(/"exp":\d+/, '"exp":1e400')],
    ['J a claim twice', (json) => json.replace('{', '{"sub":"sub-2",')],
    ['J a sub that is no UTF-8', (json) => Buffer.from(json.replace('sub-1', 'sub-\xff'), 'latin1')],
    ['J claims that are no object', () => '[]'],
    ['J claims that are no JSON', () => '{'],
    ['J claims nested 5,000 deep', (json) => json.replace('{', `{"deep":${'['.repeat(5000)}${']'.repeat(5000)},`)],
  ])('%s', async (_title, spoil) => {
    provider.makeIdToken = (claims) => makeJwt(spoil(JSON.stringify(claims)));

    await expectRefused();
  });
});

describe('an ID token is refused for its signature', () => {
  test.each<[string, (claims: Record<string, unknown>) => string]>([
    ['oidcc-client-test-idtoken-sig-none', (claims) => `${encode({ alg: 'none' })}.${encode(claims)}.`],
    ['J alg None', (claims) => makeJwt(claims, { alg: 'None' })],
    ['J alg nOnE', (claims) => makeJwt(claims, { alg: 'nOnE' })],
    ['J alg missing', (claims) => makeJwt(claims, { alg: undefined })],
    ['oidcc-client-test-invalid-null-alg', (claims) => makeJwt(claims, { alg: null })],
    ['J alg an array', (claims) => makeJwt(claims, { alg: ['RS256'] })],
    ['oidcc-client-test-invalid-sig-hs256', (claims) => hmac(claims, 'fake-secret')],
    ['J HS256 with the public key as its secret', (claims) => hmac(claims, RSA_PEM)],
    ['J HS256 with the JWK as its secret', (claims) => hmac(claims, JSON.stringify(RSA_JWK))],
    ['oidcc-client-test-invalid-alternate-alg', (claims) => makeJwt(claims, { alg: 'PS256' })],
    ['oidcc-client-test-invalid-sig-es256', (claims) => makeJwt(claims, { alg: 'ES256', kid: 'e1' })],
    [
      'J ES256 with r = s = 0',
      (claims) => `${encode({ alg: 'ES256', kid: 'e1' })}.${encode(claims)}.${'A'.repeat(86)}`,
    ],
    ['oidcc-client-test-invalid-sig-rs256', (claims) => makeJwt(claims, {}, otherRsa.privateKey)],
    ['oidcc-client-test-invalid-signature', (claims) => `${makeJwt(claims).slice(0, -4)}AAAA`],
    ['J an unknown crit', (claims) => makeJwt(claims, { crit: ['x'], x: 1 })],
    ['J b64 false', (claims) => makeJwt(claims, { crit: ['b64'], b64: false })],
    ['J kid ../../x', (claims) => makeJwt(claims, { kid: '../../x' })],
    ["J kid ' OR 1=1--", (claims) => makeJwt(claims, { kid: "' OR 1=1--" })],
    ['J kid of 10 KB', (claims) => makeJwt(claims, { kid: 'k'.repeat(10_240) })],
    ['J typ at+jwt', (claims) => makeJwt(claims, { typ: 'at+jwt' })],
    ['J typ logout+jwt', (claims) => makeJwt(claims, { typ: 'logout+jwt' })],
    ['J typ a number', (claims) => makeJwt(claims, { typ: 1 })],
    ['J a header with a name twice', (claims) => makeJwt(claims, '{"alg":"RS256","kid":"r1","kid":"r1"}')],
    ['J 2 segments', (claims) => makeJwt(claims).split('.').slice(0, 2).join('.')],
    ['J 4 segments', (claims) => `${makeJwt(claims)}.x`],
    ['J 5 segments, as of a JWE', (claims) => `${makeJwt(claims)}.x.y`],
    ['J more than 16 KB', (claims) => makeJwt({ ...claims, x: 'x'.repeat(17_000) })],
  ])('%s', async (_title, makeIdToken) => {
    provider.keys = [RSA_JWK, { ...(await exportJWK(ec.publicKey)), kid: 'e1' }];
    provider.makeIdToken = makeIdToken;

    await expectRefused();
    expect(provider.calls.filter((call) => call === 'jwks').length).toBeLessThanOrEqual(1);
  });

  test('J alg that is on no list of ours, though the provider and the library know it', async () => {
    provider.metadata = { ...provider.metadata, id_token_signing_alg_values_supported: ['ML-DSA-44'] };
    provider.makeIdToken = (claims) => makeJwt(claims, { alg: 'ML-DSA-44' });

    await expectRefused();
    expect(provider.calls).not.toContain('jwks');
  });

  test.each<[string, () => Promise<object[]>]>([
    ['oidcc-client-test-kid-absent-multiple-jwks', async () => [RSA_JWK, { ...RSA_JWK, kid: 'r2' }]],
    ['J a key of 1024 bits', async () => [{ ...(await exportJWK(weakRsa.publicKey)) }]],
    ['J no key', async () => []],
    ['J a private key', async () => [await exportJWK(otherRsa.privateKey)]],
    ['J an EC key named RS256', async () => [{ ...(await exportJWK(ec.publicKey)), alg: 'RS256' }]],
    ['J two keys of one kid', async () => [RSA_JWK, { ...RSA_JWK }]],
    ['J a key without its modulus', async () => [{ kty: 'RSA', e: 'AQAB' }]],
  ])('%s', async (title, makeKeys) => {
    provider.keys = await makeKeys();
    const signers: Record<string, KeyObject> = {
      'J a key of 1024 bits': weakRsa.privateKey,
      'J a private key': otherRsa.privateKey,
    };
    provider.makeIdToken = (claims) => makeJwt(claims, { kid: undefined }, signers[title]);

    await expectRefused();
  });
});

describe('keys', () => {
  test('are asked for once and kept', async () => {
    await bind();
    await expectKnown();

    expect(provider.calls.filter((call) => call === 'jwks')).toHaveLength(1);
  });

  test.each(CONTENT_CODINGS)(
    'are understood in a content coding that nobody asked for: %s',
    async (_name, coding, encode) => {
      provider.answers.jwks = (_request, response) =>
        response
          .writeHead(200, { 'Content-Type': 'application/json', 'Content-Encoding': coding })
          .end(encode(Buffer.from(JSON.stringify({ keys: [RSA_JWK] }))));

      await expectKnown();
    },
  );

  test('are asked for again after a minute when one is not among them, and not before', async () => {
    let nowS = NOW_S;
    bind = createBinder(provider, {}, () => nowS * 1000);
    await bind();
    const jwk = { ...(await exportJWK(otherRsa.publicKey)), kid: 'new' };
    provider.keys = [jwk];
    provider.makeIdToken = (claims) => makeJwt(claims, { kid: 'new' }, otherRsa.privateKey);

    nowS += 30;
    await expectRefused();
    nowS += 30;
    await expectKnown();

    expect(provider.calls.filter((call) => call === 'jwks')).toHaveLength(2);
  });

  test('are asked for again after five minutes, so that one that was withdrawn is forgotten', async () => {
    let nowS = NOW_S;
    bind = createBinder(provider, {}, () => nowS * 1000);
    await bind();
    provider.keys = [{ ...(await exportJWK(otherRsa.publicKey)), kid: 'r1' }];
    provider.claims = { iat: NOW_S + 300, exp: NOW_S + 600 };

    nowS += 300;

    await expectRefused();
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['status 500', (response) => response.writeHead(500).end()],
    ['a redirect', (response) => response.writeHead(302, { Location: '/elsewhere' }).end()],
    ['5 MB', (response) => response.end(`{"keys":["${'x'.repeat(5_000_000)}"]}`)],
    ['HTML', (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>')],
    ['a connection that is cut', (response) => response.destroy()],
  ])('that cannot be had are the provider not being there: %s', async (_title, answer) => {
    provider.answers.jwks = (_request, response) => answer(response);

    await expectRefused('provider_unavailable');

    provider.answers.jwks = undefined;
    await expectKnown();
  });
});
