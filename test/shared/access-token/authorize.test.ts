import { expect, test } from 'vitest';
import { isAuthorized, verifyUnrevoked } from '#shared/access-token/authorize.ts';
import { identifyToken } from '#shared/access-token/identify.ts';
import type { Verification } from '#shared/access-token/verify.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import { createAccessPorts, NOW_S, VERIFIED } from '#test/support/access-ports.ts';

const KNOWN: Verification = { status: 'verified', token: VERIFIED };
const withClaims = (claims: object): Verification => ({
  status: 'verified',
  token: { ...VERIFIED, claims: { ...VERIFIED.claims, ...claims } },
});

test('lets a token in that verifies and is not revoked', async () => {
  const { ports, call, asked, noted } = createAccessPorts(KNOWN);

  expect(await isAuthorized(call('Bearer abc'), ports)).toBe(true);
  expect(asked).toEqual([['abc', { timeoutMs: 5000, traceparent: '00-1-2-01' }]]);
  const { tokenIds, subjectRef } = identifyToken('abc', KNOWN, ports.peppers);
  expect(noted).toEqual({ token_id: tokenIds[0], subject_ref: subjectRef });
});

test('lets a token in that nobody can verify, and knows no subject', async () => {
  const { ports, call, noted } = createAccessPorts({ status: 'unverified' });

  expect(await isAuthorized(call('Bearer abc'), ports)).toBe(true);
  expect(Object.keys(noted)).toEqual(['token_id']);
});

test.each([
  [undefined, 'missing'],
  ['Basic YTpi', 'malformed'],
])('refuses the credential %j and asks nobody', async (authorization, reason) => {
  const { ports, call, asked, noted } = createAccessPorts(KNOWN);

  expect(await isAuthorized(call(authorization), ports)).toBe(false);
  expect(asked).toEqual([]);
  expect(noted).toEqual({ reason });
});

test.each<[string, Verification, string]>([
  ['was refused', { status: 'refused', reason: 'expired' }, 'expired'],
  ['its issuer calls inactive', { status: 'inactive' }, 'inactive'],
  ['is bound to a key (RFC 8705)', withClaims({ cnf: { 'x5t#S256': 'x' } }), 'sender_constrained'],
  ['is of the type DPoP (RFC 9449)', withClaims({ token_type: 'DPoP' }), 'sender_constrained'],
])('refuses a token that %s, at no cost to the store', async (_title, verification, reason) => {
  const { ports, call, noted } = createAccessPorts(verification);
  await ports.revocations.close(); // Now every question to it fails.

  expect(await isAuthorized(call('Bearer abc'), ports)).toBe(false);
  expect(noted).toMatchObject({ reason });
});

test.each([{ token_type: 'Bearer' }, { token_type: 7 }])('lets a token in with %j', async (claims) => {
  const { ports, call } = createAccessPorts(withClaims(claims));

  expect(await isAuthorized(call('Bearer abc'), ports)).toBe(true);
});

const NOTHING = { tokenIds: [], grants: [], cutOffs: [], expiresAt: NOW_S + 60 };
test.each(['token', 'grant', 'cut_off'] as const)('refuses a token that is revoked by its %s', async (by) => {
  const verification: Verification = {
    status: 'verified',
    token: { ...VERIFIED, grant: { claim: 'grant_id', value: 'grant-1' } },
  };
  const { ports, call, noted } = createAccessPorts(verification);
  const { tokenIds, grants, linkCutOff = '' } = identifyToken('abc', verification, ports.peppers);
  await ports.revocations.revoke({
    ...NOTHING,
    ...(by === 'token' && { tokenIds }),
    ...(by === 'grant' && { grants }),
    ...(by === 'cut_off' && { cutOffs: [{ key: linkCutOff, issuedUpTo: NOW_S }] }),
  });

  expect(await isAuthorized(call('Bearer abc'), ports)).toBe(false);
  expect(noted).toMatchObject({ reason: `revoked_by_${by}` });
});

test('fails where the store cannot say, and asks it again while the time lasts', async () => {
  const { ports, call } = createAccessPorts(KNOWN);
  let checks = 0;
  const check = async () => {
    checks += 1;
    throw new StoreUnavailable('unreachable');
  };
  const request = { ...call('Bearer abc'), remainingMs: () => 50 };

  await expect(isAuthorized(request, { ...ports, revocations: { ...ports.revocations, check } })).rejects.toMatchObject(
    { fault: 'unreachable' },
  );
  expect(checks).toBeGreaterThan(1);
});

test('tells what is known of a token that may pass', async () => {
  const { ports, call } = createAccessPorts(KNOWN);

  expect(await verifyUnrevoked('abc', call(), ports)).toBe(KNOWN);
});
