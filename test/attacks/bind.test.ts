/** B01–B34, B38, B46–B48 of security.md, A3–A7, A13, A16, A17, A20, A24, A31 of links.md: providers, and steps repeated. */
import { describe, expect, test } from 'vitest';
import {
  ANN,
  AT_PROVIDER,
  answered,
  BEARER,
  countKept,
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
import { makeJwt, type OpenidProvider, startOpenidProvider } from '#test/support/openid-provider.ts';

const BASE = '/blitz/api/users/current/fps/bind';
const SUCCESS = `${CALLBACK}&fa_status=success&fp=oidc%3Amock_1`;
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

const errorOf = ({ body }: Received): unknown => JSON.parse(body).error;

describe('an answer of the provider that is not what was asked for', () => {
  type Change = (parameters: URLSearchParams) => void;

  test.each<[string, Change, string]>([
    ['B01 no state', (given) => given.delete('state'), 'state_missing'],
    ['B02 an empty state', (given) => given.set('state', ''), 'state_missing'],
    ['B03 a state that nobody was given', (given) => given.set('state', 'x'.repeat(43)), 'state_missing'],
    ['a state of 10 KB', (given) => given.set('state', 'x'.repeat(10_000)), 'state_missing'],
    ['a state with a line feed behind it', (given) => given.set('state', `${given.get('state')}\n`), 'state_missing'],
    ['B15 the state twice', (given) => given.append('state', given.get('state') ?? ''), 'state_missing'],
  ])('%s is a page of ours, and nothing is exchanged', async (_name, change, error) => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);
    change(given);

    const answer = await bind.callback(given);
    expect(answer.status).toBe(400);
    expectRefused(bind, answer, error);
    expect(bind.provider.exchanges).toEqual([]);
  });

  test.each<[string, Change, string]>([
    ['B13 iss of another', (given) => given.set('iss', 'https://evil.example'), 'issuer_mismatch'],
    ['B14 no iss, though it is promised', (given) => given.delete('iss'), 'issuer_mismatch'],
    ['B15 iss twice', (given) => given.append('iss', given.get('iss') ?? ''), 'invalid_code'],
    ['B15 code twice', (given) => given.append('code', 'x'), 'invalid_code'],
    ['B24 code and error', (given) => given.set('error', 'access_denied'), 'invalid_code'],
    ['neither code nor error', (given) => given.delete('code'), 'invalid_code'],
    ['a code of 10 KB', (given) => given.set('code', 'x'.repeat(10_000)), 'invalid_code'],
    ['a code with a line feed', (given) => given.set('code', 'x\r\nHost: evil.example'), 'invalid_code'],
    ['B25 the response as one JWT', (given) => given.set('response', 'e30.e30.'), 'invalid_code'],
    ['B25 tokens in the front channel', (given) => given.set('id_token', 'e30.e30.'), 'invalid_code'],
  ])('%s ends the bind before the exchange', async (_name, change, error) => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);
    const good = new URLSearchParams(given);
    change(given);

    const answer = await bind.callback(given);
    expect(answer.status).toBe(303);
    expectRefused(bind, answer, error);
    expect(bind.provider.exchanges).toEqual([]);
    // B05 The state is burnt, whatever was wrong.
    expectRefused(bind, await bind.callback(good), 'state_used');
  });

  test('B25 what stands in the fragment never gets here: the browser brings nothing', async () => {
    const bind = await startBindProject(NONE);
    await answered(bind);
    expectRefused(bind, await bind.callback(new URLSearchParams()), 'state_missing');
  });

  test('B25 a form where a query was asked for is held to the same, a name twice is a page', async () => {
    const bind = await startBindProject(NONE);
    const post = (body: string, type = FORM['Content-Type']) =>
      bind.project.gateway('POST', `${BASE}/cb/oidc/mock_1`, { 'Content-Type': type }, body);
    const given = await answered(bind);
    expectRefused(bind, await post(`${given}&state=x`), 'state_missing');
    expectRefused(bind, await post(`state=${'x'.repeat(200_000)}`), 'state_missing');
    expectRefused(bind, await post(JSON.stringify(Object.fromEntries(given)), 'application/json'), 'state_missing');
    expect(bind.provider.exchanges).toEqual([]);

    expect(locationOf(await post(given.toString())).href).toBe(SUCCESS);
    expectRefused(bind, await post(given.toString()), 'state_used', { links: 1 });
  });

  test('B12, A4 a state of one provider at the callback of another', async () => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);

    expectRefused(bind, await bind.callback(given, { provider: 'oidc/mock_2' }), 'provider_mismatch');
    expect(bind.provider.exchanges).toEqual([]);
    expectRefused(bind, await bind.callback(given), 'state_used');
  });

  test.each([
    'OIDC/mock_1',
    'oidc/mock_1%20',
    'oidc/mock_1%00',
    'oidc%3Amock_1/x',
    'oidc/mock_1%2f..%2fmock_1',
    'oidc/none',
  ])('B12 a state at the callback of %s, which is no provider', async (path) => {
    const bind = await startBindProject(NONE);
    expectRefused(bind, await bind.callback(await answered(bind), { provider: path }), 'provider_mismatch');
  });

  test("B16, B17, A6 an attacker's code with the victim's state", async () => {
    const bind = await startBindProject(NONE);
    const stolen = bind.provider.answer(await bind.redirectTo('eve'), { sub: 'remote-of-eve' });
    const given = await answered(bind);
    given.set('code', stolen.get('code') ?? '');

    expectRefused(bind, await bind.callback(given), 'invalid_code');
    expect(bind.provider.exchanges).toHaveLength(1);
  });

  test('B21 a code that was used', async () => {
    const bind = await startBindProject(NONE);
    const first = await answered(bind);
    await bind.callback(first);
    const second = await answered(bind);
    second.set('code', first.get('code') ?? '');

    expectRefused(bind, await bind.callback(second), 'invalid_code', { links: 1 });
  });

  test('B19, B20 challenges are S256, and no two binds share one, a state or a nonce', async () => {
    const bind = await startBindProject(NONE);
    const urls = await Promise.all(Array.from({ length: 20 }, () => bind.redirectTo('ann')));
    const values = (name: string) => new Set(urls.map((url) => new URL(url).searchParams.get(name)));
    expect([...values('code_challenge_method')]).toEqual(['S256']);
    for (const name of ['state', 'nonce', 'code_challenge']) expect(values(name).size).toBe(20);
  });

  test('B22, A20 who turns back at the provider has cancelled, once', async () => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);
    given.delete('code');
    given.set('error', 'access_denied');

    expect(locationOf(await bind.callback(given)).href).toBe(`${CALLBACK}&fa_status=cancelled&fp=oidc%3Amock_1`);
    expectRefused(bind, await bind.callback(given), 'state_used');
  });

  test.each<[string, string]>([
    ['HTML', '<script>alert(1)</script>'],
    ['marks that turn text around', '\u202e\u200f\u2066evil'],
    ['line feeds', 'a\r\nSet-Cookie: a=b\r\n\r\n<html>'],
    ['10 KB', 'evil'.repeat(2560)],
  ])('B23, A20 what the provider says of an error is shown to nobody: %s', async (_name, text) => {
    const bind = await startBindProject(NONE);
    for (const error of ['server_error', text.slice(0, 1000)]) {
      const given = new URLSearchParams({ error, error_description: text, error_uri: 'https://evil.example' });
      given.set('state', stateOf(await bind.redirectTo('ann')));
      given.set('iss', bind.provider.url);

      const answer = await bind.callback(given);
      expectRefused(bind, answer, 'provider_unavailable');
      expect([...answer.headers].join()).not.toMatch(/evil|alert|a=b/);
      expect(bind.project.output.join('\n')).not.toMatch(/evil|alert|a=b/);
    }
  });
});

