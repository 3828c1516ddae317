import { decodeJwt, decodeProtectedHeader } from 'jose';
import { describe, expect, test } from 'vitest';
import { readProviders } from '#shared/account-link/provider.ts';
import { sealTokens } from '#shared/account-link/provider-tokens.ts';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { seal } from '#shared/encryption.ts';
import { openRevocableProviders, openRevocationJobs, provedAmong } from '#shared/grant-revocation/open-ports.ts';
import { readRevocations } from '#shared/grant-revocation/revocation-settings.ts';
import { openUpstreamJobs } from '#shared/grant-revocation/upstream-jobs.ts';
import type { OwnedJob } from '#shared/outbox/outbox.ts';
import { START_MS, testKey } from '#test/support/outbox-run.ts';
import { APPLE_KEY } from '#test/support/provider-mocks/apple.ts';

test('a link that is merely asserted shares no grant; a proved one does', async () => {
  const { links } = openMemoryDirectory();
  const identity = { fpType: 'google', fpName: 'g_2', sid: '1' };
  const link = { ...identity, subject: 'eve', audit: { actor: 'subject:eve', requestId: 'r' } };
  const isStillLinked = provedAmong(links);
  expect(await isStillLinked([identity], 1000)).toBe(false);
  await links.link({ ...link, evidence: 'asserted' });
  expect(await isStillLinked([identity], 1000)).toBe(false);
  await links.link({ ...link, evidence: 'proved' });
  expect(await isStillLinked([identity], 1000)).toBe(true);
  expect(await isStillLinked([{ ...identity, fpName: 'g_3' }], 1000)).toBe(false);
});

describe('our client at a provider', () => {
  const ENVIRONMENT = { FAKE_SECRET: 's', FAKE_KEY: APPLE_KEY };
  const SECRET = { client_id: 'c', client_secret_env: 'FAKE_SECRET' };
  const clientAt = (revocation: object, more: object = {}) =>
    openRevocableProviders(
      readRevocations(readProviders([{ type: 'a', name: 'b', revocation, ...more }], {})),
      ENVIRONMENT,
    )[0];

  test('is made of an endpoint that the row names', () => {
    expect(clientAt({ endpoint: 'https://a.example/r', ...SECRET, auth_method: 'client_secret_post' })).toEqual({
      ...{ type: 'a', name: 'b', grantFamily: undefined },
      revocation: {
        ...{ endpoint: 'https://a.example/r', clientId: 'c', clientSecret: 's', authMethod: 'client_secret_post' },
      },
    });
  });

  test('needs no secret where it is public', () => {
    expect(clientAt({ endpoint: 'https://a.example/r', client_id: 'c', auth_method: 'none' })?.revocation).toEqual({
      ...{ endpoint: 'https://a.example/r', clientId: 'c', clientSecret: undefined, authMethod: 'none' },
    });
  });

  test.each([
    [
      { preset: 'discord', ...SECRET },
      { endpoint: 'https://discord.com/api/oauth2/token/revoke', clientSecret: 's' },
    ],
    [{ preset: 'gitlab', ...SECRET }, { endpoint: 'https://gitlab.com/oauth/revoke' }],
    [
      { preset: 'gitlab', ...SECRET, issuer: 'https://git.example/' },
      { endpoint: 'https://git.example/oauth/revoke', authMethod: 'client_secret_post' },
    ],
    [
      { preset: 'oidc', ...SECRET, issuer: 'https://login.example/' },
      { endpoint: 'https://login.example', isDiscovered: true, authMethod: 'client_secret_basic' },
    ],
    [
      { preset: 'oidc', ...SECRET, issuer: 'https://login.example', auth_method: 'client_secret_post' },
      { authMethod: 'client_secret_post' },
    ],
    [
      { preset: 'x', client_id: 'c' },
      { authMethod: 'none', clientSecret: undefined },
    ],
    [
      { preset: 'x', ...SECRET },
      { authMethod: 'client_secret_basic', clientSecret: 's' },
    ],
  ])('is made of the catalogue: %j', (revocation, client) => {
    expect(clientAt(revocation)?.revocation).toMatchObject({ clientId: 'c', ...client });
  });

  test('signs its secret where a key takes its place, for the time of the call', async () => {
    const key = { env: 'FAKE_KEY', key_id: 'key-1', team_id: 'team-1' };
    const client = clientAt({ preset: 'apple', client_id: 'c', client_secret_key: key })?.revocation;
    const signSecret = typeof client === 'object' ? client.signSecret : undefined;
    const secret = (await signSecret?.(() => START_MS)) ?? '';

    expect(decodeProtectedHeader(secret)).toMatchObject({ alg: 'ES256', kid: 'key-1' });
    expect(decodeJwt(secret)).toMatchObject({ iss: 'team-1', sub: 'c', iat: START_MS / 1000 });
    expect(clientAt({ preset: 'discord', ...SECRET })?.revocation).not.toHaveProperty('signSecret');
  });

  test('is none at a provider that offers no way', () => {
    expect(clientAt({ preset: 'spotify' })?.revocation).toBe('unsupported');
  });

  test('has its grants in common with others of its family, which a row that only binds tells too', () => {
    expect(clientAt({ preset: 'google', client_id: '12-x' })?.grantFamily).toBe('google 12');
    const bind = { preset: 'google', client_id: '34-x' };
    const [bound] = openRevocableProviders(readRevocations(readProviders([{ type: 'a', name: 'b', bind }], {})), {});
    expect(bound).toEqual({ type: 'a', name: 'b', revocation: undefined, grantFamily: 'google 34' });
  });
});

