import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson, MatrixSigningKey, signRequest, signText } from '#shared/threepid/signing.ts';

/** The key of the specification's test vectors (https://spec.matrix.org/v1.15/appendices/#cryptographic-test-vectors). */
const KEY = MatrixSigningKey.parse('ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1');
const PUBLIC_KEY = 'XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI';

const REQUEST = {
  method: 'POST',
  uri: '/_matrix/identity/v2/3pid/unbind',
  origin: 'domain',
  destination: 'id.example.org',
  content: { mxid: '@a:domain', threepid: { address: 'alice@example.org', medium: 'email' } },
} as const;
const REQUEST_B = {
  ...REQUEST,
  content: { mxid: '@a:domain', threepid: { address: 'strauß+😀@exämple.org', medium: 'email' } },
};

describe('canonical JSON, by the examples of the specification', () => {
  test.each([
    ['{}', '{}'],
    ['{"one":1,"two":"Two"}', '{"one":1,"two":"Two"}'],
    ['{"b":"2","a":"1"}', '{"a":"1","b":"2"}'],
    [
      '{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}',
      '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}',
    ],
    ['{"a":"日本語"}', '{"a":"日本語"}'],
    ['{"本":2,"日":1}', '{"日":1,"本":2}'],
    ['{"a":"\\u65E5"}', '{"a":"日"}'],
    ['{"a":null}', '{"a":null}'],
    ['{"a":-0,"b":1e10}', '{"a":0,"b":10000000000}'],
    // Those that the specification's leave open.
    ['{"\\ud83d\\ude00":1,"\\uff61":2}', '{"\uff61":2,"\u{1f600}":1}'],
    ['"\\u0000\\b\\u001f\\u007f\\u2028"', '"\\u0000\\b\\u001f\u007f\u2028"'],
    ['"\\t\\n\\f\\r\\"\\\\/"', '"\\t\\n\\f\\r\\"\\\\/"'],
    ['[1,[true,false],{}]', '[1,[true,false],{}]'],
    ['9007199254740991', '9007199254740991'],
  ])('of %s', (json, canonical) => {
    expect(canonicalJson(JSON.parse(json))).toBe(canonical);
  });

  test.each([
    ['a fraction', 1.5],
    ['a number that is too large', 2 ** 53],
    ['what is no number', Number.NaN],
    ['infinity', Number.POSITIVE_INFINITY],
    ['half a character', '\ud83d'],
    ['half a character in a key', { '\ude00': 1 }],
    ['undefined', undefined],
    ['undefined in an object', { a: undefined }],
    ['a bigint', 1n],
  ])('there is none of %s', (_, value) => {
    expect(() => canonicalJson(value)).toThrow(new RangeError('not canonical JSON'));
  });

  test('it is JSON of the same, and canonical again', () => {
    fc.assert(
      fc.property(fc.jsonValue({ depthSize: 'medium', noUnicodeString: false }), (value) => {
        const whole = JSON.parse(JSON.stringify(value), (_, part) =>
          typeof part === 'number' ? Math.trunc(part % 2 ** 53) : typeof part === 'string' ? part.toWellFormed() : part,
        );
        const canonical = canonicalJson(whole);

        expect(JSON.parse(canonical)).toEqual(JSON.parse(JSON.stringify(whole)));
        expect(canonicalJson(JSON.parse(canonical))).toBe(canonical);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('signatures, by the vectors', () => {
  test.each([
    ['{}', {}, 'K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ'],
    [
      'an object',
      { one: 1, two: 'Two' },
      'KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw',
    ],
    [
      'a key document',
      {
        old_verify_keys: {},
        server_name: 'domain',
        valid_until_ts: 1795389795535,
        verify_keys: { 'ed25519:1': { key: PUBLIC_KEY } },
      },
      '4A3pL3X7PhkA6HxAYl/ZTIkTCH1/VUmtLRqygxjhfbddr2KM23ADAMefsu07W3/56lmcnZbq0MITXjueZgdSDg',
    ],
  ])('of %s', (_, value, signature) => {
    expect(signText(canonicalJson(value), KEY)).toBe(signature);
  });

  test.each([
    ['A', REQUEST, 'waT2Qq2q2WkJLXdWVEp/JENTaEj+qKZFyDxq4mymvmhPyIuennxoYdw4Hg/tZD/j3MtoLFa4xwHSewWMf9jcCA'],
    ['B', REQUEST_B, 'rIlrDz4yqCa8JYhWSOXgHg91jr+jrd46O8nlpyvg6iE872K0CvhyExVWACk5ciwcylbXNccDkVTYAi5dzx5mBg'],
  ])('of the request %s, in the header that identity servers read', (_, request, signature) => {
    expect(signRequest(request, KEY)).toBe(
      `X-Matrix origin="domain",key="ed25519:1",sig="${signature}",destination="id.example.org"`,
    );
  });

  test('of a request it is not one over `destination`', () => {
    expect(signRequest(REQUEST, KEY)).not.toContain('fTtoXZwVHZebLBJ9iz7hFw');
  });

  test('a request that differs in any part has another', () => {
    const others = [
      { ...REQUEST, uri: '/_matrix/identity/v2/3pid/bind' },
      { ...REQUEST, origin: 'other' },
      { ...REQUEST, destination: 'id.example.org:443' },
      { ...REQUEST, content: {} },
      { ...REQUEST, content: { ...REQUEST.content, mxid: '@b:domain' } },
    ];
    const signatures = [REQUEST, ...others].map((request) => /sig="([^"]+)"/.exec(signRequest(request, KEY))?.[1]);

    expect(new Set(signatures).size).toBe(others.length + 1);
  });
});

describe('a signing key', () => {
  test('is read as Synapse writes it, with the line feed of its file', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const { d = '', x = '' } = privateKey.export({ format: 'jwk' });
    const seed = Buffer.from(d, 'base64url').toString('base64').replace(/=+$/, '');

    const key = MatrixSigningKey.parse(`ed25519 a_Test ${seed}\n`);

    expect(key.id).toBe('ed25519:a_Test');
    const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    expect(verify(null, Buffer.from('text'), publicKey, Buffer.from(signText('text', key), 'base64'))).toBe(true);
  });

  test.each([
    '',
    'ed25519 1',
    'ed448 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1',
    'x ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1',
    'xed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1',
    'ed25519 a-1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1',
    'ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW',
    'ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1\ned25519 2 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1',
  ])('%j is none, which is said without it', (line) => {
    const { success, error } = MatrixSigningKey.safeParse(line);

    expect(success).toBe(false);
    expect(error?.issues[0]?.message).toBe(
      'must be the line of a signing.key: ed25519, its version, and 32 bytes in base64',
    );
  });
});
