/** C01–C64 of security.md, A18 of links.md: nobody is sent anywhere but to what is registered, byte for byte. */
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type EmulatedProject, type Received, startProject } from '#test/support/emulated-project.ts';
import { basic, client, ISSUER, ISSUER_SETTINGS } from '#test/support/test-issuer.ts';

const REGISTERED = 'https://app.company.com/callback';
const WITH_QUERY = 'https://app.company.com/back?keep=me&next=%2fhome';

/** What somebody may register by mistake, and where no browser is ever sent. */
const UNUSABLE = [
  'http://app.company.com/callback',
  'https://app.company.com/callback#fragment',
  'https://user:pw@app.company.com/callback',
  'https://[app.company.com]/callback',
  'https://app.company.com/call back',
  'http://localhost@evil.example/callback',
  'javascript:alert(1)',
  'data:text/html,x',
  '//app.company.com/callback',
  'callback',
  '',
];

/** In the order of the list, which spells out 52 of its 64: C53–C64 are ours, the rest of A18 among them. */
const REFUSED: readonly string[] = [
  '//evil.example',
  '////evil.example/%2f..',
  '/\\evil.example',
  '\\\\evil.example',
  '\\/\\/evil.example',
  'https:evil.example',
  'https:\\\\evil.example',
  'http://app.company.com/callback',
  'HTTPS://APP.COMPANY.COM/callback',
  'https://app.company.com:443/callback',
  'https://app.company.com:8443/callback',
  'https://app.company.com@evil.example/callback',
  'https://app.company.com\\@evil.example/callback',
  'https://app.company.com.evil.example/callback',
  'https://app.company.comevil.example/callback',
  'https://evilapp.company.com/callback',
  'https://evil.example/app.company.com/callback',
  'https://evil.example/?u=https://app.company.com/callback',
  'https://evil.example#https://app.company.com/callback',
  'https://app.company.com/callback/../open?u=//evil',
  'https://app.company.com/callback/%2e%2e/open',
  'https://app.company.com/callback%2f..%2fopen',
  'https://app.company.com/callbackevil',
  'https://app.company.com/callback/',
  'https://app.company.com/callback?next=//evil',
  'https://app.company.com/callback#x',
  'https://app.company.com/callback%00',
  'https://app.company.com/call\tback',
  'https://app.company.com/callback\r\nSet-Cookie: a=b',
  'java\nscript:alert(1)',
  'javascript:alert(1)',
  'JaVaScRiPt:alert(1)//https://app.company.com/callback',
  'data:text/html,x',
  'vbscript:x',
  'blob:https://app.company.com/x',
  'file:///x',
  'ftp://app.company.com/callback',
  'https://\u0430pp.company.com/callback',
  'https://app%2Ecompany.com/callback',
  'https://app.company.com%00.evil.example/callback',
  'https://[::ffff:7f00:1]/callback',
  'https://127.1/callback',
  '',
  'null',
  'undefined',
  'callback',
  '?x',
  '.',
  ' https://app.company.com/callback',
  'https://app.company.com/callback ',
  '\0https://app.company.com/callback',
  'https://user:pw@app.company.com/callback',
  'https://app.company.com/callback%252f..%252fopen',
  'https://app.company.com/callback?callback=https://evil.example',
  'https://app.company.com./callback',
  'https://app.company.com//callback',
  'https://app.company.com/./callback',
  'https://app.company.com/Callback',
  'https://app.company.com/c%61llback',
  'https://app.company.com/callback?',
  'https://app.company.com/callback#',
  'https://app.company.com/callback\ufeff',
  'https://app.company.com/callback,https://evil.example',
  `https://app.company.com/callback?${'x'.repeat(100_000)}`,
];

let project: EmulatedProject;

beforeAll(async () => {
  project = await startProject({
    local: {
      ...ISSUER_SETTINGS,
      ISSUER,
      BIND_CONFIRMATION: 'none',
      PUBLIC_BASE_URL: 'https://login.company.com',
      CLIENTS: JSON.stringify([
        {
          ...client('app', 'app-secret'),
          scopes: ['blitz_api_sys_ufa_chg'],
          callbacks: [REGISTERED, WITH_QUERY, 'https://app.company.com/any/*'],
        },
        { ...client('careless', 'careless-secret'), scopes: ['blitz_api_sys_ufa_chg'], callbacks: UNUSABLE },
      ]),
      // Plain OAuth 2.0: a start calls nobody.
      PROVIDERS: JSON.stringify([
        { type: 'vk', name: 'vk_1', bind: { preset: 'vk-legacy', client_id: '1', client_secret_env: 'VK_SECRET' } },
      ]),
      VK_SECRET: 'development-only',
    },
  });
});

afterAll(() => project.close());

beforeEach(() => {
  project.output.length = 0;
});

const AUTHORIZATION = basic('app', 'app-secret');
const CARELESS = basic('careless', 'careless-secret');
const PATH = '/blitz/api/v2/users/current/fa/bind';

