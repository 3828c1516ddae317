import { createHash, generateKeyPairSync } from 'node:crypto';
import { jwtVerify } from 'jose';
import { describe, expect, test } from 'vitest';
import { BindFields, readBindSettings } from '#shared/bind/bind-provider.ts';
import { PRESETS } from '#shared/bind/provider-catalogue.ts';
import { createProviderClient } from '#shared/bind/provider-client.ts';
import { type Send, send } from '#shared/outgoing/send.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { NOW_S, REDIRECT_URI, STATE, startOpenidProvider } from '#test/support/openid-provider.ts';

const appleKey = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ENVIRONMENT = {
  FAKE_SECRET: 'fake-secret',
  FAKE_KEY: appleKey.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
};
const SECRET = { client_id: 'client-1', client_secret_env: 'FAKE_SECRET' };
const BASIC = `Basic ${Buffer.from('client-1:fake-secret').toString('base64')}`;

const settingsOf = (row: object) => readBindSettings(BindFields.parse(row), ENVIRONMENT);

/** Answers for a vendor, on loopback: `METHOD host/path` → JSON. */
async function startVendor(answers: Readonly<Record<string, unknown>>) {
  const requests: { call: string; query: string; headers: Readonly<Record<string, string>>; form: URLSearchParams }[] =
    [];
  const base = await startHttpServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://vendor');
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(answers[`${request.method} ${pathname.slice(1)}`] ?? { error: 'not_found' }));
  });
  const vendorSend: Send = (outgoing) => {
    const { method, url, headers = {}, body } = outgoing;
    const { host, pathname, search } = new URL(url);
    requests.push({
      call: `${method} ${host}${pathname}`,
      query: search,
      headers,
      form: new URLSearchParams(String(body ?? '')),
    });
    return send({ ...outgoing, url: url.replace(/^https:\//, base) });
  };
  return { requests, send: vendorSend };
}

interface Case {
  readonly row: object;
  readonly authorize: string;
  readonly callback?: Readonly<Record<string, string>>;
  readonly token: readonly [call: string, answer: object];
  readonly profile: readonly [call: string, answer: unknown];
  readonly account: object;
}

const CASES: Readonly<Record<string, Case>> = {
  'vk-id': {
    row: { client_id: '51' },
    authorize: `https://id.vk.com/authorize?state=${STATE}&scope=vkid.personal_info&redirect_uri=…&client_id=51&response_type=code`,
    callback: { device_id: 'device-of-vk', type: 'code_v2', expires_in: '600' },
    token: [
      'POST id.vk.com/oauth2/auth',
      {
        access_token: 'vk2.a.x',
        refresh_token: 'vk2.r',
        id_token: 'a.b.c',
        token_type: 'Bearer',
        expires_in: 3600,
        user_id: 1234567890,
        state: STATE,
        scope: '',
      },
    ],
    profile: [
      'POST id.vk.com/oauth2/user_info',
      { user: { user_id: '1234567890', first_name: 'Иван', last_name: 'И.', email: 'i@example.org' } },
    ],
    account: {
      sid: '1234567890',
      userName: 'Иван И.',
      tokens: {
        accessToken: 'vk2.a.x',
        refreshToken: 'vk2.r',
        deviceId: 'device-of-vk',
        accessTokenExpiresAt: (NOW_S + 3600) * 1000,
      },
    },
  },
  'vk-legacy': {
    row: { ...SECRET, client_id: '5566286' },
    authorize: `https://oauth.vk.com/authorize?state=${STATE}&scope=email&redirect_uri=…&client_id=5566286&v=5.52&response_type=code`,
    token: [
      'POST oauth.vk.com/access_token',
      { access_token: 't', expires_in: 0, user_id: 66748, email: 'a@example.org' },
    ],
    profile: ['POST api.vk.com/method/users.get', { response: [{ id: 66748, first_name: 'A', last_name: 'B' }] }],
    account: { sid: '66748', userName: 'A B', tokens: { accessToken: 't' } },
  },
  yandex: {
    row: SECRET,
    authorize: `https://oauth.yandex.ru/authorize?state=${STATE}&scope=login%3Ainfo&redirect_uri=…&client_id=client-1&device_name=account-link&response_type=code`,
    token: [
      'POST oauth.yandex.ru/token',
      { access_token: 't', refresh_token: 'r', token_type: 'bearer', expires_in: 10 },
    ],
    profile: ['GET login.yandex.ru/info', { id: '1000034426', display_name: 'vasya', default_email: 'v@yandex.ru' }],
    account: {
      sid: '1000034426',
      userName: 'vasya',
      tokens: {
        accessToken: 't',
        refreshToken: 'r',
        deviceId: expect.stringMatching(/^[0-9a-f]{32}$/),
        accessTokenExpiresAt: (NOW_S + 10) * 1000,
      },
    },
  },
  facebook: {
    row: SECRET,
    authorize: `https://www.facebook.com/v23.0/dialog/oauth?state=${STATE}&scope=public_profile&redirect_uri=…&client_id=client-1&response_type=code`,
    token: ['POST graph.facebook.com/v23.0/oauth/access_token', { access_token: 't', token_type: 'bearer' }],
    profile: ['GET graph.facebook.com/v23.0/me', { id: '10220000', name: 'A B' }],
    account: { sid: '10220000', userName: 'A B', tokens: { accessToken: 't' } },
  },
  github: {
    row: SECRET,
    authorize: `https://github.com/login/oauth/authorize?state=${STATE}&scope=read%3Auser&redirect_uri=…&client_id=client-1&response_type=code`,
    token: [
      'POST github.com/login/oauth/access_token',
      { access_token: 'gho_x', scope: 'read:user', token_type: 'bearer' },
    ],
    profile: ['GET api.github.com/user', { login: 'octocat', id: 583231, email: null }],
    account: { sid: '583231', userName: 'octocat', tokens: { accessToken: 'gho_x' } },
  },
  discord: {
    row: SECRET,
    authorize: `https://discord.com/api/oauth2/authorize?state=${STATE}&scope=identify&redirect_uri=…&client_id=client-1&response_type=code`,
    token: ['POST discord.com/api/oauth2/token', { access_token: 't', token_type: 'Bearer', refresh_token: 'r' }],
    profile: ['GET discord.com/api/users/@me', { id: '80351110224678912', username: 'nelly' }],
    account: { sid: '80351110224678912', userName: 'nelly', tokens: { accessToken: 't', refreshToken: 'r' } },
  },
  mail: {
    row: SECRET,
    authorize: `https://oauth.mail.ru/login?state=${STATE}&scope=userinfo&redirect_uri=…&client_id=client-1&response_type=code`,
    token: ['POST oauth.mail.ru/token', { access_token: 't', refresh_token: 'r', expires_in: 3600 }],
    profile: ['GET oauth.mail.ru/userinfo', { id: '77', name: 'A', email: 'a@mail.ru' }],
    account: {
      sid: '77',
      userName: 'A',
      tokens: { accessToken: 't', refreshToken: 'r', accessTokenExpiresAt: (NOW_S + 3600) * 1000 },
    },
  },
  ok: {
    row: { ...SECRET, scope: 'VALUABLE_ACCESS;GET_EMAIL', profile_parameters: { application_key: 'PUBLIC' } },
    authorize: `https://connect.ok.ru/oauth/authorize?state=${STATE}&scope=VALUABLE_ACCESS%3BGET_EMAIL&redirect_uri=…&client_id=client-1&response_type=code`,
    token: [
      'POST api.ok.ru/oauth/token.do',
      { access_token: 't', token_type: 'session', refresh_token: 'r', expires_in: '1800' },
    ],
    profile: ['POST api.ok.ru/fb.do', { uid: '561800000000', name: 'A B' }],
    account: {
      sid: '561800000000',
      userName: 'A B',
      tokens: { accessToken: 't', refreshToken: 'r', accessTokenExpiresAt: (NOW_S + 1800) * 1000 },
    },
  },
  tcs: {
    row: SECRET,
    authorize: `https://id.tinkoff.ru/auth/authorize?state=${STATE}&redirect_uri=…&client_id=client-1&response_type=code`,
    token: ['POST id.tinkoff.ru/auth/token', { access_token: 't', refresh_token: 'r', token_type: 'Bearer' }],
    profile: ['GET id.tinkoff.ru/userinfo/userinfo', { sub: 'd9b1', name: 'A' }],
    account: { sid: 'd9b1', userName: 'A', tokens: { accessToken: 't', refreshToken: 'r' } },
  },
};

async function bindAt(preset: string) {
  const { row, authorize, callback = {}, token, profile, account } = CASES[preset] ?? expect.fail();
  const vendor = await startVendor(Object.fromEntries([token, profile]));
  const client = createProviderClient(settingsOf({ preset, ...row }), { send: vendor.send, now: () => NOW_S * 1000 });
  const { url, kept } = await client.authorize({ state: STATE, redirectUri: REDIRECT_URI, timeoutMs: 5000 });
  const outcome = await client.finish(new URLSearchParams({ state: STATE, code: 'c-1', ...callback }), kept, 5000);
  return { url, expectedUrl: authorize.replace('…', encodeURIComponent(REDIRECT_URI)), outcome, account, vendor };
}

describe('a ready provider is asked as its documentation says, and its answer gives the account', () => {
  test.each(Object.keys(CASES))('%s', async (preset) => {
    const { url, expectedUrl, outcome, account, vendor } = await bindAt(preset);

    expect(url.startsWith(`${expectedUrl}&code_challenge=`)).toBe(true);
    expect(outcome).toEqual({ status: 'known', account });
    expect(vendor.requests.map(({ call }) => call)).toEqual([CASES[preset]?.token[0], CASES[preset]?.profile[0]]);
    expect(Object.fromEntries(vendor.requests[0]?.form ?? [])).toMatchObject({
      grant_type: 'authorization_code',
      code: 'c-1',
      redirect_uri: REDIRECT_URI,
      code_verifier: expect.stringMatching(/^[\w-]{43}$/),
    });
  });

  test('vk-id takes its device and the state with the code, and no secret', async () => {
    const { vendor } = await bindAt('vk-id');

    const [token, profile] = vendor.requests.map(({ form }) => Object.fromEntries(form));
    expect(token).toMatchObject({ client_id: '51', device_id: 'device-of-vk', state: STATE });
    expect(profile).toEqual({ client_id: '51', access_token: 'vk2.a.x' });
  });

  test('vk-id without its device is refused before the exchange', async () => {
    const vendor = await startVendor({});
    const client = createProviderClient(settingsOf({ preset: 'vk-id', client_id: '51' }), { send: vendor.send });
    const { kept } = await client.authorize({ state: STATE, redirectUri: REDIRECT_URI, timeoutMs: 5000 });

    for (const device of ['', '&device_id=', '&device_id=a&device_id=a', '&device_id=%0A']) {
      const callback = new URLSearchParams(`state=${STATE}&code=c${device}`);
      expect(await client.finish(callback, kept, 5000)).toMatchObject({ status: 'failed', error: 'invalid_code' });
    }
    expect(vendor.requests).toEqual([]);
  });

  test('yandex is told a device, without which its tokens could not be revoked', async () => {
    const { url, outcome, vendor } = await bindAt('yandex');

    const device = new URL(url).searchParams.get('device_id');
    expect(outcome).toMatchObject({ account: { tokens: { deviceId: device } } });
    expect(vendor.requests.map(({ headers }) => headers.authorization ?? headers.Authorization)).toEqual([
      BASIC,
      'OAuth t',
    ]);
    expect(vendor.requests[1]?.query).toBe('?format=json');
  });

  test('github is asked for JSON', async () => {
    const { vendor } = await bindAt('github');

    expect(vendor.requests[0]?.headers).toMatchObject({ accept: 'application/json' });
    expect(vendor.requests[1]?.headers).toMatchObject({
      Accept: 'application/vnd.github+json',
      Authorization: 'Bearer gho_x',
    });
  });

  test('facebook is asked for no more than it has to say', async () => {
    const { vendor } = await bindAt('facebook');

    expect(vendor.requests[1]).toMatchObject({ query: '?fields=id,name' });
  });

  test('mail is shown the token as it wants it', async () => {
    const { vendor } = await bindAt('mail');

    expect(vendor.requests[1]?.query).toBe('?access_token=t');
  });

  test('ok is asked by a signed call', async () => {
    const { vendor } = await bindAt('ok');

    const md5 = (text: string) => createHash('md5').update(text).digest('hex');
    const pairs = 'application_key=PUBLICformat=jsonmethod=users.getCurrentUser';
    expect(Object.fromEntries(vendor.requests[1]?.form ?? [])).toEqual({
      application_key: 'PUBLIC',
      format: 'json',
      method: 'users.getCurrentUser',
      access_token: 't',
      sig: md5(pairs + md5('tfake-secret')),
    });
  });
});

describe('a ready provider of OpenID Connect is asked where its issuer says', () => {
  const ISSUERS: Readonly<Record<string, string>> = {
    google: 'https://accounts.google.com',
    apple: 'https://appleid.apple.com',
    gitlab: 'https://gitlab.com',
    esia: 'https://esia-gateway.example/aas',
    oidc: 'https://login.example',
  };
  const ADDED: Readonly<Record<string, object>> = {
    google: { access_type: 'offline' },
    apple: { response_mode: 'form_post' },
  };

  test.each(Object.keys(ISSUERS))('%s', async (preset) => {
    const issuer = ISSUERS[preset] ?? '';
    const provider = await startOpenidProvider(issuer);
    provider.claims = { name: 'A B', email: 'a@example.org', email_verified: 'true' };
    const key = { client_secret_key: { env: 'FAKE_KEY', key_id: 'KEY', team_id: 'TEAM' } };
    const credentials = preset === 'apple' ? key : { client_secret_env: 'FAKE_SECRET' };
    const named = PRESETS[preset]?.fields.issuer === undefined ? { issuer } : {};
    const settings = settingsOf({ preset, client_id: 'client-1', ...credentials, ...named });
    const client = createProviderClient(settings, { send: provider.send, now: () => NOW_S * 1000 });

    const { url, kept } = await client.authorize({ state: STATE, redirectUri: REDIRECT_URI, timeoutMs: 5000 });
    provider.nonce = kept.nonce ?? '';
    const outcome = await client.finish(new URLSearchParams({ state: STATE, code: 'c-1', user: '{}' }), kept, 5000);

    expect(url.startsWith(`${issuer}/authorize?state=${STATE}&scope=openid+`)).toBe(true);
    expect(Object.fromEntries(new URL(url).searchParams)).toMatchObject({
      ...{ client_id: 'client-1', response_type: 'code', nonce: kept.nonce, code_challenge_method: 'S256' },
      ...ADDED[preset],
    });
    expect(outcome).toMatchObject({
      status: 'known',
      account: { sid: 'sub-1', userName: 'A B', email: 'a@example.org' },
    });
  });

  test('apple is shown a secret that is signed anew', async () => {
    const provider = await startOpenidProvider('https://appleid.apple.com');
    const key = { env: 'FAKE_KEY', key_id: 'KEY', team_id: 'TEAM' };
    const settings = settingsOf({ preset: 'apple', client_id: 'client-1', client_secret_key: key });
    const client = createProviderClient(settings, { send: provider.send, now: () => NOW_S * 1000 });
    const { kept } = await client.authorize({ state: STATE, redirectUri: REDIRECT_URI, timeoutMs: 5000 });
    await client.finish(new URLSearchParams({ state: STATE, code: 'c-1' }), kept, 5000);

    const secret = provider.forms[0]?.get('client_secret') ?? '';
    const { payload, protectedHeader } = await jwtVerify(secret, appleKey.publicKey, {
      currentDate: new Date(NOW_S * 1000),
    });

    expect(protectedHeader).toEqual({ alg: 'ES256', kid: 'KEY' });
    expect(payload).toEqual({
      ...{ iss: 'TEAM', sub: 'client-1', aud: 'https://appleid.apple.com', iat: NOW_S, exp: NOW_S + 300 },
    });
  });
});

describe('the catalogue', () => {
  test('has no provider that is not tried here', () => {
    expect(Object.keys(PRESETS).sort()).toEqual(
      [...Object.keys(CASES), 'google', 'apple', 'gitlab', 'esia', 'oidc'].sort(),
    );
  });

  test('says of nothing that it is unconfirmed that it does not say', () => {
    for (const { fields, unconfirmed = [] } of Object.values(PRESETS)) {
      expect(Object.keys(fields)).toEqual(expect.arrayContaining([...unconfirmed]));
    }
  });
});

describe('the bind of a row', () => {
  const OIDC = { preset: 'oidc', issuer: 'https://login.example', ...SECRET };
  const OAUTH2 = {
    protocol: 'oauth2',
    authorization_endpoint: 'https://a.example/authorize',
    token_endpoint: 'https://a.example/token',
    sid: 'token.id',
    ...SECRET,
  };

  test.each<[string, object]>([
    ['a preset', { preset: 'google', ...SECRET }],
    ['no preset', { issuer: 'https://login.example', ...SECRET }],
    ['another claim as the sid', { ...OIDC, sid: 'id_token.employee_id' }],
    ['endpoints', OAUTH2],
    ['an address of its own', { ...OAUTH2, public_base: 'https://login.company.com' }],
    ['a loopback provider', { ...OIDC, issuer: 'http://127.0.0.1:4000' }],
  ])('may be %s', (_title, row) => {
    expect(BindFields.safeParse(row).success).toBe(true);
    expect(BindFields.parse(BindFields.parse(row))).toEqual(BindFields.parse(row));
  });

  test.each<[string, object]>([
    ['an unknown preset', { ...OIDC, preset: 'nobody' }],
    ['a preset that every object inherits', { ...OIDC, preset: 'constructor' }],
    ['an unknown field', { ...OIDC, clientid: 'x' }],
    ['no client', { preset: 'google', client_secret_env: 'FAKE_SECRET' }],
    ['no secret', { preset: 'google', client_id: 'x' }],
    ['a secret for a public client', { ...SECRET, preset: 'vk-id' }],
    ['two secrets', { ...OIDC, client_secret_key: { env: 'FAKE_KEY', key_id: 'x', team_id: 'x' } }],
    ['a secret in the file', { ...OIDC, client_secret: 'x' }],
    ['OpenID Connect without an issuer', { preset: 'esia', ...SECRET }],
    ['an issuer in clear', { ...OIDC, issuer: 'http://login.example' }],
    ['an issuer with a query', { ...OIDC, issuer: 'https://login.example?x' }],
    ['OpenID Connect with an endpoint of its own', { ...OIDC, token_endpoint: 'https://a.example/token' }],
    ['OpenID Connect without openid', { ...OIDC, scope: 'profile' }],
    ['a profile that nobody asks for', { ...OIDC, user_name: 'profile.name' }],
    ['a profile that nobody asks for, without OpenID Connect', { ...OAUTH2, sid: 'profile.id' }],
    ['an ID token without OpenID Connect', { ...OAUTH2, sid: 'id_token.sub' }],
    ['no sid', { ...OAUTH2, sid: undefined }],
    ['an e-mail as the sid', { ...OIDC, sid: 'id_token.email' }],
    ['a name as the sid', { ...OIDC, sid: 'id_token.preferred_username' }],
    ['an e-mail of which nobody says that it is verified', { ...OAUTH2, email: 'token.email' }],
    ['a parameter that is ours', { ...OIDC, authorize_parameters: { redirect_uri: 'https://evil.example' } }],
    ['an address with a path', { ...OIDC, public_base: 'https://login.example/x' }],
    ['ok without its key', { preset: 'ok', ...SECRET }],
  ])('is refused: %s', (_title, row) => {
    expect(BindFields.safeParse(row).success).toBe(false);
  });

  test('goes before its preset, parameter by parameter', () => {
    const settings = settingsOf({
      preset: 'yandex',
      ...SECRET,
      scope: 'login:email',
      authorize_parameters: { x: 'y' },
    });

    expect(settings).toMatchObject({
      scope: 'login:email',
      authorizeParameters: { device_name: 'account-link', x: 'y' },
    });
    expect(PRESETS.yandex?.fields.authorize_parameters).toEqual({ device_name: 'account-link' });
  });

  test('needs its variable, of which nothing but the name is said', () => {
    const row = BindFields.parse({ preset: 'google', client_id: 'x', client_secret_env: 'NOT_SET' });
    expect(() => readBindSettings(row, ENVIRONMENT)).toThrow('NOT_SET must be set: providers.json names it');

    const key = { env: 'FAKE_SECRET', key_id: 'x', team_id: 'x' };
    const apple = BindFields.parse({ preset: 'apple', client_id: 'x', client_secret_key: key });
    expect(() => readBindSettings(apple, ENVIRONMENT)).toThrow('FAKE_SECRET must be a P-256 private key in PEM');
  });

  test('takes a key whose line feeds are written out', () => {
    const key = { env: 'ONE_LINE', key_id: 'x', team_id: 'x' };
    const row = BindFields.parse({ preset: 'apple', client_id: 'x', client_secret_key: key });

    const environment = { ONE_LINE: ENVIRONMENT.FAKE_KEY.replaceAll('\n', '\\n') };

    expect(readBindSettings(row, environment).authentication).toMatchObject({ method: 'signed_secret', keyId: 'x' });
  });
});
