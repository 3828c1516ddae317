import { expect, test } from 'vitest';
import { identifyToken } from '#shared/access-token/identify.ts';
import { revokeToken, tokenField } from '#shared/access-token/revoke-token.ts';
import type { Verification } from '#shared/access-token/verify.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import type { Revocation } from '#shared/token-revocation/store.ts';
import { createAccessPorts, NOW_S, SKILL, VERIFIED } from '#test/support/access-ports.ts';
import { basic } from '#test/support/test-issuer.ts';

const FIELDS = { token: 'abc' };
const known = (more: object = {}): Verification => ({ status: 'verified', token: { ...VERIFIED, ...more } });

/** Revokes the token `abc` for the client `skill`; what the store was told. */
async function revokedBy(verification: Verification) {
  const test = createAccessPorts(verification);
  const revocations: Revocation[] = [];
  const store = {
    ...test.ports.revocations,
    revoke: async (revocation: Revocation) => {
      revocations.push(revocation);
      return test.ports.revocations.revoke(revocation);
    },
  };
  await revokeToken({ ...test.call(SKILL), fields: FIELDS }, { ...test.ports, revocations: store });
  return { ...test, revocations, identified: identifyToken('abc', verification, test.ports.peppers) };
}

test("records the token and its grant, no cut-off, for as long as the issuer's longest token lives", async () => {
  const { revocations, identified, noted, asked } = await revokedBy(
    known({ grant: { claim: 'grant_id', value: 'grant-1' } }),
  );

  expect(asked).toEqual([['abc', { timeoutMs: 5000, atAnyTime: true, traceparent: '00-1-2-01' }]]);
  const { tokenIds, grants, presented, subjectRef } = identified;
  expect(grants).toHaveLength(1);
  expect(revocations).toEqual([{ tokenIds, grants, cutOffs: [], expiresAt: NOW_S + 86_400, presented }]);
  expect(noted).toMatchObject({
    ...{ client_id: 'skill', token_id: tokenIds[0], subject_ref: subjectRef, first: true, at: NOW_S },
    revocation: { made_at: NOW_S, token_ids: tokenIds, grants },
  });
});

test('keeps it until the token has expired, where that is later', async () => {
  const { revocations } = await revokedBy(known({ expiresAt: NOW_S + 1_000_000 }));

  expect(revocations[0]?.expiresAt).toBe(NOW_S + 1_000_000 + 300);
});

test('keeps what its issuer calls inactive for an hour: that may change', async () => {
  const { revocations, noted } = await revokedBy({ status: 'inactive' });

  expect(revocations[0]?.expiresAt).toBe(NOW_S + 3600);
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

test.each<[string, Verification, string, string]>([
  [
    'that is no access token',
    { status: 'refused', reason: 'wrong_type' },
    'unsupported_token_type',
    'The token is not an access token.',
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

test.each([undefined, 7, '', ' ', ' a', 'a ', 'a b', 'ключ', 'a\n', ['a'], 'x'.repeat(8193)])(
  'does not take %j for a token',
  (token) => {
    expect(() => tokenField({ token })).toThrow(
      expect.objectContaining({
        ...{ code: 'invalid_request', message: 'The parameter token must be 1 to 8192 visible ASCII characters.' },
      }),
    );
  },
);
