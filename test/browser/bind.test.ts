import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEMO_SECRET } from '#scripts/authorization-server/demo.ts';
import { basic } from '#test/support/test-issuer.ts';
import {
  agreeAtProvider,
  consentButton,
  type DemoBrowser,
  declineButton,
  goToConsent,
  redirectFrom,
  resultOf,
  signIn,
  startDemoBrowser,
} from './demo-browser.ts';

let demo: DemoBrowser;

beforeAll(async () => {
  demo = await startDemoBrowser();
}, 60_000);
afterAll(() => demo.close());

/** Signs in at the demo application. */
async function openDemo(page: Page, user: string): Promise<void> {
  await page.goto(demo.demoUrl);
  await page.getByLabel('User name').fill(user);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('No account is linked yet.').waitFor();
}

const linksShown = (page: Page) => page.locator('#links li > span').allInnerTexts();

const SUCCESS = { fa_status: 'success', fp: 'oidc:dev_1' };
const failure = (error: string) => ({ fa_status: 'error', fp: 'oidc:dev_1', error });

describe('the whole of it', () => {
  test('two providers are linked by redirect, one is unlinked, and its tokens are dead at the provider', async () => {
    const page = await demo.open();
    await openDemo(page, 'ann');

    await page.getByRole('button', { name: 'Link oidc:dev_1' }).click();
    await goToConsent(page, demo, { remote: 'ann.remote', user: 'ann' });
    expect(await page.getByRole('main').innerText()).toBe(
      [
        'Link your Example One account?',
        'Demo shop (demo) asks to link these two accounts:',
        'Account at Example One\nAnn.remote\nann.remote@example.test\nYour account here\nAnn\nLink the accounts\nDo not link',
        'If you did not ask for this, or one of the accounts is not yours, do not link them.',
      ].join('\n\n'),
    );
    await consentButton(page).click();
    expect(await resultOf(page, demo)).toEqual(SUCCESS);
    await page.getByText('oidc:dev_1 is linked.').waitFor();

    // The browser is known at both by now: the provider asks for its second client, the issuer asks nothing.
    await page.getByRole('button', { name: 'Link oidc:dev_2' }).click();
    await agreeAtProvider(page);
    await consentButton(page).click();
    expect(await resultOf(page, demo)).toEqual({ ...SUCCESS, fp: 'oidc:dev_2' });
    await page.locator('#links li').nth(1).waitFor();
    expect(await linksShown(page)).toEqual([
      'Ann.remote\noidc:dev_1, sid ann.remote',
      'Ann.remote\noidc:dev_2, sid ann.remote',
    ]);

    const [first, second] = [demo.issuedTokens('dev_1', 'ann.remote'), demo.issuedTokens('dev_2', 'ann.remote')];
    expect(await demo.isActiveAtProvider('dev_1', first.access)).toBe(true);
    await page.locator('#links li', { hasText: 'oidc:dev_1' }).getByRole('button', { name: 'Unlink' }).click();
    await page.getByText('oidc:dev_1 is unlinked; its grant: revoked.').waitFor();
    await expect.poll(() => linksShown(page)).toEqual(['Ann.remote\noidc:dev_2, sid ann.remote']);
    expect(await demo.isActiveAtProvider('dev_1', first.access)).toBe(false);
    expect(await demo.isActiveAtProvider('dev_2', second.access)).toBe(true);
    const refresh = await fetch(`${demo.providerUrl}/token`, {
      method: 'POST',
      headers: { Authorization: basic('dev_1', DEMO_SECRET) },
      body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: first.refresh }),
    });
    expect(await refresh.json()).toMatchObject({ error: 'invalid_grant' });
  }, 40_000);

  test('a URL that is printed starts it, and it works without JavaScript', async () => {
    const page = await demo.open({ javaScriptEnabled: false });
    await page.goto(`${demo.demoUrl}/bind?user=nora&fp=oidc:dev_1`);

    await goToConsent(page, demo, { remote: 'nora.remote', user: 'nora' });
    await consentButton(page).click();

    expect(await resultOf(page, demo)).toEqual(SUCCESS);
    expect(await demo.links('nora')).toEqual(['dev_1/nora.remote']);
  });

  test.each([
    ['links', 1, consentButton, SUCCESS],
    ['declines', 2, declineButton, failure('access_denied')],
  ] as const)('by keyboard alone it %s, and the focus is to be seen', async (_name, tabs, buttonOf, result) => {
    const page = await demo.open();
    const user = `kim-${tabs}`;
    await page.goto(await demo.redirectTo(user));
    const typeName = async (serverUrl: string, name: string) => {
      await page.waitForURL(`${serverUrl}/interaction/**`);
      await page.locator('[name=login]:focus').waitFor();
      await page.keyboard.type(name);
      await page.keyboard.press('Tab');
      await page.keyboard.type('any');
      await page.keyboard.press('Enter');
    };
    await typeName(demo.providerUrl, `${user}.remote`);
    await page.locator('button:focus').waitFor();
    await page.keyboard.press('Enter');
    await typeName(demo.authUrl, user);
    await consentButton(page).waitFor();

    for (let tab = 0; tab < tabs; tab += 1) await page.keyboard.press('Tab');
    const outline = await buttonOf(page).evaluate((button) => ({
      isFocused: button === document.activeElement,
      width: getComputedStyle(button).outlineWidth,
    }));
    expect(outline).toEqual({ isFocused: true, width: '3px' });
    await page.keyboard.press('Enter');

    expect(await resultOf(page, demo)).toEqual(result);
  });
});

