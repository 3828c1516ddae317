/** A real Chromium, the emulator with its two authorization servers and its demo application, and people in front of it. */
import { DatabaseSync } from 'node:sqlite';
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { expect, inject, onTestFinished } from 'vitest';
import { DEMO_SECRET, linkDemoUser } from '#scripts/authorization-server/demo.ts';
import { FREE_PORTS } from '#scripts/emulator-process.ts';
import { startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { basic } from '#test/support/test-issuer.ts';
import { launchChromium } from './chromium.ts';

/** The provider that people sign in at, by name. */
export type ProviderName = 'dev_1' | 'dev_2';

/** Where everything is, and what the functions and the provider say, asked without the browser. */
export interface DemoBrowser {
  readonly gatewayUrl: string;
  readonly authUrl: string;
  readonly providerUrl: string;
  readonly demoUrl: string;
  /** A window of a browser that nobody has used yet; ends with the test, which fails if a page broke its own policy. */
  open(options?: BrowserContextOptions): Promise<Page>;
  /** Where a bind of this user sends the browser. */
  redirectTo(user: string, fields?: { isPopup?: boolean; fpName?: ProviderName }): Promise<string>;
  /** Where a bind that names nobody sends the browser: the application starts it with its own credentials. */
  redirectOfNobody(fields?: { isPopup?: boolean }): Promise<string>;
  /** The user's links: `dev_1/sid`. */
  links(user: string): Promise<string[]>;
  /** The access token and the refresh token that the provider has issued last for this account. */
  issuedTokens(client: ProviderName, account: string): { access: string; refresh: string };
  /** The provider's own opinion of a token. */
  isActiveAtProvider(client: ProviderName, token: string): Promise<boolean>;
  close(): Promise<void>;
}

/** Starts it for the tests of a file. */
export async function startDemoBrowser(): Promise<DemoBrowser> {
  const folder = createTemporaryFolder();
  const emulator = startScript('emulate', [
    ...FREE_PORTS,
    `--bundles=${inject('bundles')}`,
    `--data-dir=${folder.path}`,
  ]);
  const [introduction] = await emulator.next(/[\s\S]*Ctrl-C ends it\./);
  const urlOf = (name: string) => new RegExp(`^ {2}${name} +(http://\\S+)`, 'm').exec(introduction)?.[1] ?? '';
  const gatewayUrl = urlOf('gateway');
  // As its issuer is called: it is said for curl.
  const authUrl = urlOf('auth').replace('localhost', '127.0.0.1');
  const [providerUrl, demoUrl] = [urlOf('provider'), urlOf('demo')];
  const browser = await launchChromium();

  const token = async (user: string) =>
    (await linkDemoUser(authUrl, user, 'jwt', 'blitz_api_ufa blitz_api_ufa_chg', 'demo')).accessToken;

  async function start(authorization: string, { fpName, isPopup }: { fpName: ProviderName; isPopup: boolean }) {
    const response = await fetch(`${gatewayUrl}/blitz/api/v2/users/current/fa/bind`, {
      method: 'POST',
      headers: { Authorization: authorization, 'Content-Type': 'application/json' },
      body: JSON.stringify({ fp: `oidc:${fpName}`, callback: `${demoUrl}/callback`, isPopup }),
    });
    expect(response.status).toBe(200);
    // As the API's documentation has it.
    return ((await response.json()) as { redirectTo: string }).redirectTo;
  }

  return {
    gatewayUrl,
    authUrl,
    providerUrl,
    demoUrl,
    async open(options = {}) {
      const context = await browser.newContext(options);
      const violations = collectViolations(context);
      onTestFinished(async () => {
        await context.close();
        expect(violations).toEqual([]);
      });
      return await context.newPage();
    },
    redirectTo: async (user, { isPopup = false, fpName = 'dev_1' } = {}) =>
      await start(`Bearer ${await token(user)}`, { fpName, isPopup }),
    redirectOfNobody: ({ isPopup = false } = {}) => start(basic('demo', DEMO_SECRET), { fpName: 'dev_1', isPopup }),
    async links(user) {
      const response = await fetch(`${gatewayUrl}/blitz/api/v3/users/current/fa`, {
        headers: { Authorization: `Bearer ${await token(user)}` },
      });
      expect(response.status).toBe(200);
      // As the API's documentation has it.
      return ((await response.json()) as { fpName: string; sid: string }[]).map(
        ({ fpName, sid }) => `${fpName}/${sid}`,
      );
    },
    issuedTokens(client, account) {
      const database = new DatabaseSync(`${folder.path}/external-provider.sqlite`, { readOnly: true });
      const query = database.prepare(
        `SELECT id FROM entity WHERE model = ? AND payload ->> 'clientId' = ? AND payload ->> 'accountId' = ?
         ORDER BY payload ->> 'iat' DESC LIMIT 1`,
      );
      const idOf = (model: string) => String(query.get(model, client, account)?.id);
      const tokens = { access: idOf('AccessToken'), refresh: idOf('RefreshToken') };
      database.close();
      return tokens;
    },
    async isActiveAtProvider(client, issued) {
      const response = await fetch(`${providerUrl}/token/introspection`, {
        method: 'POST',
        headers: { Authorization: basic(client, DEMO_SECRET) },
        body: new URLSearchParams({ token: issued }),
      });
      expect(response.status).toBe(200);
      // RFC 7662, section 2.2.
      return ((await response.json()) as { active: boolean }).active;
    },
    async close() {
      await browser.close();
      emulator.signal('SIGTERM');
      await emulator.ended;
      folder.remove();
    },
  };
}

function collectViolations(context: BrowserContext): string[] {
  const violations: string[] = [];
  context.on('console', (message) => {
    if (/Content[- ]Security[- ]Policy/i.test(message.text())) violations.push(message.text());
  });
  context.on('weberror', (error) => violations.push(String(error.error())));
  return violations;
}

/** Signs in on a login page of one of the authorization servers. */
export async function signIn(page: Page, serverUrl: string, name: string): Promise<void> {
  await page.waitForURL(`${serverUrl}/interaction/**`);
  await page.getByPlaceholder('Enter any login').fill(name);
  await page.getByPlaceholder('and password').fill('any');
  await page.getByRole('button', { name: 'Sign-in' }).click();
}

/** Agrees that the provider tells us who it is. */
export async function agreeAtProvider(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Continue' }).click();
}

/** The button of our page, in either language. */
export function consentButton(page: Page) {
  return page.getByRole('button', { name: /^(Link the accounts|Связать учётные записи)$/ });
}

/** The button of our page that declines, in either language. */
export function declineButton(page: Page) {
  return page.getByRole('button', { name: /^(Do not link|Не связывать)$/ });
}

/** Where an answer to this browser would send it on: as if it opened the URL and did not follow. */
export async function redirectFrom(page: Page, url: string): Promise<string> {
  const answer = await page.request.get(url, { maxRedirects: 0 });
  const { location } = answer.headers();
  if (location === undefined) throw new Error(`the browser is not sent on: ${answer.status()}`);
  return location;
}

/** The way from the provider to our page, in a browser where nobody is signed in. */
export async function goToConsent(
  page: Page,
  { providerUrl, authUrl }: DemoBrowser,
  { remote, user }: { readonly remote: string; readonly user: string },
): Promise<void> {
  await signIn(page, providerUrl, remote);
  await agreeAtProvider(page);
  await signIn(page, authUrl, user);
  await consentButton(page).waitFor();
}

/** What the application is told, once the browser is back there. */
export async function resultOf(page: Page, { demoUrl }: DemoBrowser): Promise<Record<string, string>> {
  await page.waitForURL(`${demoUrl}/callback?**`);
  return Object.fromEntries(new URL(page.url()).searchParams);
}
