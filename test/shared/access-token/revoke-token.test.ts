import { describe, expect, test } from 'vitest';
import { identifyToken } from '#shared/access-token/identify.ts';
import { revokeToken, tokenField } from '#shared/access-token/revoke-token.ts';
import type { Verification } from '#shared/access-token/verify.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import type { JsonObject } from '#shared/json.ts';
import type { Revocation } from '#shared/token-revocation/store.ts';
import { createAccessPorts, NOW_S, SKILL, VERIFIED } from '#test/support/access-ports.ts';
import { basic } from '#test/support/test-issuer.ts';

const FIELDS = { token: 'abc' };
const known = (more: object = {}): Verification => ({ status: 'verified', token: { ...VERIFIED, ...more } });

const refresh = (more: object = {}): Verification => ({ status: 'refresh', token: { ...VERIFIED, ...more } });

/** Revokes the token `abc` for the client `skill`; what the store was told. */
async function revokedBy(verification: Verification, fields: JsonObject = FIELDS) {
  const test = createAccessPorts(verification);
  const revocations: Revocation[] = [];
  const store = {
    ...test.ports.revocations,
    revoke: async (revocation: Revocation) => {
      revocations.push(revocation);
      return test.ports.revocations.revoke(revocation);
    },
  };
  await revokeToken({ ...test.call(SKILL), fields }, { ...test.ports, revocations: store });
  return { ...test, revocations, identified: identifyToken('abc', verification, test.ports.peppers) };
}

test('records the token and its grant, no cut-off, for as long as the token could be presented', async () => {
  const { revocations, identified, noted, asked } = await revokedBy(
    known({ grant: { claim: 'grant_id', value: 'grant-1' } }),
  );

  expect(asked).toEqual([
    ['abc', { timeoutMs: 5000, atAnyTime: true, refreshTokens: { hint: undefined }, traceparent: '00-1-2-01' }],
  ]);
  const { tokenIds, grants, presented, subjectRef } = identified;
  expect(grants).toHaveLength(1);
  expect(revocations).toEqual([{ tokenIds, grants, cutOffs: [], expiresAt: NOW_S + 3600 + 300 + 86_400, presented }]);
  expect(noted).toMatchObject({
    ...{ client_id: 'skill', token_id: tokenIds[0], subject_ref: subjectRef, first: true, at: NOW_S },
    reached: ['grant'],
    revocation: { made_at: NOW_S, token_ids: tokenIds, grants },
  });
});

test('keeps it from when the token has expired, where that is later', async () => {
  const { revocations } = await revokedBy(known({ expiresAt: NOW_S + 1_000_000 }));

  expect(revocations[0]?.expiresAt).toBe(NOW_S + 1_000_000 + 300 + 86_400);
});

test('keeps a grant for as long as the row says that one lives', async () => {
  const grant = { claim: 'grant_id', value: 'grant-1' };

  expect((await revokedBy(known({ grant, grantLifetimeS: 60 }))).revocations[0]).toMatchObject({
    grantsExpireAt: NOW_S + 60,
  });
  expect((await revokedBy(known({ grant }))).revocations[0]).not.toHaveProperty('grantsExpireAt');
  expect((await revokedBy(known({ grantLifetimeS: 60 }))).revocations[0]).not.toHaveProperty('grantsExpireAt');
});

test('keeps what its issuer calls inactive for as long as the setting says: that may change', async () => {
  const { ports, call } = createAccessPorts({ status: 'inactive' });
  const kept: number[] = [];
  const revoke = async ({ expiresAt }: Revocation) => {
    kept.push(expiresAt);
    return { first: true, at: NOW_S };
  };
  const settings = { ...ports.settings, INACTIVE_TOKEN_LIFETIME_S: 600 };
  const request = { ...call(SKILL), fields: FIELDS };
  await revokeToken(request, { ...ports, settings, revocations: { ...ports.revocations, revoke } });

  const { noted } = await revokedBy({ status: 'inactive' });
  expect(kept).toEqual([NOW_S + 600]);
  expect(noted).not.toHaveProperty('subject_ref');
});

test('a token that was revoked before succeeds, since when it was', async () => {
  const { ports, call, noted } = createAccessPorts(known());
  const request = { ...call(SKILL), fields: FIELDS };

  await revokeToken(request, ports);
  await revokeToken(request, { ...ports, now: () => (NOW_S + 60) * 1000 });

  expect(noted).toMatchObject({ first: false, at: NOW_S });
});

test('a token that nobody knows succeeds, and nothing is recorded', async () => {
  const { revocations, noted } = await revokedBy({ status: 'refused', reason: 'bad_signature' });

  expect(revocations).toEqual([]);
  expect(noted).toEqual({ client_id: 'skill', reason: 'bad_signature' });
});

describe('an active refresh token of the client that asks', () => {
  test('takes its grant with it, and no cut-off', async () => {
    const grant = { claim: 'grant_id', value: 'grant-1' };
    const { revocations, identified, noted } = await revokedBy(refresh({ grant }));

    expect(revocations).toMatchObject([{ tokenIds: identified.tokenIds, grants: identified.grants, cutOffs: [] }]);
    expect(noted).toMatchObject({ first: true, reached: ['grant'] });
  });

  test('that names no grant ends the link, up to now', async () => {
    const { revocations, identified, noted } = await revokedBy(refresh());

    expect(revocations).toMatchObject([
      { tokenIds: identified.tokenIds, cutOffs: [{ key: identified.linkCutOff, issuedUpTo: NOW_S }] },
    ]);
    expect(noted).toMatchObject({ reached: ['cut_off'] });
  });

  test.each([
    ['no subject', { subject: undefined }],
    ['no time of issue', { issuedAt: undefined }],
  ])('with %s is revoked alone, and the log says so', async (_title, more) => {
    const { revocations, noted } = await revokedBy(refresh(more));

    expect(revocations).toMatchObject([{ grants: [], cutOffs: [] }]);
    expect(noted).toMatchObject({ reached: ['refresh_token_only'] });
  });

  test('with a grant and no subject revokes the grant of no user, and does not say that the link ended', async () => {
    const grant = { claim: 'grant_id', value: 'grant-1' };
    const { revocations, noted } = await revokedBy(refresh({ subject: undefined, grant }));

    expect(revocations).toMatchObject([{ grants: [expect.any(String)], cutOffs: [] }]);
    expect(noted).toMatchObject({ reached: ['refresh_token_only'] });
  });

  test('of another client is not revoked', async () => {
    await expect(revokedBy(refresh({ client: 'other' }))).rejects.toMatchObject({ code: 'invalid_grant' });
  });
});

