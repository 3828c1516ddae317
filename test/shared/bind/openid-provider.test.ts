import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Provider } from 'oidc-provider';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createProviderClient, type KeptAuthorization, type ProviderClient } from '#shared/bind/provider-client.ts';
import { send } from '#shared/outgoing/send.ts';

/** The flow with a certified OpenID provider, whose pages a browser of a few lines goes through. */
const CALLBACK = 'https://login.example/cb';
const server = createServer();
let issuer: string;
let client: ProviderClient;

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // It listens on a port, not on a pipe.
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { warn, info } = console;
  // It says that its pages are for development. So they are.
  console.warn = console.info = () => {};
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'client-1', client_secret: 'fake:secret&', redirect_uris: [CALLBACK] }],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' }] },
    cookies: { keys: ['fake-key-of-cookies'] },
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    findAccount: (_ctx, sub) => ({
      accountId: sub,
      claims: () => ({ sub, name: `Name of ${sub}`, email: `${sub}@example.org`, email_verified: true }),
    }),
    renderError(ctx, out) {
      ctx.body = out;
    },
    ttl: { Interaction: 600, Session: 600, Grant: 600, AccessToken: 600, IdToken: 600, AuthorizationCode: 60 },
  });
  [console.warn, console.info] = [warn, info];
  server.on('request', provider.callback());
  client = createProviderClient(
    {
      protocol: 'oidc',
      issuer,
      clientId: 'client-1',
      authentication: { method: 'client_secret_basic', secret: 'fake:secret&' },
      scope: 'openid profile email',
      hasUserinfo: true,
      sid: 'id_token.sub',
      userName: ['profile.name'],
      email: 'profile.email',
      emailVerified: 'profile.email_verified',
    },
    { send },
  );
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

/** A browser that keeps cookies and follows redirects within the provider. Returns the URL of what it comes to. */
function openBrowser() {
  const jar = new Map<string, string>();
  return async function visit(url: string, form?: Record<string, string>): Promise<URL> {
    const Cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const response = await fetch(url, {
      headers: { Cookie },
      redirect: 'manual',
      ...(form && { method: 'POST', body: new URLSearchParams(form) }),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      jar.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) return new URL(url);
    const next = new URL(location, url);
    return next.href.startsWith(issuer) ? visit(next.href) : next;
  };
}

const authorize = (parameters = {}) =>
  client.authorize({ state: 'a-state', redirectUri: CALLBACK, parameters, timeoutMs: 5000 });
const finish = ({ searchParams }: URL, kept: KeptAuthorization) => client.finish(searchParams, kept, 5000);

async function signIn(url: string, login: string): Promise<URL> {
  const visit = openBrowser();
  const consent = await visit((await visit(url)).href, { prompt: 'login', login, password: 'x' });
  return visit(consent.href, { prompt: 'consent' });
}

test('whoever signs in and consents becomes the account', async () => {
  const { url, kept } = await authorize();

  expect(await finish(await signIn(url, 'anna'), kept)).toEqual({
    status: 'known',
    account: {
      sid: 'anna',
      userName: 'Name of anna',
      email: 'anna@example.org',
      tokens: { accessToken: expect.any(String), accessTokenExpiresAt: expect.any(Number) },
    },
  });
});

test('B21 a code is good for one exchange', async () => {
  const { url, kept } = await authorize();
  const callback = await signIn(url, 'anna');
  await finish(callback, kept);

  expect(await finish(callback, kept)).toMatchObject({ status: 'failed', error: 'invalid_code' });
});

test('B16, B17 a code is no good with the verifier of another flow', async () => {
  const [ours, theirs] = [await authorize(), await authorize()];
  const callback = await signIn(theirs.url, 'mallory');

  expect(await finish(callback, ours.kept)).toEqual({
    status: 'failed',
    error: 'invalid_code',
    detail: 'token endpoint: status 400 invalid_grant',
  });
});

test('B22 whoever turns back at the provider has cancelled', async () => {
  const { url, kept } = await authorize();
  const visit = openBrowser();
  const login = await visit(url);

  expect(await finish(await visit(`${login.href}/abort`), kept)).toEqual({ status: 'cancelled' });
});

test('prompt=none of a stranger wants an interaction', async () => {
  const { url, kept } = await authorize({ prompt: 'none' });

  expect(await finish(await openBrowser()(url), kept)).toEqual({ status: 'interaction_required' });
});

test('form_post brings the same parameters', async () => {
  const { url, kept } = await authorize({ response_mode: 'form_post', prompt: 'none' });
  const page = await (await fetch(url)).text();
  const fields = [...page.matchAll(/name="(\w+)" value="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]);

  expect(await client.finish(new URLSearchParams(fields), kept, 5000)).toEqual({ status: 'interaction_required' });
});
