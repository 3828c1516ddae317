import { expect, test } from 'vitest';
import { discoverEndpoint } from '#shared/grant-revocation/discover-endpoint.ts';
import { revokeGrant } from '#shared/grant-revocation/revoke-grant.ts';
import type { OutgoingRequest, Send } from '#shared/outgoing/send.ts';
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

  expect(endpoint).toEqual({ url: 'https://login.example/revoke', isPublicOnly: true });
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

  expect(await discover(answered(200, local), local.issuer)).toEqual({
    url: local.revocation_endpoint,
    isPublicOnly: false,
  });
});

const PRIVATE_URLS = [
  'https://127.0.0.1/x',
  'https://[fd00::1]/x',
  'https://169.254.169.254/x',
  'https://db.internal/x',
];

test.each(PRIVATE_URLS)('is not led from a public issuer to %s', async (revocation_endpoint) => {
  const answer = { ...answered(200, { ...METADATA, revocation_endpoint }), address: '1.1.1.1' };
  await expect(discover(answer)).rejects.toMatchObject({ code: 'temporarily_unavailable', fault: 'forbidden' });
});

test.each(PRIVATE_URLS)('may be led from an issuer in a private network to %s', async (revocation_endpoint) => {
  const answer = { ...answered(200, { ...METADATA, revocation_endpoint }), address: '10.0.0.7' };
  expect(await discover(answer)).toEqual({ url: revocation_endpoint, isPublicOnly: false });
});

test.each([
  ['1.1.1.1', true],
  ['10.0.0.7', undefined],
])('a token goes to public addresses alone if the issuer is at %s: %s', async (address, isPublicOnly) => {
  const sent: OutgoingRequest[] = [];
  const send: Send = async (request) => {
    sent.push(request);
    return { ...answered(200, METADATA), address };
  };
  const client = { endpoint: ISSUER, isDiscovered: true, clientId: 'c', authMethod: 'client_secret_basic' } as const;
  await revokeGrant({ refreshToken: 'r', accessToken: 'a' }, client, { send, timeoutMs: 5000 });

  expect(sent.map((request) => [request.url, request.isPublicOnly])).toEqual([
    ['https://login.example/tenant/.well-known/openid-configuration', undefined],
    [METADATA.revocation_endpoint, isPublicOnly],
    [METADATA.revocation_endpoint, isPublicOnly],
  ]);
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
