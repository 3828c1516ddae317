/** A shop's page that loads `ss_mi.js` from another origin. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startHttpServer } from '#test/support/http-server.ts';

/** The document's sample, word for word. */
export const SEED_SNIPPET = readFileSync(join(import.meta.dirname, 'seed-snippet.txt'), 'utf8');

/** Whose social login the sample unlinks. */
export const SEED_EMAIL = 'ssuser@gmail.com';

/** What the page's functions were called with, as `[function, response]`. */
export type Answer = readonly ['success' | 'failure', unknown];

/** A page that is open. */
export interface ShopPage {
  readonly page: Page;
  /** Every call of the page's two functions, in their order. */
  readonly answers: readonly Answer[];
  /** What the page has said by `report(value)`. */
  readonly reports: readonly unknown[];
  readonly consoleTexts: readonly string[];
  /** The messages of errors that nobody caught, rejections included. */
  readonly uncaught: readonly string[];
}

/** What a page is made of. */
export interface ShopPageParts {
  /** Run in this order: JavaScript, or the URL of a script. */
  readonly scripts: readonly (string | URL)[];
  /** The page's policy; its own scripts are then files, for which it needs no `'unsafe-inline'`. */
  readonly contentSecurityPolicy?: string;
  /** A cookie that the browser has for this URL. */
  readonly cookieFor?: string;
  /** Of the page's origin, for an endpoint that knows its shops; a free one if not given. */
  readonly port?: number | undefined;
}

/** Tells of every call of the page's functions, and lets those be called. Put after their definitions. */
export const RECORDER = `
for (const kind of ['success', 'failure']) {
  const own = window['ssmi_user_unlink_' + kind];
  window['ssmi_user_unlink_' + kind] = (response) => {
    answered(kind, response);
    if (own) own(response);
  };
}`;

/** Opens the page in a browser that nobody has used yet; it ends with the test. */
export async function openShopPage(browser: Browser, parts: ShopPageParts): Promise<ShopPage> {
  const { scripts, contentSecurityPolicy: policy, cookieFor, port } = parts;
  const origin = await startHttpServer((request, response) => {
    const script = scripts[Number(/^\/(\d+)\.js$/.exec(request.url ?? '')?.[1])];
    if (typeof script === 'string') {
      response.writeHead(200, { 'Content-Type': 'text/javascript; charset=utf-8' }).end(script);
      return;
    }
    if (request.url !== '/') return void response.writeHead(404).end();
    response.writeHead(200, {
      'Content-Type': 'text/html; charset=utf-8',
      ...(policy !== undefined && { 'Content-Security-Policy': policy.replace("'shop'", origin) }),
    });
    const tags = scripts.map((each, index) => {
      if (each instanceof URL) return `<script src="${each}"></script>`;
      return policy === undefined ? `<script>${each}</script>` : `<script src="/${index}.js"></script>`;
    });
    response.end(`<!doctype html><title>Shop</title><link rel="icon" href="data:,">${tags.join('\n')}`);
  }, port);
  const context = await browser.newContext();
  onTestFinished(() => context.close());
  if (cookieFor !== undefined) await context.addCookies([{ name: 'session', value: 'canary', url: cookieFor }]);
  const answers: Answer[] = [];
  const reports: unknown[] = [];
  const consoleTexts: string[] = [];
  const uncaught: string[] = [];
  const page = await context.newPage();
  page.on('console', (message) => consoleTexts.push(message.text()));
  page.on('pageerror', (error) => uncaught.push(error.message));
  await page.exposeFunction('answered', (...answer: Answer) => void answers.push(answer));
  await page.exposeFunction('report', (value: unknown) => void reports.push(value));
  await page.goto(origin);
  return { page, answers, reports, consoleTexts, uncaught };
}

/** Where a shop's page finds `/ss_mi.js` and `/social/unlink`, and the argument of `init`, as JavaScript. */
export interface ShopGateway {
  readonly url: string;
  readonly settings: string;
  /** Of the page's origin; a free one if not given. */
  readonly pagePort?: number;
}

/** What becomes of a call for `SEED_EMAIL`. */
export type Situation = keyof typeof SITUATIONS;

const SITUATIONS = {
  'unlinked and revoked': ['success', { is_unlinked: true, is_permissions_revoked: true }],
  'unlinked, the provider has not confirmed': ['success', { is_unlinked: true, is_permissions_revoked: false }],
  unknown: ['success', { is_unlinked: false, is_permissions_revoked: false }],
  'the function fails': ['failure', { error: true, reason: 'Error while Unlinking Social Login User' }],
  'the token is refused': ['failure', { error: true, reason: 'Processing Eroor' }],
} as const satisfies Readonly<Record<string, Answer>>;

/** Tests the document's sample on a gateway: `start` makes the situation. */
export function testSeedSnippet(
  browser: () => Browser,
  start: (situation: Situation) => Promise<ShopGateway>,
  situations = Object.keys(SITUATIONS) as Situation[], // those that there are
): void {
  describe("the document's sample, word for word", () => {
    test.each(situations)('%s', async (situation) => {
      const { url, settings, pagePort } = await start(situation);
      const init = `var _ssq = [['init', ${settings}]];`;

      const shop = await openShopPage(browser(), {
        scripts: [init, new URL('/ss_mi.js', url), SEED_SNIPPET, RECORDER],
        port: pagePort,
      });

      const [kind, response] = SITUATIONS[situation];
      await expect.poll(() => shop.answers).toEqual([[kind, response]]);
      expect(shop.uncaught).toEqual([]);
      if (kind === 'failure') await expect.poll(() => shop.consoleTexts).toContain(response.reason);
      else if (response.is_unlinked) {
        // The sample's own function has run: that is where it puts it.
        expect(await shop.page.evaluate('is_revoked')).toBe(response.is_permissions_revoked);
      }
    });
  });
}
