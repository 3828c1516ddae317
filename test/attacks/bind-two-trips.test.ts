/** A bind whose start named no subject: whose account at the provider it is, is asked in the browser that agrees. */
import { describe, expect, test } from 'vitest';
import { digestOf, newSecret, type Step } from '#shared/bind/bind.ts';
import { EncryptionKeys, seal } from '#shared/encryption.ts';
import {
  ANN,
  AT_PROVIDER,
  BEARER,
  countKept,
  EVE,
  expectRefused,
  logged,
  NONE,
  query,
  redirectOfNobody,
  secondTripOf,
  sentBack,
  stateOf,
  toPage,
  toSecondTrip,
} from '#test/support/bind-attack.ts';
import {
  type BindProject,
  bindAt,
  CALLBACK,
  locationOf,
  pageOf,
  startBindProject,
} from '#test/support/bind-project.ts';
import { TEST_KEYS } from '#test/support/emulated-project.ts';

const BASE = '/blitz/api/users/current/fps/bind';
const SUCCESS = `${CALLBACK}&fa_status=success&fp=oidc%3Amock_1`;
/** The account of an attacker, under the name that the victim has there. */
const OF_EVE = { sub: 'remote-of-eve', name: AT_PROVIDER.name };

/** Makes both trips in one browser, and returns where it is sent to sign in, and its cookie. */
async function toSignInOfNobody(bind: BindProject, person = AT_PROVIDER): Promise<{ url: string; cookie: string }> {
  const { url, cookie } = await toSecondTrip(bind);
  const answer = await bind.callback(bind.provider.answer(url, person), { cookie });
  return { url: locationOf(answer).href, cookie };
}

describe('the two trips', () => {
  test('the first answer exchanges no code and sends the browser to the provider again, with a cookie', async () => {
    const bind = await startBindProject();
    const first = await redirectOfNobody(bind);
    const answer = await bind.callback(bind.provider.answer(first, AT_PROVIDER));

    expect(answer.headers.get('set-cookie')).toMatch(
      /^__Host-fa_browser-[\w-]{16}=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=None; Max-Age=1800$/,
    );
    expect(bind.provider.exchanges).toEqual([]);
    const [before, after] = [new URL(first), locationOf(answer)];
    expect(`${after.origin}${after.pathname}`).toBe(`${bind.provider.url}/authorize`);
    expect([...after.searchParams.keys()]).toEqual([...before.searchParams.keys()]);
    for (const [name, value] of after.searchParams) {
      const isNew = ['state', 'nonce', 'code_challenge'].includes(name);
      expect([name, value === before.searchParams.get(name)]).toEqual([name, !isNew]);
    }

    const { url, cookie } = secondTripOf(answer);
    const signIn = locationOf(await bind.callback(bind.provider.answer(url, AT_PROVIDER), { cookie }));
    const page = pageOf(await bind.signIn(bind.issuer.answer(signIn.href, ANN), cookie));
    expect(locationOf(await bind.page(page.token, page.cookie)).href).toBe(SUCCESS);
    expect(await bind.links('ann')).toMatchObject([{ sid: 'remote-1' }]);
    expect(bind.provider.exchanges).toHaveLength(1);
  });

  test('a provider that answers by forms is answered by the same', async () => {
    const bind = await startBindProject();
    const post = (parameters: URLSearchParams, more = {}) =>
      bind.project.gateway(
        'POST',
        `${BASE}/cb/oidc/mock_1`,
        { 'Content-Type': 'application/x-www-form-urlencoded', ...more },
        parameters.toString(),
      );
    const first = await post(bind.provider.answer(await redirectOfNobody(bind), AT_PROVIDER));
    const { url, cookie } = secondTripOf(first);
    const signIn = locationOf(await post(bind.provider.answer(url, AT_PROVIDER), { Cookie: cookie }));
    expect(signIn.href).toContain(bind.issuer.url);
  });

  test('only the second one asks for a consent, and the only one of a bind that names its subject', async () => {
    const bind = await startBindProject();
    const parameters = { access_type: 'offline', prompt: 'consent' };
    const row = {
      ...{ type: 'oidc', name: 'mock_1' },
      bind: { ...bindAt(bind.provider.url), authorize_parameters: parameters },
    };
    const asking = await startBindProject({ local: { PROVIDERS: JSON.stringify([row]) } });
    const first = await redirectOfNobody(asking);
    const { url } = secondTripOf(await asking.callback(bind.provider.answer(first, AT_PROVIDER)));
    const promptsOf = [first, url, await asking.redirectTo('ann')].map((one) => {
      const { searchParams } = new URL(one);
      return [searchParams.get('access_type'), searchParams.get('prompt')];
    });
    expect(promptsOf).toEqual([
      ['offline', null],
      ['offline', 'consent'],
      ['offline', 'consent'],
    ]);
  });

  test.each([
    ['page', {}],
    ['bearer', BEARER],
    ['none', NONE],
  ] as const)('under %s a bind that names its subject has one, without a cookie', async (_name, changes) => {
    const bind = await startBindProject(changes);
    const answer = await bind.callback(bind.provider.answer(await bind.redirectTo('ann'), AT_PROVIDER));
    expect(locationOf(answer).href).not.toContain(bind.provider.url);
    expect(answer.headers.get('set-cookie')).toBeNull();
    expect(bind.provider.exchanges).toHaveLength(1);
  });

  test.each<[string, (given: URLSearchParams) => void, string]>([
    ['of another issuer', (given) => given.set('iss', 'https://evil.example'), 'issuer_mismatch'],
    ['without a code', (given) => given.delete('code'), 'invalid_code'],
    ['with a token', (given) => given.set('id_token', 'e30.e30.'), 'invalid_code'],
  ])('a first answer %s ends the bind', async (_name, change, error) => {
    const bind = await startBindProject();
    const given = bind.provider.answer(await redirectOfNobody(bind), AT_PROVIDER);
    change(given);
    expectRefused(bind, await bind.callback(given), error);
    expect(countKept(bind).steps).toBe(1);
  });

  test.each(['first', 'second'])('who cancels on the %s one comes back with cancelled', async (trip) => {
    const bind = await startBindProject();
    const first = { url: await redirectOfNobody(bind), cookie: undefined };
    const { url, cookie } = trip === 'first' ? first : await toSecondTrip(bind);
    const given = new URLSearchParams({ error: 'access_denied', state: stateOf(url), iss: bind.provider.url });
    const answer = await bind.callback(given, { cookie });
    expect(locationOf(answer).href).toBe(`${CALLBACK}&fa_status=cancelled&fp=oidc%3Amock_1`);
    expect(answer.headers.get('set-cookie')).toBeNull();
  });
});