describe('a token endpoint that is not what it should be', () => {
  const tokens = { access_token: 'a', expires_in: 60 };

  test.each<[string, BindProject['provider']['trouble'], string]>([
    ['B26 HTML', { status: 200, body: '<h1>evil</h1>', type: 'text/html' }, 'provider_unavailable'],
    ['B26 an error with status 200', { status: 200, body: '{"error":"invalid_grant"}' }, 'invalid_code'],
    ['B26 an error of its own with status 200', { status: 200, body: '{"error":"evil"}' }, 'provider_unavailable'],
    ['B26 no token type', { status: 200, body: JSON.stringify(tokens) }, 'provider_unavailable'],
    [
      'B26 a token type that is not bearer',
      { status: 200, body: JSON.stringify({ ...tokens, token_type: 'mac' }) },
      'provider_unavailable',
    ],
    ['no ID token', { status: 200, body: JSON.stringify({ ...tokens, token_type: 'bearer' }) }, 'provider_unavailable'],
    ['B27 a redirect', { status: 307, body: '' }, 'provider_unavailable'],
    ['A24 a failure', { status: 500, body: 'evil' }, 'provider_unavailable'],
    ['A24 too many requests', { status: 429, body: '' }, 'provider_unavailable'],
    [
      'A24 an answer without an end that is of use',
      { status: 200, body: `{"x":"${'x'.repeat(300_000)}"}` },
      'provider_unavailable',
    ],
  ])('%s', async (_name, trouble, error) => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);
    bind.provider.trouble = trouble;

    expectRefused(bind, await bind.callback(given), error);
    expect(bind.project.output.join('\n')).not.toContain('evil');
    bind.provider.trouble = undefined;
    expectRefused(bind, await bind.callback(given), 'state_used');
  });
});

