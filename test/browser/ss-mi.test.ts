import { readFileSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { transform } from 'esbuild';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { findFreePort } from '#scripts/authorization-server/listen.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { launchChromium } from './chromium.ts';
import { openShopPage, RECORDER, SEED_EMAIL, type Situation, testSeedSnippet } from './shop-page.ts';

const SCRIPT = readFileSync(join(inject('bundles'), 'static/ss_mi.js'), 'utf8');
const UNLINKED = { is_unlinked: true, is_permissions_revoked: true };
const PROCESSING_ERROR = { error: true, reason: 'Processing Eroor' };
const EMAIL_MISSING = { error: true, reason: 'Email address missing' };

let browser: Browser;
beforeAll(async () => {
  browser = await launchChromium();
}, 60_000);
afterAll(() => browser.close());

/** How a stand-in for the function answers a call. */
interface StandInReply {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** Answers no call. */
  readonly hangs?: boolean;
  readonly cors?: boolean;
}

interface ReceivedCall {
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

/** A stand-in for the gateway, which serves the built script too. */
async function startStandIn({ status = 200, body = UNLINKED, headers = {}, hangs, cors = true }: StandInReply = {}) {
  const calls: ReceivedCall[] = [];
  const scriptHeaders: IncomingHttpHeaders[] = [];
  const allow = cors ? { 'Access-Control-Allow-Origin': '*' } : {};
  const preflight = { ...allow, 'Access-Control-Allow-Headers': 'authorization, content-type' };
  const url = await startHttpServer(async (request, response) => {
    if (request.url === '/ss_mi.js') {
      scriptHeaders.push(request.headers);
      response.writeHead(200, { 'Content-Type': 'text/javascript; charset=utf-8' }).end(SCRIPT);
      return;
    }
    if (request.method === 'OPTIONS') return void response.writeHead(204, preflight).end();
    if (request.method !== 'POST' || request.url !== '/social/unlink') return void response.writeHead(404, allow).end();
    calls.push({ headers: request.headers, body: JSON.parse(await text(request)) });
    if (hangs) return;
    response.writeHead(status, { 'Content-Type': 'application/json', ...allow, ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  return { url, script: new URL('/ss_mi.js', url), calls, scriptHeaders };
}

const initialised = (settings: string) => `var _ssq = [['init', ${settings}]];`;
const WITH_TOKEN = initialised("{ token: 'token-1' }");
const CALL = `ss_mi.ssmi_unlink_user('${SEED_EMAIL}');`;

/** Opens a page that calls once, and answers what the page's functions and the promise are told. */
async function callOnce(standIn: { script: URL }, { init = WITH_TOKEN, call = CALL } = {}) {
  const promised = `${call.replace(/;$/, '')}.then((answer) => report(answer), () => report('rejected'));`;
  const shop = await openShopPage(browser, { scripts: [init, standIn.script, promised, RECORDER] });
  await expect.poll(() => shop.reports).toHaveLength(1);
  await expect.poll(() => shop.answers).toHaveLength(1);
  expect(shop.answers[0]?.[1]).toEqual(shop.reports[0]);
  expect(shop.uncaught).toEqual([]);
  return shop.answers[0];
}

const REPLIES: Readonly<Record<Situation, StandInReply>> = {
  'unlinked and revoked': {},
  'unlinked, the provider has not confirmed': { body: { is_unlinked: true, is_permissions_revoked: false } },
  unknown: { body: { is_unlinked: false, is_permissions_revoked: false } },
  'the function fails': { status: 500, body: { error: true, reason: 'Error while Unlinking Social Login User' } },
  'the token is refused': { status: 401, body: { error: true, reason: 'Error while Unlinking Social Login User' } },
};

testSeedSnippet(
  () => browser,
  async (situation) => {
    const { url } = await startStandIn(REPLIES[situation]);
    return { url, settings: "{ token: 'token-1' }" };
  },
);

describe('the request', () => {
  test('goes where the script comes from, with the e-mail address and the token', async () => {
    const standIn = await startStandIn();

    expect(await callOnce(standIn)).toEqual(['success', UNLINKED]);

    expect(standIn.calls).toMatchObject([
      {
        headers: { authorization: 'Bearer token-1', 'content-type': 'application/json' },
        body: { email: SEED_EMAIL },
      },
    ]);
    expect(standIn.calls[0]?.body).toEqual({ email: SEED_EMAIL });
  });

  test('goes to the endpoint of the settings, with their network', async () => {
    const [standIn, other] = [await startStandIn(), await startStandIn()];
    const init = initialised(`{ token: 'token-1', endpoint: '${other.url}/social/unlink', network: 'google' }`);

    expect(await callOnce(standIn, { init })).toEqual(['success', UNLINKED]);

    expect(standIn.calls).toEqual([]);
    expect(other.calls.map(({ body }) => body)).toEqual([{ email: SEED_EMAIL, network: 'google' }]);
  });

  test('carries no cookie, and leaves none', async () => {
    const standIn = await startStandIn({ headers: { 'Set-Cookie': 'left=1' } });

    const shop = await openShopPage(browser, {
      scripts: [WITH_TOKEN, standIn.script, RECORDER, CALL],
      cookieFor: standIn.url,
    });

    await expect.poll(() => shop.answers).toEqual([['success', UNLINKED]]);
    // The browser has it, and sends it with what is asked for in the ordinary way.
    expect(standIn.scriptHeaders.map(({ cookie }) => cookie)).toEqual(['session=canary']);
    expect(standIn.calls.map(({ headers }) => headers.cookie)).toEqual([undefined]);
    expect((await shop.page.context().cookies()).map(({ name }) => name)).toEqual(['session']);
  });

  test('does not follow a redirect: the token stays with the endpoint', async () => {
    const other = await startStandIn();
    const standIn = await startStandIn({ status: 307, headers: { Location: `${other.url}/social/unlink` } });

    expect(await callOnce(standIn)).toEqual(['failure', PROCESSING_ERROR]);

    expect(other.calls).toEqual([]);
  });
});

describe('the token', () => {
  test.each([
    ['a function', "() => 'token-2'", 'Bearer token-2'],
    [
      'a function that promises',
      "() => new Promise((resolve) => setTimeout(resolve, 20, 'token-3'))",
      'Bearer token-3',
    ],
    ['nobody signed in', '() => undefined', undefined],
    ['none in the settings', 'undefined', undefined],
  ])('%s', async (_, token, authorization) => {
    const standIn = await startStandIn();

    expect(await callOnce(standIn, { init: initialised(`{ token: ${token} }`) })).toEqual(['success', UNLINKED]);

    expect(standIn.calls.map(({ headers }) => headers.authorization)).toEqual([authorization]);
  });

  test.each([
    ['a function that throws', "() => { throw new Error('signed out'); }"],
    ['a function that rejects', "() => Promise.reject(new Error('signed out'))"],
    ['no value of a header', "'token\\n-1'"],
  ])('%s: a processing error, and no request', async (_, token) => {
    const standIn = await startStandIn();

    expect(await callOnce(standIn, { init: initialised(`{ token: ${token} }`) })).toEqual([
      'failure',
      PROCESSING_ERROR,
    ]);

    expect(standIn.calls).toEqual([]);
  });

  test('is asked for at each call', async () => {
    const standIn = await startStandIn();
    const init = initialised("{ token: () => 'token-' + ++count }");

    const shop = await openShopPage(browser, {
      scripts: ['var count = 0;', init, standIn.script, RECORDER, CALL.repeat(2)],
    });

    await expect.poll(() => shop.answers).toHaveLength(2);
    expect(standIn.calls.map(({ headers }) => headers.authorization).sort()).toEqual([
      'Bearer token-1',
      'Bearer token-2',
    ]);
  });
});

describe('the answer', () => {
  test('is handed on with the two fields of the document and no other', async () => {
    const standIn = await startStandIn({ body: { ...UNLINKED, revocation: 'revoked' } });

    expect(await callOnce(standIn)).toEqual(['success', UNLINKED]);
  });

  test.each([
    [400, 'Email address missing'],
    [409, 'Error while Unlinking Social Login User'],
    [500, 'Error while Unlinking Social Login User'],
    [503, 'Error while Unlinking Social Login User'],
  ])('a failure with status %i is handed on with its reason', async (status, reason) => {
    const standIn = await startStandIn({ status, body: { error: true, reason, request_id: 'x' } });

    expect(await callOnce(standIn)).toEqual(['failure', { error: true, reason }]);
  });

  test.each<[string, StandInReply]>([
    ['401', { status: 401, body: { error: true, reason: 'Error while Unlinking Social Login User' } }],
    ['HTML', { body: '<!doctype html><h1>Bad gateway</h1>' }],
    ['HTML with status 502', { status: 502, body: '<!doctype html><h1>Bad gateway</h1>' }],
    ['nothing', { body: '' }],
    ['null', { body: 'null' }],
    ['JSON of a gateway', { status: 500, body: { message: 'Internal server error' } }],
    ['JSON with other types', { body: { is_unlinked: 'true', is_permissions_revoked: 1 } }],
    ['half an answer', { body: { is_unlinked: true } }],
    ['a success with status 500', { status: 500, body: UNLINKED }],
    ['a failure without a reason', { status: 500, body: { error: true } }],
    ['an endpoint that does not know this shop', { cors: false }],
  ])('%s: a processing error', async (_, reply) => {
    const standIn = await startStandIn(reply);

    expect(await callOnce(standIn)).toEqual(['failure', PROCESSING_ERROR]);
  });

  test('the network is down: a processing error', async () => {
    const endpoint = `http://127.0.0.1:${await findFreePort()}/social/unlink`;

    const answer = await callOnce(await startStandIn(), { init: initialised(`{ endpoint: '${endpoint}' }`) });

    expect(answer).toEqual(['failure', PROCESSING_ERROR]);
  });

  test.each([
    ['the endpoint', "'token-1'"],
    ["the page's token function", '() => new Promise(() => {})'],
  ])('%s takes too long: a processing error', async (_, token) => {
    const standIn = await startStandIn({ hangs: true });
    const init = initialised(`{ token: ${token}, timeout_ms: 200 }`);

    expect(await callOnce(standIn, { init })).toEqual(['failure', PROCESSING_ERROR]);
  });

  test('a token that comes too late is not sent', async () => {
    const standIn = await startStandIn();
    const init = initialised('{ token: () => new Promise((resolve) => { signIn = resolve; }), timeout_ms: 50 }');

    const shop = await openShopPage(browser, {
      scripts: ['var signIn;', init, standIn.script, RECORDER, CALL],
    });
    await expect.poll(() => shop.answers).toEqual([['failure', PROCESSING_ERROR]]);
    await shop.page.evaluate("signIn('token-1')");
    await shop.page.evaluate("_ssq.push(['init', { token: 'token-2', timeout_ms: 5000 }])");
    await shop.page.evaluate(CALL);

    await expect.poll(() => shop.answers).toHaveLength(2);
    expect(standIn.calls.map(({ headers }) => headers.authorization)).toEqual(['Bearer token-2']);
  });

  test.each(['-1', '0', 'NaN', 'Infinity', "'soon'"])('a timeout of %s ends no call early', async (timeout) => {
    const init = initialised(`{ timeout_ms: ${timeout} }`);

    expect(await callOnce(await startStandIn(), { init })).toEqual(['success', UNLINKED]);
  });

  test('two calls at once are both answered', async () => {
    const standIn = await startStandIn();

    const shop = await openShopPage(browser, { scripts: [WITH_TOKEN, standIn.script, RECORDER, CALL.repeat(2)] });

    await expect
      .poll(() => shop.answers)
      .toEqual([
        ['success', UNLINKED],
        ['success', UNLINKED],
      ]);
    expect(standIn.calls).toHaveLength(2);
  });
});

describe('a missing e-mail address', () => {
  test.each(['', "''", "'  '", 'null', '42', '{}'])('(%s) is a failure without a request', async (email) => {
    const standIn = await startStandIn();

    const answer = await callOnce(standIn, { call: `ss_mi.ssmi_unlink_user(${email});` });

    expect(answer).toEqual(['failure', EMAIL_MISSING]);
    expect(standIn.calls).toEqual([]);
  });
});

describe("the page's functions", () => {
  test.each([
    ['answered by the endpoint', SEED_EMAIL],
    ['answered without it', ''],
  ])('may be defined after the call, even once its task has ended, %s', async (_, email) => {
    const standIn = await startStandIn();
    const call = `
      ss_mi.ssmi_unlink_user('${email}');
      Promise.resolve().then(() => {}).then(() => {
        window.ssmi_user_unlink_success = window.ssmi_user_unlink_failure = (response) => report(response);
      });`;

    const shop = await openShopPage(browser, { scripts: [WITH_TOKEN, standIn.script, call] });

    await expect.poll(() => shop.reports).toEqual([email === '' ? EMAIL_MISSING : UNLINKED]);
  });

  test('may be constants', async () => {
    const standIn = await startStandIn();
    const constants = `const ssmi_user_unlink_success = (response) => report(response);`;

    const shop = await openShopPage(browser, { scripts: [WITH_TOKEN, standIn.script, CALL, constants] });

    await expect.poll(() => shop.reports).toEqual([UNLINKED]);
  });

  test.each([
    ['there are none', ''],
    ['they are no functions', 'var ssmi_user_unlink_success = null, ssmi_user_unlink_failure = {};'],
  ])('%s: no error, and the promise is kept', async (_, definitions) => {
    const calls = `Promise.all(['${SEED_EMAIL}', ''].map(ss_mi.ssmi_unlink_user)).then(report);`;
    const standIn = await startStandIn();

    const shop = await openShopPage(browser, { scripts: [WITH_TOKEN, standIn.script, definitions, calls] });

    await expect.poll(() => shop.reports).toEqual([[UNLINKED, EMAIL_MISSING]]);
    expect(shop.uncaught).toEqual([]);
  });

  test('one throws: reported as uncaught, and every call is answered all the same', async () => {
    const throwing = `
      var ssmi_user_unlink_success = () => { throw new Error('of the shop'); };
      var ssmi_user_unlink_failure = async () => { throw new Error('of the shop, promised'); };`;
    const calls = `Promise.all(['${SEED_EMAIL}', '', '${SEED_EMAIL}'].map(ss_mi.ssmi_unlink_user)).then(report);`;
    const standIn = await startStandIn();

    const shop = await openShopPage(browser, { scripts: [WITH_TOKEN, standIn.script, throwing, calls] });

    await expect.poll(() => shop.reports).toEqual([[UNLINKED, EMAIL_MISSING, UNLINKED]]);
    await expect.poll(() => shop.uncaught.toSorted()).toEqual(['of the shop', 'of the shop', 'of the shop, promised']);
  });

  test('a failure that nobody looks at is no unhandled rejection', async () => {
    const standIn = await startStandIn({ status: 500, body: '' });
    const calls = `window.onunhandledrejection = () => report('unhandled');${CALL}${CALL}`;

    const shop = await openShopPage(browser, { scripts: [WITH_TOKEN, standIn.script, RECORDER, calls] });

    await expect.poll(() => shop.answers).toHaveLength(2);
    expect([shop.reports, shop.uncaught]).toEqual([[], []]);
  });
});

/** The loader of the document. */
const loader = (script: URL) => `
var SSConfig = { partner_id: 'partner-1', token: 'token-1' };
var _ssq = (typeof _ssq === 'undefined') ? [] : _ssq;
_ssq.push(['init', SSConfig]);
(function() {
  var element = document.createElement('script');
  element.async = true;
  element.src = '${script}';
  var first = document.getElementsByTagName('script')[0];
  first.parentNode.insertBefore(element, first);
})();`;

describe('the queue', () => {
  test('calls before the script is loaded are made when it is', async () => {
    const standIn = await startStandIn();
    const early = `_ssq.push(['ssmi_unlink_user', '${SEED_EMAIL}'], ['ssmi_unlink_user', '']); report(typeof ss_mi);`;

    const shop = await openShopPage(browser, { scripts: [RECORDER, loader(standIn.script), early] });

    expect(shop.reports).toEqual(['undefined']);
    await expect.poll(() => shop.answers).toHaveLength(2);
    expect(shop.answers.toSorted()).toEqual([
      ['failure', EMAIL_MISSING],
      ['success', UNLINKED],
    ]);
    expect(standIn.calls).toMatchObject([{ headers: { authorization: 'Bearer token-1' } }]);
  });

  test('is there after the script, though the page had none', async () => {
    const standIn = await startStandIn();
    const late = `_ssq.push(['init', { token: 'token-2' }]); _ssq.push(['ssmi_unlink_user', '${SEED_EMAIL}']);`;

    const shop = await openShopPage(browser, { scripts: [standIn.script, RECORDER, late] });

    await expect.poll(() => shop.answers).toEqual([['success', UNLINKED]]);
    expect(standIn.calls).toMatchObject([{ headers: { authorization: 'Bearer token-2' } }]);
  });

  test('what is not ours is no error, and stays for whom it is for', async () => {
    const standIn = await startStandIn();
    const foreign = "_ssq.push(['show_app', 'social_login_app', { network: 'facebook' }], 'text', null, []);";

    const shop = await openShopPage(browser, {
      scripts: [WITH_TOKEN, foreign, standIn.script, foreign, RECORDER, CALL, 'report(_ssq.length);'],
    });

    await expect.poll(() => shop.answers).toEqual([['success', UNLINKED]]);
    expect([shop.reports, shop.uncaught, shop.consoleTexts]).toEqual([[9], [], []]);
  });

  test('a script that is loaded twice calls once and keeps the settings', async () => {
    const standIn = await startStandIn();
    const early = `_ssq.push(['ssmi_unlink_user', '${SEED_EMAIL}']);`;

    const shop = await openShopPage(browser, {
      scripts: [WITH_TOKEN, RECORDER, early, standIn.script, standIn.script, CALL],
    });

    await expect.poll(() => shop.answers).toHaveLength(2);
    expect(standIn.calls.map(({ headers }) => headers.authorization)).toEqual(['Bearer token-1', 'Bearer token-1']);
  });

  test("ShopSocially's other functions stay", async () => {
    const standIn = await startStandIn();
    const others = "var ss_mi = { show_app: () => report('shown') };";

    const shop = await openShopPage(browser, {
      scripts: [WITH_TOKEN, others, standIn.script, RECORDER, `ss_mi.show_app(); ${CALL}`],
    });

    await expect.poll(() => shop.answers).toEqual([['success', UNLINKED]]);
    expect(shop.reports).toEqual(['shown']);
  });
});

describe('the script', () => {
  test.each([
    ['loaded as documented', loader, ''],
    // The document's loader itself breaks this one: it sets the URL of a script.
    ['and trusted types', (script: URL) => script, "; require-trusted-types-for 'script'; trusted-types 'none'"],
  ])('runs under a policy that names its origin and the endpoint alone, %s', async (_, load, rest) => {
    const standIn = await startStandIn();
    const call = `_ssq.push(['ssmi_unlink_user', '${SEED_EMAIL}']);`;

    const shop = await openShopPage(browser, {
      scripts: [RECORDER, WITH_TOKEN, load(standIn.script), call],
      contentSecurityPolicy: `default-src 'none'; script-src 'shop' ${standIn.url}; connect-src ${standIn.url}/social/unlink; img-src data:${rest}`,
    });

    await expect.poll(() => shop.answers).toEqual([['success', UNLINKED]]);
    expect([shop.uncaught, shop.consoleTexts]).toEqual([[], []]);
  });

  test('leaves nothing in the page but ss_mi and _ssq', async () => {
    const standIn = await startStandIn();
    const remember = 'var before = Object.getOwnPropertyNames(window).concat("before");';
    const compare = 'report(Object.getOwnPropertyNames(window).filter((name) => !before.includes(name)));';

    const shop = await openShopPage(browser, { scripts: [remember, standIn.script, compare] });

    await expect.poll(() => shop.reports.map((names) => [...(names as string[])].sort())).toEqual([['_ssq', 'ss_mi']]);
  });

  test('is of ES2019', async () => {
    const [es2019, newest] = await Promise.all(
      ['es2019', 'esnext'].map(async (target) => (await transform(SCRIPT, { target })).code),
    );

    expect(es2019).toBe(newest);
    expect((await transform('a ??= b?.c', { target: 'es2019' })).code).not.toContain('?.');
  });
});
