/** What the browser gets: redirects and our few pages, which work without JavaScript but for the popup's message. */
import { randomBytes } from 'node:crypto';
import { type Bind, type BindErrorCode, digestOf, STEP_MS } from './bind.ts';
import type { BindResult, BrowserReply } from './continue-bind.ts';
import { type Language, type Message, TEXTS } from './texts.ts';

/** A reply over HTTP: structurally an answer of the runtime. */
export interface BrowserAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** What rendering needs to know. */
export interface RenderOptions {
  readonly language: Language;
  /** Where the page's form goes. */
  readonly formAction: string;
  /** A provider's name as people know it, by its key. */
  readonly titleOf: (providerKey: string) => string;
  /** An application's name as people know it, by its id; undefined: it has none. */
  readonly applicationTitleOf: (client: string) => string | undefined;
}

/** The cookie that ties a page of ours to the browser it was shown in: of its own for each, so that tabs do not mix. */
function pageCookieName(token: string): string {
  return `__Host-fa_bind-${digestOf(token).slice(0, 16)}`;
}

/** What the browser sent of the cookie of the page with this token, if it sent it once. */
export function readPageCookie(header: string | undefined, token: string): string | undefined {
  return readCookie(header, pageCookieName(token));
}

/** The cookie that ties a bind of two trips to its browser: of its own for each, so that tabs do not mix. */
function browserCookieName(digest: string): string {
  return `__Host-fa_browser-${digest.slice(0, 16)}`;
}

/** What the browser sent of the cookie with this digest, if it sent it once. */
export function readBrowserCookie(header: string | undefined, digest: string): string | undefined {
  return readCookie(header, browserCookieName(digest));
}

function readCookie(header: string | undefined, name: string): string | undefined {
  const start = `${name}=`;
  const [value, ...others] = (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(start));
  return others.length === 0 ? value?.slice(start.length) : undefined;
}

/** Renders a reply. */
export function render(reply: BrowserReply, options: RenderOptions): BrowserAnswer {
  switch (reply.kind) {
    case 'redirect':
      return reply.cookie === undefined ? redirect(reply.url) : withBrowserCookie(redirect(reply.url), reply.cookie);
    case 'result':
      return reply.bind.isPopup
        ? popupPage(reply.bind, reply.result, options)
        : redirect(returnUrl(reply.bind, reply.result));
    case 'page':
      return consentPage(reply, options);
    case 'lost':
      return lostPage(reply.error, options.language);
  }
}

/** The page of a failure of ours: nothing is lost by trying again from the start. */
export function failurePage(language: Language): BrowserAnswer {
  return messagePage(503, TEXTS[language].failure, language);
}

/** The page of a request that cannot be read. */
export function mistakePage(status: number, language: Language): BrowserAnswer {
  return messagePage(status, TEXTS[language].lostOtherwise, language);
}

/** The callback with the result in its query, which keeps what it has but for parameters of our names. */
export function returnUrl({ callback, fpType, fpName }: Bind, result: BindResult): string {
  const parameters = resultParameters(result, `${fpType}:${fpName}`);
  const isOurs = (pair: string) =>
    [...new URLSearchParams(pair).keys()].some((name) => Object.hasOwn(parameters, name));
  const url = new URL(callback);
  // As it was registered: `searchParams` would write it anew, `%20` as `+`, `?flag` as `?flag=`, `%FF` as U+FFFD.
  const kept =
    url.search === ''
      ? []
      : url.search
          .slice(1)
          .split('&')
          .filter((pair) => !isOurs(pair));
  // With its own question mark: of a query that begins with one, the setter would drop it.
  url.search = `?${[...kept, new URLSearchParams(parameters)].join('&')}`;
  return url.href;
}

/** Never a code, a state, a sid or a name. */
function resultParameters(result: BindResult, fp: string): Record<string, string> {
  return {
    fa_status: result.status,
    fp,
    ...('ticket' in result && { ticket: result.ticket }),
    ...('error' in result && { error: result.error }),
  };
}

