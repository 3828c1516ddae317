import { describe, expect, test } from 'vitest';
import { logged, query, toSecondTrip } from '#test/support/bind-attack.ts';
import {
  type BindProject,
  bindAt,
  CALLBACK,
  locationOf,
  pageOf,
  startBindProject,
} from '#test/support/bind-project.ts';
import type { Received } from '#test/support/emulated-project.ts';
import type { Person } from '#test/support/mock-provider.ts';

const ANN = { sub: 'ann', name: 'Ann' };
const AT_PROVIDER = { sub: 'remote-1', name: 'Ann Remote' };
const LINK = { sid: 'remote-1', fpType: 'oidc', fpName: 'mock_1', userName: 'Ann Remote' };

const resultOf = (answer: Received) => {
  const url = locationOf(answer);
  expect(`${url.origin}${url.pathname}`).toBe('https://app.company.com/callback');
  return Object.fromEntries(url.searchParams);
};
const errorOf = ({ status, body }: Received) => ({ status, error: JSON.parse(body).error });

/** From the provider's callback to our page, in a browser where `person` signs in. */
async function toPage(
  bind: BindProject,
  redirectTo: string,
  person = ANN,
  atProvider: Person = AT_PROVIDER,
): Promise<Received> {
  const signIn = locationOf(await bind.callback(bind.provider.answer(redirectTo, atProvider)));
  expect(signIn.searchParams.get('prompt')).toBe('none');
  return await bind.signIn(bind.issuer.answer(signIn.href, person));
}

describe('the start', () => {
  test("the document's request gives the document's redirectTo, but for state and PKCE", async () => {
    const bind = await startBindProject({
      local: {
        CLIENTS: JSON.stringify([
          {
            id: 'dnevnik-test.mos.ru',
            secret_sha256: '1513d8a0c48f790329f03a387a4a06d8ef1729e190c6b232b0f68b06bd607264',
            callbacks: ['https://app.company.com/callback'],
          },
        ]),
        PROVIDERS: JSON.stringify([
          {
            type: 'vk',
            name: 'vk_1',
            bind: {
              preset: 'vk-legacy',
              client_id: '5566286',
              client_secret_env: 'MOCK_SECRET',
              public_base: 'https://login.company.com',
            },
          },
        ]),
      },
    });
    const answer = await bind.start('Basic ZG5ldm5pay10ZXN0Lm1vcy5ydTphUU56S0JuY2VBQVQwelg', {
      fp: 'vk:vk_1',
      callback: 'https://app.company.com/callback',
    });
    expect(answer.status).toBe(200);
    const body = JSON.parse(answer.body);
    expect(Object.keys(body)).toEqual(['redirectTo']);
    expect(body.redirectTo).toMatch(
      /^https:\/\/oauth\.vk\.com\/authorize\?state=[\w-]{43}&scope=email&redirect_uri=https%3A%2F%2Flogin\.company\.com%2Fblitz%2Fapi%2Fusers%2Fcurrent%2Ffps%2Fbind%2Fcb%2Fvk%2Fvk_1&client_id=5566286&v=5\.52&response_type=code&code_challenge=[\w-]{43}&code_challenge_method=S256$/,
    );
  });

  test('a user starts for themself, an application for whom it names, raw too', async () => {
    const bind = await startBindProject();
    const body = { fp: 'oidc:mock_1', callback: CALLBACK };
    expect((await bind.start(await bind.user('ann'), body)).status).toBe(200);
    expect((await bind.start(bind.application(), { ...body, subjectId: 'ann' })).status).toBe(200);
    expect((await bind.start(bind.application('plain'), body)).status).toBe(200);
    expect(errorOf(await bind.start(bind.application('plain'), { ...body, subjectId: 'ann' }))).toEqual({
      status: 403,
      error: 'insufficient_scope',
    });
    expect((await bind.start(await bind.user('ann'), { ...body, subjectId: 'bob' })).status).toBe(403);
    const raw = await bind.project.raw('external-provider-bind', {
      headers: { request_id: 'r', authorization: bind.application() },
      request_type: 'external-provider.bind',
      api_version: 1,
      payload: { ...body, subjectId: 'ann' },
    });
    expect(JSON.parse(raw.body)).toMatchObject({ status: 200, payload: { redirectTo: expect.any(String) } });
  });

  test.each(['bearer', 'none'])(
    'under %s an application must name the subject: else 400, and nothing is stored',
    async (mode) => {
      const bind = await startBindProject({ local: { BIND_CONFIRMATION: mode } });
      const body = { fp: 'oidc:mock_1', callback: CALLBACK };
      expect(errorOf(await bind.start(bind.application(), body))).toEqual({ status: 400, error: 'wrong_values' });
      expect((await bind.start(bind.application(), { ...body, subjectId: 'ann' })).status).toBe(200);
    },
  );

  test.each<[string, object]>([
    ['no provider', { fp: undefined }],
    ['a provider that there is not', { fp: 'oidc:mock_3' }],
    ['a provider without a browser', { fp: 'tcs:tcs_1' }],
    ['a provider in another case', { fp: 'OIDC:mock_1' }],
    ['isPopup as text', { isPopup: 'false' }],
    ['isPopup as a number', { isPopup: 1 }],
    ['no callback', { callback: undefined }],
    ['the callback of another application', { callback: 'https://other.company.com/done' }],
  ])('%s is 400', async (_name, change) => {
    const bind = await startBindProject();
    const body = { fp: 'oidc:mock_1', callback: CALLBACK, ...change };
    expect(errorOf(await bind.start(bind.application(), body))).toEqual({ status: 400, error: 'wrong_values' });
  });
});

