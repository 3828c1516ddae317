import { expect, test } from 'vitest';
import { discoverEndpoint } from '#shared/grant-revocation/discover-endpoint.ts';
import { answered } from '#test/support/matrix-ports.ts';

const ISSUER = 'https://login.example/tenant';
const METADATA = { issuer: ISSUER, revocation_endpoint: 'https://login.example/revoke' };

const discover = (answer: ReturnType<typeof answered>, issuer = ISSUER) => discoverEndpoint(issuer, async () => answer);

test.each([ISSUER, `${ISSUER}/`])('asks %s where its endpoint is', async (issuer) => {
  const asked: unknown[] = [];
  const endpoint = await discoverEndpoint(issuer, async (request) => {
    asked.push(request);
    return answered(200, { ...METADATA, issuer });
  });

  expect(endpoint).toBe('https://login.example/revoke');
  expect(asked).toEqual([
    {
      method: 'GET',
      url: 'https://login.example/tenant/.well-known/openid-configuration',
      headers: { Accept: 'application/json' },
    },
  ]);
});

test('knows that an issuer has none', async () => {
  expect(await discover(answered(200, { issuer: ISSUER }))).toBeUndefined();
});

test('may be led from this machine to this machine', async () => {
  const local = { issuer: 'http://localhost:1', revocation_endpoint: 'http://localhost:1/revoke' };

  expect(await discover(answered(200, local), local.issuer)).toBe(local.revocation_endpoint);
});

test.each<[string, ReturnType<typeof answered>]>([
  ['another success', answered(201, METADATA)],
  ['no success', answered(404, METADATA)],
  ['a list', answered(200, [METADATA])],
  ['no issuer', answered(200, { revocation_endpoint: METADATA.revocation_endpoint })],
  ['another issuer', answered(200, { ...METADATA, issuer: `${ISSUER}/` })],
  ['an endpoint that is no URL', answered(200, { ...METADATA, revocation_endpoint: '/revoke' })],
  ['an endpoint on this machine', answered(200, { ...METADATA, revocation_endpoint: 'http://localhost/revoke' })],
])('takes %s for no answer', async (_title, answer) => {
  await expect(discover(answer)).rejects.toMatchObject({ code: 'temporarily_unavailable', fault: 'malformed' });
});
