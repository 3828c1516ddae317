import { createSecretKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { isAuthorized } from '#shared/access-token/authorize.ts';
import { identifyToken } from '#shared/access-token/identify.ts';
import { revokeToken } from '#shared/access-token/revoke-token.ts';
import type { Verification, VerifiedToken } from '#shared/access-token/verify.ts';
import { CallerError, StoreUnavailable } from '#shared/errors.ts';
import { createHourlyLimit } from '#shared/hourly-limit.ts';
import { unlink } from '#shared/smart-home/unlink.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import type { Revocation, TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { cutOffKeys } from '#shared/token-revocation/token-id.ts';
import { createAccessPorts, NOW_S, SKILL, VERIFIED } from '#test/support/access-ports.ts';

const peppers = [{ name: 'k1', key: createSecretKey(Buffer.alloc(32)) }];
const ports = (revocations: TokenRevocationStore, now = Date.now) => ({
  verify: async () => ({ status: 'unverified' }) as const,
  revocations,
  peppers,
  settings: { MAX_TOKEN_LIFETIME_S: 10, INACTIVE_TOKEN_LIFETIME_S: 60 },
  inactiveLimit: createHourlyLimit(10, () => 0),
  now,
});
const request = {
  requestId: 'r-1',
  authorization: 'Bearer x',
  remainingMs: () => 5000,
  note: () => {},
  warn: () => {},
  alert: () => {},
};

/** A store that fails as often as it is told before it does its work. */
function unreliable(store: TokenRevocationStore, failures: Error[]): TokenRevocationStore & { calls: number } {
  const wrapped = {
    ...store,
    calls: 0,
    async revoke(...[revocation]: Parameters<TokenRevocationStore['revoke']>) {
      wrapped.calls += 1;
      const failure = failures.shift();
      if (failure) throw failure;
      return store.revoke(revocation);
    },
  };
  return wrapped;
}

test('a store that comes back in time has revoked, and the caller sees a success', async () => {
  const revocations = unreliable(openMemoryStore(), [
    new StoreUnavailable('unreachable'),
    new StoreUnavailable('busy'),
  ]);
  await unlink(request, ports(revocations));
  expect(revocations.calls).toBe(3);
});

test('a store that is down is asked once when no time remains, and the failure is the answer', async () => {
  const revocations = unreliable(openMemoryStore(), [new StoreUnavailable('full')]);
  const failing = unlink({ ...request, remainingMs: () => 0 }, ports(revocations));
  await expect(failing).rejects.toMatchObject({ code: 'temporarily_unavailable', fault: 'full' });
  expect(revocations.calls).toBe(1);
});

test('a defect is not tried again', async () => {
  const revocations = unreliable(openMemoryStore(), [new Error('defect')]);
  await expect(unlink(request, ports(revocations))).rejects.toThrow('defect');
  expect(revocations.calls).toBe(1);
});

test('the revocation is noted for the log before the store is asked', async () => {
  const notes: object[] = [];
  const revocations = unreliable(openMemoryStore(), [new Error('defect')]);
  await expect(
    unlink(
      { ...request, note: (fields) => notes.push(fields) },
      ports(revocations, () => 1_000_500),
    ),
  ).rejects.toThrow();
  expect(notes).toEqual([
    {
      token_id: expect.stringMatching(/^k1\./),
      revocation: {
        made_at: 1000,
        token_ids: [expect.stringMatching(/^k1\./)],
        grants: [],
        cut_offs: [],
        expires_at: 1010,
        presented: { token_ids: [expect.stringMatching(/^k1\./)], grants: [], cut_off_keys: [] },
      },
    },
  ]);
});

test('a malformed credential reaches no store', async () => {
  const revocations = unreliable(openMemoryStore(), []);
  await expect(unlink({ ...request, authorization: 'Bearer' }, ports(revocations))).rejects.toThrow(CallerError);
  expect(revocations.calls).toBe(0);
});

/** Unlinks with a token of which this is known; what the store was told, and what the log line says. */
async function unlinkedBy(verification: Verification, settings: object = {}) {
  const { ports: access, call, noted, alerts } = createAccessPorts(verification);
  const recorded: Revocation[] = [];
  const revocations = {
    ...access.revocations,
    async revoke(revocation: Revocation) {
      recorded.push(revocation);
      return access.revocations.revoke(revocation);
    },
  };
  const used = { ...access, revocations, settings: { ...access.settings, ...settings } };
  await unlink({ ...request, ...call('Bearer abc') }, used);
  return { recorded, noted, alerts, ports: used, call, identified: identifyToken('abc', verification, access.peppers) };
}
const known = (more: Partial<VerifiedToken> = {}): Verification => ({
  status: 'verified',
  token: { ...VERIFIED, ...more },
});

describe('a token that names no user', () => {
  test('ends itself alone: not the tokens of its client', async () => {
    const { recorded, noted } = await unlinkedBy(known({ subject: undefined }));

    expect(recorded).toMatchObject([{ grants: [], cutOffs: [] }]);
    expect(noted).toMatchObject({ reached: ['access_token_only'] });
    expect(noted).not.toHaveProperty('subject_ref');
  });

  test('ends its grant too', async () => {
    const grant = { claim: 'grant_id', value: 'g' };
    const { recorded, noted } = await unlinkedBy(known({ subject: undefined, grant }), { UNLINK_CUTOFF: 'client' });

    expect(recorded).toMatchObject([{ grants: [expect.any(String)], cutOffs: [] }]);
    expect(noted).toMatchObject({ reached: ['grant'] });
  });
});

describe('a cut-off', () => {
  const cutOffOf = async (more: Partial<VerifiedToken>) => (await unlinkedBy(known(more))).recorded[0]?.cutOffs[0];

  test.each([
    ['is of now', {}, NOW_S],
    ['is at least of the time of the token', { issuedAt: NOW_S + 600 }, NOW_S + 600],
    ["is of the issuer's now, which is ahead", { iatOffsetS: 120 }, NOW_S + 120],
    ["is of the issuer's now, which is behind", { iatOffsetS: -300, issuedAt: NOW_S - 5000 }, NOW_S - 300],
    ['is of the time of the token at an issuer that is behind', { iatOffsetS: -300, issuedAt: NOW_S - 10 }, NOW_S - 10],
  ])('%s', async (_title, more, issuedUpTo) => {
    expect(await cutOffOf(more)).toEqual({
      key: cutOffKeys({ issuer: VERIFIED.issuer, link: ['user-1', 'skill'] }, createAccessPorts(known()).ports.peppers)
        .current,
      issuedUpTo,
    });
  });

  test.each([
    [-300, true],
    [undefined, false],
  ])(
    'with an offset of %j leaves a link alone that is made anew at an issuer 300 seconds behind: %s',
    async (iatOffsetS, isLeft) => {
      const { ports, call } = await unlinkedBy(known({ issuedAt: NOW_S - 1000, iatOffsetS }));
      // Made five seconds after the unlink, by the issuer's clock.
      const verify = async () => known({ issuedAt: NOW_S + 5 - 300, iatOffsetS });

      expect(await isAuthorized(call('Bearer relinked'), { ...ports, verify })).toBe(isLeft);
    },
  );
});

test('a token revoked before leaves a link alone that is made anew at an issuer 300 seconds behind', async () => {
  const token = known({ issuedAt: NOW_S - 1000, iatOffsetS: -300 });
  const { ports: access, call } = createAccessPorts(token);
  let nowS = NOW_S;
  const now = () => nowS * 1000;
  const used = { ...access, revocations: openMemoryStore({ now }), now };
  await revokeToken({ ...call(SKILL), fields: { token: 'abc' } }, used);
  // The link is made anew 200 seconds later, and the old token presented after that.
  nowS += 250;
  await unlink({ ...request, ...call('Bearer abc') }, used);
  const verify = async () => known({ issuedAt: NOW_S + 200 - 300, iatOffsetS: -300 });

  expect(await isAuthorized(call('Bearer relinked'), { ...used, verify })).toBe(true);
});

test.each([
  ['in the future is logged with its skew', NOW_S + 90, { iat_ahead_s: 90 }],
  ['of now is not', NOW_S, {}],
])('a time of issue %s', async (_title, issuedAt, logged) => {
  const { noted } = await unlinkedBy(known({ issuedAt }));

  expect('iat_ahead_s' in noted ? { iat_ahead_s: noted.iat_ahead_s } : {}).toEqual(logged);
});

test('a grant is kept for as long as the row says that one lives', async () => {
  const grant = { claim: 'grant_id', value: 'g' };

  expect((await unlinkedBy(known({ grant, grantLifetimeS: 60 }))).recorded).toMatchObject([
    { grantsExpireAt: NOW_S + 60 },
  ]);
  expect((await unlinkedBy(known({ grant }))).recorded[0]).not.toHaveProperty('grantsExpireAt');
});

test.each([
  ['by its expiry', { expiresAt: NOW_S - 86_401 }, { expiresAt: NOW_S - 86_400 }],
  [
    'by its time of issue',
    { expiresAt: undefined, issuedAt: NOW_S - 2 * 86_400 - 1 },
    { expiresAt: undefined, issuedAt: NOW_S - 2 * 86_400 },
  ],
])('a token that is too old %s is refused, and nothing is recorded', async (_title, tooOld, oldest) => {
  const { ports, call, noted } = createAccessPorts(known(tooOld));
  const revocations = unreliable(ports.revocations, []);

  await expect(unlink({ ...request, ...call('Bearer abc') }, { ...ports, revocations })).rejects.toMatchObject({
    code: 'invalid_token',
  });
  expect(revocations.calls).toBe(0);
  expect(noted).toEqual({ reason: 'too_old' });
  expect((await unlinkedBy(known(oldest))).recorded).toHaveLength(1);
});

describe('tokens that their issuer calls inactive', () => {
  test('are kept for as long as the setting says', async () => {
    const { recorded } = await unlinkedBy({ status: 'inactive' }, { INACTIVE_TOKEN_LIFETIME_S: 600 });

    expect(recorded).toMatchObject([{ expiresAt: NOW_S + 600, grants: [], cutOffs: [] }]);
  });

  test('are recorded up to the limit of an hour, with one alert; verified ones are never refused', async () => {
    const { ports, call, alerts } = createAccessPorts({ status: 'inactive' });
    const revocations = unreliable(ports.revocations, []);
    const unlinkWith = (token: string, verification: Verification = { status: 'inactive' }) =>
      unlink({ ...request, ...call(`Bearer ${token}`) }, { ...ports, revocations, verify: async () => verification });
    for (let index = 0; index < 10; index += 1) await unlinkWith(`token-${index}`);

    for (const token of ['one', 'two']) {
      await expect(unlinkWith(token)).rejects.toMatchObject({ code: 'temporarily_unavailable', isLimit: true });
    }
    expect(revocations.calls).toBe(10);
    expect(alerts).toEqual(['too many tokens that their issuer calls inactive in an hour']);
    await unlinkWith('verified', known());
    await unlinkWith('any', { status: 'unverified' });
    expect(revocations.calls).toBe(12);
  });
});
