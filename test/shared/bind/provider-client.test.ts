import type { ServerResponse } from 'node:http';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { createProviderClient, type FinishOutcome } from '#shared/bind/provider-client.ts';
import type { ProviderClientSettings } from '#shared/bind/provider-settings.ts';
import { type OutgoingRequest, send } from '#shared/outgoing/send.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import {
  ACCESS_TOKEN,
  CODE,
  createBinder,
  makeJwt,
  NOW_S,
  type OpenidProvider,
  REDIRECT_URI,
  STATE,
  settingsOf,
  startOpenidProvider,
} from '#test/support/openid-provider.ts';

const failed = (error: string) => ({ status: 'failed', error, detail: expect.any(String) });
const request = { state: STATE, redirectUri: REDIRECT_URI, timeoutMs: 5000 };
const sendJson = (response: ServerResponse, body: unknown, status = 200) =>
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));

let provider: OpenidProvider;
let bind: (parameters?: Record<string, string>) => Promise<FinishOutcome>;

beforeEach(async () => {
  provider = await startOpenidProvider();
  bind = createBinder(provider);
});

const clientOf = (
  settings: Partial<ProviderClientSettings> = {},
  clocks: Partial<Record<'now' | 'monotonic', () => number>> = {},
) => createProviderClient(settingsOf(provider, settings), { send: provider.send, now: () => NOW_S * 1000, ...clocks });

describe('an authorization request', () => {
  test('has the seed’s parameters in their order, and PKCE after them', async () => {
    const client = clientOf({
      protocol: 'oauth2',
      authorizationEndpoint: 'https://oauth.vk.com/authorize',
      tokenEndpoint: 'https://oauth.vk.com/access_token',
      scope: 'email',
      authorizeParameters: { v: '5.52' },
      clientId: '5566286',
    });

    const { url } = await client.authorize({
      state: '5c415063-a153-424c-af9c-023a6bbf1892',
      redirectUri: 'https://login.company.com/blitz/api/users/current/fps/bind/cb/vk/vk_1',
      timeoutMs: 1,
    });

    const seed =
      'https://oauth.vk.com/authorize?state=5c415063-a153-424c-af9c-023a6bbf1892&scope=email&redirect_uri=https%3A%2F%2Flogin.company.com%2Fblitz%2Fapi%2Fusers%2Fcurrent%2Ffps%2Fbind%2Fcb%2Fvk%2Fvk_1&client_id=5566286&v=5.52&response_type=code';
    expect(url.startsWith(`${seed}&code_challenge=`)).toBe(true);
    expect(url.slice(seed.length)).toMatch(/^&code_challenge=[\w-]{43}&code_challenge_method=S256$/);
  });

  test('goes to the endpoint that the provider names, with a nonce and what the caller adds', async () => {
    const { url, kept } = await clientOf().authorize({ ...request, parameters: { prompt: 'none' } });

    expect(url.startsWith(`${provider.issuer}/authorize?state=${STATE}&scope=openid&redirect_uri=`)).toBe(true);
    expect(Object.fromEntries(new URL(url).searchParams)).toMatchObject({ nonce: kept.nonce, prompt: 'none' });
    expect(JSON.parse(JSON.stringify(kept))).toEqual(kept);
  });

  test.each([
    ['consent', null],
    ['select_account consent', 'select_account'],
    ['consent  login', 'login'],
    ['select_account', 'select_account'],
    [undefined, null],
  ])('that asks for no consent leaves out of the prompt %j what does', async (prompt, left) => {
    const authorizeParameters = prompt === undefined ? { x: '1' } : { prompt, x: '1' };
    const client = clientOf({ authorizeParameters });
    const promptOf = (url: string) => new URL(url).searchParams.get('prompt');

    expect(promptOf((await client.authorize({ ...request, asksNoConsent: true })).url)).toBe(left);
    expect(promptOf((await client.authorize(request)).url)).toBe(prompt ?? null);
  });

  test('B19, B20 challenges by S256 alone, each time with another verifier and nonce', async () => {
    const client = clientOf();

    const [first, second] = [await client.authorize(request), await client.authorize(request)];

    expect(first.kept.codeVerifier).toMatch(/^[\w-]{43}$/);
    expect(first.kept.codeVerifier).not.toBe(second.kept.codeVerifier);
    expect(first.kept.nonce).not.toBe(second.kept.nonce);
    expect(first.url).toContain('code_challenge_method=S256');
    expect(first.url).not.toContain(first.kept.codeVerifier);
  });
});