const COMMON_HEADERS = {
  'Cache-Control': 'no-store',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/** 303: what follows is a GET, whatever this was (RFC 9700, section 4.12). */
function redirect(url: string): BrowserAnswer {
  return { status: 303, headers: { ...COMMON_HEADERS, Location: url } };
}

/** From the second trip to the end of a sign-in that is asked for twice, in seconds. */
const BROWSER_COOKIE_S = (STEP_MS.provider + 2 * STEP_MS['sign-in']) / 1000;

/** `SameSite=None`: a provider such as Apple answers by a form, which another site sends. */
function withBrowserCookie(answer: BrowserAnswer, cookie: string): BrowserAnswer {
  const attributes = `Path=/; Secure; HttpOnly; SameSite=None; Max-Age=${BROWSER_COOKIE_S}`;
  const cookieHeader = `${browserCookieName(digestOf(cookie))}=${cookie}; ${attributes}`;
  return { ...answer, headers: { ...answer.headers, 'Set-Cookie': cookieHeader } };
}

type ConsentPage = Extract<BrowserReply, { kind: 'page' }>;

function consentPage(
  { bind, token, cookie, names }: ConsentPage,
  { language, formAction, titleOf, applicationTitleOf }: RenderOptions,
): BrowserAnswer {
  const texts = TEXTS[language];
  const provider = titleOf(names.provider);
  const title = applicationTitleOf(names.application);
  const id = isolate(names.application);
  const application = title === undefined ? `<strong>${id}</strong>` : `<strong>${isolate(title)}</strong> (${id})`;
  const detail = names.accountDetail === undefined ? '' : `<small>${isolate(names.accountDetail)}</small>`;
  const body = `
    <h1>${escapeHtml(texts.consentTitle(provider))}</h1>
    <p>${texts.consentAsk(application)}</p>
    <dl>
      <dt>${escapeHtml(texts.consentAccount(provider))}</dt><dd>${isolate(names.account)}${detail}</dd>
      <dt>${escapeHtml(texts.consentSubject)}</dt><dd>${isolate(names.subject)}</dd>
    </dl>
    <form method="post" action="${escapeHtml(formAction)}">
      <input type="hidden" name="token" value="${escapeHtml(token)}">
      <button type="submit">${escapeHtml(texts.consentButton)}</button>
      <button type="submit" name="choice" value="decline" class="second">${escapeHtml(texts.declineButton)}</button>
    </form>
    <p class="note">${escapeHtml(texts.declineHint)}</p>`;
  // A browser holds the form's redirect to the same list: the callback is where it ends.
  const answer = page(200, texts.consentTitle(provider), body, language, {
    formAction: `'self' ${new URL(bind.callback).origin}`,
  });
  const cookieHeader = `${pageCookieName(token)}=${cookie}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=600`;
  return { ...answer, headers: { ...answer.headers, 'Set-Cookie': cookieHeader } };
}

/** Tells the window that opened this one, and closes; where that one is gone, a link takes the place of it. */
function popupPage(bind: Bind, result: BindResult, { language }: RenderOptions): BrowserAnswer {
  const texts = TEXTS[language];
  const { fa_status: status, ...rest } = resultParameters(result, `${bind.fpType}:${bind.fpName}`);
  const message = { type: 'fa.bind', status, ...rest };
  const nonce = newNonce();
  const heading = texts.popup[result.status];
  const body = `
    <h1>${escapeHtml(heading)}</h1>
    <p><a href="${escapeHtml(returnUrl(bind, result))}">${escapeHtml(texts.popupLink)}</a></p>
    <script nonce="${nonce}">
      if (window.opener) {
        window.opener.postMessage(${scriptValue(message)}, ${scriptValue(new URL(bind.callback).origin)});
        window.close();
      }
    </script>`;
  return page(200, heading, body, language, { scriptNonce: nonce });
}

function lostPage(error: BindErrorCode, language: Language): BrowserAnswer {
  const { lost, lostOtherwise } = TEXTS[language];
  return messagePage(400, lost[error] ?? lostOtherwise, language);
}

function messagePage(status: number, { title, text }: Message, language: Language): BrowserAnswer {
  return page(status, title, `<h1>${escapeHtml(title)}</h1><p>${escapeHtml(text)}</p>`, language);
}

function page(
  status: number,
  title: string,
  body: string,
  language: Language,
  { scriptNonce, formAction = "'none'" }: { scriptNonce?: string; formAction?: string } = {},
): BrowserAnswer {
  const styleNonce = newNonce();
  const policy = [
    "default-src 'none'",
    `style-src 'nonce-${styleNonce}'`,
    ...(scriptNonce === undefined ? [] : [`script-src 'nonce-${scriptNonce}'`]),
    `form-action ${formAction}`,
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; ');
  const html = `<!doctype html>
<html lang="${language}">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${escapeHtml(title)}</title>
    <style nonce="${styleNonce}">${STYLE}</style>
  </head>
  <body><main>${body}</main></body>
</html>
`;
  const headers = {
    ...COMMON_HEADERS,
    'Content-Type': 'text/html; charset=utf-8',
    'Content-Language': language,
    'Content-Security-Policy': policy,
    Vary: 'Accept-Language',
  };
  return { status, headers, body: Buffer.from(html) };
}

const STYLE = `
  :root { color-scheme: light dark; --text: #1b1d21; --soft: #5a606b; --line: #d4d8de; --back: #f5f6f8; --card: #fff; --accent: #1a56c4; --on-accent: #fff }
  @media (prefers-color-scheme: dark) {
    :root { --text: #eceef2; --soft: #a6adba; --line: #3a404b; --back: #14161a; --card: #1e2127; --accent: #8ab4ff; --on-accent: #10131a }
  }
  * { box-sizing: border-box }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
  main { width: 100%; max-width: 28rem; padding: 2rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem }
  h1 { margin: 0 0 1rem; font-size: 1.35rem; line-height: 1.3 }
  dl { margin: 1.5rem 0; border-top: 1px solid var(--line) }
  dt { margin-top: .75rem; color: var(--soft); font-size: .9rem }
  dd { margin: 0; padding-bottom: .75rem; border-bottom: 1px solid var(--line); font-weight: 600; overflow-wrap: anywhere }
  dd small { display: block; color: var(--soft); font-size: .9rem; font-weight: 400 }
  form { display: grid; gap: .75rem }
  button { padding: .75rem 1rem; border: 0; border-radius: .5rem; background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; cursor: pointer }
  button.second { border: 1px solid var(--line); background: transparent; color: var(--text) }
  button:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px }
  a { color: var(--accent) }
  strong { overflow-wrap: anywhere }
  .note { color: var(--soft); font-size: .9rem }
  main > p:last-of-type { margin-bottom: 0 }
`;

function newNonce(): string {
  return randomBytes(16).toString('base64');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

/** A name that somebody else chose: whatever direction it is written in, it turns nothing around it. */
function isolate(name: string): string {
  return `<bdi>${escapeHtml(name)}</bdi>`;
}

/** A value in a script: JSON, in which nothing ends the script. */
function scriptValue(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
