import { describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import {
  AccessTokenEnvironment,
  algorithmsOf,
  EndpointClient,
  hasKeys,
  VerifiedTokenEnvironment,
  withGrantClaim,
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
    { ...ISSUER, audience: 'none', clients: ['a'], ...JWKS },
    { ...ISSUER, ...AUDIENCE, clients: ['a', 'b'], ...JWKS },
    { ...ISSUER, ...INTROSPECTION, subject_claim: 'oid', client_claim: 'ext.client', client_tokens: ['a'] },
    { ...ISSUER, ...INTROSPECTION, grant: { claim: 'ext.grant_id' }, grant_lifetime_s: 1, session_names_grant: true },
    { ...ISSUER, ...INTROSPECTION, require: ['azp'], forbid: ['sid', 'ext.a'], jti: false, prefix: 'at_' },
    { ...ISSUER, ...INTROSPECTION, token_type: 'optional', id_tokens_too: true },
    { ...ISSUER, ...INTROSPECTION, iat_offset_s: -3600 },
    { ...ISSUER, ...INTROSPECTION, iat_offset_s: 3600 },
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
    { ...ISSUER, audience: 'none', ...JWKS },
    { ...ISSUER, audience: 'none', ...INTROSPECTION },
    { ...ISSUER, ...AUDIENCE, clients: [], ...JWKS },
    { ...ISSUER, ...INTROSPECTION, subject_claim: '' },
    { ...ISSUER, ...INTROSPECTION, client_claim: 'x'.repeat(256) },
    { ...ISSUER, ...INTROSPECTION, client_tokens: [] },
    { ...ISSUER, ...INTROSPECTION, grant: 'grant_id' },
    { ...ISSUER, ...INTROSPECTION, grant: { match: '^a' } },
    { ...ISSUER, ...INTROSPECTION, grant: { claim: 'jti', match: '(a+)+' } },
    { ...ISSUER, ...INTROSPECTION, grant_lifetime_s: 0 },
    { ...ISSUER, ...INTROSPECTION, grant_lifetime_s: 1.5 },
    { ...ISSUER, ...INTROSPECTION, require: [] },
    { ...ISSUER, ...INTROSPECTION, forbid: [''] },
    { ...ISSUER, ...INTROSPECTION, jti: true },
    { ...ISSUER, ...INTROSPECTION, jti: 'AT' },
    { ...ISSUER, ...INTROSPECTION, prefix: '' },
    { ...ISSUER, ...INTROSPECTION, token_type: 'Bearer' },
    { ...ISSUER, ...INTROSPECTION, iat_offset_s: -3601 },
    { ...ISSUER, ...INTROSPECTION, iat_offset_s: 3601 },
    { ...ISSUER, ...INTROSPECTION, iat_offset_s: 0.5 },
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

describe('what names the grant', () => {
  const rows = (...members: object[]) =>
    ISSUERS.parse(JSON.stringify(members.map((row, index) => ({ issuer: `${index}`, ...INTROSPECTION, ...row }))));

  test('is what the row says, and GRANT_CLAIM where it says nothing', () => {
    const [own, other] = withGrantClaim(rows({ grant: { claim: 'gid' } }, {}), 'grant_id');

    expect(own?.grant).toEqual({ claim: 'gid' });
    expect(other?.grant).toEqual({ claim: 'grant_id' });
  });

  test.each([undefined, ''])('is nothing where GRANT_CLAIM is %j', (grantClaim) => {
    expect(withGrantClaim(rows({}), grantClaim)[0]?.grant).toBeUndefined();
  });

  test.each(['sid', 'session_state', 'ext.sid'])('is not a session: GRANT_CLAIM cannot be %s', (claim) => {
    const name = claim.replace('ext.', '');

    expect(() => withGrantClaim(rows({ grant: { claim: 'gid' } }, {}), claim)).toThrow(
      expect.objectContaining({
        code: 'misconfigured',
        message: `GRANT_CLAIM must name a grant: ${name} names a session, which the next link shares, unless ISSUERS[1] has "session_names_grant": true`,
      }),
    );
  });

  test.each(['sid', 'session_state'])('is not a session: the claim of a row cannot be %s', (claim) => {
    expect(() => withGrantClaim(rows({}, { grant: { claim } }), undefined)).toThrow(
      /^ISSUERS\[1\]\.grant\.claim must name a grant: .* unless ISSUERS\[1\] has "session_names_grant": true$/,
    );
  });

  test.each(['sub', 'aud', 'azp', 'client_id'])('is not who or for whom: it cannot be %s', (claim) => {
    const message = `must name a grant: ${claim} is the same in the next link`;

    expect(() => withGrantClaim(rows({}, { grant: { claim } }), undefined)).toThrow(
      `ISSUERS[1].grant.claim ${message}`,
    );
    expect(() => withGrantClaim(rows({}), claim)).toThrow(`GRANT_CLAIM ${message}`);
  });

  test('may be named as a session is, where the row says that it is a grant', () => {
    const named = { session_names_grant: true };

    expect(withGrantClaim(rows({ grant: { claim: 'sid' }, ...named }), undefined)[0]?.grant).toEqual({ claim: 'sid' });
    expect(withGrantClaim(rows(named), 'sid')[0]?.grant).toEqual({ claim: 'sid' });
    expect(() => withGrantClaim(rows({ ...named, session_names_grant: false }), 'sid')).toThrow('GRANT_CLAIM');
  });

  test.each(['https://as.example/grant', 'sid_grant', 'ext.grant_id'])('may be %s', (claim) => {
    expect(withGrantClaim(rows({}), claim)[0]?.grant).toEqual({ claim });
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