describe('discovery', () => {
  const refused: [string, Record<string, unknown>][] = [
    ['oidcc-client-test-discovery-issuer-mismatch', { issuer: 'https://other.example' }],
    ['an issuer with a slash at its end', { issuer: '/' }],
    ['no issuer', { issuer: undefined }],
    ['an issuer that is no URL', { issuer: 'x' }],
    ['no token endpoint', { token_endpoint: undefined }],
    ['a token endpoint in clear', { token_endpoint: 'http://10.0.0.1/token' }],
    ['A23 keys at the metadata service', { jwks_uri: 'http://169.254.169.254/keys' }],
    ['an authorization endpoint that is a script', { authorization_endpoint: 'javascript:alert(1)' }],
    ['B18 methods of PKCE without S256', { code_challenge_methods_supported: ['plain'] }],
    ['algorithms that are no list', { id_token_signing_alg_values_supported: 'RS256' }],
  ];
  test.each(refused)('is refused: %s', async (_title, members) => {
    provider.metadata = { ...provider.metadata, ...members };
    if (members.issuer === '/') provider.metadata.issuer = `${provider.issuer}/`;

    await expect(clientOf().authorize(request)).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      fault: 'malformed',
    });
  });

  test('B18 a provider that says nothing of PKCE is sent a challenge all the same', async () => {
    provider.metadata = { ...provider.metadata, code_challenge_methods_supported: undefined };

    expect((await clientOf().authorize(request)).url).toContain('code_challenge_method=S256');
  });

  test.each(['authorization_endpoint', 'token_endpoint', 'jwks_uri', 'userinfo_endpoint'])(
    'A23 of an https issuer leads to https alone: %s',
    async (name) => {
      provider = await startOpenidProvider('https://issuer.example');
      await clientOf().authorize(request);
      provider.metadata = { ...provider.metadata, [name]: 'http://127.0.0.1:1/x' };

      await expect(clientOf().authorize(request)).rejects.toMatchObject({ fault: 'malformed' });
    },
  );

  describe('of an https issuer', () => {
    const named = ['authorization_endpoint', 'token_endpoint', 'jwks_uri', 'userinfo_endpoint'];
    const hosts = ['127.0.0.1:8443', 'localhost', '10.0.0.1', '169.254.169.254', '[fd00::1]', 'idp.internal'];
    /** A client whose provider answers from an address, and all that it sends. */
    async function startAt(address: string | undefined) {
      provider = await startOpenidProvider('https://issuer.example');
      const sent: OutgoingRequest[] = [];
      const client = createProviderClient(settingsOf(provider, { hasUserinfo: true }), {
        send: async (request) => {
          sent.push(request);
          return { ...(await provider.send(request)), address };
        },
        now: () => NOW_S * 1000,
      });
      return { client, sent };
    }

    test.each(named.flatMap((name) => hosts.map((host) => [name, host])))(
      'does not lead to a host that is not public: %s at %s',
      async (name, host) => {
        const { client } = await startAt('1.1.1.1');
        provider.metadata = { ...provider.metadata, [name]: `https://${host}/x` };

        await expect(client.authorize(request)).rejects.toMatchObject({
          code: 'temporarily_unavailable',
          fault: 'forbidden',
        });
      },
    );

    test.each(named)('may lead to such a host if the issuer is in a private network: %s', async (name) => {
      const { client } = await startAt('10.0.0.7');
      provider.metadata = { ...provider.metadata, [name]: 'https://10.0.0.8/x' };

      expect((await client.authorize(request)).url).toMatch(/^https:/);
    });

    test.each([
      ['1.1.1.1', true],
      [undefined, true],
      ['::ffff:10.0.0.7', true],
      ['10.0.0.7', false],
      ['::1', false],
    ])('is called at public addresses alone if it answers from %s: %s', async (address, isPublicOnly) => {
      const { client, sent } = await startAt(address);
      const { kept } = await client.authorize(request);
      provider.nonce = kept.nonce ?? '';
      const outcome = await client.finish(new URLSearchParams({ state: STATE, code: CODE }), kept, 5000);

      expect(outcome.status).toBe('known');
      expect(sent.map(({ url, isPublicOnly: is }) => [new URL(url).pathname, is])).toEqual([
        ['/.well-known/openid-configuration', undefined],
        ['/token', isPublicOnly],
        ['/jwks', isPublicOnly],
        ['/userinfo', isPublicOnly],
      ]);
    });
  });

  test('is kept for an hour, whatever the wall clock is set to, a failure of it is not', async () => {
    let nowS = 0;
    let setTo = NOW_S;
    const client = clientOf({}, { monotonic: () => nowS * 1000, now: () => setTo * 1000 });
    provider.answers['openid-configuration'] = (_request, response) => response.writeHead(503).end();
    await expect(client.authorize(request)).rejects.toMatchObject({ code: 'temporarily_unavailable' });
    provider.answers['openid-configuration'] = undefined;

    await client.authorize(request);
    nowS += 3599;
    setTo += 86_400;
    await client.authorize(request);
    expect(provider.calls).toHaveLength(2);

    nowS += 1;
    await client.authorize(request);
    expect(provider.calls).toHaveLength(3);
  });

  test('that fails at the callback is the provider not being there', async () => {
    const { kept } = await clientOf().authorize(request);
    provider.answers['openid-configuration'] = (_request, response) => response.destroy();

    const outcome = await clientOf().finish(new URLSearchParams({ state: STATE, code: CODE }), kept, 5000);

    expect(outcome).toEqual(failed('provider_unavailable'));
  });
});

