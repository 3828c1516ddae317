/** A25 of links.md: what a bind is made of is found in no log line, answer, URL or row that it is not meant for. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ANN, EVE, NONE, redirectOfNobody, secondTripOf, stateOf } from '#test/support/bind-attack.ts';
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
import { type OpenidProvider, startOpenidProvider } from '#test/support/openid-provider.ts';

const plant = (name: string) => `canary-${name}-0123456789abcdefghij`;

const EMAIL = 'canary.person+x@canary-mail.example';
const ACCESS_TOKEN = plant('access-token');
const REFRESH_TOKEN = plant('refresh-token');
const PROVIDER_SECRET = plant('provider-secret');

/** What was planted, and what the flow made, by name; and where it is looked for. */
interface Search {
  readonly bind: BindProject;
  readonly provider: OpenidProvider;
  readonly secrets: Record<string, string>;
  /** Answers that have no secret in them: those of errors, and the last redirect of the browser. */
  readonly answers: string[];
  /** From the start to the provider's callback, which is returned. */
  toProvider(more?: object, changes?: Record<string, string>): Promise<URLSearchParams>;
  /** From an authorization request to what the browser brings back. */
  answer(url: string, changes?: Record<string, string>): URLSearchParams;
  keep(answer: Received): Received;
}

async function start(local: Record<string, string> = {}): Promise<Search> {
  const provider = await startOpenidProvider();
  const now = Math.floor(Date.now() / 1000);
  provider.claims = { aud: MOCK_CLIENT.client_id, iat: now, exp: now + 300, email: EMAIL, email_verified: true };
  Object.assign(provider.token, { access_token: ACCESS_TOKEN, refresh_token: REFRESH_TOKEN });
  const row = { type: 'oidc', name: 'mock_1', bind: bindAt(provider.issuer) };
  const bind = await startBindProject({
    local: { PROVIDERS: JSON.stringify([row]), MOCK_SECRET: PROVIDER_SECRET, ...local },
  });
  const secrets: Record<string, string> = {
    ...{ email: EMAIL, ACCESS_TOKEN, REFRESH_TOKEN, PROVIDER_SECRET },
    'secret of the sign-in': MOCK_CLIENT.client_secret,
    'secret of the application': 'page-secret',
  };
  const { makeIdToken } = provider;
  provider.makeIdToken = (claims) => {
    secrets[`ID token ${Object.keys(secrets).length}`] = makeIdToken(claims);
    return makeIdToken(claims);
  };
  const answers: string[] = [];
  let codes = 0;
  const answer: Search['answer'] = (url, changes) => {
    codes += 1;
    const code = plant(`code-${codes}`);
    provider.nonce = new URL(url).searchParams.get('nonce') ?? '';
    Object.assign(secrets, {
      ...{ [`state ${codes}`]: stateOf(url), [`nonce ${codes}`]: provider.nonce, [`code ${codes}`]: code },
    });
    return new URLSearchParams({ state: stateOf(url), code, ...changes });
  };
  return {
    ...{ bind, provider, secrets, answers, answer },
    async toProvider(more, changes) {
      const bearer = await bind.user('ann');
      const started = await bind.start(bearer, { fp: 'oidc:mock_1', callback: CALLBACK, ...more });
      secrets[`bearer ${codes + 1}`] = bearer.replace('Bearer ', '');
      return answer(JSON.parse(started.body).redirectTo, changes);
    },
    keep(answer) {
      answers.push(answer.body, [...answer.headers].flat().join('\n'));
      return answer;
    },
  };
}

/** Where each secret was found, in whatever spelling: nowhere. */
function sightings({ bind, provider, secrets, answers }: Search): string[] {
  provider.forms.forEach((form, index) => {
    secrets[`verifier ${index}`] = form.get('code_verifier') ?? '';
  });
  const files = ['', '-wal', '-shm'].map((end) => `${bind.project.database}${end}`).filter(existsSync);
  const places: [string, string][] = [
    ['a log line', bind.project.output.join('\n')],
    ['an answer', answers.join('\n')],
    ...files.map((file): [string, string] => ['the store', readFileSync(file).toString('latin1')]),
  ];
  return Object.entries(secrets).flatMap(([name, secret]) =>
    places.flatMap(([place, content]) =>
      spellingsOf(secret)
        .filter((spelling) => content.includes(spelling))
        .map((spelling) => `${name} in ${place} as ${spelling}`),
    ),
  );
}

/** As it is, URL-encoded, in hexadecimal, and in base64 wherever in a longer text it begins. */
function spellingsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const inner = [0, 1, 2].flatMap((offset) => {
    const shifted = Buffer.concat([Buffer.alloc(offset), bytes]);
    const whole = shifted.subarray(0, shifted.length - (shifted.length % 3));
    return [whole.toString('base64'), whole.toString('base64url')].map((base64) => base64.slice(offset === 0 ? 0 : 4));
  });
  return [...new Set([secret, encodeURIComponent(secret), bytes.toString('hex'), ...inner])];
}