describe('the browser of somebody else', () => {
  test("A1 a first answer of the attacker's in the victim's browser: the victim's account is shown and linked", async () => {
    const bind = await startBindProject();
    const ofEve = bind.provider.answer(await redirectOfNobody(bind), OF_EVE);

    const { url, cookie } = secondTripOf(await bind.callback(ofEve));
    const signIn = locationOf(await bind.callback(bind.provider.answer(url, AT_PROVIDER), { cookie }));
    const answer = await bind.signIn(bind.issuer.answer(signIn.href, ANN), cookie);
    expect(answer.body).toContain('remote-1');
    expect(answer.body).not.toContain(OF_EVE.sub);
    const page = pageOf(answer);
    await bind.page(page.token, page.cookie);
    expect(await bind.links('ann')).toMatchObject([{ sid: 'remote-1' }]);
    expect(bind.provider.exchanges.map((form) => form.get('code'))).not.toContain(ofEve.get('code'));
  });

  const COOKIES: readonly [string, (cookie: string, other: string) => string | undefined][] = [
    ['without the cookie', () => undefined],
    ['with the cookie of another bind', (_cookie, other) => other],
    ['with a cookie that was made up', (cookie) => `${cookie.split('=')[0]}=${'x'.repeat(43)}`],
    ['with a cookie that a subdomain may set', (cookie) => cookie.replace('__Host-', '')],
    ['with a second one that was tossed', (cookie) => `${cookie.split('=')[0]}=${'x'.repeat(43)}; ${cookie}`],
  ];

  test.each(COOKIES)("A1 a second answer of the attacker's %s: no code is exchanged", async (_name, cookieOf) => {
    const bind = await startBindProject();
    const [{ url, cookie }, other] = [await toSecondTrip(bind), await toSecondTrip(bind)];
    const given = bind.provider.answer(url, OF_EVE);

    expectRefused(bind, await bind.callback(given, { cookie: cookieOf(cookie, other.cookie) }), 'browser_mismatch');
    expect(bind.provider.exchanges).toEqual([]);
    expectRefused(bind, await bind.callback(given, { cookie }), 'state_used');
  });

  test.each(COOKIES)("A1 the sign-in after the attacker's two trips %s shows no page", async (_name, cookieOf) => {
    const bind = await startBindProject();
    const { url, cookie } = await toSignInOfNobody(bind, OF_EVE);
    const other = await toSecondTrip(bind);
    const given = bind.issuer.answer(url, ANN);

    const answer = await bind.signIn(given, cookieOf(cookie, other.cookie));
    expectRefused(bind, answer, 'browser_mismatch');
    expect(bind.issuer.exchanges).toEqual([]);
    expectRefused(bind, await bind.signIn(given, cookie), 'state_used');
  });

  test('A1 a sign-in that has to ask is held to the same', async () => {
    const bind = await startBindProject();
    const { url, cookie } = await toSignInOfNobody(bind, OF_EVE);
    const error = new URLSearchParams({ error: 'login_required', state: stateOf(url), iss: bind.issuer.url });
    const asked = locationOf(await bind.signIn(error, cookie)).href;
    expectRefused(bind, await bind.signIn(bind.issuer.answer(asked, ANN)), 'browser_mismatch');

    const again = await toSignInOfNobody(bind);
    error.set('state', stateOf(again.url));
    const askedAgain = locationOf(await bind.signIn(error, again.cookie)).href;
    const page = pageOf(await bind.signIn(bind.issuer.answer(askedAgain, ANN), again.cookie));
    expect(locationOf(await bind.page(page.token, page.cookie)).href).toBe(SUCCESS);
  });

  test('A1 the page is sent by the browser that it was shown in alone', async () => {
    const bind = await startBindProject();
    const { url, cookie } = await toSignInOfNobody(bind, OF_EVE);
    const page = pageOf(await bind.signIn(bind.issuer.answer(url, EVE), cookie));
    expectRefused(bind, await bind.page(page.token, cookie), 'browser_mismatch');
  });

  test('a gateway that withholds cookies: the application is told that the browser is not known', async () => {
    const bind = await startBindProject({ stripCredentialHeaders: true });
    const started = await bind.project.raw('external-provider-bind', {
      headers: { request_id: 'r', authorization: bind.application('plain') },
      request_type: 'external-provider.bind',
      api_version: 1,
      payload: { fp: 'oidc:mock_1', callback: CALLBACK },
    });
    const { redirectTo } = JSON.parse(started.body).payload;
    const { url, cookie } = secondTripOf(await bind.callback(bind.provider.answer(redirectTo, AT_PROVIDER)));
    const answer = await bind.callback(bind.provider.answer(url, AT_PROVIDER), { cookie });
    expectRefused(bind, answer, 'browser_mismatch');
  });
});

