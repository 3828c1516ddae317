import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DEMO_SECRET, linkDemoUser, PLAIN_CLIENT } from '#scripts/authorization-server/demo.ts';
import {
  type AuthorizationServer,
  type BrowserClient,
  startAuthorizationServer,
} from '#scripts/authorization-server/server.ts';
import { startProject } from '#test/support/emulated-project.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { basic } from '#test/support/test-issuer.ts';

const REDIRECT_URI = 'https://social.yandex.net/broker/redirect';

const SIGN_IN: BrowserClient = { clientId: 'sign-in', redirectUri: `${REDIRECT_URI}/sign-in`, isFirstParty: true };

async function start(database = ':memory:', port = 0): Promise<AuthorizationServer> {
  return await startAuthorizationServer({
    port,
    database,
    browserClients: [SIGN_IN],
    introspectionUrl: () => undefined,
  });
}

async function requestTokens(authUrl: string, fields: Record<string, string>, clientId = 'smart-home') {
  const response = await fetch(`${authUrl}/token`, {
    method: 'POST',
    headers: { Authorization: basic(clientId, DEMO_SECRET) },
    body: new URLSearchParams(fields),
  });
  return { status: response.status, tokens: await response.json() };
}

/** A request of the code flow; the browser comes back with a code, or stops at a page that asks something. */
function authorizationUrl(authUrl: string, { clientId, redirectUri }: BrowserClient, scope: string): string {
  const fields = { client_id: clientId, redirect_uri: redirectUri, scope, response_type: 'code' };
  return `${authUrl}/auth?${new URLSearchParams(fields)}`;
}

/** The tokens for the code that the browser came back with. */
async function exchange(authUrl: string, { clientId, redirectUri }: BrowserClient, back: string) {
  const code = new URL(back).searchParams.get('code') ?? '';
  const fields = { grant_type: 'authorization_code', code, redirect_uri: redirectUri };
  const { status, tokens } = await requestTokens(authUrl, fields, clientId);
  expect(status).toBe(200);
  // RFC 6749, section 5.1.
  const { access_token, refresh_token } = tokens as { access_token: string; refresh_token: string };
  return { accessToken: access_token, refreshToken: refresh_token };
}