describe('the jobs', () => {
  const ROW = {
    ...{ type: 'a', name: 'b' },
    revocation: { endpoint: 'https://127.0.0.1:1/', client_id: 'c', client_secret_env: 'FAKE_SECRET' },
  };
  const UPSTREAM = { endpoint: 'https://127.0.0.1:1/', client_id: 'us', client_secret: 's' };
  const KEYS = [testKey('k1')];
  const open = (rows: object[], settings: object = {}, upstream?: typeof UPSTREAM) =>
    openRevocationJobs(rows, settings, {
      ...{ secrets: { FAKE_SECRET: 's' }, links: openMemoryDirectory().links },
      doUpstream: openUpstreamJobs({ ...settings, REVOKE_UPSTREAM: upstream }),
    });
  const job = (kind: OwnedJob['kind'], secret: string): OwnedJob => ({
    ...{ id: 'j', kind, details: { fpType: 'a', fpName: 'b', sid: '1' }, secret, boundTo: 'b', requestId: 'r' },
    ...{ claim: 'c', attemptsStarted: 1, attemptsFinished: 0, createdAt: 0, giveUpAt: 0 },
  });

  test.each<[string, object[], typeof UPSTREAM | undefined]>([
    ['a provider whose grants are withdrawn', [ROW], undefined],
    ['one of several', [{ type: 'x', name: 'y' }, ROW], undefined],
    ['our own authorization server', [], UPSTREAM],
  ])('need keys for the tokens of %s', (_title, rows, upstream) => {
    expect(() => open(rows, {}, upstream)).toThrow(
      expect.objectContaining({
        ...{ code: 'misconfigured', message: 'ENCRYPTION_KEYS must be set: tokens are kept until they are revoked' },
      }),
    );
    expect(() => open(rows, { ENCRYPTION_KEYS: KEYS }, upstream)).not.toThrow();
  });

  test('need no keys where no grant is withdrawn', async () => {
    const { providers, doJob } = open([{ type: 'a', name: 'b' }]);

    expect(providers).toMatchObject([{ type: 'a', name: 'b', isIrrevocable: false }]);
    expect(await doJob(job('grant-revocation', ''), 100)).toMatchObject({ error: 'no revocation endpoint is set' });
    expect(await doJob(job('upstream-revocation', ''), 100)).toMatchObject({ error: 'no revocation endpoint is set' });
  });

  // Nobody listens at port 1: that it was tried there is told by what it comes to.
  test('are done where the settings say, with their keys', async () => {
    const { doJob } = open([ROW], { ENCRYPTION_KEYS: KEYS }, UPSTREAM);

    expect(await doJob(job('grant-revocation', sealTokens({ accessToken: 'a' }, 'b', KEYS)), 2000)).toEqual({
      ...{ status: 'retry', error: 'outgoing: unreachable' },
    });
    expect(await doJob(job('upstream-revocation', seal('t', 'b', KEYS)), 2000)).toEqual({
      ...{ status: 'retry', error: 'outgoing: unreachable' },
    });
  });

  test('leave a grant alone that a proved link has', async () => {
    const { links } = openMemoryDirectory();
    const row = { type: 'a', name: 'b', revocation: { preset: 'google', client_id: '1-x' } };
    const { doJob } = openRevocationJobs([row], { ENCRYPTION_KEYS: KEYS }, { secrets: {}, links });
    await links.link({
      ...{ fpType: 'a', fpName: 'b', sid: '1', subject: 'ann', evidence: 'proved' },
      audit: { actor: 'operator', requestId: 'r' },
    });

    expect(await doJob(job('grant-revocation', sealTokens({ accessToken: 'a' }, 'b', KEYS)), 100)).toEqual({
      ...{ status: 'done', result: 'skipped_shared_grant' },
    });
  });

  test('read the rows that the settings have in place of those that are bundled', () => {
    expect(open([{ type: 'a', name: 'b' }], { PROVIDERS: [{ type: 'x', name: 'y' }] }).providers).toMatchObject([
      { type: 'x' },
    ]);
  });
});