describe('states that are repeated, late, raced for, or swapped', () => {
  test('each of the two is good once, whatever became of the other', async () => {
    const bind = await startBindProject();
    const first = bind.provider.answer(await redirectOfNobody(bind), AT_PROVIDER);
    const { url, cookie } = secondTripOf(await bind.callback(first));
    expectRefused(bind, await bind.callback(first, { cookie }), 'state_used');
    const second = bind.provider.answer(url, AT_PROVIDER);
    const signIn = locationOf(await bind.callback(second, { cookie })).href;
    for (const given of [first, second]) expectRefused(bind, await bind.callback(given, { cookie }), 'state_used');

    const page = pageOf(await bind.signIn(bind.issuer.answer(signIn, ANN), cookie));
    expect(locationOf(await bind.page(page.token, page.cookie)).href).toBe(SUCCESS);
    for (const given of [first, second]) {
      expectRefused(bind, await bind.callback(given, { cookie }), 'state_used', { links: 1 });
    }
    expect(bind.provider.exchanges).toHaveLength(1);
  });

  test('of answers at once with one state one wins, on either trip', async () => {
    const bind = await startBindProject();
    const first = bind.provider.answer(await redirectOfNobody(bind), AT_PROVIDER);
    const firsts = await Promise.all(Array.from({ length: 10 }, () => bind.callback(first)));
    const [sentOn, ...others] = firsts.filter(({ status }) => status === 303);
    expect(others).toEqual([]);
    if (sentOn === undefined) throw new Error('no browser was sent on');
    const { url, cookie } = secondTripOf(sentOn);
    const second = bind.provider.answer(url, AT_PROVIDER);
    const seconds = await Promise.all(Array.from({ length: 10 }, () => bind.callback(second, { cookie })));
    expect(seconds.filter(({ status }) => status === 303)).toHaveLength(1);
    expect(bind.provider.exchanges).toHaveLength(1);
    expect(countKept(bind).steps).toBe(3);
  });

  test("of the second answer in the attacker's browser and in the victim's at once, at most the right one wins", async () => {
    const bind = await startBindProject();
    const { url, cookie } = await toSecondTrip(bind);
    const given = bind.provider.answer(url, AT_PROVIDER);
    const answers = await Promise.all([bind.callback(given, { cookie }), bind.callback(given)]);
    const [mine, strange] = answers.map(({ status, headers }) => (status === 303 ? headers.get('location') : status));
    if (mine === 400) expect(strange).toBe(sentBack('browser_mismatch'));
    else expect([String(mine).startsWith(bind.issuer.url), strange]).toEqual([true, 400]);
  });

  test("the first trip's code on the second one is no answer to it", async () => {
    const bind = await startBindProject();
    const first = bind.provider.answer(await redirectOfNobody(bind), OF_EVE);
    const { url, cookie } = secondTripOf(await bind.callback(first));
    const given = new URLSearchParams({ ...Object.fromEntries(first), state: stateOf(url) });
    expectRefused(bind, await bind.callback(given, { cookie }), 'invalid_code');
  });

  test('a second trip that took longer than ten minutes', async () => {
    const bind = await startBindProject();
    const { url, cookie } = await toSecondTrip(bind);
    query(bind, `UPDATE bind_transaction SET expires_at = ${Date.now() - 1} WHERE data IS NOT NULL`);
    const answer = await bind.callback(bind.provider.answer(url, AT_PROVIDER), { cookie });
    expectRefused(bind, answer, 'state_expired');
  });

  test('a deletion since the start ends it', async () => {
    const bind = await startBindProject();
    const first = await toPage(bind);
    await bind.page(first.token, first.cookie);
    const { url, cookie } = await toSignInOfNobody(bind);
    await bind.project.gateway('DELETE', '/blitz/api/v3/users/ann/fa/oidc/mock_1/remote-1', {
      Authorization: await bind.user('ann'),
    });
    const page = pageOf(await bind.signIn(bind.issuer.answer(url, ANN), cookie));
    expectRefused(bind, await bind.page(page.token, page.cookie), 'state_expired');
  });
});

