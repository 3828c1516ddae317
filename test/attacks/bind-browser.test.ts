/** B07–B10, B35, B39–B44 of security.md, A1, A2, A5, A18, A19, A34 of links.md, and what no list names: browsers. */
import { createHash } from 'node:crypto';
import { createContext, runInContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import {
  ANN,
  AT_PROVIDER,
  answered,
  answerWith,
  BEARER,
  countKept,
  EVE,
  expectNoSecretLogged,
  expectRefused,
  logged,
  NONE,
  query,
  sentBack,
  stateOf,
  toPage,
  toSignIn,
  toTicket,
} from '#test/support/bind-attack.ts';
import {
  type BindProject,
  bindAt,
  CALLBACK,
  locationOf,
  pageOf,
  startBindProject,
} from '#test/support/bind-project.ts';
import type { Received } from '#test/support/emulated-project.ts';
import { MOCK_CLIENT } from '#test/support/mock-provider.ts';
import { basic, client } from '#test/support/test-issuer.ts';

const BASE = '/blitz/api/users/current/fps/bind';
const SUCCESS = `${CALLBACK}&fa_status=success&fp=oidc%3Amock_1`;
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

const errorOf = ({ body }: Received): unknown => JSON.parse(body).error;

/** The name of a cookie as a page sets it. */
const nameOf = (cookie: string) => cookie.split('=')[0];

describe('the browser of somebody else', () => {
  test("B07, A1 a callback of the attacker's in the victim's browser links nothing to either", async () => {
    const bind = await startBindProject();
    const given = bind.provider.answer(await bind.redirectTo('eve'), { sub: 'remote-of-eve' });
    const signIn = locationOf(await bind.callback(given)).href;
    const answer = await bind.signIn(bind.issuer.answer(signIn, { sub: 'victim' }));
    expectRefused(bind, answer, 'user_mismatch');
  });

  test("A2 a bind of the attacker's that the victim finishes links nothing to the attacker", async () => {
    const bind = await startBindProject();
    const victimAtProvider = { sub: 'remote-of-victim' };
    const signIn = locationOf(
      await bind.callback(bind.provider.answer(await bind.redirectTo('eve'), victimAtProvider)),
    );
    expectRefused(bind, await bind.signIn(bind.issuer.answer(signIn.href, { sub: 'victim' })), 'user_mismatch');
  });

  test('A1, A2 under bearer the ticket of one is no good to another, and is spent', async () => {
    const bind = await startBindProject(BEARER);
    const ticket = await toTicket(bind);
    const answer = await bind.confirm(await bind.user('eve'), ticket);
    expect(answer.status).toBe(403);
    expectRefused(bind, answer, 'user_mismatch');
    expect((await bind.confirm(await bind.user('ann'), ticket)).status).toBe(400);
  });

  test('B08, A5 another user has signed in since the start', async () => {
    const bind = await startBindProject();
    expectRefused(bind, await bind.signIn(bind.issuer.answer(await toSignIn(bind), EVE)), 'user_mismatch');
  });

  test("the attacker's sign-in with the victim's state", async () => {
    const bind = await startBindProject();
    const signIn = await toSignIn(bind);
    const ofEve = bind.issuer.answer(await toSignIn(bind), EVE);
    const given = answerWith(stateOf(signIn), bind.issuer.url);
    given.set('code', ofEve.get('code') ?? '');
    expectRefused(bind, await bind.signIn(given), 'invalid_code');
  });

  test("the provider's code at the sign-in, the sign-in's at the provider", async () => {
    const bind = await startBindProject();
    const atProvider = await answered(bind);
    const atIssuer = bind.issuer.answer(await toSignIn(bind), ANN);
    const swap = (code: URLSearchParams, { state = '', iss = '' }) =>
      new URLSearchParams({ code: code.get('code') ?? '', state, iss });
    const [one, other] = [Object.fromEntries(atProvider), Object.fromEntries(atIssuer)];
    expectRefused(bind, await bind.callback(swap(atIssuer, one)), 'invalid_code');
    expectRefused(bind, await bind.signIn(swap(atProvider, other)), 'invalid_code');
  });

  test.each<[string, (cookie: string) => string | undefined]>([
    ['B09 without the cookie, as a form of another site sends it', () => undefined],
    ['B10 with a cookie that was made up', (cookie) => `${nameOf(cookie)}=${'x'.repeat(43)}`],
    ['with an empty one', (cookie) => `${nameOf(cookie)}=`],
    ['with its name in another case', (cookie) => cookie.replace('__Host', '__host')],
    ['with a cookie that a subdomain may set', (cookie) => cookie.replace('__Host-', '')],
    ['with a cookie without a name', (cookie) => `=${cookie}`],
    ['with a second one that was tossed', (cookie) => `${nameOf(cookie)}=${'x'.repeat(43)}; ${cookie}`],
    ['with it in quotes', (cookie) => cookie.replace(/=(.*)/, '="$1"')],
  ])('A1, A34 a form of our page %s: browser_mismatch, and it is spent', async (_name, cookieOf) => {
    const bind = await startBindProject();
    const { token, cookie } = await toPage(bind);
    expectRefused(bind, await bind.page(token, cookieOf(cookie)), 'browser_mismatch');
    expectRefused(bind, await bind.page(token, cookie), 'state_used');
  });

  test('B10 with the cookie of another bind', async () => {
    const bind = await startBindProject();
    const [mine, other] = [await toPage(bind), await toPage(bind)];
    expectRefused(bind, await bind.page(mine.token, other.cookie), 'browser_mismatch');
  });

  test('B39 the cookie and the token of each page are new, whatever the browser had', async () => {
    const bind = await startBindProject();
    const fixed = `__Host-fa_bind=${'x'.repeat(43)}`;
    const given = bind.issuer.answer(await toSignIn(bind), ANN);
    const page = pageOf(await bind.project.gateway('GET', `${BASE}/sign-in?${given}`, { Cookie: fixed }));
    const other = await toPage(bind);
    expect(new Set([fixed, page.cookie, other.cookie]).size).toBe(3);
    expect(page.token).not.toBe(other.token);
  });

  test.each(['text/plain', 'application/json', 'multipart/form-data'])(
    'A34 a form that is %s is a page, and the token is not spent',
    async (type) => {
      const bind = await startBindProject();
      const { token, cookie } = await toPage(bind);
      const headers = { 'Content-Type': type, Cookie: cookie };
      expectRefused(
        bind,
        await bind.project.gateway('POST', `${BASE}/page`, headers, `token=${token}`),
        'state_missing',
      );
      expect(locationOf(await bind.page(token, cookie)).href).toBe(SUCCESS);
    },
  );

  test('B40 a credential that was revoked since the start confirms nothing', async () => {
    const bind = await startBindProject(BEARER);
    const ticket = await toTicket(bind);
    const ann = await bind.user('ann');
    const revoked = await bind.project.gateway(
      'POST',
      '/oauth/revoke',
      { ...FORM, Authorization: basic('page', 'page-secret') },
      new URLSearchParams({ token: ann.replace('Bearer ', '') }).toString(),
    );
    expect(revoked.status).toBe(200);
    expect((await bind.confirm(ann, ticket)).status).toBe(401);
    expect(countKept(bind).links).toBe(0);
  });

  test('B40 a session that has ended since the start asks for a sign-in, without which nothing is linked', async () => {
    const bind = await startBindProject();
    const error = (state: string) => new URLSearchParams({ error: 'login_required', state, iss: bind.issuer.url });
    const asked = locationOf(await bind.signIn(error(stateOf(await toSignIn(bind)))));
    expect(asked.searchParams.has('prompt')).toBe(false);
    // The browser is asked once: there is no loop that an issuer or an attacker could keep it in.
    const steps = countKept(bind).steps;
    expectRefused(bind, await bind.signIn(error(stateOf(asked.href))), 'provider_unavailable');
    expectRefused(bind, await bind.signIn(error(stateOf(asked.href))), 'state_used');
    expect(countKept(bind).steps).toBe(steps);
  });

  test('B41 a bind is started by a POST with a credential: no link, form or cookie of another site starts one', async () => {
    const bind = await startBindProject();
    const path = '/blitz/api/v2/users/current/fa/bind';
    const ann = await bind.user('ann');
    const body = JSON.stringify({ fp: 'oidc:mock_1', callback: CALLBACK });
    const cross = { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://evil.example' };
    const get = await bind.project.gateway('GET', `${path}?fp=oidc:mock_1&callback=${CALLBACK}`, {
      ...cross,
      Authorization: ann,
    });
    const form = { ...cross, ...FORM, Cookie: `session=${ann}` };
    const posted = await bind.project.gateway('POST', path, form, 'fp=oidc:mock_1');
    const text = await bind.project.gateway('POST', path, { Authorization: ann, 'Content-Type': 'text/plain' }, body);
    expect(get.status).toBeGreaterThanOrEqual(404);
    expect(posted.status).toBe(401);
    expect(text.status).toBe(400);
    expect(countKept(bind).steps).toBe(0);
  });
});

describe('a token that is taken for another', () => {
  /** What our issuer gives an application that signs a user in. */
  async function idTokenOf({ issuer }: BindProject): Promise<string> {
    const verifier = 'v'.repeat(43);
    const code_challenge = createHash('sha256').update(verifier).digest('base64url');
    const request = new URLSearchParams({ code_challenge, redirect_uri: 'https://app.company.com' });
    const code = issuer.answer(`${issuer.url}/authorize?${request}`, ANN).get('code') ?? '';
    const form = new URLSearchParams({ code, code_verifier: verifier, redirect_uri: 'https://app.company.com' });
    // What a token endpoint answers with; a test that finds no token in it fails.
    const answer = (await (await fetch(`${issuer.url}/token`, { method: 'POST', body: form })).json()) as {
      id_token: string;
    };
    return answer.id_token;
  }

  const SCOPES = { sub: 'ann', client_id: 'page', scope: 'blitz_api_ufa_chg' };

  test.each<[string, (bind: BindProject) => Promise<string>]>([
    ['an ID token', idTokenOf],
    ['an access token of the provider', (bind) => bind.provider.accessToken(SCOPES)],
    ['one for another audience', (bind) => bind.issuer.accessToken({ ...SCOPES, aud: MOCK_CLIENT.client_id })],
    ['one that calls itself of our issuer', (bind) => bind.provider.accessToken({ ...SCOPES, iss: bind.issuer.url })],
    ['one with its signature cut off', async (bind) => (await bind.issuer.accessToken(SCOPES)).replace(/[^.]+$/, '')],
  ])('J %s starts and confirms nothing', async (_name, tokenOf) => {
    const bind = await startBindProject(BEARER);
    const ticket = await toTicket(bind);
    const authorization = `Bearer ${await tokenOf(bind)}`;
    expect((await bind.start(authorization, { fp: 'oidc:mock_1', callback: CALLBACK })).status).toBe(401);
    expect((await bind.confirm(authorization, ticket)).status).toBe(401);
    expect((await bind.confirm(await bind.user('ann'), ticket)).status).toBe(204);
  });

  test('J an access token at the sign-in, where an ID token is due', async () => {
    const bind = await startBindProject();
    const signIn = await toSignIn(bind);
    const nonce = new URL(signIn).searchParams.get('nonce');
    const id_token = await bind.issuer.accessToken({ aud: MOCK_CLIENT.client_id, sub: 'ann', nonce });
    bind.issuer.trouble = { status: 200, body: JSON.stringify({ access_token: 'a', token_type: 'Bearer', id_token }) };
    expectRefused(bind, await bind.signIn(bind.issuer.answer(signIn, ANN)), 'invalid_code');
  });
});

describe('a step that is taken for another', () => {
  const REFUSAL = 'state_missing';

  test('states, tokens and tickets open their own step alone, and are spent by the try', async () => {
    const bind = await startBindProject();
    const { issuer, provider } = bind;
    const provideState = async () => stateOf(await bind.redirectTo('ann'));
    const signInState = async () => stateOf(await toSignIn(bind));
    const pageToken = async () => (await toPage(bind)).token;
    const ann = await bind.user('ann');
    const uses = {
      callback: (secret: string) => bind.callback(answerWith(secret, provider.url)),
      'sign-in': (secret: string) => bind.signIn(answerWith(secret, issuer.url)),
      page: (secret: string) => bind.page(secret, `__Host-fa_bind-x=${secret}`),
      confirm: (secret: string) => bind.confirm(ann, secret),
    };
    for (const [own, make] of [
      ['callback', provideState],
      ['sign-in', signInState],
      ['page', pageToken],
    ] as const) {
      for (const use of ['callback', 'sign-in', 'page', 'confirm'] as const) {
        if (use === own) continue;
        const secret = await make();
        const exchanges = provider.exchanges.length + issuer.exchanges.length;
        const answer = await uses[use](secret);
        expect(answer.status).toBe(400);
        expectRefused(bind, answer, REFUSAL);
        expectRefused(bind, await uses[own](secret), 'state_used');
        expect(provider.exchanges.length + issuer.exchanges.length).toBe(exchanges);
      }
    }
  });

  test('a ticket is no state and no token', async () => {
    const bind = await startBindProject(BEARER);
    const tries = [
      (secret: string) => bind.callback(answerWith(secret, bind.provider.url)),
      (secret: string) => bind.signIn(answerWith(secret, bind.issuer.url)),
      (secret: string) => bind.page(secret, `__Host-fa_bind-x=${secret}`),
    ];
    for (const use of tries) {
      const ticket = await toTicket(bind);
      expectRefused(bind, await use(ticket), REFUSAL);
      expect((await bind.confirm(await bind.user('ann'), ticket)).status).toBe(400);
    }
  });
});

describe('settings that change under a bind', () => {
  /** The same store in front of functions with other settings. */
  const restart = (bind: BindProject, local: Record<string, string | null>) =>
    startBindProject({ local: { STORE_URL: `sqlite:${bind.project.database}`, ...local } });
  const OTHER_PROVIDER = JSON.stringify([{ type: 'vk', name: 'vk_1' }]);

  test('B35 a provider that is gone when the browser comes back', async () => {
    const before = await startBindProject(NONE);
    const given = await answered(before);
    const after = await restart(before, { ...NONE.local, PROVIDERS: OTHER_PROVIDER });
    expect(locationOf(await after.callback(given)).href).toBe(sentBack('provider_disabled'));
    expect(logged(after, 'audit').at(-1)).toMatchObject({ error: 'provider_disabled' });
    expectRefused(before, await before.callback(given), 'state_used');
  });

  test('B35 a provider that is gone when the user agrees', async () => {
    const before = await startBindProject();
    const { token, cookie } = await toPage(before);
    const after = await restart(before, { PROVIDERS: OTHER_PROVIDER });
    expect(locationOf(await after.page(token, cookie)).href).toBe(sentBack('provider_disabled'));
    expect(countKept(before).links).toBe(0);
  });

  test('B35 a provider that is gone when the ticket is confirmed', async () => {
    const before = await startBindProject(BEARER);
    const ticket = await toTicket(before);
    const after = await restart(before, { ...BEARER.local, PROVIDERS: OTHER_PROVIDER });
    expect((await after.confirm(await after.user('ann'), ticket)).status).toBe(400);
    expect(logged(after, 'audit').at(-1)).toMatchObject({ error: 'provider_disabled' });
    expect(countKept(before).links).toBe(0);
  });

  test('a provider of that name that is another now is not told the code', async () => {
    const before = await startBindProject(NONE);
    const given = await answered(before);
    const after = await restart(before, NONE.local);
    expect(locationOf(await after.callback(given)).href).toBe(sentBack('issuer_mismatch'));
    expect(after.provider.exchanges).toEqual([]);
  });

  test.each(['none', 'bearer'])('a bind that names nobody is not finished under %s', async (mode) => {
    const before = await startBindProject();
    const started = await before.start(before.application('plain'), { fp: 'oidc:mock_1', callback: CALLBACK });
    const given = before.provider.answer(JSON.parse(started.body).redirectTo, AT_PROVIDER);
    const row = { type: 'oidc', name: 'mock_1', bind: bindAt(before.provider.url) };
    const after = await restart(before, { BIND_CONFIRMATION: mode, PROVIDERS: JSON.stringify([row]) });
    expect(locationOf(await after.callback(given)).href).toBe(sentBack('user_mismatch'));
    expect(countKept(before).links).toBe(0);
  });
});

describe('our pages', () => {
  const HOSTILE = `"><img src=x onerror=alert(1)>'</title><script>alert(2)</script>`;

  /** Each page of ours, in turn. */
  async function pages(): Promise<Record<string, Received>> {
    const bind = await startBindProject();
    const consent = await bind.signIn(bind.issuer.answer(await toSignIn(bind), ANN));
    const popup = await bind.callback(await cancelled(bind));
    const lost = await bind.callback(new URLSearchParams({ state: 'x' }));
    query(bind, 'ALTER TABLE bind_transaction RENAME TO gone');
    const failure = await bind.callback(new URLSearchParams({ state: 'x'.repeat(43) }));
    return { consent, popup, lost, failure };
  }

  async function cancelled(bind: BindProject): Promise<URLSearchParams> {
    const state = stateOf(await bind.redirectTo('ann', { isPopup: true }));
    return new URLSearchParams({ error: 'access_denied', state, iss: bind.provider.url });
  }

  test('B42, A19 are framed by nobody, kept by nobody, and tell nobody where they were', async () => {
    const all = await pages();
    expect(Object.values(all).map(({ status }) => status)).toEqual([200, 200, 400, 503]);
    for (const { headers } of Object.values(all)) {
      const policy = headers.get('content-security-policy');
      expect(policy).toMatch(/^default-src 'none'; /);
      expect(policy).toMatch(/; frame-ancestors 'none'; base-uri 'none'$/);
      expect(policy).not.toMatch(/unsafe|\*/);
      expect(headers.get('cache-control')).toBe('no-store');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
  });

  test('B44 have no script but the popup’s, which has a nonce of its own and nothing of the user', async () => {
    const { popup, ...others } = await pages();
    for (const { body } of Object.values(others)) expect(body).not.toMatch(/<script|\son\w+=|javascript:/i);
    const nonces = [...(popup?.body ?? '').matchAll(/<script nonce="([^"]+)"/g)].map(([, nonce]) => nonce);
    expect(nonces).toHaveLength(1);
    expect(popup?.headers.get('content-security-policy')).toContain(`script-src 'nonce-${nonces[0]}'`);
    expect((await pages()).popup?.body).not.toContain(nonces[0]);
  });

  test('no one’s name, id or title becomes HTML', async () => {
    const hostile = await startBindProject();
    const bind = await startBindProject({
      local: {
        CLIENTS: JSON.stringify([
          { ...client(HOSTILE, 'its-secret'), callbacks: [CALLBACK], title: HOSTILE.slice(0, 64) },
        ]),
        PROVIDERS: JSON.stringify([
          { type: 'oidc', name: 'mock_1', title: HOSTILE.slice(0, 64), bind: bindAt(hostile.provider.url) },
        ]),
      },
    });
    const token = await bind.issuer.accessToken({
      ...{ sub: 'ann', client_id: HOSTILE, scope: 'blitz_api_ufa_chg' },
    });
    const started = await bind.start(`Bearer ${token}`, { fp: 'oidc:mock_1', callback: CALLBACK });
    const given = hostile.provider.answer(JSON.parse(started.body).redirectTo, { sub: 'remote-1', name: HOSTILE });
    const signIn = locationOf(await bind.callback(given)).href;
    const { status, body } = await bind.signIn(bind.issuer.answer(signIn, { sub: 'ann', name: HOSTILE }));
    expect(status).toBe(200);
    expect(body).not.toMatch(/<img|<script|onerror=alert\(1\)>|<\/title>.*<\/title>/s);
    expect(body.match(/<bdi>&quot;&gt;&lt;img src=x onerror=alert\(1\)&gt;&#39;/g)).toHaveLength(4);
  });

  test.each<[string, object | null]>([
    ['tells its opener, at the exact origin of the callback', {}],
    ['does nothing where the opener is gone', null],
  ])('B43, A19 the popup %s', async (_name, opener) => {
    const bind = await startBindProject({ local: BEARER.local });
    const given = await answered(bind, { isPopup: true });
    const { status, body } = await bind.callback(given);
    expect(status).toBe(200);

    const sent: unknown[][] = [];
    const window = {
      opener: opener && { postMessage: (...message: unknown[]) => sent.push(message) },
      close: () => sent.push(['closed']),
    };
    runInContext(/<script nonce="[^"]+">(.*?)<\/script>/s.exec(body)?.[1] ?? 'throw 1', createContext({ window }));
    const ticket = /"ticket":"([\w-]{43})"/.exec(body)?.[1];
    const message = { type: 'fa.bind', status: 'confirm', fp: 'oidc:mock_1', ticket };
    expect(sent).toEqual(opener === null ? [] : [[message, 'https://app.company.com'], ['closed']]);
    expect(body).toContain(`href="${CALLBACK}&amp;fa_status=confirm&amp;fp=oidc%3Amock_1&amp;ticket=${ticket}"`);
    expect(body).not.toMatch(/remote-1|Ann|\bcode=|state=/);
    expectNoSecretLogged(bind);
  });

  test('A18 the callback is told the result after what was registered, and nothing of the provider’s answer', async () => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);
    for (const name of ['callback', 'fa_status', 'ticket', 'subject', 'redirect_uri'])
      given.set(name, 'https://evil.example');
    const answer = await bind.callback(given);
    expect(locationOf(answer).href).toBe(SUCCESS);
    expect(answer.headers.get('referrer-policy')).toBe('no-referrer');
  });
});

describe('calls that nobody would make by mistake', () => {
  test.each<[string, unknown, number]>([
    ['current', 'current', 403],
    ['nobody', '', 400],
    ['null', null, 400],
    ['a number', 7, 400],
    ['a list', ['ann'], 400],
    ['an object', { id: 'ann' }, 400],
    ['a blank behind it', 'ann ', 400],
    ['a line feed behind it', 'ann\n', 400],
    ['U+2011 for a hyphen', 'a\u2011b', 400],
    ['256 characters', 'a'.repeat(256), 400],
  ])('an application that names as subject: %s', async (_name, subjectId, status) => {
    const bind = await startBindProject(NONE);
    const body = { fp: 'oidc:mock_1', callback: CALLBACK, subjectId };
    expect((await bind.start(bind.application(), body)).status).toBe(status);
    expect(countKept(bind).steps).toBe(0);
  });

  test.each(['eve', 'ANN', '%61nn', 'ann%00', '..', 'current/../eve'])(
    'a user who names %s for themself gets the same 403, and nothing is stored',
    async (subjectId) => {
      const bind = await startBindProject();
      const answer = await bind.start(await bind.user('ann'), { fp: 'oidc:mock_1', callback: CALLBACK, subjectId });
      expect(answer.status).toBe(403);
      expect(errorOf(answer)).toBe('insufficient_scope');
      expect(countKept(bind).steps).toBe(0);
    },
  );

  test.each<[string, object]>([
    ['read scopes alone', { sub: 'ann', scope: 'blitz_api_ufa' }],
    ['scopes of an application in the token of a user', { sub: 'ann', scope: 'blitz_api_sys_ufa_chg' }],
    ['a scope that begins like it', { sub: 'ann', scope: 'blitz_api_ufa_chgx' }],
  ])('a user with %s starts and confirms nothing', async (_name, claims) => {
    const bind = await startBindProject(BEARER);
    const ticket = await toTicket(bind);
    const { steps } = countKept(bind);
    const token = `Bearer ${await bind.issuer.accessToken({ client_id: 'page', ...claims })}`;
    expect((await bind.start(token, { fp: 'oidc:mock_1', callback: CALLBACK })).status).toBe(403);
    expect((await bind.confirm(token, ticket)).status).toBe(403);
    expect(countKept(bind)).toEqual({ links: 0, steps });
    expect((await bind.confirm(await bind.user('ann'), ticket)).status).toBe(204);
  });

  test('the names of hosts that a call makes up lead nowhere', async () => {
    const bind = await startBindProject(NONE);
    const answer = await bind.project.gateway(
      'POST',
      '/blitz/api/v2/users/current/fa/bind',
      {
        ...{ Authorization: await bind.user('ann'), 'Content-Type': 'application/json' },
        ...{ 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'http', Forwarded: 'host=evil.example' },
      },
      JSON.stringify({ fp: 'oidc:mock_1', callback: CALLBACK }),
    );
    const redirectTo = new URL(JSON.parse(answer.body).redirectTo);
    expect(redirectTo.searchParams.get('redirect_uri')).toBe(`https://login.company.com${BASE}/cb/oidc/mock_1`);
    expect(answer.body).not.toContain('evil');
  });

  test('a deployment whose paths begin otherwise is consistent in it', async () => {
    const bind = await startBindProject({ local: { CONTEXT_PREFIX: '/id/v1' } });
    const url = new URL(await bind.redirectTo('ann'));
    const base = 'https://login.company.com/id/v1/api/users/current/fps/bind';
    expect(url.searchParams.get('redirect_uri')).toBe(`${base}/cb/oidc/mock_1`);
    const signIn = locationOf(await bind.callback(bind.provider.answer(url.href, AT_PROVIDER)));
    expect(signIn.searchParams.get('redirect_uri')).toBe(`${base}/sign-in`);
    const { body } = await bind.signIn(bind.issuer.answer(signIn.href, ANN));
    expect(body).toContain('action="/id/v1/api/users/current/fps/bind/page"');
  });

  const NOT_TEXT = { toString: 1, valueOf: 1 };

  test.each<[string, object]>([
    ['a query that cannot be made text', { multiValueQueryStringParameters: { state: [NOT_TEXT] } }],
    ['a query of numbers', { multiValueQueryStringParameters: { state: [7], code: 7 } }],
    ['a path that cannot be made text', { pathParameters: { fpType: NOT_TEXT, fpName: NOT_TEXT } }],
    [
      'a claim of its authorizer',
      { requestContext: { authorizer: { sub: 'ann', authorization: 'Bearer x', scope: 'blitz_api_ufa_chg' } } },
    ],
  ])('an event that is written by hand, with %s: a page, and no failure of ours', async (_name, more) => {
    const bind = await startBindProject(NONE);
    const { body } = await bind.project.raw('external-provider-bind', {
      ...{ version: '1.0', operationId: 'external-provider-bind.callback', httpMethod: 'GET', requestContext: {} },
      ...{ headers: {}, pathParameters: { fpType: 'oidc', fpName: 'mock_1' }, ...more },
    });
    const { statusCode, body: page } = JSON.parse(body);
    expect(statusCode).toBe(400);
    expect(page).toContain('<!doctype html>');
    expect(logged(bind, 'audit').at(-1)).toMatchObject({ event: 'account_link.bind_failed', error: 'state_missing' });
    expect(logged(bind, 'call').at(-1)).toMatchObject({ outcome: 'denied' });
  });

  test('a state that is good at a path that is no text finds no provider', async () => {
    const bind = await startBindProject(NONE);
    const given = Object.fromEntries([...(await answered(bind))].map(([name, value]) => [name, [value]]));
    const { body } = await bind.project.raw('external-provider-bind', {
      ...{ version: '1.0', operationId: 'external-provider-bind.callback', httpMethod: 'GET', requestContext: {} },
      ...{ headers: {}, pathParameters: { fpType: NOT_TEXT, fpName: ['mock_1'] } },
      multiValueQueryStringParameters: given,
    });
    expect(JSON.parse(body)).toMatchObject({ statusCode: 303, headers: { Location: sentBack('provider_mismatch') } });
    expect(countKept(bind).links).toBe(0);
  });
});
