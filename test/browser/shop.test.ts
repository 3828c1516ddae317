import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { findFreePort } from '#scripts/authorization-server/listen.ts';
import { startForwarder } from '#test/support/forwarder.ts';
import { type LinkedShop, startLinkedShop } from '#test/support/linked-shop.ts';
import { launchChromium } from './chromium.ts';
import { consentButton, type DemoBrowser, goToConsent, resultOf, startDemoBrowser } from './demo-browser.ts';
import { openShopPage, RECORDER, SEED_EMAIL, type Situation, testSeedSnippet } from './shop-page.ts';

const UNLINKED = { is_unlinked: true, is_permissions_revoked: true };
const EMAIL_MISSING = { error: true, reason: 'Email address missing' };
const PROCESSING_ERROR = { error: true, reason: 'Processing Eroor' };
const CALL = `ss_mi.ssmi_unlink_user('${SEED_EMAIL}');`;

let browser: Browser;
/** The functions know the shop by its origin, before its page is there. */
let pagePort = 0;
beforeAll(async () => {
  browser = await launchChromium();
  pagePort = await findFreePort();
}, 60_000);
afterAll(() => browser.close());

/** The real functions, for the shop of these pages; end with the test. */
async function startShop(
  local: Readonly<Record<string, string>> = {},
  networkUrl?: (serverUrl: string) => string,
): Promise<LinkedShop> {
  const shop = await startLinkedShop({ SHOP_ORIGINS: `http://127.0.0.1:${pagePort}`, ...local }, networkUrl);
  onTestFinished(() => shop.close());
  return shop;
}

const settingsOf = (token: string) => `{ token: () => ${JSON.stringify(token)} }`;

/** Opens a page of the shop whose user is signed in, and which does nothing yet. */
async function openShop(shop: LinkedShop) {
  const init = `var _ssq = [['init', ${settingsOf(await shop.signIn(SEED_EMAIL))}]];`;
  const script = new URL('/ss_mi.js', shop.project.gatewayUrl);
  return await openShopPage(browser, { scripts: [init, script, RECORDER], port: pagePort });
}

const SITUATIONS: Readonly<Record<Situation, () => Promise<{ shop: LinkedShop; token?: string }>>> = {
  async 'unlinked and revoked'() {
    const shop = await startShop();
    const { accessToken } = await shop.importLink(SEED_EMAIL);
    expect(await shop.isActiveAtServer(accessToken)).toBe(true);
    onTestFinished(async () => expect(await shop.isActiveAtServer(accessToken)).toBe(false));
    return { shop };
  },
  async 'unlinked, the provider has not confirmed'() {
    let serverUrl = '';
    const network = await startForwarder(() => serverUrl);
    network.isDown = true;
    const shop = await startShop({}, (url) => {
      serverUrl = url;
      return network.url;
    });
    const { accessToken } = await shop.importLink(SEED_EMAIL);
    onTestFinished(async () => expect(await shop.isActiveAtServer(accessToken)).toBe(true));
    return { shop };
  },
  unknown: async () => ({ shop: await startShop() }),
  async 'the function fails'() {
    const shop = await startShop({ PROTECT_LAST_LINK: 'true' });
    const { accessToken } = await shop.importLink(SEED_EMAIL);
    onTestFinished(async () => expect(await shop.isActiveAtServer(accessToken)).toBe(true));
    return { shop };
  },
  async 'the token is refused'() {
    const shop = await startShop();
    const { accessToken } = await shop.importLink(SEED_EMAIL);
    onTestFinished(async () => expect(await shop.isActiveAtServer(accessToken)).toBe(true));
    return { shop, token: 'of-somebody-else' };
  },
};

testSeedSnippet(
  () => browser,
  async (situation) => {
    const { shop, token = await shop.signIn(SEED_EMAIL) } = await SITUATIONS[situation]();
    return { url: shop.project.gatewayUrl, settings: settingsOf(token), pagePort };
  },
);

