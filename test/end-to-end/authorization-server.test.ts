import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { DEMO_SECRET, linkDemoUser } from '#scripts/authorization-server/demo.ts';
import { type AuthorizationServer, startAuthorizationServer } from '#scripts/authorization-server/server.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { basic } from '#test/support/test-issuer.ts';

const REDIRECT_URI = 'https://social.yandex.net/broker/redirect';

async function start(database = ':memory:', port = 0): Promise<AuthorizationServer> {
  return await startAuthorizationServer({ port, database, introspectionUrl: () => undefined });
}

async function requestTokens(authUrl: string, fields: Record<string, string>) {
  const response = await fetch(`${authUrl}/token`, {
    method: 'POST',
    headers: { Authorization: basic('smart-home', DEMO_SECRET) },
    body: new URLSearchParams(fields),
  });
  return { status: response.status, tokens: await response.json() };
}

test('a user links the accounts in a browser, by the code flow', async () => {
  const server = await start();
  onTestFinished(() => server.close());
  const browse = createBrowser();
  const query = new URLSearchParams({
    client_id: 'smart-home',
    response_type: 'code',
    scope: 'smart-home',
    state: 'state-1',
    redirect_uri: REDIRECT_URI,
  });

  const loginPage = await browse(`${server.url}/auth?${query}`);
  const consentPage = await browse(loginPage, { prompt: 'login', login: 'ann', password: 'any' });
  const back = new URL(await browse(consentPage, { prompt: 'consent' }));

  expect(back.searchParams.get('state')).toBe('state-1');
  const { status, tokens } = await requestTokens(server.url, {
    grant_type: 'authorization_code',
    code: back.searchParams.get('code') ?? '',
    redirect_uri: REDIRECT_URI,
  });
  expect(status).toBe(200);
  expect(claimsOf(tokens)).toMatchObject({ sub: 'ann', client_id: 'smart-home', grant_id: expect.any(String) });
  expect(tokens).toMatchObject({ refresh_token: expect.any(String) });
});

test('keys and refresh tokens outlive a restart', async () => {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const database = join(folder.path, 'server.sqlite');
  const first = await start(database);
  const { refreshToken } = await linkDemoUser(first.url, 'ann');
  const keys = await (await fetch(`${first.url}/jwks`)).text();
  await first.close();

  const second = await start(database);
  onTestFinished(() => second.close());

  expect(await (await fetch(`${second.url}/jwks`)).text()).toBe(keys);
  const { status } = await requestTokens(second.url, { grant_type: 'refresh_token', refresh_token: refreshToken });
  expect(status).toBe(200);
});

function claimsOf(tokens: unknown): unknown {
  // A token response; a JWT's second part is its claims.
  const { access_token } = tokens as { access_token: string };
  return JSON.parse(Buffer.from(access_token.split('.')[1] ?? '', 'base64url').toString());
}

/** A browser that keeps cookies and follows redirects, as far as the client's; it resolves to where it is then. */
function createBrowser() {
  const cookies = new Map<string, string>();
  return async function browse(url: string, form?: Record<string, string>): Promise<string> {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { Cookie: [...cookies].map((cookie) => cookie.join('=')).join('; ') },
      ...(form && { method: 'POST', body: new URLSearchParams(form) }),
    });
    await response.arrayBuffer();
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) return url;
    const next = new URL(location, url).href;
    return next.startsWith(REDIRECT_URI) ? next : await browse(next);
  };
}
