import { expect, test } from 'vitest';
import { introspectToken } from '#shared/access-token/introspect-token.ts';
import type { Verification } from '#shared/access-token/verify.ts';
import { createAccessPorts, SKILL, VERIFIED } from '#test/support/access-ports.ts';
import { basic } from '#test/support/test-issuer.ts';

const SERVER = basic('server', 's');
const FIELDS = { token: 'abc' };
const known = (more: object = {}): Verification => ({ status: 'verified', token: { ...VERIFIED, ...more } });

test('tells a client the claims of its own token', async () => {
  const { ports, call, noted } = createAccessPorts(known());

  expect(await introspectToken({ ...call(SKILL), fields: FIELDS }, ports)).toEqual({
    ...{ token_type: 'Bearer', client_id: 'skill', sub: 'user-1', active: true },
  });
  expect(noted).toMatchObject({ client_id: 'skill' });
});

test("the issuer's own words go before ours, but not whether it is active", async () => {
  const claims = { token_type: 'N_A', client_id: 'alias', active: false };
  const { ports, call } = createAccessPorts(known({ claims }));

  expect(await introspectToken({ ...call(SKILL), fields: FIELDS }, ports)).toEqual({ ...claims, active: true });
});

test('tells a resource server of the tokens of others, and of those of no client', async () => {
  const { ports, call } = createAccessPorts(known());
  const ofNobody = createAccessPorts(known({ client: undefined }));

  expect(await introspectToken({ ...call(SERVER), fields: FIELDS }, ports)).toMatchObject({ active: true });
  expect(await introspectToken({ ...ofNobody.call(SERVER), fields: FIELDS }, ofNobody.ports)).toStrictEqual({
    ...{ token_type: 'Bearer', sub: 'user-1', active: true },
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