test.each([
  ['in the future is logged with its skew', NOW_S + 90, { iat_ahead_s: 90 }],
  ['of now is not', NOW_S, {}],
])('a time of issue %s', async (_title, issuedAt, logged) => {
  const { noted } = await revokedBy(known({ issuedAt }));

  expect('iat_ahead_s' in noted ? { iat_ahead_s: noted.iat_ahead_s } : {}).toEqual(logged);
});

test('an access token that names no grant ends nothing else', async () => {
  const { revocations, noted } = await revokedBy(known());

  expect(revocations).toMatchObject([{ grants: [], cutOffs: [] }]);
  expect(noted).toMatchObject({ reached: ['access_token_only'] });
});

test.each([
  ['refresh_token', 'refresh_token'],
  ['urn:example:kind', 'urn:example:kind'],
  ['', undefined],
  ['a b', undefined],
  ['x'.repeat(65), undefined],
  [7, undefined],
])('the hint %j is passed on as %j', async (token_type_hint, hint) => {
  const { asked } = await revokedBy(known(), { ...FIELDS, token_type_hint });

  expect(asked[0]?.[1].refreshTokens).toEqual({ hint });
});

test.each([known, refresh])('a token that is too old succeeds, and nothing is recorded', async (of) => {
  const { revocations, noted } = await revokedBy(of({ expiresAt: NOW_S - 86_401 }));

  expect(revocations).toEqual([]);
  expect(noted).toEqual({ client_id: 'skill', reason: 'too_old' });
  expect((await revokedBy(of({ expiresAt: NOW_S - 86_400 }))).revocations).toHaveLength(1);
});

test('tokens that their issuer calls inactive are recorded up to the limit of an hour, verified ones always', async () => {
  const { ports, call, alerts } = createAccessPorts({ status: 'inactive' });
  const revoke = (token: string, verification: Verification = { status: 'inactive' }) =>
    revokeToken({ ...call(SKILL), fields: { token } }, { ...ports, verify: async () => verification });
  for (let index = 0; index < 10; index += 1) await revoke(`token-${index}`);

  for (const token of ['one', 'two']) {
    await expect(revoke(token)).rejects.toMatchObject({ code: 'temporarily_unavailable', isLimit: true });
  }
  expect(alerts).toHaveLength(1);
  await revoke('verified', known());
  await revoke('refresh', refresh());
});

test('a text that can be no token succeeds, asks nobody and records nothing', async () => {
  const { revocations, asked, noted } = await revokedBy(known(), { token: 'a b' });

  expect([revocations, asked]).toEqual([[], []]);
  expect(noted).toEqual({ client_id: 'skill', reason: 'malformed' });
});

test.each<[string, Verification, string, string]>([
  [
    'that is neither an access token nor a refresh token',
    { status: 'refused', reason: 'wrong_type' },
    'unsupported_token_type',
    'The token is neither an access token nor a refresh token.',
  ],
  ['of another client', known({ client: 'other' }), 'invalid_grant', 'The token was not issued to this client.'],
  ['of no client', known({ client: undefined }), 'invalid_grant', 'The token was not issued to this client.'],
])('refuses to revoke a token %s', async (_title, verification, code, message) => {
  await expect(revokedBy(verification)).rejects.toMatchObject({ code, message });
});

test('fails where the store cannot record it, and tries again while the time lasts', async () => {
  const { ports, call } = createAccessPorts(known());
  let tries = 0;
  const revoke = async () => {
    tries += 1;
    throw new StoreUnavailable('unreachable');
  };
  const request = { ...call(SKILL), remainingMs: () => 50, fields: FIELDS };

  await expect(revokeToken(request, { ...ports, revocations: { ...ports.revocations, revoke } })).rejects.toMatchObject(
    { fault: 'unreachable' },
  );
  expect(tries).toBeGreaterThan(1);
});

test('asks nobody about a token before the client is known', async () => {
  const { ports, call, asked } = createAccessPorts(known());

  await expect(revokeToken({ ...call(basic('skill', 'x')), fields: FIELDS }, ports)).rejects.toMatchObject({
    code: 'invalid_client',
  });
  expect(asked).toEqual([]);
});

test.each(['!', '~', 'a.b', 'x'.repeat(8192)])('takes %j for a token', (token) => {
  expect(tokenField({ token })).toBe(token);
});

test.each([' ', ' a', 'a ', 'a b', 'ключ', 'a\n', 'x'.repeat(8193)])('%j can be no token', (token) => {
  expect(tokenField({ token })).toBeUndefined();
});

test.each([undefined, null, 7, '', ['a']])('a token %j is none', (token) => {
  expect(() => tokenField({ token })).toThrow(
    expect.objectContaining({ code: 'invalid_request', message: 'The parameter token is missing.' }),
  );
});
