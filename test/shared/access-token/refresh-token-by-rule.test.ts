import { expect, test } from 'vitest';
import { createIntrospectionVerifier } from '#shared/access-token/introspection.ts';
import type { Issuer } from '#shared/access-token/issuers.ts';

/** What a token comes to that is active in the words of an access token, where the caller means refresh tokens too. */
async function verify(token: string, rules: Partial<Issuer>, refreshTokens: boolean) {
  const introspection = { endpoint: 'https://as.test/introspect', client_id: 'us', client_secret: 'obviously-fake' };
  const answer = { active: true, sub: 'ann', client_id: 'spk', token_type: 'Bearer', jti: 'oar1', iat: 1 };
  const verifier = createIntrospectionVerifier({ issuer: 'https://as.test', ...rules }, introspection, {
    send: async () => ({ status: 200, headers: {}, body: Buffer.from(JSON.stringify(answer)) }),
    now: () => 2000,
    monotonic: () => 0,
  });
  return await verifier(token, { timeoutMs: 100, ...(refreshTokens && { refreshTokens: { hint: undefined } }) });
}

const JWT = ['{"alg":"none"}', '{"sub":"ann"}', 'x'].map((part) => Buffer.from(part).toString('base64url')).join('.');

// better-auth, Authelia and Okta, whose answers about the two differ in nothing else.
test.each<[string, Partial<Issuer>]>([
  ['a claim that it lacks', { require: ['azp'] }],
  ['how it begins', { prefix: 'authelia_at_' }],
  ['its jti', { jti: /^AT[.]/ }],
])('an opaque token is told from access tokens by %s: it is a refresh token where such are meant', async (_, rules) => {
  expect(await verify('opaque', rules, true)).toMatchObject({ status: 'refresh', token: { client: 'spk' } });
  expect(await verify('opaque', rules, false)).toEqual({ status: 'refused', reason: 'row_rule' });
});

test('a JWT that breaks a rule may be an ID token, and is none of either', async () => {
  expect(await verify(JWT, { require: ['azp'] }, true)).toEqual({ status: 'refused', reason: 'row_rule' });
});
