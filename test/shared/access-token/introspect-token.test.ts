import { describe, expect, test } from 'vitest';
import { introspectToken } from '#shared/access-token/introspect-token.ts';
import type { Verification } from '#shared/access-token/verify.ts';
import { createAccessPorts, NOW_S, SKILL, VERIFIED } from '#test/support/access-ports.ts';
import { basic } from '#test/support/test-issuer.ts';

const SERVER = basic('server', 's');
const FIELDS = { token: 'abc' };
const known = (more: object = {}): Verification => ({ status: 'verified', token: { ...VERIFIED, ...more } });

test('tells a client the claims of its own token', async () => {
  const { ports, call, noted } = createAccessPorts(known());

  expect(await introspectToken({ ...call(SKILL), fields: FIELDS }, ports)).toEqual({
    ...{ token_type: 'Bearer', client_id: 'skill', sub: 'user-1', active: true },
    ...{ iss: VERIFIED.issuer, iat: NOW_S - 10, exp: NOW_S + 3600 },
  });
  expect(noted).toMatchObject({ client_id: 'skill' });
});

describe('what is told of an active token', () => {
  const told = async (more: object) => {
    const { ports, call } = createAccessPorts(known(more));
    return await introspectToken({ ...call(SERVER), fields: FIELDS }, ports);
  };

  test("is the issuer's own words, but for those that RFC 7662 defines", async () => {
    const claims = {
      ext: { a: 1 },
      token_type: 'N_A',
      active: false,
      iss: 'https://alias.example',
      iat: 1.5,
      exp: 2.5,
    };

    expect(await told({ claims })).toEqual({
      ...{ ext: { a: 1 }, token_type: 'Bearer', active: true, iss: VERIFIED.issuer, sub: 'user-1', client_id: 'skill' },
      ...{ iat: NOW_S - 10, exp: NOW_S + 3600 },
    });
  });

  test.each([
    ['a list', { scope: ['a', 'b'] }],
    ['scp', { scp: ['a', 'b'] }],
    ['a text', { scope: 'a b' }],
  ])('has one text as its scope, whose token has %s', async (_title, claims) => {
    expect(await told({ claims, scopes: ['a', 'b'] })).toMatchObject({ scope: 'a b' });
  });

  test('has no scope where the token has none', async () => {
    expect(await told({ claims: { scope: '' }, scopes: [''] })).not.toHaveProperty('scope');
  });

  test('names the subject and the client that the row names, and none in their place', async () => {
    const claims = { sub: 7, client_id: 'caller', azp: 'other' };

    expect(await told({ claims, subject: '7', client: 'spk' })).toMatchObject({ sub: '7', client_id: 'spk' });
    const nobody = await told({ claims, subject: undefined, client: undefined });
    expect(nobody).not.toHaveProperty('sub');
    expect(nobody).not.toHaveProperty('client_id');
  });

  test('has no member that says nothing', async () => {
    const nothing = { subject: undefined, client: undefined, issuedAt: undefined, expiresAt: undefined, claims: {} };

    expect(await told(nothing)).toStrictEqual({ active: true, token_type: 'Bearer', iss: VERIFIED.issuer });
  });
});

test('a text that can be no token is not active, and nobody is asked', async () => {
  const { ports, call, asked, noted } = createAccessPorts(known());

  expect(await introspectToken({ ...call(SKILL), fields: { token: 'a b' } }, ports)).toEqual({ active: false });
  expect(asked).toEqual([]);
  expect(noted).toEqual({ client_id: 'skill', reason: 'malformed' });
});

test('tells a resource server of the tokens of others, and of those of no client', async () => {
  const { ports, call } = createAccessPorts(known());
  const ofNobody = createAccessPorts(known({ client: undefined }));

  expect(await introspectToken({ ...call(SERVER), fields: FIELDS }, ports)).toMatchObject({ active: true });
  expect(await introspectToken({ ...ofNobody.call(SERVER), fields: FIELDS }, ofNobody.ports)).toStrictEqual({
    ...{ token_type: 'Bearer', sub: 'user-1', active: true },
    ...{ iss: VERIFIED.issuer, iat: NOW_S - 10, exp: NOW_S + 3600 },
  });
});

test.each<[string, Verification]>([
  ['of another client', known({ client: 'other' })],
  ['of no client', known({ client: undefined })],
  ['that was refused', { status: 'refused', reason: 'expired' }],
  ['that is inactive', { status: 'inactive' }],
  ['that nobody can verify', { status: 'unverified' }],
])('tells a client of a token %s that it is not active, and no more', async (_title, verification) => {
  const { ports, call } = createAccessPorts(verification);

  expect(await introspectToken({ ...call(SKILL), fields: FIELDS }, ports)).toEqual({ active: false });
});

test('asks nobody about a token before the client is known', async () => {
  const { ports, call, asked } = createAccessPorts(known());

  await expect(introspectToken({ ...call(basic('skill', 'x')), fields: FIELDS }, ports)).rejects.toMatchObject({
    code: 'invalid_client',
  });
  await expect(introspectToken({ ...call(SKILL), fields: {} }, ports)).rejects.toMatchObject({
    code: 'invalid_request',
  });
  expect(asked).toEqual([]);
});
