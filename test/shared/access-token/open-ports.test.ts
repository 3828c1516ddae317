import { expect, onTestFinished, test } from 'vitest';
import * as z from 'zod/mini';
import {
  AuthorizeEnvironment,
  openAuthorizePorts,
  VerifiedAuthorizeEnvironment,
} from '#shared/access-token/open-ports.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

const { ISSUERS, GRANT_CLAIM } = ISSUER_SETTINGS;
const STORE = { STORE_URL: 'memory:', TOKEN_PEPPERS: `k1:${Buffer.alloc(32, 'a').toString('base64')}` };

test.each([
  [
    'verifies tokens, whose grant it knows',
    { ISSUERS, GRANT_CLAIM },
    { status: 'verified', token: { grant: { claim: 'grant_id', value: 'g' } } },
  ],
  ['takes any token where nobody can verify one', { UNVERIFIED_TOKENS: '1' }, { status: 'unverified' }],
])('%s, and knows what is revoked', async (_title, more, verification) => {
  const settings = z.object(AuthorizeEnvironment).parse({ ...STORE, ...more });
  const { verify, revocations, peppers } = openAuthorizePorts(settings, LOCAL_PLATFORM);
  onTestFinished(revocations.close);

  expect(await verify(await issueToken({ grant_id: 'g' }), { timeoutMs: 1000 })).toMatchObject(verification);
  expect(await revocations.check({ tokenIds: ['a'], grants: [], cutOffKeys: [] })).toEqual({ revoked: false });
  expect(peppers.map(({ name }) => name)).toEqual(['k1']);
});

// Nobody listens at port 1.
test('asks an issuer over the network', async () => {
  const introspection = { endpoint: 'http://127.0.0.1:1/', client_id: 'a', client_secret: 'b' };
  const row = { issuer: 'https://auth.example', introspection };
  const settings = z.object(AuthorizeEnvironment).parse({ ...STORE, ISSUERS: JSON.stringify([row]) });
  const { verify } = openAuthorizePorts(settings, LOCAL_PLATFORM);

  await expect(verify('opaque', { timeoutMs: 1000 })).rejects.toMatchObject({ fault: 'unreachable' });
});

test('a function that has no use for unverified tokens must be told its issuers', () => {
  const environment = z.object(VerifiedAuthorizeEnvironment);

  expect(environment.safeParse({ ...STORE, ISSUERS }).success).toBe(true);
  expect(environment.safeParse({ ...STORE, UNVERIFIED_TOKENS: '1' }).error?.issues).toMatchObject([
    { path: ['ISSUERS'] },
  ]);
});

test('any function must be told its peppers', () => {
  for (const variables of [AuthorizeEnvironment, VerifiedAuthorizeEnvironment]) {
    expect(z.object(variables).safeParse({ ISSUERS }).error?.issues).toMatchObject([{ path: ['TOKEN_PEPPERS'] }]);
  }
});