describe('a provider that lies', () => {
  /** A provider whose claims a test spoils, and one bind after another at it. */
  async function start(more: object = {}): Promise<{
    bind: BindProject;
    provider: OpenidProvider;
    finish: (more?: Record<string, string>) => Promise<Received>;
  }> {
    const provider = await startOpenidProvider();
    const now = Math.floor(Date.now() / 1000);
    provider.claims = { aud: MOCK_CLIENT.client_id, iat: now, exp: now + 300 };
    const row = { type: 'oidc', name: 'mock_1', bind: { ...bindAt(provider.issuer), ...more } };
    const bind = await startBindProject({ local: { ...NONE.local, PROVIDERS: JSON.stringify([row]) } });
    const finish = async (changes = {}) => {
      const url = await bind.redirectTo('ann');
      provider.nonce = new URL(url).searchParams.get('nonce') ?? '';
      return bind.callback(new URLSearchParams({ state: stateOf(url), code: 'code-1', ...changes }));
    };
    return { bind, provider, finish };
  }

  test('B18 a provider that says it knows no S256 is not gone to', async () => {
    const { bind, provider } = await start();
    provider.metadata.code_challenge_methods_supported = ['plain'];
    const answer = await bind.start(await bind.user('ann'), { fp: 'oidc:mock_1', callback: CALLBACK });
    expect({ status: answer.status, error: errorOf(answer) }).toEqual({
      status: 503,
      error: 'temporarily_unavailable',
    });
    expect(countKept(bind)).toEqual({ links: 0, steps: 0 });
  });

  test.each<[string, Record<string, unknown>]>([
    ['B18, A23 leads to this machine by another scheme', { authorization_endpoint: 'http://evil.example/' }],
    ['leads to a script', { authorization_endpoint: 'javascript:alert(1)' }],
    ['leads to a URL with a name and a password', { authorization_endpoint: 'https://a:b@evil.example/' }],
    ['A23 has its keys in a private network, without TLS', { jwks_uri: 'http://169.254.169.254/jwks' }],
    ['calls itself another', { issuer: 'https://evil.example' }],
  ])('metadata that %s starts no bind', async (_name, metadata) => {
    const { bind, provider } = await start();
    Object.assign(provider.metadata, metadata);
    const answer = await bind.start(await bind.user('ann'), { fp: 'oidc:mock_1', callback: CALLBACK });
    expect(answer.status).toBe(503);
    expect(answer.body).not.toContain('evil');
    expect(countKept(bind).steps).toBe(0);
  });

  test.each<[string, Record<string, unknown>, string]>([
    ['B28, A7 for another client', { aud: 'somebody-else' }, 'invalid_code'],
    ['B28, A7 for us and another, whose it is', { aud: [MOCK_CLIENT.client_id, 'x'], azp: 'x' }, 'invalid_code'],
    ['B29, A7 without a nonce', { nonce: undefined }, 'nonce_mismatch'],
    ['B29, A7 with a wrong nonce', { nonce: 'x'.repeat(43) }, 'nonce_mismatch'],
    ['A7 of another issuer', { iss: 'https://evil.example' }, 'issuer_mismatch'],
    ['A7 that has expired', { exp: 1 }, 'invalid_code'],
    ['A7 of the future', { iat: 9_999_999_999, exp: 9_999_999_999 }, 'invalid_code'],
    ['B47 whose sub is empty', { sub: '' }, 'invalid_code'],
    ['B47 whose sub is a number', { sub: 7 }, 'invalid_code'],
    ['B47 whose sub is an object', { sub: { sub: 'remote-1' } }, 'invalid_code'],
    ['B47 whose sub cannot be kept', { sub: 'a\u0000b' }, 'profile_unavailable'],
    ['B47 whose sub is longer than one may be', { sub: 'x'.repeat(256) }, 'profile_unavailable'],
    ['B47 of 1 MB', { name: 'x'.repeat(1_000_000) }, 'provider_unavailable'],
  ])('an ID token %s', async (_name, claims, error) => {
    const { bind, provider, finish } = await start();
    Object.assign(provider.claims, claims);
    expectRefused(bind, await finish(), error);
  });

  test('B29 a nonce of the bind before', async () => {
    const { bind, provider, finish } = await start();
    provider.claims.nonce = new URL(await bind.redirectTo('ann')).searchParams.get('nonce');
    expectRefused(bind, await finish(), 'nonce_mismatch');
  });

  test('A7 an ID token without a signature', async () => {
    const { bind, provider, finish } = await start();
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
    provider.makeIdToken = (claims) => `${encode({ alg: 'none' })}.${encode(claims)}.`;
    expectRefused(bind, await finish(), 'invalid_code');
  });

  test('B30 userinfo of somebody else than the ID token', async () => {
    const { bind, provider, finish } = await start({ userinfo: true });
    provider.userinfo = { sub: 'victim' };
    expectRefused(bind, await finish(), 'profile_unavailable');
  });

  test.each<[string, unknown]>([
    ['an object', { toString: 'x' }],
    ['a list', ['<script>']],
    ['with a line feed', 'a\nb'],
    ['with marks that turn text around', '\u202eevil'],
  ])('B47 a name that is %s is no reason to refuse the account, and is not kept', async (_name, name) => {
    const { bind, provider, finish } = await start();
    provider.claims.name = name;
    expect(locationOf(await finish()).href).toBe(SUCCESS);
    expect(await bind.links('ann')).toEqual([{ sid: 'sub-1', fpType: 'oidc', fpName: 'mock_1' }]);
  });

  test('B47 a profile with __proto__ changes nothing but itself', async () => {
    const { bind, provider, finish } = await start();
    provider.makeIdToken = (claims) =>
      makeJwt(JSON.stringify(claims).replace('{', '{"__proto__":{"sub":"victim","name":"x","isAdmin":true},'));
    expect(locationOf(await finish()).href).toBe(SUCCESS);
    expect(await bind.links('ann')).toEqual([{ sid: 'sub-1', fpType: 'oidc', fpName: 'mock_1' }]);
  });

  test("B38, A36 the e-mail of another subject's account gives nobody that subject's links, or theirs to that subject", async () => {
    const { bind, provider, finish } = await start();
    Object.assign(provider.claims, { email: 'victim@company.com', email_verified: true, sub: 'of-ann' });
    await finish();
    Object.assign(provider.claims, { sub: 'of-victim' });
    const url = await bind.redirectTo('victim');
    provider.nonce = new URL(url).searchParams.get('nonce') ?? '';
    await bind.callback(new URLSearchParams({ state: stateOf(url), code: 'code-1' }));

    expect(await bind.links('ann')).toMatchObject([{ sid: 'of-ann' }]);
    expect(await bind.links('victim')).toMatchObject([{ sid: 'of-victim' }]);
    expect(bind.project.output.join('\n')).not.toContain('victim@');
  });
});

