/** What holds of the pages and the steps of a bind whatever they are given. */
import { createContext, runInContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bind, digestOf, keepStep, newSecret, type Step, type StepPorts, takeStep } from '#shared/bind/bind.ts';
import type { BindResult, BrowserReply } from '#shared/bind/continue-bind.ts';
import { readBrowserCookie, readPageCookie, render, returnUrl } from '#shared/bind/render.ts';
import { preferredLanguage } from '#shared/bind/texts.ts';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { ServiceUrl } from '#shared/outgoing/service-url.ts';
import { TEST_KEYS } from '#test/support/emulated-project.ts';

const BIND: Bind = {
  ...{ client: 'app', callback: 'https://app.company.com/callback?keep=me', isPopup: false },
  ...{ fpType: 'oidc', fpName: 'mock_1', subject: 'ann', begunAt: 1 },
};

const OPTIONS = {
  language: 'en',
  formAction: '/page',
  titleOf: () => 'Mock',
  applicationTitleOf: () => 'Shop',
} as const;

const result: fc.Arbitrary<BindResult> = fc.oneof(
  fc.constantFrom<BindResult>({ status: 'success' }, { status: 'cancelled' }, { status: 'error', error: 'state_used' }),
  fc.string({ minLength: 1 }).map((ticket): BindResult => ({ status: 'confirm', ticket })),
);

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom('<', '>', '"', "'", '&', '&lt;', '<script>', '</bdi>', '-->', '\u2028', '\u202e', '`', '\0'),
      { maxLength: 12 },
    )
    .map((parts) => parts.join('')),
);

const tagsOf = (html: string) => html.match(/<[^>]*>/g);
const bodyOf = (reply: BrowserReply, options: Partial<Parameters<typeof render>[1]> = {}) =>
  // Each page has its own nonces, tokens aside.
  (render(reply, { ...OPTIONS, ...options }).body?.toString() ?? '').replace(/nonce="[^"]+"/g, 'nonce=""');

const pageReply = (names: string, token = 't'): BrowserReply => ({
  ...{ kind: 'page', bind: BIND, token, cookie: 'c' },
  names: { application: names, provider: 'oidc:mock_1', account: names, accountDetail: names, subject: names },
});

describe('the way back to the application', () => {
  const query = fc
    .array(fc.oneof(fc.webQueryParameters(), fc.constantFrom('flag', 'a=%20b', 'a=%FF', 'a=+', '&', 'a=b=c', '%zz')))
    .map((parts) => parts.join('&'));
  const callback = fc
    .tuple(fc.webUrl({ validSchemes: ['https'] }), query)
    .map(([url, added]) => (added === '' ? url : `${url}?${added}`))
    .filter((url) => ServiceUrl.safeParse(url).success && URL.canParse(url));

  test('is the callback, its query as it was, and the result behind it', () => {
    fc.assert(
      fc.property(callback, result, (registered, outcome) => {
        const before = new URL(registered);
        const after = new URL(returnUrl({ ...BIND, callback: registered }, outcome));
        expect([after.origin, after.pathname, after.hash]).toEqual([before.origin, before.pathname, '']);
        // A parameter of our own names is replaced; a random query has none.
        fc.pre(!['fa_status', 'fp', 'ticket', 'error'].some((name) => before.searchParams.has(name)));
        expect(after.search.startsWith(before.search === '' ? '?' : `${before.search}&`)).toBe(true);
        const added = new URLSearchParams(after.search.slice(before.search === '' ? 1 : before.search.length + 1));
        const { status: fa_status, ...rest } = outcome;
        expect(Object.fromEntries(added)).toEqual({ fa_status, fp: 'oidc:mock_1', ...rest });
      }),
    );
  });

  test.each([
    ['https://app.company.com/cb?q=a%20b&flag&bad=%FF', '?q=a%20b&flag&bad=%FF&'],
    ['https://app.company.com/cb?fa_status=success&fp=x&keep=me', '?keep=me&'],
    ['https://app.company.com/cb?%66a_status=success&keep=me', '?keep=me&'],
    ['https://app.company.com/cb??', '??&'],
    ['https://app.company.com/cb', '?'],
    ['http://localhost:3000/cb', '?'],
  ])('from %s begins with %s', (registered, start) => {
    const { search, searchParams } = new URL(returnUrl({ ...BIND, callback: registered }, { status: 'cancelled' }));
    expect(search).toBe(`${start}fa_status=cancelled&fp=oidc%3Amock_1`);
    expect(searchParams.getAll('fa_status')).toEqual(['cancelled']);
  });

  test('a redirect header takes whatever there is', () => {
    fc.assert(
      fc.property(callback, result, (registered, outcome) => {
        const { headers } = render(
          { kind: 'result', bind: { ...BIND, callback: registered }, result: outcome },
          OPTIONS,
        );
        expect(headers.Location).toMatch(/^https:\/\/[\x21-\x7e]+$/);
      }),
    );
  });
});