describe('a bind that names nobody', () => {
  /** The browser of somebody who is signed in at the provider and here, as `user.remote` and `user`: neither asks again. */
  async function openSignedIn(user: string): Promise<Page> {
    const page = await demo.open();
    await page.goto(await demo.redirectTo(user));
    await goToConsent(page, demo, { remote: `${user}.remote`, user });
    await declineButton(page).click();
    await resultOf(page, demo);
    return page;
  }

  test('goes to the provider twice, and links the account of whoever signs in and agrees', async () => {
    const page = await demo.open();
    const answers: string[] = [];
    page.on('request', (request) => {
      if (request.url().includes('/bind/cb/')) answers.push(request.url());
    });
    await page.goto(await demo.redirectOfNobody());
    await goToConsent(page, demo, { remote: 'nick.remote', user: 'nick' });
    expect(new Set(answers).size).toBe(2);
    await consentButton(page).click();

    expect(await resultOf(page, demo)).toEqual(SUCCESS);
    expect(await demo.links('nick')).toEqual(['dev_1/nick.remote']);
  });

  test('goes to the provider twice in a popup', async () => {
    const page = await demo.open();
    await openDemo(page, 'polly');
    const redirectTo = await demo.redirectOfNobody({ isPopup: true });
    const [popup] = await Promise.all([
      page.waitForEvent('popup'),
      page.evaluate((url) => void window.open(url, '_blank', 'popup'), redirectTo),
    ]);
    await goToConsent(popup, demo, { remote: 'polly.remote', user: 'polly' });
    await Promise.all([popup.waitForEvent('close'), consentButton(popup).click()]);

    await page.getByText('oidc:dev_1 is linked.').waitFor();
    expect(await demo.links('polly')).toEqual(['dev_1/polly.remote']);
  });

  /** Signs in at the provider alone, and lets it tell us who it is: from then on it answers without a question. */
  async function openAtProvider(account: string): Promise<{ page: Page; signInUrl: string }> {
    const page = await demo.open();
    let signInUrl = '';
    page.on('request', (request) => {
      if (request.url().startsWith(`${demo.authUrl}/auth?`)) signInUrl = request.url();
    });
    await page.goto(await demo.redirectOfNobody());
    await signIn(page, demo.providerUrl, account);
    await agreeAtProvider(page);
    await page.waitForURL(`${demo.authUrl}/interaction/**`);
    return { page, signInUrl };
  }

  test('takes answers that a page of another site posts', async () => {
    const page = await demo.open();
    const post = async (answer: URLSearchParams) => {
      const inputs = [...answer].map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`);
      const action = `${demo.gatewayUrl}/blitz/api/users/current/fps/bind/cb/oidc/dev_1`;
      const body = `<form method="post" action="${action}">${inputs.join('')}</form><script>document.forms[0].submit()</script>`;
      await page.route('http://provider.example/', (route) => route.fulfill({ contentType: 'text/html', body }));
      await page.goto('http://provider.example/', { waitUntil: 'commit' });
    };
    let secondTrip = '';
    page.on('request', (request) => {
      if (request.url().startsWith(`${demo.providerUrl}/auth?`)) secondTrip = request.url();
    });
    const state = new URL(await demo.redirectOfNobody()).searchParams.get('state') ?? '';
    // Nobody asks whether the first code is one.
    await post(new URLSearchParams({ state, code: 'code', iss: demo.providerUrl }));
    await page.waitForURL(`${demo.providerUrl}/interaction/**`);
    const { page: atProvider } = await openAtProvider('april.remote');
    await post(new URL(await redirectFrom(atProvider, secondTrip)).searchParams);
    await signIn(page, demo.authUrl, 'april');
    await consentButton(page).click();

    expect(await resultOf(page, demo)).toEqual(SUCCESS);
    expect(await demo.links('april')).toEqual(['dev_1/april.remote']);
  });

  // `Ivan.remote` is another account than `ivan.remote`, and has the same name: `Ivan.remote`.
  const ATTACKER = 'Ivan.remote';

  test("an attacker's answer that a victim opens links the victim's own account, not the attacker's", async () => {
    const { page: attacker } = await openAtProvider(ATTACKER);
    const answer = await redirectFrom(attacker, await demo.redirectOfNobody());

    const victim = await openSignedIn('ivan');
    await victim.goto(answer);
    await consentButton(victim).waitFor();
    expect(await victim.locator('dd').first().innerText()).toBe('Ivan.remote\nivan.remote@example.test');
    await consentButton(victim).click();

    expect(await resultOf(victim, demo)).toEqual(SUCCESS);
    expect(await demo.links('ivan')).toEqual(['dev_1/ivan.remote']);
  });

  test("an attacker's second answer that a victim opens links nothing", async () => {
    const { page: attacker } = await openAtProvider(ATTACKER);
    const first = await redirectFrom(attacker, await demo.redirectOfNobody());
    const second = await redirectFrom(attacker, await redirectFrom(attacker, first));
    expect(second).toContain('/bind/cb/oidc/dev_1?');

    const victim = await openSignedIn('oleg');
    await victim.goto(second);
    expect(await resultOf(victim, demo)).toEqual(failure('browser_mismatch'));
    expect(await demo.links('oleg')).toEqual([]);
  });

  test("an attacker's sign-in that a victim opens, after both answers, links nothing", async () => {
    const { signInUrl } = await openAtProvider(ATTACKER);

    const victim = await openSignedIn('egor');
    await victim.goto(signInUrl);
    expect(await resultOf(victim, demo)).toEqual(failure('browser_mismatch'));
    expect(await demo.links('egor')).toEqual([]);
  });
});

describe('a popup', () => {
  test('tells the page that opened it, and closes', async () => {
    const page = await demo.open();
    await openDemo(page, 'pat');

    const [popup] = await Promise.all([
      page.waitForEvent('popup'),
      page.locator('[data-fp="oidc:dev_1"]').getByRole('button', { name: 'in a popup' }).click(),
    ]);
    await goToConsent(popup, demo, { remote: 'pat.remote', user: 'pat' });
    await Promise.all([popup.waitForEvent('close'), consentButton(popup).click()]);

    await page.getByText('oidc:dev_1 is linked.').waitFor();
    const said = await page.locator('#calls li', { hasText: 'message from' }).innerText();
    expect(said).toBe(
      `message from ${demo.gatewayUrl}\n${JSON.stringify({ type: 'fa.bind', status: 'success', fp: 'oidc:dev_1' })}`,
    );
    await page.locator('#links li').waitFor();
    expect(await linksShown(page)).toEqual(['Pat.remote\noidc:dev_1, sid pat.remote']);
  });

  test('tells nothing to a page of another origin than the callback', async () => {
    const page = await demo.open();
    // The same server by another name: another origin.
    await page.goto(demo.demoUrl.replace('localhost', '127.0.0.1'));
    await page.evaluate(() => {
      Object.assign(window, { heard: [] });
      window.addEventListener('message', ({ data }) => Reflect.get(window, 'heard').push(data));
    });
    const redirectTo = await demo.redirectTo('olga', { isPopup: true });
    const [popup] = await Promise.all([
      page.waitForEvent('popup'),
      page.evaluate((url) => void window.open(url, '_blank', 'popup'), redirectTo),
    ]);
    await goToConsent(popup, demo, { remote: 'olga.remote', user: 'olga' });
    await Promise.all([popup.waitForEvent('close'), consentButton(popup).click()]);

    // Its own message comes after whatever the popup has sent.
    const heard = await page.evaluate(async () => {
      const own = new Promise((resolve) => window.addEventListener('message', resolve, { once: true }));
      window.postMessage('mine', '*');
      await own;
      return Reflect.get(window, 'heard');
    });
    expect(heard).toEqual(['mine']);
    expect(await demo.links('olga')).toEqual(['dev_1/olga.remote']);
  });

  test('whose opener is gone has a link back to the application', async () => {
    const page = await demo.open();
    await page.goto(demo.demoUrl);
    const redirectTo = await demo.redirectTo('paul', { isPopup: true });
    const [popup] = await Promise.all([
      page.waitForEvent('popup'),
      page.evaluate((url) => void window.open(url, '_blank', 'popup'), redirectTo),
    ]);
    await page.close();
    await goToConsent(popup, demo, { remote: 'paul.remote', user: 'paul' });
    await consentButton(popup).click();

    await popup.getByRole('heading', { name: 'The account is linked' }).waitFor();
    await popup.getByRole('link', { name: 'Back to the application' }).click();

    expect(await resultOf(popup, demo)).toEqual(SUCCESS);
  });
});

describe('what may come of it', () => {
  test('who cancels at the provider is told so, and nothing is linked', async () => {
    const page = await demo.open();
    await page.goto(await demo.redirectTo('cara'));
    await page.getByRole('link', { name: 'Cancel' }).click();

    expect(await resultOf(page, demo)).toEqual({ fa_status: 'cancelled', fp: 'oidc:dev_1' });
    await page.getByText('Cancelled at oidc:dev_1: nothing was linked.').waitFor();
    expect(await demo.links('cara')).toEqual([]);
  });

  test('an error of the provider is one of ours, without its words', async () => {
    const page = await demo.open();
    await page.goto(`${await demo.redirectTo('ed')}&max_age=soon`);

    expect(await resultOf(page, demo)).toEqual(failure('provider_unavailable'));
    expect(await demo.links('ed')).toEqual([]);
  });

  test('who is signed in as somebody else links nothing', async () => {
    const page = await demo.open();
    await page.goto(await demo.redirectTo('vic'));
    await signIn(page, demo.providerUrl, 'vic.remote');
    await agreeAtProvider(page);
    await signIn(page, demo.authUrl, 'mallory');

    expect(await resultOf(page, demo)).toEqual(failure('user_mismatch'));
    expect(await demo.links('vic')).toEqual([]);
    expect(await demo.links('mallory')).toEqual([]);
  });

  test('who goes back is told that it is done, and the link stays', async () => {
    const page = await demo.open();
    await page.goto(await demo.redirectTo('bea'));
    await goToConsent(page, demo, { remote: 'bea.remote', user: 'bea' });
    await consentButton(page).click();
    expect(await resultOf(page, demo)).toEqual(SUCCESS);

    await page.goBack();

    await page.getByRole('heading', { name: 'This page works only once' }).waitFor();
    expect(await page.getByRole('main').innerText()).toContain('to see whether the account is linked');
    expect(await demo.links('bea')).toEqual(['dev_1/bea.remote']);
  });

  test('who declines on our page is told so, and nothing is linked', async () => {
    const page = await demo.open();
    await page.goto(await demo.redirectTo('dan'));
    await goToConsent(page, demo, { remote: 'dan.remote', user: 'dan' });
    await declineButton(page).click();

    expect(await resultOf(page, demo)).toEqual(failure('access_denied'));
    await page.getByText('oidc:dev_1 was not linked: access_denied.').waitFor();
    expect(await demo.links('dan')).toEqual([]);
  });

  test('who reloads our page is told that it works once', async () => {
    const page = await demo.open();
    await page.goto(await demo.redirectTo('rob'));
    await goToConsent(page, demo, { remote: 'rob.remote', user: 'rob' });

    await page.reload();

    await page.getByRole('heading', { name: 'This page works only once' }).waitFor();
    expect(await demo.links('rob')).toEqual([]);
  });

  test('two tabs that show the page at once link an account each', async () => {
    const first = await demo.open();
    await first.goto(await demo.redirectTo('tom'));
    await goToConsent(first, demo, { remote: 'tom.remote', user: 'tom' });
    const second = await first.context().newPage();
    await second.goto(await demo.redirectTo('tom', { fpName: 'dev_2' }));
    await agreeAtProvider(second);
    await consentButton(second).waitFor();

    await consentButton(first).click();
    expect(await resultOf(first, demo)).toEqual(SUCCESS);
    await consentButton(second).click();
    expect(await resultOf(second, demo)).toEqual({ ...SUCCESS, fp: 'oidc:dev_2' });
    expect(await demo.links('tom')).toEqual(['dev_1/tom.remote', 'dev_2/tom.remote']);
  });

  test('tabs that are at the provider at once do not disturb each other', async () => {
    const first = await demo.open();
    const second = await first.context().newPage();
    await first.goto(await demo.redirectTo('una'));
    await second.goto(await demo.redirectTo('una', { fpName: 'dev_2' }));
    await goToConsent(second, demo, { remote: 'una.remote', user: 'una' });
    await consentButton(second).click();
    expect(await resultOf(second, demo)).toEqual({ ...SUCCESS, fp: 'oidc:dev_2' });

    await signIn(first, demo.providerUrl, 'una.remote');
    await agreeAtProvider(first);
    await consentButton(first).click();

    expect(await resultOf(first, demo)).toEqual(SUCCESS);
    expect(await demo.links('una')).toEqual(['dev_2/una.remote', 'dev_1/una.remote']);
  });
});

describe('our page', () => {
  test.each([
    ['light', 'en-GB', 'en', 'Link your Example One account?'],
    ['dark', 'ru-RU', 'ru', 'Привязать учётную запись Example One?'],
  ] as const)(
    'is %s and in the language of %s, and its texts can be read',
    async (colorScheme, locale, lang, title) => {
      const page = await demo.open({ colorScheme, locale, viewport: { width: 360, height: 640 } });
      await page.goto(await demo.redirectTo(`rita-${lang}`));
      await goToConsent(page, demo, { remote: `rita.${lang}`, user: `rita-${lang}` });

      expect(await page.getByRole('heading').innerText()).toBe(title);
      expect(await page.locator('html').getAttribute('lang')).toBe(lang);
      const { contrasts, overflow } = await page.evaluate(measureTexts);
      for (const [text, contrast] of contrasts) expect(contrast, text).toBeGreaterThan(4.5);
      expect(overflow).toBe(0);
      const [red = 0] = await page.evaluate(() =>
        (getComputedStyle(document.body).backgroundColor.match(/\d+/g) ?? []).map(Number),
      );
      expect(red > 127).toBe(colorScheme === 'light');
    },
  );
});

/** Runs in the page. The contrast of each text with what is behind it (WCAG 2.2, 1.4.3), and how far the page is too wide. */
function measureTexts(): { contrasts: [string, number][]; overflow: number } {
  const colorOf = (text: string) => (text.match(/[\d.]+/g) ?? []).map(Number);
  const luminance = (text: string) => {
    const [red = 0, green = 0, blue = 0] = colorOf(text).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const backgroundOf = (element: Element | null): string => {
    if (element === null) return 'rgb(255, 255, 255)';
    const { backgroundColor } = getComputedStyle(element);
    return colorOf(backgroundColor)[3] === 0 ? backgroundOf(element.parentElement) : backgroundColor;
  };
  const contrasts = [...document.querySelectorAll('h1, p, strong, dt, dd, small, button')].map(
    (element): [string, number] => {
      const lights = [luminance(getComputedStyle(element).color), luminance(backgroundOf(element))];
      return [element.textContent ?? '', (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05)];
    },
  );
  return { contrasts, overflow: document.documentElement.scrollWidth - window.innerWidth };
}