describe('besides', () => {
  test('no address at all is not even asked about, and what is none is refused', async () => {
    const shop = await startShop();
    const opened = await openShop(shop);
    shop.project.output.length = 0;

    await opened.page.evaluate("ss_mi.ssmi_unlink_user('')");
    expect(shop.project.output).toEqual([]);
    await opened.page.evaluate("ss_mi.ssmi_unlink_user('ssuser')");

    expect(shop.project.output.join('\n')).toContain('invalid_request');
    await expect
      .poll(() => opened.answers)
      .toEqual([
        ['failure', EMAIL_MISSING],
        ['failure', EMAIL_MISSING],
      ]);
  });

  test('with the network down the link stays; up again it is unlinked', async () => {
    const shop = await startShop();
    const { accessToken } = await shop.importLink(SEED_EMAIL);
    const { page, answers } = await openShop(shop);

    await page.context().setOffline(true);
    await page.evaluate(CALL);
    await expect.poll(() => answers).toEqual([['failure', PROCESSING_ERROR]]);
    expect(await shop.isActiveAtServer(accessToken)).toBe(true);
    await page.context().setOffline(false);
    await page.evaluate(CALL);

    await expect.poll(() => answers.slice(1)).toEqual([['success', UNLINKED]]);
    expect(await shop.isActiveAtServer(accessToken)).toBe(false);
  });

  test('called twice at once, both succeed, and the one that has unlinked tells what became of the grant', async () => {
    const shop = await startShop();
    const { accessToken } = await shop.importLink(SEED_EMAIL);
    const { page, answers } = await openShop(shop);

    await page.evaluate(CALL + CALL);

    await expect.poll(() => answers).toHaveLength(2);
    expect(answers.map(([kind]) => kind)).toEqual(['success', 'success']);
    // The other finds no link any more, or that it is being unlinked.
    expect(answers.map(([, response]) => response)).toContainEqual(UNLINKED);
    expect(await shop.isActiveAtServer(accessToken)).toBe(false);
  });

  test('a page of an origin that is no shop of ours unlinks nothing', async () => {
    const shop = await startShop({ SHOP_ORIGINS: 'https://shop.example' });
    const { accessToken } = await shop.importLink(SEED_EMAIL);
    const { page, answers } = await openShop(shop);

    await page.evaluate(CALL);

    await expect.poll(() => answers).toEqual([['failure', PROCESSING_ERROR]]);
    expect(await shop.isActiveAtServer(accessToken)).toBe(true);
  });
});

describe('the demo shop', () => {
  let demo: DemoBrowser;
  beforeAll(async () => {
    demo = await startDemoBrowser();
  }, 60_000);
  afterAll(() => demo.close());

  const givenShown = (page: Page) => page.locator('#given li').allInnerTexts();
  const answerShown = (page: Page) => page.locator('#answer').innerText();
  const calledBack = (name: string, response: object) => `${name}(${JSON.stringify(response, null, 2)})`;

  test('links an account and unlinks it by ss_mi.js, and shows what the provider then says', async () => {
    const page = await demo.open();
    await page.goto(demo.demoUrl);
    await page.getByLabel('User name').fill('ann');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Link oidc:dev_1' }).click();
    await goToConsent(page, demo, { remote: 'ann', user: 'ann' });
    await consentButton(page).click();
    await resultOf(page, demo);
    await expect.poll(() => givenShown(page)).toEqual(['ann at oidc:dev_1\n1 grant, live tokens: 1 access, 1 refresh']);
    const { access } = demo.issuedTokens('dev_1', 'ann');
    expect(await demo.isActiveAtProvider('dev_1', access)).toBe(true);
    expect(await page.getByLabel('E-mail address').inputValue()).toBe('ann@example.test');

    await page.getByRole('button', { name: 'Call ssmi_unlink_user' }).click();

    await expect.poll(() => givenShown(page)).toEqual(['ann at oidc:dev_1\nno grant, no live token']);
    expect(await answerShown(page)).toBe(calledBack('ssmi_user_unlink_success', UNLINKED));
    await page.getByText('No account is linked yet.').waitFor();
    expect(await demo.isActiveAtProvider('dev_1', access)).toBe(false);
    expect(await demo.links('ann')).toEqual([]);

    await page.getByLabel('E-mail address').fill('');
    await page.getByRole('button', { name: 'Call ssmi_unlink_user' }).click();
    await expect.poll(() => answerShown(page)).toBe(calledBack('ssmi_user_unlink_failure', EMAIL_MISSING));
  }, 40_000);
});