/** A browser in which Ann has signed in and linked the accounts; it links them again without a question. */
async function startLinkedBrowser(authUrl: string) {
  const client = { clientId: 'smart-home', redirectUri: REDIRECT_URI };
  const url = authorizationUrl(authUrl, client, 'smart-home');
  const browse = createBrowser();
  const loginPage = await browse(url);
  const consentPage = await browse(loginPage, { prompt: 'login', login: 'ann', password: 'any' });
  const back = await browse(consentPage, { prompt: 'consent' });
  return {
    browse,
    link: await exchange(authUrl, client, back),
    linkAgain: async () => exchange(authUrl, client, await browse(url)),
  };
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
  const link = await exchange(server.url, { clientId: 'smart-home', redirectUri: REDIRECT_URI }, back.href);
  expect(claimsOf(link)).toMatchObject({ sub: 'ann', client_id: 'smart-home', grant_id: expect.any(String) });
  expect(link).toMatchObject({ refreshToken: expect.any(String) });
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

describe('the API that ends what a user has at a client', () => {
  /** A call of the API with its credential, unless the call says otherwise. */
  async function callApi(authUrl: string, path: string, method = 'DELETE', credential = DEMO_SECRET): Promise<number> {
    const headers = { Authorization: `Bearer ${credential}` };
    return (await fetch(`${authUrl}/admin/users/${path}/grants`, { method, headers })).status;
  }

  test('ends all grants of that user at that client with their tokens, and no other', async () => {
    const server = await start();
    onTestFinished(() => server.close());
    const plain = [server.url, 'ann b', 'jwt', 'smart-home', PLAIN_CLIENT] as const;
    const links = [await linkDemoUser(...plain), await linkDemoUser(...plain)];
    await linkDemoUser(server.url, 'ann b');
    await linkDemoUser(server.url, 'ben', 'jwt', 'smart-home', PLAIN_CLIENT);

    expect(await callApi(server.url, `ann%20b/clients/${PLAIN_CLIENT}`)).toBe(204);

    expect(server.countGiven(PLAIN_CLIENT, 'ann b')).toEqual({ grants: 0, accessTokens: 0, refreshTokens: 0 });
    expect(server.countGiven('smart-home', 'ann b')).toMatchObject({ grants: 1, refreshTokens: 1 });
    expect(server.countGiven(PLAIN_CLIENT, 'ben')).toMatchObject({ grants: 1, refreshTokens: 1 });
    for (const { refreshToken } of links) {
      const fields = { grant_type: 'refresh_token', refresh_token: refreshToken };
      expect(await requestTokens(server.url, fields, PLAIN_CLIENT)).toMatchObject({
        ...{ status: 400, tokens: { error: 'invalid_grant' } },
      });
    }
    expect(await callApi(server.url, `ann%20b/clients/${PLAIN_CLIENT}`)).toBe(404);
  });

  test('rejects a wrong credential and another method, and ends nothing', async () => {
    const server = await start();
    onTestFinished(() => server.close());
    await linkDemoUser(server.url, 'ann');

    expect(await callApi(server.url, 'ann/clients/smart-home', 'DELETE', 'obviously-wrong')).toBe(401);
    expect(await callApi(server.url, 'ann/clients/smart-home', 'GET')).toBe(405);

    expect(server.countGiven('smart-home', 'ann')).toMatchObject({ grants: 1, refreshTokens: 1 });
  });

  test('finds nothing under a path with broken percent-encoding, and the server goes on', async () => {
    const server = await start();
    onTestFinished(() => server.close());

    expect(await callApi(server.url, '%/clients/smart-home')).toBe(404);
    expect(await callApi(server.url, 'ann/clients/%E0%A4')).toBe(404);

    expect((await fetch(`${server.url}/jwks`)).status).toBe(200);
  });
});

describe('in one session of the browser', () => {
  test('a link made anew after an unlink is accepted, and asks for no consent again', async () => {
    const server = await start();
    onTestFinished(() => server.close());
    const project = await startProject({ authUrl: server.url });
    onTestFinished(() => project.close());
    const call = async (token: string) =>
      (await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status;
    const { link, linkAgain } = await startLinkedBrowser(server.url);
    expect(await call(link.accessToken)).toBe(200);

    const unlinked = await project.raw('smart-home-unlink', {
      headers: { request_id: '1111-aaaa', authorization: `Bearer ${link.accessToken}` },
      request_type: 'unlink',
      api_version: 1.0,
    });

    expect(unlinked.status).toBe(200);
    expect(await call(link.accessToken)).toBe(403);
    const again = await linkAgain();
    expect(await call(again.accessToken)).toBe(200);
  });

  test('of two links, each has a grant of its own, and the first lives on', async () => {
    const server = await start();
    onTestFinished(() => server.close());
    const { link, linkAgain } = await startLinkedBrowser(server.url);

    const again = await linkAgain();

    expect(claimsOf(again).grant_id).not.toBe(claimsOf(link).grant_id);
    for (const { refreshToken } of [link, again]) {
      const refresh = { grant_type: 'refresh_token', refresh_token: refreshToken };
      expect(await requestTokens(server.url, refresh)).toMatchObject({ status: 200 });
    }
    expect(server.countGiven('smart-home', 'ann').grants).toBe(2);
  });

  test("the server's own client gets a new grant each time, and asks nothing", async () => {
    const server = await start();
    onTestFinished(() => server.close());
    const { browse } = await startLinkedBrowser(server.url);
    const url = authorizationUrl(server.url, SIGN_IN, 'openid');

    for (const count of [1, 2]) {
      await exchange(server.url, SIGN_IN, await browse(url));

      expect(server.countGiven('sign-in', 'ann').grants).toBe(count);
    }
  });

  test('an authorization that asks for more, or to sign in again, makes one grant', async () => {
    const server = await start();
    onTestFinished(() => server.close());
    const { browse } = await startLinkedBrowser(server.url);
    const client = { clientId: 'smart-home', redirectUri: REDIRECT_URI };

    const more = authorizationUrl(server.url, client, 'smart-home blitz_api_ufa');
    await exchange(server.url, client, await browse(await browse(more), { prompt: 'consent' }));
    expect(server.countGiven('smart-home', 'ann').grants).toBe(2);

    const loginPage = await browse(`${authorizationUrl(server.url, client, 'smart-home')}&prompt=login`);
    const back = await browse(loginPage, { prompt: 'login', login: 'ann', password: 'any' });
    await exchange(server.url, client, back);
    expect(server.countGiven('smart-home', 'ann').grants).toBe(3);
  });

  test('another user who signs in meanwhile gets nothing of the first', async () => {
    const server = await start();
    onTestFinished(() => server.close());
    const { browse, link } = await startLinkedBrowser(server.url);
    const client = { clientId: 'smart-home', redirectUri: REDIRECT_URI };

    const loginPage = await browse(`${authorizationUrl(server.url, client, 'smart-home')}&prompt=login`);
    const consentPage = await browse(loginPage, { prompt: 'login', login: 'bob', password: 'any' });
    const other = await exchange(server.url, client, await browse(consentPage, { prompt: 'consent' }));

    expect(claimsOf(other)).toMatchObject({ sub: 'bob' });
    expect(claimsOf(other).grant_id).not.toBe(claimsOf(link).grant_id);
    expect(server.countGiven('smart-home', 'bob').grants).toBe(1);
  });
});

function claimsOf({ accessToken }: { accessToken: string }) {
  // A JWT's second part is its claims.
  return JSON.parse(Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;
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
    const page = await response.text();
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) return await submitOf(page, browse, url);
    const next = new URL(location, url).href;
    return next.startsWith(REDIRECT_URI) ? next : await browse(next);
  };
}

/** Where a page leads whose script submits its form at once; any other is where the browser stays. */
async function submitOf(
  page: string,
  browse: (url: string, form: Record<string, string>) => Promise<string>,
  url: string,
): Promise<string> {
  const action = /<form method="post" action="([^"]+)"/.exec(page)?.[1];
  if (action === undefined || !page.includes('document.forms[0].submit()')) return url;
  const fields = [...page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)"/g)];
  return await browse(action, Object.fromEntries(fields.map(([, name = '', value = '']) => [name, value])));
}