const post = (body: string, authorization = AUTHORIZATION): Promise<Received> =>
  project.gateway('POST', PATH, { Authorization: authorization, 'Content-Type': 'application/json' }, body);

const start = (callback: unknown, authorization?: string) =>
  post(JSON.stringify({ fp: 'vk:vk_1', subjectId: 'ann', callback }), authorization);

async function startRaw(callback: unknown): Promise<{ status: number; payload: unknown }> {
  const { body } = await project.raw('external-provider-bind', {
    headers: { request_id: 'r', authorization: AUTHORIZATION },
    request_type: 'external-provider.bind',
    api_version: 1,
    payload: { fp: 'vk:vk_1', subjectId: 'ann', callback },
  });
  return JSON.parse(body);
}

function countSteps(): number {
  const connection = new DatabaseSync(project.database);
  const row = connection.prepare('SELECT count(*) AS n FROM bind_transaction').get();
  connection.close();
  return Number(row?.n);
}

const REFUSAL = {
  type: 'input_error',
  error: 'wrong_values',
  desc: 'The field callback must be one that is registered for the application, character for character.',
};

/** Refused in the same words whatever it is, with nothing stored and nobody sent anywhere. */
async function expectRefused(callback: unknown): Promise<void> {
  const before = countSteps();
  const answer = await start(callback);
  expect({ status: answer.status, body: JSON.parse(answer.body) }).toEqual({ status: 400, body: REFUSAL });
  expect(answer.headers.get('location')).toBeNull();
  expect(await startRaw(callback)).toMatchObject({ status: 400, payload: REFUSAL });
  expect(countSteps()).toBe(before);
  expect(project.output.join('\n')).not.toMatch(/evil|alert/);
}

describe('a callback that is not registered is 400, gateway and raw', () => {
  test('the list has as many as it says', () => {
    expect(REFUSED).toHaveLength(64);
    expect(new Set(REFUSED).size).toBe(64);
  });

  const numbered = REFUSED.map((value, index) => ({
    id: `C${String(index + 1).padStart(2, '0')}`,
    shown: JSON.stringify(value).slice(0, 80),
    value,
  }));
  test.each(numbered)('$id $shown', ({ value }) => expectRefused(value));

  test.each<[string, unknown]>([
    ['null', null],
    ['a number', 7],
    ['true', true],
    ['a list of the registered one', [REGISTERED]],
    ['a list of two', [REGISTERED, 'https://evil.example']],
    ['an object', { href: REGISTERED }],
    ['an object that would be text', { toString: REGISTERED }],
    ['nothing', undefined],
  ])('%s', async (_name, value) => expectRefused(value));

  test('callback twice', async () => {
    const before = countSteps();
    const twice = `{"fp":"vk:vk_1","subjectId":"ann","callback":"${REGISTERED}","callback":"https://evil.example"}`;
    expect(await post(twice)).toMatchObject({ status: 400 });
    expect(await post(twice.replace('"callback":"https://evil', '"\\u0063allback":"https://evil'))).toMatchObject({
      status: 400,
    });
    expect(countSteps()).toBe(before);
  });

  test('a callback in the query of the start counts for nothing', async () => {
    const answer = await project.gateway(
      'POST',
      `${PATH}?callback=${encodeURIComponent(REGISTERED)}`,
      { Authorization: AUTHORIZATION, 'Content-Type': 'application/json' },
      JSON.stringify({ fp: 'vk:vk_1', subjectId: 'ann', callback: 'https://evil.example' }),
    );
    expect(answer.status).toBe(400);
  });
});

describe('a callback that is registered', () => {
  test.each([REGISTERED, WITH_QUERY])('%s starts a bind', async (callback) => {
    const before = countSteps();
    expect((await start(callback)).status).toBe(200);
    expect(countSteps()).toBe(before + 1);
  });

  test.each([
    'https://app.company.com/back',
    'https://app.company.com/back?keep=me',
    'https://app.company.com/back?keep=me&next=%2Fhome',
    'https://app.company.com/back?keep=me&next=/home',
    'https://app.company.com/back?next=%2fhome&keep=me',
    'https://app.company.com/back?keep=me&next=%2fhome&',
    'https://app.company.com/back?keep=me&next=%2fhome&next=//evil.example',
    'https://app.company.com/back?keep=me&next=%2fhome#',
  ])('with a query is matched byte for byte: %s is 400', expectRefused);

  test.each(['https://app.company.com/any/', 'https://app.company.com/any/x'])(
    'has no wildcards: %s is 400',
    expectRefused,
  );

  test.each(UNUSABLE)('%j is refused for what it is, and an operator is told', async (callback) => {
    const before = countSteps();
    const answer = await start(callback, CARELESS);
    expect(answer).toMatchObject({ status: 500, body: expect.stringContaining('"misconfigured"') });
    expect(answer.headers.get('location')).toBeNull();
    expect(countSteps()).toBe(before);
    expect(project.output.join('\n')).toContain('CLIENTS names a callback that is not an https URL');
  });
});