test('the search finds what it looks for', async () => {
  const search = await start();
  expect(Object.keys(search.secrets).length).toBeGreaterThanOrEqual(6);
  search.answers.push(Buffer.from(`x${ACCESS_TOKEN}`).toString('base64url'));
  expect(sightings(search)).toHaveLength(1);
});

test('with our page: linked, refused, repeated, cancelled', async () => {
  const search = await start();
  const { bind, secrets, keep, toProvider } = search;
  for (const person of [ANN, EVE]) {
    const signIn = locationOf(await bind.callback(await toProvider())).href;
    const answer = bind.issuer.answer(signIn, person);
    Object.assign(secrets, {
      [`state of the sign-in of ${person.sub}`]: stateOf(signIn),
      [`nonce of the sign-in of ${person.sub}`]: new URL(signIn).searchParams.get('nonce'),
      [`code of the sign-in of ${person.sub}`]: answer.get('code'),
    });
    const page = await bind.signIn(answer);
    keep(await bind.signIn(answer));
    if (person === EVE) keep(page);
    else {
      const { token, cookie } = pageOf(page);
      Object.assign(secrets, { token, cookie: cookie.split('=')[1] });
      keep(await bind.page(token, cookie));
      keep(await bind.page(token, cookie));
    }
  }
  for (const exchange of bind.issuer.exchanges) {
    secrets[`verifier of the sign-in ${exchange.get('code')}`] = exchange.get('code_verifier') ?? '';
  }
  keep(await bind.callback(await toProvider({}, { error: 'access_denied' })));
  expect(await bind.links('ann')).toHaveLength(1);
  expect(sightings(search)).toEqual([]);
});

test('with two trips: the cookie is nowhere but in its header, and the e-mail nowhere but on the page', async () => {
  const search = await start();
  const { bind, secrets, keep, answer } = search;
  const toSecond = async () => {
    const first = answer(await redirectOfNobody(bind));
    const { url, cookie } = secondTripOf(await bind.callback(first));
    keep(await bind.callback(first));
    secrets[`cookie ${cookie}`] = cookie.split('=')[1] ?? '';
    return { second: answer(url), cookie };
  };
  const { second: strange } = await toSecond();
  keep(await bind.callback(strange));
  const { second, cookie } = await toSecond();
  const signIn = locationOf(await bind.callback(second, { cookie })).href;
  const page = await bind.signIn(bind.issuer.answer(signIn, ANN), cookie);
  expect(page.body).toContain(EMAIL);
  const form = pageOf(page);
  keep(await bind.page(form.token, form.cookie));
  expect(await bind.links('ann')).toHaveLength(1);
  expect(sightings(search)).toEqual([]);
});

test('with a bearer: the ticket is in the URL to the callback and nowhere else', async () => {
  const search = await start({ BIND_CONFIRMATION: 'bearer' });
  const { bind, secrets, keep, toProvider } = search;
  for (const subject of ['eve', 'ann', 'ann']) {
    const url = locationOf(await bind.callback(await toProvider())).href;
    const ticket = new URL(url).searchParams.get('ticket') ?? '';
    secrets[`ticket of ${subject} ${ticket}`] = ticket;
    search.answers.push(url.replace(ticket, ''));
    keep(await bind.confirm(await bind.user(subject), ticket));
    keep(await bind.confirm(await bind.user('ann'), ticket));
  }
  expect(await bind.links('ann')).toHaveLength(1);
  expect(sightings(search)).toEqual([]);
});

test('without a confirmation, when the provider repeats in its errors what it was told', async () => {
  const search = await start(NONE.local);
  const { bind, provider, keep, toProvider } = search;
  for (const status of [200, 400, 401, 500]) {
    provider.answers.token = (request, response, form) => {
      const error = `${form} ${request.headers.authorization}`;
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ error, error_description: error, ...(status === 200 && { access_token: error }) }));
    };
    keep(await bind.callback(await toProvider()));
  }
  provider.answers.token = undefined;
  const changes = [{ iss: 'https://evil.example' }, { error: 'x' }, { state: 'x' }, { error_description: EMAIL }, {}];
  for (const change of changes) {
    const given = await toProvider({}, change);
    keep(await bind.callback(given));
    keep(await bind.callback(given));
  }
  keep(await bind.start('Bearer canary', { fp: EMAIL, callback: EMAIL, subjectId: EMAIL }));
  expect(await bind.links('ann')).toHaveLength(1);
  expect(sightings(search)).toEqual([]);
});