describe('a step that is repeated, late, or raced for', () => {
  test('B04, B48, A3 refreshing the callback links nothing twice and says that it was done before', async () => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);
    expect(locationOf(await bind.callback(given)).href).toBe(SUCCESS);

    const again = await bind.callback(given);
    expectRefused(bind, again, 'state_used', { links: 1 });
    expect(again.body).toContain('This page works only once');
    expect(bind.provider.exchanges).toHaveLength(1);
  });

  test('B48 so does going back to our page and sending it again', async () => {
    const bind = await startBindProject();
    const { token, cookie } = await toPage(bind);
    expect(locationOf(await bind.page(token, cookie)).href).toBe(SUCCESS);
    expectRefused(bind, await bind.page(token, cookie), 'state_used', { links: 1 });
  });

  test('B06 of two callbacks at once with one state one wins', async () => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);
    const answers = await Promise.all([bind.callback(given), bind.callback(given)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 400]);
    expect(bind.provider.exchanges).toHaveLength(1);
    expect(countKept(bind).links).toBe(1);
  });

  test('so it is with our page, and with a ticket', async () => {
    const page = await startBindProject();
    const { token, cookie } = await toPage(page);
    const posts = await Promise.all([page.page(token, cookie), page.page(token, cookie)]);
    expect(posts.map(({ status }) => status).sort()).toEqual([303, 400]);

    const bearer = await startBindProject(BEARER);
    const ticket = await toTicket(bearer);
    const ann = await bearer.user('ann');
    const confirms = await Promise.all([bearer.confirm(ann, ticket), bearer.confirm(ann, ticket)]);
    expect(confirms.map(({ status }) => status).sort()).toEqual([204, 400]);
  });

  const expire = (bind: BindProject) => query(bind, `UPDATE bind_transaction SET expires_at = ${Date.now() - 1}`);

  test('B11, A3 a state, a sign-in and a page that took longer than ten minutes', async () => {
    const bind = await startBindProject();
    const given = await answered(bind);
    const lasts = Number(query(bind, 'SELECT expires_at AS at FROM bind_transaction')[0]?.at) - Date.now();
    expect(lasts).toBeGreaterThan(590_000);
    expect(lasts).toBeLessThanOrEqual(600_000);
    expire(bind);
    const late = await bind.callback(given);
    expectRefused(bind, late, 'state_expired');
    expect(late.body).toContain('This page has expired');

    const signIn = bind.issuer.answer(await toSignIn(bind), ANN);
    expire(bind);
    expectRefused(bind, await bind.signIn(signIn), 'state_expired');

    const { token, cookie } = await toPage(bind);
    expire(bind);
    expectRefused(bind, await bind.page(token, cookie), 'state_expired');
  });

  test('a ticket that took longer than five minutes', async () => {
    const bind = await startBindProject(BEARER);
    const ticket = await toTicket(bind);
    const newest = query(bind, 'SELECT max(expires_at) AS at FROM bind_transaction WHERE data IS NOT NULL')[0]?.at;
    expect(Number(newest) - Date.now()).toBeLessThanOrEqual(300_000);
    expire(bind);
    const answer = await bind.confirm(await bind.user('ann'), ticket);
    expect({ status: answer.status, error: errorOf(answer) }).toEqual({ status: 400, error: 'wrong_values' });
    expectRefused(bind, answer, 'state_expired');
  });

  test('B31 an account that is linked to me already stays linked, once', async () => {
    const bind = await startBindProject(NONE);
    await bind.callback(await answered(bind));
    expect(locationOf(await bind.callback(await answered(bind))).href).toBe(SUCCESS);
    expect(countKept(bind).links).toBe(1);
  });

  test('B32, A13 an account that somebody else has proved stays theirs, and nobody learns whose', async () => {
    const bind = await startBindProject(NONE);
    await bind.callback(await answered(bind));
    const given = bind.provider.answer(await bind.redirectTo('eve'), AT_PROVIDER);

    const answer = await bind.callback(given);
    expectRefused(bind, answer, 'already_linked_other_user', { links: 1 });
    expect(answer.body).toBe('');
    expect(await bind.links('ann')).toHaveLength(1);
    expect(JSON.stringify(logged(bind, 'audit').at(-1))).not.toContain('ann');
  });

  test('B32 with a ticket it is 409, with the same line in the audit log', async () => {
    const bind = await startBindProject(BEARER);
    await bind.confirm(await bind.user('ann'), await toTicket(bind));
    const callback = await bind.callback(bind.provider.answer(await bind.redirectTo('eve'), AT_PROVIDER));
    const ticket = locationOf(callback).searchParams.get('ticket');

    const answer = await bind.confirm(await bind.user('eve'), ticket);
    expect({ status: answer.status, error: errorOf(answer) }).toEqual({
      status: 409,
      error: 'already_linked_other_user',
    });
    expect(answer.body).not.toContain('ann');
    expect(logged(bind, 'audit').at(-1)).toMatchObject({
      event: 'account_link.bind_failed',
      error: 'already_linked_other_user',
      subject: 'eve',
    });
  });

  test('B33 of two users who bind one account at once one has it', async () => {
    const bind = await startBindProject(NONE);
    const given = [await bind.redirectTo('ann'), await bind.redirectTo('eve')].map((url) =>
      bind.provider.answer(url, AT_PROVIDER),
    );
    const answers = await Promise.all(given.map((parameters) => bind.callback(parameters)));
    expect(answers.map((answer) => locationOf(answer).href).sort()).toEqual(
      [SUCCESS, sentBack('already_linked_other_user')].sort(),
    );
    expect(countKept(bind).links).toBe(1);
  });

  test('B34 one user may bind two accounts of one provider', async () => {
    const bind = await startBindProject(NONE);
    await bind.callback(await answered(bind));
    await bind.callback(bind.provider.answer(await bind.redirectTo('ann'), { sub: 'remote-2' }));
    expect(await bind.links('ann')).toMatchObject([{ sid: 'remote-1' }, { sid: 'remote-2' }]);
  });

  const unlink = async (bind: BindProject) =>
    bind.project.gateway('DELETE', '/blitz/api/v3/users/ann/fa/oidc/mock_1/remote-1', {
      Authorization: await bind.user('ann'),
    });

  test('B46, A16 a deletion while the callback is under way: whoever is first, nothing is linked in the end', async () => {
    const bind = await startBindProject(NONE);
    for (let round = 0; round < 5; round += 1) {
      await bind.callback(await answered(bind));
      const pending = await answered(bind);
      const [deleted, late] = await Promise.all([unlink(bind), bind.callback(pending)]);
      expect(deleted.status).toBe(204);
      expect([SUCCESS, sentBack('state_expired')]).toContain(locationOf(late).href);
      expect(countKept(bind).links).toBe(0);
    }
  });

  test('A16, A17 a deletion ends the binds that wait at the sign-in or on our page; a new one is good', async () => {
    const bind = await startBindProject();
    const first = await toPage(bind);
    const [atSignIn, onPage] = [await toSignIn(bind), await toPage(bind)];
    await bind.page(first.token, first.cookie);
    await unlink(bind);

    expectRefused(bind, await bind.page(onPage.token, onPage.cookie), 'state_expired');
    const { token, cookie } = pageOf(await bind.signIn(bind.issuer.answer(atSignIn, ANN)));
    expectRefused(bind, await bind.page(token, cookie), 'state_expired');
    const fresh = await toPage(bind);
    expect(locationOf(await bind.page(fresh.token, fresh.cookie)).href).toBe(SUCCESS);
  });

  test('A16 and those that have a ticket', async () => {
    const bind = await startBindProject(BEARER);
    const [first, second] = [await toTicket(bind), await toTicket(bind)];
    const ann = await bind.user('ann');
    await bind.confirm(ann, first);
    await unlink(bind);
    const answer = await bind.confirm(ann, second);
    expect(answer.status).toBe(400);
    expectRefused(bind, answer, 'state_expired');
  });

  test('A31 a store that goes away between the state and the link: a page, no half state, no second try', async () => {
    const bind = await startBindProject(NONE);
    const given = await answered(bind);
    query(bind, 'ALTER TABLE account_link RENAME TO gone');
    const answer = await bind.callback(given);
    expect(answer.status).toBe(503);
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
    query(bind, 'ALTER TABLE gone RENAME TO account_link');

    expectRefused(bind, await bind.callback(given), 'state_used');
    expect(locationOf(await bind.callback(await answered(bind))).href).toBe(SUCCESS);
  });

  test('A25 a step that was moved to another id in the store opens nowhere', async () => {
    const bind = await startBindProject(NONE);
    const victim = await answered(bind);
    const eve = bind.provider.answer(await bind.redirectTo('eve'), { sub: 'remote-of-eve' });
    const [one, other] = query(bind, 'SELECT id, data FROM bind_transaction');
    query(bind, `UPDATE bind_transaction SET data = '${other?.data}' WHERE id = '${one?.id}'`);

    const answers = await Promise.all([bind.callback(victim), bind.callback(eve)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([303, 503]);
    expect(await bind.links('ann')).not.toContainEqual(expect.objectContaining({ sid: 'remote-of-eve' }));
  });
});