describe('a page', () => {
  test('has the same tags whatever the names and the title are', () => {
    const plain = tagsOf(bodyOf(pageReply('x')));
    fc.assert(
      fc.property(text, text, (name, title) => {
        const titles = { titleOf: () => title, applicationTitleOf: () => title };
        expect(tagsOf(bodyOf(pageReply(name), titles))).toEqual(plain);
      }),
    );
  });

  test('shows its names as they are, once a browser has read them', () => {
    fc.assert(
      fc.property(text, (name) => {
        const html = bodyOf(pageReply(name), { applicationTitleOf: () => undefined });
        const shown = /<bdi>(.*?)<\/bdi>/s.exec(html)?.[1] ?? '';
        const entities = { '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'", '&amp;': '&' };
        const read = shown.replace(/&(lt|gt|quot|#39|amp);/g, (entity) => entities[entity as keyof typeof entities]);
        // What is no Unicode is not written to the wire as it is.
        expect(read).toBe(Buffer.from(name).toString());
      }),
    );
  });

  test('of a popup says the result and nothing else, to the origin of the callback', () => {
    const origin = fc.constantFrom('https://app.company.com', 'https://app.company.com:8443', 'http://localhost:3000');
    fc.assert(
      fc.property(origin, text, result, (target, fpName, outcome) => {
        const bind = { ...BIND, callback: `${target}/cb?keep=me`, isPopup: true, fpName };
        const html = bodyOf({ kind: 'result', bind, result: outcome });
        const sent: unknown[][] = [];
        const opener = { postMessage: (...message: unknown[]) => sent.push(message) };
        const scripts = [...html.matchAll(/<script[^>]*>(.*?)<\/script>/gs)].map(([, script]) => script ?? '');
        expect(scripts).toHaveLength(1);
        runInContext(scripts[0] ?? '', createContext({ window: { opener, close: () => {} } }));
        const wire = (value: string) => Buffer.from(value).toString();
        const { status, ...rest } = outcome;
        const message = { type: 'fa.bind', status, fp: wire(`oidc:${fpName}`), ...rest };
        expect(sent).toHaveLength(1);
        expect(sent[0]?.[1]).toBe(target);
        expect(JSON.parse(JSON.stringify(sent[0]?.[0]))).toEqual(JSON.parse(JSON.stringify(message)));
        expect(html).toContain(`href="${target}/cb?keep=me&amp;fa_status=`);
      }),
    );
  });
});

describe('what a browser says of itself', () => {
  test('a language is always one of ours', () => {
    const range = fc.tuple(
      fc.constantFrom('ru', 'en', 'ru-RU', '*', 'de', ''),
      fc.oneof(fc.string(), fc.constant('q=0.5')),
    );
    const header = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(range).map((all) => all.map((one) => one.join(';')).join()),
    );
    fc.assert(
      fc.property(header, (given) => {
        expect(['en', 'ru']).toContain(preferredLanguage(given));
      }),
    );
  });

  test.each<[string, string]>([
    ['commas', ','],
    ['blanks', ' '],
    ['semicolons', ';'],
    ['a weight that never ends', `ru;q=0.${'9'.repeat(10)}`],
    ['blanks behind a weight', 'ru;q=1 '],
    ['line feeds', '\n\t'],
  ])('100 KB of %s are read in no time', (_name, unit) => {
    const header = unit.repeat(Math.ceil(100_000 / unit.length));
    const startedAt = process.hrtime.bigint();
    for (let round = 0; round < 20; round += 1) {
      preferredLanguage(header);
      readPageCookie(header, 'token');
      readBrowserCookie(header, digestOf('cookie'));
    }
    // A quadratic reader needs seconds for each; a slow machine does not.
    expect(Number(process.hrtime.bigint() - startedAt) / 1e6).toBeLessThan(2000);
  });

  test('a cookie is read where it came once, under its very name', () => {
    const noise = fc.array(fc.stringMatching(/^[a-z]{1,8}=[a-z]{0,8}$/), { maxLength: 5 });
    fc.assert(
      fc.property(noise, noise, fc.stringMatching(/^[\w-]{1,43}$/), (before, after, value) => {
        const cookie = `__Host-fa_bind-${digestOf('token').slice(0, 16)}=${value}`;
        expect(readPageCookie([...before, cookie, ...after].join('; '), 'token')).toBe(value);
        expect(readPageCookie([...before, cookie, ...after, cookie].join('; '), 'token')).toBeUndefined();
        expect(readPageCookie([...before, ...after].join('; '), 'token')).toBeUndefined();
        expect(readPageCookie(cookie, 'of another page')).toBeUndefined();
        const digest = digestOf(value);
        const ofBrowser = `__Host-fa_browser-${digest.slice(0, 16)}=${value}`;
        expect(readBrowserCookie([...before, ofBrowser, ...after].join('; '), digest)).toBe(value);
        expect(readBrowserCookie([...before, ofBrowser, ...after, ofBrowser].join('; '), digest)).toBeUndefined();
        expect(readBrowserCookie([...before, cookie, ...after].join('; '), digest)).toBeUndefined();
      }),
    );
  });
});

describe('a step', () => {
  const account = { sid: 's', tokens: { accessToken: 'a' } };
  const kept = { state: 's', redirectUri: 'https://login.example/cb', codeVerifier: 'v', nonce: 'n' };
  const STEPS: Readonly<Record<Step['kind'], Step>> = {
    provider: { kind: 'provider', bind: BIND, kept },
    'sign-in': { kind: 'sign-in', bind: BIND, account, kept, isSilent: true },
    page: { kind: 'page', bind: BIND, subject: 'ann', account, cookieDigest: 'd' },
    ticket: { kind: 'ticket', bind: BIND, subject: 'ann', account },
  };
  const kind = fc.constantFrom(...(Object.keys(STEPS) as Step['kind'][]));

  const openPorts = (): StepPorts => ({
    binds: openMemoryDirectory().binds,
    encryptionKeys: EncryptionKeys.parse(TEST_KEYS),
  });
  const remainingMs = () => 5000;

  test('is taken up as its own kind alone, and once, whoever tried what first', async () => {
    await fc.assert(
      fc.asyncProperty(kind, fc.array(kind, { minLength: 1, maxLength: 4 }), async (own, tries) => {
        const ports = openPorts();
        const secret = newSecret();
        await keepStep(secret, STEPS[own], remainingMs, ports);
        const taken = await Promise.all(tries.map((tried) => takeStep(tried, secret, remainingMs, ports)));
        const [first, ...others] = taken;
        expect(first).toEqual(tries[0] === own ? { step: STEPS[own] } : { error: 'state_missing' });
        for (const other of others) expect(other).toEqual({ error: 'state_used' });
      }),
    );
  });

  test('is opened by its secret and by nothing that is like it', async () => {
    const ports = openPorts();
    const secret = newSecret();
    await keepStep(secret, STEPS.ticket, remainingMs, ports);
    const similar = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc
        .tuple(fc.nat(42), fc.stringMatching(/^[\w-]$/))
        .map(([at, character]) => `${secret.slice(0, at)}${character}${secret.slice(at + 1)}`),
      fc.constantFrom(
        '',
        `${secret}=`,
        `${secret}\n`,
        ` ${secret}`,
        secret.toLowerCase(),
        secret.slice(1),
        `${secret}A`,
      ),
    );
    await fc.assert(
      fc.asyncProperty(similar, async (given) => {
        fc.pre(given !== secret);
        expect(await takeStep('ticket', given, remainingMs, ports)).toEqual({ error: 'state_missing' });
      }),
    );
    expect(await takeStep('ticket', secret, remainingMs, ports)).toEqual({ step: STEPS.ticket });
  });
});