describe('functions that change under a bind', () => {
  const restart = (bind: BindProject, local: Record<string, string | null>) =>
    startBindProject({ local: { STORE_URL: `sqlite:${bind.project.database}`, ...local } });

  test('B35 a provider that is gone between the trips', async () => {
    const before = await startBindProject();
    const { url, cookie } = await toSecondTrip(before);
    const after = await restart(before, { PROVIDERS: JSON.stringify([{ type: 'vk', name: 'vk_1' }]) });
    const answer = await after.callback(before.provider.answer(url, AT_PROVIDER), { cookie });
    expect(locationOf(answer).href).toBe(sentBack('provider_disabled'));
  });

  test.each(['none', 'bearer'])('a second answer under %s links nothing and exchanges no code', async (mode) => {
    const before = await startBindProject();
    const { url, cookie } = await toSecondTrip(before);
    const row = { type: 'oidc', name: 'mock_1', bind: bindAt(before.provider.url) };
    const after = await restart(before, { BIND_CONFIRMATION: mode, PROVIDERS: JSON.stringify([row]) });
    const answer = await after.callback(before.provider.answer(url, AT_PROVIDER), { cookie });
    expect(locationOf(answer).href).toBe(sentBack('user_mismatch'));
    expect(before.provider.exchanges).toEqual([]);
  });

  const BIND = {
    ...{ client: 'plain', callback: CALLBACK, isPopup: false },
    ...{ fpType: 'oidc', fpName: 'mock_1', begunAt: 1 },
  };
  const account = { sid: OF_EVE.sub, userName: OF_EVE.name, tokens: { accessToken: 'a' } };
  const COOKIE = newSecret();
  const kept = { state: 's', redirectUri: 'https://login.company.com/cb', codeVerifier: 'v', nonce: 'n' };

  test.each<[string, Step]>([
    ['at the provider', { kind: 'provider', bind: BIND, kept }],
    ['at the sign-in', { kind: 'sign-in', bind: BIND, account, kept, isSilent: true }],
    ['on our page', { kind: 'page', bind: BIND, subject: 'ann', account, cookieDigest: digestOf(COOKIE) }],
    ['with a ticket', { kind: 'ticket', bind: { ...BIND, subject: 'ann' }, subject: 'ann', account }],
  ])('a step %s that the functions before have kept has expired', async (_name, step) => {
    const bind = await startBindProject();
    const secret = newSecret();
    const id = digestOf(secret);
    // As they kept it: the step and nothing around it.
    const data = seal(JSON.stringify(step), id, EncryptionKeys.parse(TEST_KEYS));
    query(
      bind,
      `INSERT INTO bind_transaction (id, data, expires_at) VALUES ('${id}', '${data}', ${Date.now() + 60_000})`,
    );

    const given = new URLSearchParams({ state: secret, code: 'c', iss: bind.provider.url });
    const pageCookie = `__Host-fa_bind-${digestOf(secret).slice(0, 16)}=${COOKIE}`;
    const answer = await {
      provider: () => bind.callback(given),
      'sign-in': () => bind.signIn(given),
      page: () => bind.page(secret, pageCookie),
      ticket: async () => bind.confirm(await bind.user('ann'), secret),
    }[step.kind]();
    expect(answer.status).toBe(400);
    if (step.kind !== 'ticket') expect(answer.body).toContain('This page has expired');
    expectRefused(bind, answer, 'state_expired');
    expect(logged(bind, 'call').at(-1)).toMatchObject({ outcome: 'denied' });
  });
});