describe('a callback', () => {
  test('with a code becomes the account and its tokens', async () => {
    provider.claims = { name: 'Анна', email: 'anna@example.org', email_verified: true };
    provider.token = { refresh_token: 'refresh-1' };
    bind = createBinder(provider, {
      userName: ['id_token.name'],
      email: 'id_token.email',
      emailVerified: 'id_token.email_verified',
    });

    const tokens = {
      accessToken: ACCESS_TOKEN,
      refreshToken: 'refresh-1',
      accessTokenExpiresAt: (NOW_S + 3600) * 1000,
    };
    expect(await bind()).toEqual({
      status: 'known',
      account: { sid: 'sub-1', userName: 'Анна', email: 'anna@example.org', tokens },
    });
    expect(Object.fromEntries(provider.forms[0] ?? [])).toEqual({
      grant_type: 'authorization_code',
      code: CODE,
      redirect_uri: REDIRECT_URI,
      code_verifier: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  const withoutExchange: [string, string, object][] = [
    ['B01 state missing', `code=${CODE}`, failed('invalid_code')],
    [
      'oidcc-client-test-ensure-authorization-response-with-invalid-state-fails',
      'state=x&code=c',
      failed('invalid_code'),
    ],
    ['B15 state twice', `state=${STATE}&state=${STATE}&code=c`, failed('invalid_code')],
    ['B15 code twice', `state=${STATE}&code=c&code=c`, failed('invalid_code')],
    ['B15 iss twice', `state=${STATE}&code=c&iss=ISSUER&iss=ISSUER`, failed('invalid_code')],
    [
      'B13 oidcc-client-test-invalid-authorization-response-iss',
      `state=${STATE}&code=c&iss=https%3A%2F%2Fevil.example`,
      failed('issuer_mismatch'),
    ],
    ['B13 iss with a slash at its end', `state=${STATE}&code=c&iss=ISSUER%2F`, failed('issuer_mismatch')],
    ['B13 iss empty', `state=${STATE}&code=c&iss=`, failed('issuer_mismatch')],
    ['B13 iss wrong with an error', `state=${STATE}&error=access_denied&iss=x`, failed('issuer_mismatch')],
    ['B22 access_denied', `state=${STATE}&error=access_denied`, { status: 'cancelled' }],
    ['B22 as Apple says it', `state=${STATE}&error=user_cancelled_authorize`, { status: 'cancelled' }],
    ['access_denied of another state', 'state=x&error=access_denied', failed('invalid_code')],
    ['B24 code and error', `state=${STATE}&code=c&error=access_denied`, failed('invalid_code')],
    ['B25 neither of them, as of response_mode=fragment', `state=${STATE}`, failed('invalid_code')],
    ['B25 an ID token with the code', `state=${STATE}&code=c&id_token=x`, failed('invalid_code')],
    ['B25 an access token', `state=${STATE}&access_token=x&token_type=bearer`, failed('invalid_code')],
    ['B25 a JARM response', `state=${STATE}&code=c&response=x`, failed('invalid_code')],
    ['code empty', `state=${STATE}&code=`, failed('invalid_code')],
    ['code with a line feed', `state=${STATE}&code=a%0Ab`, failed('invalid_code')],
    ['code of 5,000 characters', `state=${STATE}&code=${'c'.repeat(5000)}`, failed('invalid_code')],
    ['server_error', `state=${STATE}&error=server_error`, failed('provider_unavailable')],
    ['an error that nobody knows', `state=${STATE}&error=%3Cscript%3E`, failed('provider_unavailable')],
    ...['login_required', 'interaction_required', 'consent_required', 'account_selection_required'].map(
      (error): [string, string, object] => [error, `state=${STATE}&error=${error}`, { status: 'interaction_required' }],
    ),
  ];
  test.each(withoutExchange)('exchanges nothing: %s', async (_title, query, outcome) => {
    const client = clientOf();
    const { kept } = await client.authorize(request);

    const parameters = new URLSearchParams(query.replaceAll('ISSUER', encodeURIComponent(provider.issuer)));

    expect(await client.finish(parameters, kept, 5000)).toEqual(outcome);
    expect(provider.calls).toEqual(['openid-configuration']);
  });

  test.each(['<script>alert(1)</script>', '\u202e\u200f', 'x'.repeat(10_240), 'a\r\nSet-Cookie: a=b'])(
    'B23 says nothing of its error_description',
    async (description) => {
      const client = clientOf();
      const { kept } = await client.authorize(request);
      const parameters = {
        state: STATE,
        error: 'invalid_scope',
        error_description: description,
        error_uri: description,
      };

      expect(await client.finish(new URLSearchParams(parameters), kept, 5000)).toEqual({
        status: 'failed',
        error: 'provider_unavailable',
        detail: 'callback: invalid_scope',
      });
    },
  );

  test('B14 oidcc-client-test-remove-authorization-response-iss: iss is needed where it is promised', async () => {
    provider.metadata = { ...provider.metadata, authorization_response_iss_parameter_supported: true };

    expect(await bind()).toEqual(failed('issuer_mismatch'));
    expect(provider.calls).not.toContain('token');
    expect(await bind({ iss: provider.issuer })).toMatchObject({ status: 'known' });
  });

  test('B16 of another flow, at a provider that does not look at PKCE, has another nonce', async () => {
    const client = clientOf();
    const { kept } = await client.authorize(request);
    provider.nonce = 'of-the-attacker';

    const outcome = await client.finish(new URLSearchParams({ state: STATE, code: CODE }), kept, 5000);

    expect(outcome).toEqual(failed('nonce_mismatch'));
  });

  test.each(['codeVerifier', 'nonce'])('without its %s is refused before the exchange', async (name) => {
    const client = clientOf();
    const { kept } = await client.authorize(request);

    const parameters = new URLSearchParams({ state: STATE, code: CODE });

    expect(await client.finish(parameters, { ...kept, [name]: undefined }, 5000)).toEqual(failed('invalid_code'));
    expect(provider.calls).not.toContain('token');
  });
});

describe('a token endpoint', () => {
  test.each<[string, number, unknown, string]>([
    ['B16, B17, B21 invalid_grant', 400, { error: 'invalid_grant' }, 'invalid_code'],
    ['B26 200 with an error, as at GitHub', 200, { error: 'bad_verification_code' }, 'invalid_code'],
    ['B26 200 with an error of its own', 200, { error: { message: 'x' } }, 'provider_unavailable'],
    ['400 with an error of its own, as at Facebook', 400, { error: { message: 'x', code: 100 } }, 'invalid_code'],
    ['invalid_client', 401, { error: 'invalid_client' }, 'provider_unavailable'],
    ['redirect_uri_mismatch', 400, { error: 'redirect_uri_mismatch' }, 'provider_unavailable'],
    ['429', 429, {}, 'provider_unavailable'],
    ['A24 500', 500, { error: 'server_error' }, 'provider_unavailable'],
    ['an empty object', 200, {}, 'provider_unavailable'],
    ['a list', 200, [], 'provider_unavailable'],
    ['no access token', 200, { token_type: 'bearer', id_token: 'x' }, 'provider_unavailable'],
    ['no ID token', 200, { access_token: 'x', token_type: 'bearer' }, 'provider_unavailable'],
  ])('%s', async (_title, status, body, error) => {
    provider.answers.token = (_request, response) => sendJson(response, body, status);

    expect(await bind()).toEqual(failed(error));
    expect(provider.calls.filter((call) => call === 'token')).toHaveLength(1);
  });

  test.each([201, 400, 503])('tokens with status %i', async (status) => {
    const settings = { protocol: 'oauth2', tokenEndpoint: `${provider.issuer}/token`, sid: 'token.id' } as const;
    const tokens = { access_token: 'x', token_type: 'bearer', id: 'a-1' };
    let statusNow = 200;
    provider.answers.token = (_request, response) => sendJson(response, tokens, statusNow);
    bind = createBinder(provider, { ...settings, authorizationEndpoint: 'https://a.example/' });
    expect(await bind()).toMatchObject({ status: 'known' });

    statusNow = status;

    expect(await bind()).toMatchObject({ status: 'failed' });
  });

  test.each<[string, Record<string, unknown>]>([
    ['B26 no token_type', { token_type: undefined }],
    ['B26 token_type mac', { token_type: 'mac' }],
    ['token_type DPoP', { token_type: 'DPoP' }],
    ['token_type a number', { token_type: 1 }],
    ['an access token with a line feed', { access_token: 'a\r\nX: y' }],
    ['an access token that is no text', { access_token: 1 }],
    ['an access token of 10 KB', { access_token: 'x'.repeat(10_240) }],
    ['a refresh token that is no text', { refresh_token: {} }],
    ['a negative expires_in', { expires_in: -1 }],
    ['an expires_in that is no number', { expires_in: 'soon' }],
  ])('%s', async (_title, members) => {
    provider.token = members;

    expect(await bind()).toEqual(failed('provider_unavailable'));
  });

  test.each<[string, Record<string, unknown>, number | undefined]>([
    ['oidcc-client-test-token-type-case-insensitivity', { token_type: 'bEaReR' }, (NOW_S + 3600) * 1000],
    ['oidcc-client-test-no-scope-in-token-endpoint-response', { scope: undefined }, (NOW_S + 3600) * 1000],
    ['expires_in a text', { expires_in: '60' }, (NOW_S + 60) * 1000],
    ['expires_in 0 and null for ever', { expires_in: 0, refresh_token: null }, undefined],
    ['expires_in 1e300', { expires_in: 1e300 }, undefined],
  ])('%s', async (_title, members, accessTokenExpiresAt) => {
    provider.token = members;

    expect(await bind()).toMatchObject({ status: 'known', account: { tokens: { accessTokenExpiresAt } } });
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['B26 HTML', (response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>')],
    ['text that is no UTF-8', (response) => response.end(Buffer.from('{"access_token":"\xff"}', 'latin1'))],
    ['204', (response) => response.writeHead(204).end()],
    ['B27 a redirect', (response) => response.writeHead(307, { Location: '/token' }).end()],
    ['a cut connection', (response) => response.destroy()],
    ['1 MB', (response) => response.end('x'.repeat(1_000_000))],
    ['JSON 100,000 deep', (response) => response.end(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)],
  ])('%s', async (_title, answer) => {
    provider.answers.token = (_request, response) => answer(response);

    expect(await bind()).toEqual(failed('provider_unavailable'));
    expect(provider.calls.filter((call) => call === 'token')).toHaveLength(1);
  });

  test('A24 that never answers, within the time that is given', async () => {
    provider.answers.token = () => {};
    const client = clientOf();
    const { kept } = await client.authorize(request);

    const outcome = await client.finish(new URLSearchParams({ state: STATE, code: CODE }), kept, 100);

    expect(outcome).toEqual({
      status: 'failed',
      error: 'provider_unavailable',
      detail: 'token endpoint: outgoing: timed_out',
    });
  });

  test('A25 no secret is in what is said of a failure', async () => {
    provider.answers.token = (_request, response, form) =>
      sendJson(response, { error: `${form.get('code')} ${form.get('code_verifier')}` }, 400);

    const { detail } = (await bind()) as { detail: string };

    expect(detail).toBe('token endpoint: status 400');
  });
});

describe('userinfo', () => {
  beforeEach(() => {
    bind = createBinder(provider, { hasUserinfo: true, userName: ['profile.nickname'] });
  });

  test('is asked for with the token, and read', async () => {
    provider.userinfo = { sub: 'sub-1', nickname: 'anna' };

    expect(await bind()).toMatchObject({ status: 'known', account: { sid: 'sub-1', userName: 'anna' } });
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['B30 oidcc-client-test-userinfo-invalid-sub', (response) => sendJson(response, { sub: 'sub-2' })],
    ['no sub', (response) => sendJson(response, {})],
    ['status 500', (response) => sendJson(response, { sub: 'sub-1' }, 500)],
    ['B47 a name of 1 MB', (response) => sendJson(response, { sub: 'sub-1', nickname: 'x'.repeat(1_000_000) })],
    [
      'a JWT that nobody has verified',
      (response) => response.setHeader('Content-Type', 'application/jwt').end(makeJwt({ sub: 'sub-1' })),
    ],
    ['a redirect', (response) => response.writeHead(302, { Location: '/x' }).end()],
  ])('%s', async (_title, answer) => {
    provider.answers.userinfo = (_request, response) => answer(response);

    expect(await bind()).toEqual(failed('profile_unavailable'));
  });
});

describe('a provider of plain OAuth 2.0', () => {
  const oauth2 = (settings: Partial<ProviderClientSettings> = {}): Partial<ProviderClientSettings> => ({
    protocol: 'oauth2',
    issuer: undefined,
    authorizationEndpoint: `${provider.issuer}/authorize`,
    tokenEndpoint: `${provider.issuer}/token`,
    profile: { endpoint: `${provider.issuer}/me`, call: 'bearer' },
    sid: 'profile.id',
    userName: ['profile.name'],
    ...settings,
  });
  const answerProfile = (json: string) => {
    provider.answers.me = (_request, response) => response.end(json);
  };

  beforeEach(() => {
    bind = createBinder(provider, oauth2());
  });

  test.each<[string, string, string]>([
    ['a text', '{"id":"a-1"}', 'a-1'],
    ['a whole number', '{"id":1000347601}', '1000347601'],
    ['the largest whole number that is exact', '{"id":9007199254740991}', '9007199254740991'],
    ['B47 beside a __proto__', '{"__proto__":{"id":"evil"},"id":"a-1"}', 'a-1'],
  ])('gives the sid as %s', async (_title, json, sid) => {
    answerProfile(json);

    expect(await bind()).toMatchObject({ status: 'known', account: { sid } });
    expect(provider.calls).toEqual(['token', 'me']);
  });

  test.each<[string, string]>([
    ['none', '{}'],
    ['empty', '{"id":""}'],
    ['null', '{"id":null}'],
    ['a truth', '{"id":true}'],
    ['an object', '{"id":{"a":1}}'],
    ['a fraction', '{"id":1.5}'],
    ['a number that is not exact', '{"id":9007199254740993}'],
    ['no number', '{"id":1e400}'],
    ['256 characters', `{"id":"${'x'.repeat(256)}"}`],
    ['half a character', '{"id":"\\ud800"}'],
    ['with a NUL', '{"id":"a\\u0000"}'],
    ['B47 in __proto__ alone', '{"__proto__":{"id":"evil"}}'],
    ['in a list', '[{"id":"a-1"}]'],
    ['with an error', '{"error":{"error_code":5}}'],
    ['nothing', ''],
    ['HTML', '<html>'],
  ])('is refused when the sid is %s', async (_title, json) => {
    answerProfile(json);

    expect(await bind()).toEqual(failed('profile_unavailable'));
  });

  test('does not find a sid that every object inherits', async () => {
    answerProfile('{}');
    Object.defineProperty(Object.prototype, 'inherited', { value: 'evil', configurable: true });
    onTestFinished(() => void Reflect.deleteProperty(Object.prototype, 'inherited'));

    const settings = oauth2({ sid: 'profile.inherited' });

    expect(await createBinder(provider, settings)()).toEqual(failed('profile_unavailable'));
  });

  test('is refused when the sid is no UTF-8: two of them would be one', async () => {
    const bytes = Buffer.from('{"access_token":"x","token_type":"bearer","id":"a-\xff"}', 'latin1');
    provider.answers.token = (_request, response) => response.end(bytes);

    const settings = oauth2({ profile: undefined, sid: 'token.id', userName: [] });

    expect(await createBinder(provider, settings)()).toEqual(failed('provider_unavailable'));
  });

  test.each([401, 404, 500])('is refused when its profile answers %i', async (status) => {
    provider.answers.me = (_request, response) => sendJson(response, { id: 'a-1' }, status);

    expect(await bind()).toEqual(failed('profile_unavailable'));
  });

  test.each<[string, string, string | undefined]>([
    ['cut when it is long', 'я'.repeat(300), 'я'.repeat(255)],
    ['not cut in the middle of a character', `${'x'.repeat(254)}😀`, 'x'.repeat(254)],
    ['dropped when it turns the text around', 'a\u202eb', undefined],
    ['dropped when it has a line feed', 'a\nb', undefined],
    ['dropped when it is half a character', '\ud800', undefined],
    ['dropped when it is empty', ' ', undefined],
  ])('has a name that is %s', async (_title, name, userName) => {
    answerProfile(JSON.stringify({ id: 'a-1', name }));

    expect(await bind()).toMatchObject({ status: 'known', account: { sid: 'a-1', userName } });
  });

  test.each<[string, object, string | undefined]>([
    ['verified', { email: 'a@example.org', ok: true }, 'a@example.org'],
    ['verified, as Apple says it', { email: 'a@example.org', ok: 'true' }, 'a@example.org'],
    ['A36 not verified', { email: 'a@example.org', ok: false }, undefined],
    ['A36 of which nothing is said', { email: 'a@example.org' }, undefined],
    ['verified by a number', { email: 'a@example.org', ok: 1 }, undefined],
    ['none', { email: 'a b@example.org', ok: true }, undefined],
    ['two', { email: 'a@example.org,b@example.org@x', ok: true }, undefined],
  ])('has an e-mail that is %s', async (_title, profile, email) => {
    answerProfile(JSON.stringify({ id: 'a-1', ...profile }));
    bind = createBinder(provider, oauth2({ email: 'profile.email', emailVerified: 'profile.ok' }));

    expect(await bind()).toMatchObject({ status: 'known', account: { email } });
  });

  test('has its ID token not read: nobody vouches for its keys', async () => {
    answerProfile('{"id":"a-1"}');
    provider.token = { id_token: 'a.b.c' };

    expect(await bind()).toMatchObject({ status: 'known' });
  });

  test('need not conform where the settings say so', async () => {
    provider.token = { token_type: 'session', user_id: 42, id_token: undefined };
    const settings = oauth2({ takesAnyTokenType: true, profile: undefined, sid: 'token.user_id' });

    expect(await createBinder(provider, settings)()).toMatchObject({ status: 'known', account: { sid: '42' } });
  });

  test('has its iss compared where its issuer is known, and ignored where it is not', async () => {
    answerProfile('{"id":"a-1"}');

    expect(await bind({ iss: 'https://whoever.example' })).toMatchObject({ status: 'known' });
    bind = createBinder(provider, oauth2({ issuer: provider.issuer }));
    expect(await bind({ iss: provider.issuer })).toMatchObject({ status: 'known' });
    expect(await bind({ iss: 'https://whoever.example' })).toEqual(failed('issuer_mismatch'));
  });

  test('A23 is not followed into a private network', async () => {
    const settings = oauth2({ tokenEndpoint: 'http://169.254.169.254/token' });

    expect(await createBinder(provider, settings)()).toEqual(failed('provider_unavailable'));
  });

  test('is spoken to over nothing but the way out that is given', async () => {
    const urls: string[] = [];
    const elsewhere = await startHttpServer((_request, response) =>
      sendJson(response, { error: 'invalid_grant' }, 400),
    );
    const client = createProviderClient(settingsOf(provider, oauth2({ tokenEndpoint: 'https://token.example/x' })), {
      send(outgoing) {
        urls.push(outgoing.url);
        return send({ ...outgoing, url: elsewhere });
      },
    });
    const { kept } = await client.authorize(request);

    expect(await client.finish(new URLSearchParams({ state: STATE, code: CODE }), kept, 5000)).toEqual(
      failed('invalid_code'),
    );
    expect(urls).toEqual(['https://token.example/x']);
  });
});
