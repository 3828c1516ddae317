import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import {
  AccessTokenEnvironment,
  algorithmsOf,
  EndpointClient,
  hasKeys,
  VerifiedTokenEnvironment,
} from '#shared/access-token/issuers.ts';

const ISSUER = { issuer: 'https://auth.example' };
const AUDIENCE = { audience: 'https://api.example' };
const SECRET = { secret: 's'.repeat(32) };
const JWKS = { jwks: { keys: [{ kty: 'OKP' }] } };
const JWKS_URI = { jwks_uri: 'https://auth.example/jwks' };
const INTROSPECTION = { introspection: { endpoint: 'https://auth.example/i', client_id: 'a', client_secret: 'b' } };

const ASYMMETRIC = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
];
const SYMMETRIC = ['HS256', 'HS384', 'HS512'];

const { ISSUERS } = VerifiedTokenEnvironment;
const read = (...rows: object[]) => ISSUERS.safeParse(JSON.stringify(rows));

describe('an issuer', () => {
  test.each<object>([
    { ...ISSUER, ...AUDIENCE, ...SECRET },
    { ...ISSUER, ...AUDIENCE, ...JWKS },
    { ...ISSUER, ...AUDIENCE, ...JWKS_URI },
    { ...ISSUER, ...AUDIENCE, jwks: { keys: [] } },
    { ...ISSUER, ...INTROSPECTION },
    { ...ISSUER, audience: ['a', 'b'], ...JWKS, ...INTROSPECTION, algorithms: ASYMMETRIC },
    { ...ISSUER, ...AUDIENCE, ...SECRET, algorithms: SYMMETRIC },
  ])('may be %j', (row) => {
    expect(read(row).data).toEqual([row]);
  });

  test('may have keys with any members besides their kind', () => {
    const row = { ...ISSUER, ...AUDIENCE, jwks: { keys: [{ kty: 'OKP', crv: 'Ed25519', x: 'y' }] } };

    expect(read(row).data).toEqual([row]);
  });

  test.each<object>([
    { ...AUDIENCE, ...SECRET },
    { issuer: '', ...AUDIENCE, ...SECRET },
    { ...ISSUER, audience: '', ...SECRET },
    { ...ISSUER, audience: [], ...SECRET },
    { ...ISSUER, audience: [''], ...SECRET },
    { ...ISSUER, ...SECRET },
    { ...ISSUER, ...JWKS },
    { ...ISSUER, ...JWKS_URI },
    { ...ISSUER, ...AUDIENCE },
    { ...ISSUER, ...AUDIENCE, ...SECRET, ...JWKS },
    { ...ISSUER, ...AUDIENCE, ...SECRET, ...JWKS_URI },
    { ...ISSUER, ...AUDIENCE, ...JWKS, ...JWKS_URI },
    { ...ISSUER, ...AUDIENCE, secret: 's'.repeat(31) },
    { ...ISSUER, ...AUDIENCE, jwks: {} },
    { ...ISSUER, ...AUDIENCE, jwks: { keys: [{}] } },
    { ...ISSUER, ...AUDIENCE, jwks: { keys: [{ kty: '' }] } },
    { ...ISSUER, ...AUDIENCE, ...JWKS, algorithms: [] },
    { ...ISSUER, ...AUDIENCE, ...JWKS, algorithms: [''] },
    { ...ISSUER, ...AUDIENCE, ...JWKS, algorithms: ['ES256', 'HS256'] },
    { ...ISSUER, ...AUDIENCE, ...SECRET, algorithms: ['HS256', 'ES256'] },
    { ...ISSUER, ...INTROSPECTION, introspection: { ...INTROSPECTION.introspection, client_id: '' } },
    { ...ISSUER, ...INTROSPECTION, introspection: { ...INTROSPECTION.introspection, more: 1 } },
    { ...ISSUER, ...INTROSPECTION, introspection: {} },
    { ...ISSUER, ...INTROSPECTION, more: 1 },
  ])('cannot be %j', (row) => {
    expect(read(row).error?.issues).toMatchObject([
      {
        message:
          'must be JSON: a list of {"issuer", "audience", one of "jwks_uri", "jwks" and "secret", and/or "introspection"}, each issuer once',
      },
    ]);
  });

  test('is one of several, each of which is there once', () => {
    const row = { ...ISSUER, ...INTROSPECTION };

    expect(read(row, { ...row, issuer: 'https://other.example' }).success).toBe(true);
    expect(read(row, row).success).toBe(false);
    expect(read().success).toBe(false);
  });

  test('signs with what the row names, or else with all that fits its keys', () => {
    expect(algorithmsOf({ ...ISSUER, ...JWKS_URI })).toEqual(ASYMMETRIC);
    expect(algorithmsOf({ ...ISSUER, ...SECRET })).toEqual(SYMMETRIC);
    expect(algorithmsOf({ ...ISSUER, ...JWKS_URI, algorithms: ['ES256'] })).toEqual(['ES256']);
  });

  test('has keys by any of three members', () => {
    expect([JWKS, JWKS_URI, SECRET, INTROSPECTION].map((row: object) => hasKeys(row))).toEqual([
      true,
      true,
      true,
      false,
    ]);
  });
});

test('a client at an endpoint has an id and a secret there', () => {
  const { introspection: client } = INTROSPECTION;

  expect(EndpointClient.parse(client)).toEqual(client);
  for (const wrong of [{ endpoint: 'http://auth.example' }, { client_id: '' }, { client_secret: '' }, { more: 1 }]) {
    expect(EndpointClient.safeParse({ ...client, ...wrong }).success).toBe(false);
  }
});

test('where tokens need not be verified, the settings may name no issuer', () => {
  const environment = z.object(AccessTokenEnvironment);

  expect(environment.parse({ UNVERIFIED_TOKENS: '1' })).toEqual({ UNVERIFIED_TOKENS: '1' });
  expect(environment.safeParse({ UNVERIFIED_TOKENS: 'yes' }).error?.issues).toMatchObject([
    { path: ['UNVERIFIED_TOKENS'], message: 'must be 1 or unset' },
  ]);
  expect(z.object(VerifiedTokenEnvironment).safeParse({}).success).toBe(false);
});