describe('with our page', () => {
  test('the user signs in, reads what will be linked, agrees, and the account is linked', async () => {
    const bind = await startBindProject();
    const page = await toPage(bind, await bind.redirectTo('ann'));
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    for (const name of ['Ann Remote', 'Mock', 'page', 'Ann']) expect(page.body).toContain(name);
    expect(await bind.links('ann')).toEqual([]);

    const { token, cookie } = pageOf(page);
    expect(page.headers.get('set-cookie')).toMatch(
      /^__Host-fa_bind-[\w-]{16}=[\w-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=600$/,
    );
    expect(resultOf(await bind.page(token, cookie))).toEqual({ keep: 'me', fa_status: 'success', fp: 'oidc:mock_1' });
    expect(await bind.links('ann')).toEqual([LINK]);
  });

  test('an application that names nobody links whoever signs in and agrees, after a second trip', async () => {
    const bind = await startBindProject();
    const { url, cookie: browser } = await toSecondTrip(bind);
    const signIn = locationOf(await bind.callback(bind.provider.answer(url, AT_PROVIDER), { cookie: browser }));
    const given = bind.issuer.answer(signIn.href, { sub: 'eve', name: 'Eve' });
    const { token, cookie } = pageOf(await bind.signIn(given, browser));
    expect(resultOf(await bind.page(token, cookie))).toMatchObject({ fa_status: 'success' });
    expect(await bind.links('eve')).toEqual([LINK]);
  });

  test('who declines is back at the application with access_denied, and nothing is linked', async () => {
    const bind = await startBindProject();
    const { token, cookie } = pageOf(await toPage(bind, await bind.redirectTo('ann')));
    expect(resultOf(await bind.page(token, cookie, 'decline'))).toEqual({
      keep: 'me',
      ...{ fa_status: 'error', error: 'access_denied', fp: 'oidc:mock_1' },
    });
    expect(logged(bind, 'audit').at(-1)).toMatchObject({ event: 'account_link.bind_failed', error: 'access_denied' });
    expect((await bind.page(token, cookie)).status).toBe(400);
    expect(await bind.links('ann')).toEqual([]);
  });

  test('who declines in a popup tells its opener', async () => {
    const bind = await startBindProject();
    const { token, cookie } = pageOf(await toPage(bind, await bind.redirectTo('ann', { isPopup: true })));
    const answer = await bind.page(token, cookie, 'decline');
    expect(answer.body).toContain('{"type":"fa.bind","status":"error","fp":"oidc:mock_1","error":"access_denied"}');
  });

  test('a form that declines in another browser is browser_mismatch', async () => {
    const bind = await startBindProject();
    const { token } = pageOf(await toPage(bind, await bind.redirectTo('ann')));
    expect(resultOf(await bind.page(token, undefined, 'decline'))).toMatchObject({ error: 'browser_mismatch' });
  });

  test.each<[string, Person, string]>([
    ['its name and its id', AT_PROVIDER, '<bdi>Ann Remote</bdi><small><bdi>remote-1</bdi></small>'],
    [
      'its name and its verified e-mail',
      { ...AT_PROVIDER, email: 'ann@mail.example', email_verified: true },
      '<bdi>Ann Remote</bdi><small><bdi>ann@mail.example</bdi></small>',
    ],
    [
      'its id in place of an e-mail that is not verified',
      { ...AT_PROVIDER, email: 'ann@mail.example', email_verified: false },
      '<bdi>Ann Remote</bdi><small><bdi>remote-1</bdi></small>',
    ],
    [
      'its id in place of an e-mail that turns text around',
      { ...AT_PROVIDER, email: '\u202eelpmaxe.liam@nna', email_verified: true },
      '<bdi>Ann Remote</bdi><small><bdi>remote-1</bdi></small>',
    ],
    [
      'its verified e-mail where it has no name',
      { sub: 'remote-1', email: 'ann@mail.example', email_verified: true },
      '<bdi>ann@mail.example</bdi>',
    ],
    ['its id alone where it has nothing else', { sub: 'remote-1' }, '<bdi>remote-1</bdi>'],
    ['a name that is its id once', { sub: 'remote-1', name: 'remote-1' }, '<bdi>remote-1</bdi>'],
  ])('the page shows of the account %s', async (_name, person, shown) => {
    const bind = await startBindProject();
    const page = await toPage(bind, await bind.redirectTo('ann'), ANN, person);
    expect(page.body).toContain(`<dd>${shown}</dd>`);
  });

  test('the page shows the title and the id of the application, or the id alone', async () => {
    const bind = await startBindProject();
    expect((await toPage(bind, await bind.redirectTo('ann'))).body).toContain(
      '<p><strong><bdi>page</bdi></strong> asks to link these two accounts:</p>',
    );
    const { url, cookie } = await toSecondTrip(bind);
    const signIn = locationOf(await bind.callback(bind.provider.answer(url, AT_PROVIDER), { cookie }));
    expect((await bind.signIn(bind.issuer.answer(signIn.href, ANN), cookie)).body).toContain(
      '<p><strong><bdi>Plain &amp; Simple</bdi></strong> (<bdi>plain</bdi>) asks to link these two accounts:</p>',
    );
  });

  describe('a page that is reloaded says nothing that it does not know', () => {
    const UNKNOWN = 'Return to the application to see whether the account is linked. If it is not, start again.';
    /** Sends the form after so many hours, of which a step is known for one and a bit. */
    async function sendLate(hours: number, isUsed: boolean): Promise<string> {
      const bind = await startBindProject();
      const { token, cookie } = pageOf(await toPage(bind, await bind.redirectTo('ann')));
      if (isUsed) await bind.page(token, cookie);
      query(bind, `UPDATE bind_transaction SET expires_at = ${Date.now() - hours * 3_600_000 - 1}`);
      const answer = await bind.page(token, cookie);
      expect(answer.status).toBe(400);
      expect(answer.body).not.toContain('not linked');
      return answer.body
        .replace(/^.*<main>|<\/main>.*$/gs, '')
        .replace(/<[^>]+>/g, ' ')
        .trim();
    }

    test.each<[string, number, boolean, string]>([
      ['used', 0, true, `This page works only once  It was already used or reloaded. ${UNKNOWN}`],
      ['expired', 0, false, 'This page has expired  It linked nothing. Return to the application and start again.'],
      ...[true, false].map((isUsed): [string, number, boolean, string] => [
        `${isUsed ? 'used' : 'expired'} two hours ago`,
        2,
        isUsed,
        `This page cannot continue  It was used or expired long ago, or it was opened by a wrong address. ${UNKNOWN}`,
      ]),
    ])('%s', async (_name, hours, isUsed, text) => {
      expect(await sendLate(hours, isUsed)).toBe(text);
    });

    test('the page itself, before anybody has answered', async () => {
      const bind = await startBindProject();
      const signIn = locationOf(await bind.callback(bind.provider.answer(await bind.redirectTo('ann'), AT_PROVIDER)));
      const given = bind.issuer.answer(signIn.href, ANN);
      await bind.signIn(given);
      expect((await bind.signIn(given)).body).toContain(`It was already used or reloaded. ${UNKNOWN}`);
    });

    test('a page of a failure', async () => {
      const bind = await startBindProject({ local: { BIND_CONFIRMATION: 'none' } });
      const given = bind.provider.answer(await bind.redirectTo('ann'), AT_PROVIDER);
      query(bind, 'ALTER TABLE account_link RENAME TO gone');
      const answer = await bind.callback(given);
      expect(answer.status).toBe(503);
      expect(answer.body).toContain(`<h1>Something failed on our side</h1><p>${UNKNOWN}</p>`);
    });
  });

  test('where nobody is signed in yet, the browser is asked', async () => {
    const bind = await startBindProject();
    const silent = locationOf(await bind.callback(bind.provider.answer(await bind.redirectTo('ann'), AT_PROVIDER)));
    const state = silent.searchParams.get('state') ?? '';
    const asked = locationOf(
      await bind.signIn(new URLSearchParams({ error: 'login_required', state, iss: bind.issuer.url })),
    );
    expect(asked.searchParams.has('prompt')).toBe(false);
    const { token, cookie } = pageOf(await bind.signIn(bind.issuer.answer(asked.href, ANN)));
    expect(resultOf(await bind.page(token, cookie))).toMatchObject({ fa_status: 'success' });
  });

  test('somebody else who signs in gets nothing linked: user_mismatch', async () => {
    const bind = await startBindProject();
    const answer = await toPage(bind, await bind.redirectTo('ann'), { sub: 'victim', name: 'Victim' });
    expect(resultOf(answer)).toEqual({ keep: 'me', fa_status: 'error', error: 'user_mismatch', fp: 'oidc:mock_1' });
    expect(await bind.links('victim')).toEqual([]);
    expect(await bind.links('ann')).toEqual([]);
  });

  test.each<[string, (cookie: string) => string | undefined]>([
    ['without the cookie', () => undefined],
    ['with the cookie of another browser', (cookie) => `${cookie.split('=')[0]}=${'x'.repeat(43)}`],
    ['with the cookie twice', (cookie) => `${cookie}; ${cookie}`],
  ])('a form that is sent %s links nothing, and is spent', async (_name, cookieOf) => {
    const bind = await startBindProject();
    const { token, cookie } = pageOf(await toPage(bind, await bind.redirectTo('ann')));
    expect(resultOf(await bind.page(token, cookieOf(cookie)))).toMatchObject({
      fa_status: 'error',
      error: 'browser_mismatch',
    });
    expect((await bind.page(token, cookie)).status).toBe(400);
    expect(await bind.links('ann')).toEqual([]);
  });

  test('the page is in the language that its reader likes best, and nothing in it turns on names', async () => {
    const bind = await startBindProject();
    const hostile = { sub: 'remote-1', name: '</dd><script>alert(1)</script>\u202e' };
    const signIn = locationOf(await bind.callback(bind.provider.answer(await bind.redirectTo('ann'), hostile)));
    const parameters = bind.issuer.answer(signIn.href, ANN);
    const page = await bind.project.gateway('GET', `/blitz/api/users/current/fps/bind/sign-in?${parameters}`, {
      'Accept-Language': 'de, ru;q=0.9, en;q=0.5',
    });
    expect(page.headers.get('content-language')).toBe('ru');
    expect(page.body).toContain('Связать учётные записи');
    expect(page.body).not.toContain('<script');
    expect(page.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'nonce-[\w+/=]+'; form-action 'self' https:\/\/app\.company\.com; frame-ancestors 'none'; base-uri 'none'$/,
    );
    expect(page.headers.get('referrer-policy')).toBe('no-referrer');
    expect(page.headers.get('cache-control')).toBe('no-store');
  });
});

describe('with a bearer', () => {
  const BEARER = { local: { BIND_CONFIRMATION: 'bearer' } };

  async function ticketOf(bind: BindProject, subject = 'ann'): Promise<string> {
    const answer = await bind.callback(bind.provider.answer(await bind.redirectTo(subject), AT_PROVIDER));
    const { ticket = '', ...rest } = resultOf(answer);
    expect(rest).toEqual({ keep: 'me', fa_status: 'confirm', fp: 'oidc:mock_1' });
    return ticket;
  }

  test('the ticket is confirmed by the same user, once', async () => {
    const bind = await startBindProject(BEARER);
    const ticket = await ticketOf(bind);
    expect(await bind.links('ann')).toEqual([]);
    expect(await bind.confirm(await bind.user('ann'), ticket)).toMatchObject({ status: 204, body: '' });
    expect(await bind.links('ann')).toEqual([LINK]);
    expect(errorOf(await bind.confirm(await bind.user('ann'), ticket))).toEqual({ status: 400, error: 'wrong_values' });
  });

  test('raw too', async () => {
    const bind = await startBindProject(BEARER);
    const raw = await bind.project.raw('external-provider-bind', {
      headers: { request_id: 'r', authorization: await bind.user('ann') },
      request_type: 'external-provider.bind-confirm',
      api_version: 1,
      payload: { ticket: await ticketOf(bind) },
    });
    expect(JSON.parse(raw.body)).toEqual({ request_id: 'r', status: 204 });
    expect(await bind.links('ann')).toEqual([LINK]);
  });

  test('another user, an application, nobody: nothing is linked', async () => {
    const bind = await startBindProject(BEARER);
    const ticket = await ticketOf(bind);
    expect((await bind.confirm(bind.application(), ticket)).status).toBe(401);
    expect((await bind.confirm('Bearer x', ticket)).status).toBe(401);
    expect((await bind.confirm(await bind.user('eve'), ticket)).status).toBe(403);
    expect((await bind.confirm(await bind.user('ann'), ticket)).status).toBe(400);
    expect(await bind.links('ann')).toEqual([]);
    expect(await bind.links('eve')).toEqual([]);
  });

  test.each([undefined, 7, '', 'x', 'x'.repeat(43)])('the ticket %j is none', async (ticket) => {
    const bind = await startBindProject(BEARER);
    expect(errorOf(await bind.confirm(await bind.user('ann'), ticket))).toEqual({ status: 400, error: 'wrong_values' });
  });
});

describe('as documented, without a confirmation', () => {
  const NONE = { local: { BIND_CONFIRMATION: 'none' } };
  const finish = async (bind: BindProject, subject: string, person = AT_PROVIDER, more = {}) =>
    await bind.callback(bind.provider.answer(await bind.redirectTo(subject, more), person));

  test('the account is linked when the provider has answered', async () => {
    const bind = await startBindProject(NONE);
    expect(resultOf(await finish(bind, 'ann'))).toEqual({ keep: 'me', fa_status: 'success', fp: 'oidc:mock_1' });
    expect(await bind.links('ann')).toEqual([LINK]);
    expect(resultOf(await finish(bind, 'ann'))).toMatchObject({ fa_status: 'success' });
    expect(await bind.links('ann')).toEqual([LINK]);
  });

  test('a proof takes over what another user has asserted, and not what they have proved', async () => {
    const bind = await startBindProject({
      local: { ...NONE.local, LINK_BY_SID: 'any' },
    });
    const squat = await bind.project.gateway('POST', '/blitz/api/v3/users/eve/fa/oidc/mock_1/remote-1', {
      Authorization: await bind.user('eve'),
    });
    expect(squat.status).toBe(204);
    expect(resultOf(await finish(bind, 'ann'))).toMatchObject({ fa_status: 'success' });
    expect(await bind.links('eve')).toEqual([]);
    expect(resultOf(await finish(bind, 'eve'))).toMatchObject({
      fa_status: 'error',
      error: 'already_linked_other_user',
    });
    expect(await bind.links('ann')).toEqual([LINK]);
  });

  test('the tokens that came with it are revoked when it is deleted', async () => {
    const bind = await startBindProject();
    const revoked: string[] = [];
    const { startHttpServer } = await import('#test/support/http-server.ts');
    const revocation = await startHttpServer((request, answer) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        revoked.push(new URLSearchParams(body).get('token') ?? '');
        answer.end();
      });
    });
    const own = await startBindProject({
      local: {
        ...NONE.local,
        PROVIDERS: JSON.stringify([
          {
            type: 'oidc',
            name: 'mock_1',
            bind: bindAt(bind.provider.url),
            revocation: { endpoint: revocation, client_id: 'c', client_secret_env: 'MOCK_SECRET' },
          },
        ]),
      },
    });
    await own.callback(bind.provider.answer(await own.redirectTo('ann'), AT_PROVIDER));
    const deleted = await own.project.gateway('DELETE', '/blitz/api/v3/users/ann/fa/oidc/mock_1/remote-1?view=full', {
      Authorization: await own.user('ann'),
    });
    expect(JSON.parse(deleted.body)).toEqual({ revocation: 'revoked' });
    expect(revoked).toEqual(['refresh-remote-1', expect.stringMatching(/^access-/)]);
  });

  test('a popup tells its opener at the exact origin of the callback, and a link takes its place', async () => {
    const bind = await startBindProject(NONE);
    const answer = await finish(bind, 'ann', AT_PROVIDER, { isPopup: true });
    expect(answer.status).toBe(200);
    expect(answer.body).toContain(
      'window.opener.postMessage({"type":"fa.bind","status":"success","fp":"oidc:mock_1"}, "https://app.company.com")',
    );
    expect(answer.body).toContain(
      'href="https://app.company.com/callback?keep=me&amp;fa_status=success&amp;fp=oidc%3Amock_1"',
    );
    const nonce = /<script nonce="([^"]+)"/.exec(answer.body)?.[1];
    expect(answer.headers.get('content-security-policy')).toContain(`script-src 'nonce-${nonce}'`);
  });

  test('who cancels at the provider comes back with cancelled', async () => {
    const bind = await startBindProject(NONE);
    const state = new URL(await bind.redirectTo('ann')).searchParams.get('state') ?? '';
    const parameters = new URLSearchParams({ error: 'access_denied', state, iss: bind.provider.url });
    expect(resultOf(await bind.callback(parameters))).toEqual({
      keep: 'me',
      fa_status: 'cancelled',
      fp: 'oidc:mock_1',
    });
  });

  test('fifty callbacks at once with one state: one link, one exchange', async () => {
    const bind = await startBindProject(NONE);
    const parameters = bind.provider.answer(await bind.redirectTo('ann'), AT_PROVIDER);
    const answers = await Promise.all(Array.from({ length: 50 }, () => bind.callback(parameters)));
    expect(answers.filter(({ status }) => status === 303)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(49);
    expect(bind.provider.exchanges).toHaveLength(1);
    expect(await bind.links('ann')).toEqual([LINK]);
  });

  test('a deletion ends the binds of the account that began before it', async () => {
    const bind = await startBindProject(NONE);
    await finish(bind, 'ann');
    const pending = await bind.redirectTo('ann');
    const headers = { Authorization: await bind.user('ann') };
    await bind.project.gateway('DELETE', '/blitz/api/v3/users/ann/fa/oidc/mock_1/remote-1', headers);
    const late = await bind.callback(bind.provider.answer(pending, AT_PROVIDER));
    expect(resultOf(late)).toMatchObject({ fa_status: 'error', error: 'state_expired' });
    expect(await bind.links('ann')).toEqual([]);
    expect(resultOf(await finish(bind, 'ann'))).toMatchObject({ fa_status: 'success' });
  });
});

describe('settings', () => {
  test('without a client at the issuer binds are confirmed by bearer, and an operator is told', async () => {
    const bind = await startBindProject({ local: { SIGN_IN_CLIENT: null } });
    const answer = await bind.callback(bind.provider.answer(await bind.redirectTo('ann'), AT_PROVIDER));
    expect(resultOf(answer)).toMatchObject({ fa_status: 'confirm' });
    expect(bind.project.output.join('\n')).toContain('binds are confirmed by bearer');
  });

  test.each([
    ['BIND_CONFIRMATION', 'yes', 'BIND_CONFIRMATION must be page, bearer or none'],
    ['PUBLIC_BASE_URL', 'https://login.company.com/path', 'PUBLIC_BASE_URL must be'],
    ['CONTEXT_PREFIX', 'blitz', 'CONTEXT_PREFIX must be'],
    ['MOCK_SECRET', '', 'MOCK_SECRET must be set'],
  ])('a wrong %s is named in the log', async (name, value, sentence) => {
    const bind = await startBindProject({ local: { [name]: value } });
    const answer = await bind.start(bind.application(), {});
    expect(errorOf(answer)).toEqual({ status: 500, error: 'misconfigured' });
    expect(bind.project.output.join('\n')).toContain(sentence);
  });
});
