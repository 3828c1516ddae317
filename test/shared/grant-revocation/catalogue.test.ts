import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ExternalIdentity } from '#shared/account-link/account-link.ts';
import { readProviders } from '#shared/account-link/provider.ts';
import { type ProviderTokens, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { PRESETS } from '#shared/bind/provider-catalogue.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import { CATALOGUE } from '#shared/grant-revocation/catalogue.ts';
import { openRevocableProviders } from '#shared/grant-revocation/open-ports.ts';
import { createRevocationJobs, type IsStillLinked } from '#shared/grant-revocation/revocation-jobs.ts';
import { readRevocations } from '#shared/grant-revocation/revocation-settings.ts';
import type { DoJob } from '#shared/outbox/attempt-job.ts';
import type { Send } from '#shared/outgoing/send.ts';
import { START_MS, testKey } from '#test/support/outbox-run.ts';
import { APPLE_KEY } from '#test/support/provider-mocks/apple.ts';
import { OIDC_ISSUER } from '#test/support/provider-mocks/oidc.ts';
import {
  MOCK_CLIENT_ID,
  MOCK_CLIENT_SECRET,
  MOCK_DEVICE_ID,
  MOCK_SID,
  MOCK_TOKENS,
  type MockReply,
  startProviderMock,
} from '#test/support/provider-mocks/provider-mock.ts';
import { PROVIDER_MOCKS } from '#test/support/provider-mocks/provider-mocks.ts';
import { TOKEN_OF_ANOTHER, TOKEN_WITHOUT_DEVICE } from '#test/support/provider-mocks/yandex.ts';

const NAMES = Object.keys(CATALOGUE);
const UNSUPPORTED = NAMES.filter((name) => CATALOGUE[name]?.revocation === undefined);
const BEST_EFFORT = NAMES.filter((name) => CATALOGUE[name]?.known === 'best_effort' && !UNSUPPORTED.includes(name));

/** The rows of a `providers.json`, read. */
const readRows = (rows: readonly object[]) => readRevocations(readProviders(rows, {}));

/** Long enough from the end not to be refreshed. */
const LIVE = { ...MOCK_TOKENS, accessTokenExpiresAt: START_MS + 3_600_000, deviceId: MOCK_DEVICE_ID };
const EXPIRED = { ...LIVE, accessTokenExpiresAt: START_MS - 1 };
const DEAD = { ...LIVE, refreshToken: 'refresh-token-0', accessToken: 'access-token-0' };

const done = (result: string) => ({ status: 'done', result });
const failed = (error: string) => ({ status: 'failed', error });
const retry = (error: string, retryAfterMs?: number) => ({ status: 'retry', error, retryAfterMs });
const ours = (error: string) => ({ status: 'retry', error, isOurFault: true });

/** `revocation` of a provider, as its row of `providers.json` has it. */
function settingsOf(preset: string): object {
  const needs = CATALOGUE[preset]?.revocation?.needs;
  return {
    ...{ preset, client_id: MOCK_CLIENT_ID },
    ...(needs === 'signing_key'
      ? { client_secret_key: { env: 'FAKE_KEY', key_id: 'key-1', team_id: 'team-1' } }
      : { client_secret_env: 'FAKE_SECRET' }),
    ...(preset === 'oidc' && { issuer: OIDC_ISSUER }),
  };
}

interface Run {
  readonly send: Send;
  readonly tokens?: ProviderTokens;
  readonly environment?: Readonly<Record<string, string>>;
  /** `revocation`, where it is not as {@link settingsOf} has it. */
  readonly settings?: object;
  /** More rows of `providers.json`. */
  readonly others?: readonly object[];
  readonly isStillLinked?: IsStillLinked | undefined;
  readonly attempt?: number;
}

/** What a job comes to at the provider `<preset>:one`, in one try. */
async function revokeAt(preset: string, run: Run): ReturnType<DoJob> {
  const { send, tokens = LIVE, others = [], settings = settingsOf(preset), attempt = 1 } = run;
  const environment = { FAKE_SECRET: MOCK_CLIENT_SECRET, FAKE_KEY: APPLE_KEY, ...run.environment };
  const providers = readRows([{ type: preset, name: 'one', revocation: settings }, ...others]);
  const doJob = createRevocationJobs({
    providers: openRevocableProviders(providers, environment),
    encryptionKeys: [testKey('k1')],
    send,
    now: () => START_MS,
    isStillLinked: 'isStillLinked' in run ? run.isStillLinked : async () => false,
  });
  const job = {
    ...({ id: 'j', kind: 'grant-revocation', boundTo: 'j', requestId: 'r', claim: 'c' } as const),
    details: { subject: 'ann', fpType: preset, fpName: 'one', sid: MOCK_SID },
    secret: sealTokens(tokens, 'j', [testKey('k1')]),
    ...{ attemptsStarted: attempt, attemptsFinished: attempt - 1, createdAt: START_MS, giveUpAt: START_MS },
  };
  return await doJob(job, 5000);
}

const start = (name: string) => {
  const describeProvider = PROVIDER_MOCKS[name];
  if (describeProvider === undefined) throw new Error(`there is no mock of ${name}`);
  return startProviderMock(describeProvider);
};

/** A send that answers itself, for what no vendor documents. */
function answering(reply: MockReply): Send & { readonly urls: string[] } {
  const urls: string[] = [];
  const send: Send = async ({ method, url }) => {
    urls.push(`${method} ${url}`);
    return { status: reply.status, headers: { ...reply.headers }, body: Buffer.from(JSON.stringify(reply.body ?? '')) };
  };
  return Object.assign(send, { urls });
}

/** What a documented provider is known by: each call in its order, and what its answers come to. */
interface Documented {
  readonly calls: readonly string[];
  readonly result?: string;
  /** What becomes of tokens that were dead before. */
  readonly dead: string;
  /** With a client that the provider does not know. */
  readonly wrong?: object;
  /** What a success that is no answer of this provider's comes to. */
  readonly garbage: object;
  /** Of the tokens, what a provider leaves alive whose grant was withdrawn. */
  readonly left?: readonly string[];
}

const UNREADABLE = retry('status 200');
const WRONG_SECRET = { environment: { FAKE_SECRET: 'wrong' } };
const WRONG_CLIENT = (preset: string) => ({ settings: { ...settingsOf(preset), client_id: 'wrong' } });

const DOCUMENTED: Readonly<Record<string, Documented>> = {
  google: {
    calls: ['POST oauth2.googleapis.com/revoke', 'POST oauth2.googleapis.com/revoke'],
    dead: 'no_token', // it can be dead for several reasons: the grant may live
    garbage: done('revoked'),
  },
  facebook: {
    calls: [`DELETE graph.facebook.com/v23.0/${MOCK_SID}/permissions`],
    dead: 'revoked', // by the app's own token
    wrong: ours('status 400 appsecret_proof'),
    garbage: UNREADABLE,
  },
  apple: {
    calls: ['POST appleid.apple.com/auth/revoke', 'POST appleid.apple.com/auth/revoke'],
    result: 'accepted_unverified',
    dead: 'accepted_unverified',
    wrong: ours('status 400 invalid_client'),
    garbage: done('accepted_unverified'),
  },
  github: {
    calls: [`DELETE api.github.com/applications/${MOCK_CLIENT_ID}/grant`],
    dead: 'no_token', // it can be dead for several reasons: the grant may live
    wrong: ours('status 401'),
    garbage: done('revoked'),
  },
  gitlab: {
    calls: ['POST gitlab.com/oauth/revoke', 'POST gitlab.com/oauth/revoke'],
    dead: 'revoked', // RFC 7009: the answer to an unknown token is the same
    wrong: ours('status 403 unauthorized_client'),
    garbage: done('revoked'),
  },
  'vk-id': {
    calls: ['POST id.vk.com/oauth2/revoke'],
    dead: 'no_token', // it can be dead for several reasons: the grant may live
    wrong: ours('status 200 invalid_client'),
    garbage: UNREADABLE,
  },
  yandex: {
    calls: ['POST oauth.yandex.ru/revoke_token'],
    dead: 'revoked', // "successfully revoked or already invalid"
    wrong: ours('status 401 invalid_client'),
    garbage: done('revoked'),
  },
  discord: {
    calls: ['POST discord.com/api/oauth2/token/revoke', 'POST discord.com/api/oauth2/token/revoke'],
    dead: 'revoked', // as at GitLab
    wrong: ours('status 401 invalid_client'),
    garbage: done('revoked'),
  },
  twitch: {
    calls: ['POST id.twitch.tv/oauth2/revoke'],
    dead: 'already_revoked',
    wrong: ours('status 404 client_does_not_exist'),
    garbage: done('revoked'),
    left: [MOCK_TOKENS.refreshToken],
  },
  tcs: {
    calls: ['POST id.tinkoff.ru/auth/revoke', 'POST id.tinkoff.ru/auth/revoke'],
    dead: 'revoked',
    wrong: ours('status 401 invalid_client'),
    garbage: done('revoked'),
  },
  oidc: {
    calls: [
      'GET login.example/realm/.well-known/openid-configuration',
      ...['POST api.login.example/revocation', 'POST api.login.example/revocation'],
    ],
    dead: 'revoked',
    wrong: ours('status 401 invalid_client'),
    garbage: done('revoked'),
  },
};

describe.each(Object.entries(DOCUMENTED))(
  '%s',
  (name, { calls, result = 'revoked', dead, wrong, garbage, left = [] }) => {
    test('withdraws the grant, at its own host alone', async () => {
      const mock = await start(name);

      expect(await revokeAt(name, { send: mock.send })).toEqual(done(result));

      expect(mock.calls).toEqual(calls);
      expect([...mock.grant.access, ...mock.grant.refresh]).toEqual(left);
    });

    test('says what it says of tokens that were dead before', async () => {
      const mock = await start(name);
      expect(await revokeAt(name, { send: mock.send, tokens: DEAD })).toEqual(done(dead));
    });

    // One of them wants to know no client.
    const unknown = wrong === undefined ? [] : [wrong];
    for (const expected of unknown) {
      test('does not know our client: an operator has to look, and nothing is lost', async () => {
        const mock = await start(name);
        const run = ['vk-id', 'twitch', 'apple'].includes(name) ? WRONG_CLIENT(name) : WRONG_SECRET;

        expect(await revokeAt(name, { send: mock.send, ...run })).toEqual(expected);

        expect(mock.grant.access).toContain(MOCK_TOKENS.accessToken);
      });
    }

    test.each([429, 503])('puts us off (%i), as long as it says', async (status) => {
      const mock = await start(name);
      const at = calls.at(-1) ?? '';

      mock.trouble = { at, reply: { status, headers: { 'Retry-After': '120' } } };
      expect(await revokeAt(name, { send: mock.send })).toEqual(retry(`status ${status}`, 120_000));

      mock.trouble = undefined;
      expect(await revokeAt(name, { send: mock.send, attempt: 2 })).toEqual(done(result));
    });

    test('answers with what is none of its answers', async () => {
      const mock = await start(name);
      mock.trouble = { at: calls.at(-1) ?? '', reply: { status: 200, body: '<html>sign in to the café Wi-Fi</html>' } };
      expect(await revokeAt(name, { send: mock.send })).toEqual(garbage);
    });

    test('leads elsewhere, and is not followed', async () => {
      const mock = await start(name);
      mock.trouble = {
        at: calls.at(-1) ?? '',
        reply: { status: 307, headers: { Location: 'https://elsewhere.example' } },
      };
      expect(await revokeAt(name, { send: mock.send })).toEqual(retry('outgoing: redirected'));
    });

    test('is called by https alone, and at no host but those of its documentation', async () => {
      const urls: URL[] = [];
      const mock = await start(name);
      const send: Send = (request) => {
        urls.push(new URL(request.url));
        return mock.send(request);
      };

      await revokeAt(name, { send });

      expect(urls.map(({ protocol, host }) => `${protocol}//${host}`)).toEqual(
        calls.map((call) => `https://${call.split(' ')[1]?.split('/')[0]}`),
      );
    });
  },
);

/** Withdraws with a token that is no longer good. */
describe.each([
  ['github', 'POST github.com/login/oauth/access_token'],
  ['vk-id', 'POST id.vk.com/oauth2/auth'],
  ['yandex', 'POST oauth.yandex.ru/token'],
  ['twitch', 'POST id.twitch.tv/oauth2/token'],
])('%s wants a live access token', (name, refresh) => {
  const revocation = DOCUMENTED[name]?.calls[0] ?? '';
  const withoutExpiry = { ...LIVE, accessTokenExpiresAt: undefined };

  test.each([
    ['has expired', EXPIRED],
    ['expires too soon', { ...LIVE, accessTokenExpiresAt: START_MS + 30_000 }],
    ['may have expired', withoutExpiry],
    ['is missing', { ...EXPIRED, accessToken: undefined }],
  ])('one that %s is refreshed, and what is refreshed is revoked with it', async (_, tokens) => {
    const mock = await start(name);

    expect(await revokeAt(name, { send: mock.send, tokens })).toEqual(done('revoked'));

    expect(mock.calls).toEqual([refresh, revocation]);
    expect(mock.grant.access).toEqual(new Set());
  });

  test('one that has expired and cannot be refreshed is none', async () => {
    const mock = await start(name);
    const tokens = { ...EXPIRED, refreshToken: undefined };
    expect(await revokeAt(name, { send: mock.send, tokens })).toEqual(done('no_token'));
    expect(mock.calls).toEqual([]);
  });

  test('one that may live is tried, if it cannot be refreshed', async () => {
    const mock = await start(name);
    const tokens = { ...withoutExpiry, refreshToken: undefined };
    expect(await revokeAt(name, { send: mock.send, tokens })).toEqual(done('revoked'));
    expect(mock.calls).toEqual([revocation]);
  });

  test('one that may live is tried, if the refresh token is dead', async () => {
    const mock = await start(name);
    const tokens = { ...withoutExpiry, refreshToken: 'dead' };
    expect(await revokeAt(name, { send: mock.send, tokens })).toEqual(done('revoked'));
    expect(mock.calls).toEqual([refresh, revocation]);
  });

  test('both dead: of a grant, that does not say that it was withdrawn', async () => {
    const mock = await start(name);
    const tokens = { ...EXPIRED, refreshToken: 'dead' };
    const isOfGrant = CATALOGUE[name]?.revocation?.protocol.effect === 'grant';
    expect(await revokeAt(name, { send: mock.send, tokens })).toEqual(done(isOfGrant ? 'no_token' : 'already_revoked'));
    expect(mock.calls).toEqual([refresh]);
  });

  test('a refresh token that an earlier try may have spent proves nothing', async () => {
    const mock = await start(name);
    mock.trouble = { at: revocation, reply: { status: 500 } };
    expect(await revokeAt(name, { send: mock.send, tokens: EXPIRED })).toEqual(retry('status 500'));
    mock.trouble = undefined;

    expect(await revokeAt(name, { send: mock.send, tokens: EXPIRED, attempt: 2 })).toEqual(
      failed('the refresh token is dead, by an earlier try perhaps'),
    );
    expect(mock.grant.access.size).toBe(1);
  });

  test('a refresh is put off, as long as the provider says', async () => {
    const mock = await start(name);
    mock.trouble = { at: refresh, reply: { status: 429, headers: { 'Retry-After': '60' } } };
    expect(await revokeAt(name, { send: mock.send, tokens: EXPIRED })).toEqual(retry('status 429', 60_000));
    expect(mock.calls).toEqual([refresh]);
  });

  test('a refresh that refuses our client is for an operator', async () => {
    const mock = await start(name);
    const wrong = name === 'vk-id' ? WRONG_CLIENT(name) : WRONG_SECRET;
    expect(await revokeAt(name, { send: mock.send, tokens: EXPIRED, ...wrong })).toMatchObject({ isOurFault: true });
  });

  test.each(['<html>', '[]', '{}', '{"access_token":1}', '{"access_token":"a b"}'])(
    'a refresh that brings %s is tried again',
    async (body) => {
      const mock = await start(name);
      mock.trouble = { at: refresh, reply: { status: 200, body } };
      expect(await revokeAt(name, { send: mock.send, tokens: EXPIRED })).toEqual(retry('status 200'));
    },
  );
});

describe('traps', () => {
  test('VK ID refreshes for the device that the tokens were issued to, and for no other', async () => {
    const mock = await start('vk-id');
    const tokens = { ...EXPIRED, deviceId: undefined };
    expect(await revokeAt('vk-id', { send: mock.send, tokens })).toEqual(done('no_token'));
    expect(await revokeAt('vk-id', { send: mock.send, tokens: { ...EXPIRED, deviceId: 'other' } })).toEqual(
      failed('status 200 invalid_request'),
    );
  });

  test.each(['slow_down', 'server_error', 'temporarily_unavailable'])('VK ID says 200 and %s', async (error) => {
    expect(await revokeAt('vk-id', { send: answering({ status: 200, body: { error } }) })).toEqual(
      retry(`status 200 ${error}`),
    );
  });

  test('Twitch refreshes with a secret alone, which its revocation does without', async () => {
    const mock = await start('twitch');
    const settings = { preset: 'twitch', client_id: MOCK_CLIENT_ID };
    expect(await revokeAt('twitch', { send: mock.send, settings })).toEqual(done('revoked'));
    expect(await revokeAt('twitch', { send: mock.send, settings, tokens: EXPIRED })).toEqual(done('no_token'));
  });

  test('Yandex revokes no token that was not issued to a device', async () => {
    const mock = await start('yandex');
    const tokens = { ...LIVE, accessToken: TOKEN_WITHOUT_DEVICE };
    expect(await revokeAt('yandex', { send: mock.send, tokens })).toEqual(done('unsupported'));
  });

  test("Yandex's invalid_grant is not a dead token, but one of another application", async () => {
    const mock = await start('yandex');
    const tokens = { ...LIVE, accessToken: TOKEN_OF_ANOTHER };
    expect(await revokeAt('yandex', { send: mock.send, tokens })).toEqual(ours('status 400 invalid_grant'));
  });

  test.each([true, { success: true }])('Facebook says %j', async (body) => {
    expect(await revokeAt('facebook', { send: answering({ status: 200, body }) })).toEqual(done('revoked'));
  });

  test.each([false, { success: false }, [], null])('Facebook says %j, which is no success', async (body) => {
    expect(await revokeAt('facebook', { send: answering({ status: 200, body }) })).toEqual(retry('status 200'));
  });

  const withoutSecret = { settings: { preset: 'facebook', client_id: MOCK_CLIENT_ID } };

  // https://developers.facebook.com/docs/graph-api/guides/error-handling: removed, checkpoint, new password, expired, none.
  test.each<[number | undefined, string]>([
    [458, 'already_revoked'],
    [459, 'no_token'],
    [460, 'no_token'],
    [463, 'no_token'],
    [467, 'no_token'],
    [undefined, 'no_token'],
  ])("Facebook's code 190 with subcode %s, without a secret, is %s", async (error_subcode, result) => {
    const send = answering({ status: 400, body: { error: { code: 190, error_subcode, type: 'OAuthException' } } });
    expect(await revokeAt('facebook', { send, tokens: DEAD, ...withoutSecret })).toEqual(done(result));
    expect(send.urls).toHaveLength(1);
  });

  test('a user who has removed the application is believed at once', async () => {
    const mock = await start('facebook');
    mock.grant.end();
    expect(await revokeAt('facebook', { send: mock.send, tokens: DEAD })).toEqual(done('already_revoked'));
    expect(mock.calls).toHaveLength(1);
  });

  test("where the app's own token decides, its failure is the result", async () => {
    const mock = await start('facebook');
    let calls = 0;
    const send: Send = async (request) => {
      calls += 1;
      if (calls === 1) return mock.send(request);
      return { status: 400, headers: {}, body: Buffer.from(JSON.stringify({ error: { code: 10 } })) };
    };
    expect(await revokeAt('facebook', { send, tokens: DEAD })).toEqual(failed('status 400 code_10'));
    expect(calls).toBe(2);
  });

  test.each(['twitch', 'vk-id', 'github'])(
    '%s: a token that is dead before its time is refreshed, and that is revoked',
    async (name) => {
      const mock = await start(name);
      mock.grant.access.clear();
      expect(await revokeAt(name, { send: mock.send, tokens: { ...LIVE, accessToken: 'dead' } })).toEqual(
        done('revoked'),
      );
      expect(mock.calls).toHaveLength(3);
    },
  );

  test.each<[number, object]>([
    [4, retry('status 400 code_4')],
    [2, retry('status 400 code_2')],
    [613, retry('status 400 code_613')],
    [101, ours('status 400 code_101')],
    [100, failed('status 400 code_100')],
    [10, failed('status 400 code_10')],
  ])("Facebook's code %i", async (code, expected) => {
    const send = answering({ status: 400, body: { error: { code, message: 'a sentence', type: 'OAuthException' } } });
    expect(await revokeAt('facebook', { send, ...withoutSecret })).toEqual(expected);
  });

  test('the id of an account cannot lead to another path', async () => {
    const send = answering({ status: 200, body: true });
    const { requestOf } = CATALOGUE.facebook?.revocation?.protocol ?? {};
    const client = { endpoint: 'https://graph.facebook.com/v23.0', clientId: 'c', authMethod: 'none' } as const;
    const url = requestOf?.({ token: 't', sid: '../me?x=#', client }).url ?? '';
    expect(new URL(url).pathname).toBe('/v23.0/..%2Fme%3Fx%3D%23/permissions');
    expect(send.urls).toEqual([]);
  });

  const secondsFromNow = (seconds: number) => `${START_MS / 1000 + seconds}`;
  test.each<[string, Record<string, string>, object]>([
    [
      'the primary limit',
      { 'X-RateLimit-Remaining': '0', 'X-RateLimit-Reset': secondsFromNow(90) },
      retry('status 403', 90_000),
    ],
    ['a secondary limit', { 'Retry-After': '60' }, retry('status 403', 60_000)],
    ['no limit', { 'X-RateLimit-Remaining': '59', 'X-RateLimit-Reset': secondsFromNow(90) }, ours('status 403')],
  ])('GitHub refuses by 403: %s', async (_, headers, expected) => {
    const mock = await start('github');
    mock.trouble = { at: 'DELETE', reply: { status: 403, headers } };
    expect(await revokeAt('github', { send: mock.send })).toEqual(expected);
  });

  test('GitHub cannot make anything of what it was sent', async () => {
    expect(await revokeAt('github', { send: answering({ status: 422 }) })).toEqual(failed('status 422'));
  });

  test('Apple gets a new secret for each try, and never the key', async () => {
    const mock = await start('apple');
    await revokeAt('apple', { send: mock.send });
    const secrets = mock.seen.map(({ form }) => form.get('client_secret'));
    expect(new Set(secrets).size).toBe(1);
    expect(secrets[0]).toMatch(/^eyJ/);
    expect(mock.seen.map(({ form }) => form.get('token_type_hint'))).toEqual(['refresh_token', 'access_token']);
  });

  test('a refresh token that is dead does not keep an access token alive, where both are answered alike', async () => {
    const mock = await start('discord');
    const tokens = { ...LIVE, refreshToken: 'dead' };
    expect(await revokeAt('discord', { send: mock.send, tokens })).toEqual(done('revoked'));
    expect(mock.grant.access.size).toBe(0);
  });

  test('GitLab may be anywhere, and its page with it', async () => {
    const mock = await start('gitlab');
    const settings = { ...settingsOf('gitlab'), issuer: 'https://git.example/gitlab/' };
    expect(await revokeAt('gitlab', { send: mock.send, settings })).toEqual(done('revoked'));
    expect(mock.calls).toEqual(Array(2).fill('POST git.example/gitlab/oauth/revoke'));
    const [provider] = readRows([{ type: 'gitlab', name: 'one', revocation: settings }]);
    expect(provider?.manageUrl).toBe('https://git.example/gitlab/-/user_settings/applications');
  });

  const metadata = 'GET login.example/realm/.well-known';
  test.each<[string, MockReply, object]>([
    ['no revocation endpoint', { status: 200, body: { issuer: OIDC_ISSUER } }, done('unsupported')],
    ['another issuer', { status: 200, body: { issuer: 'https://evil.example' } }, retry('outgoing: malformed')],
    [
      'an endpoint on this machine',
      { status: 200, body: { issuer: OIDC_ISSUER, revocation_endpoint: 'http://127.0.0.1/x' } },
      retry('outgoing: malformed'),
    ],
    [
      'an endpoint that is no URL',
      { status: 200, body: { issuer: OIDC_ISSUER, revocation_endpoint: 'x' } },
      retry('outgoing: malformed'),
    ],
    ['nothing', { status: 404 }, retry('outgoing: malformed')],
    ['no JSON', { status: 200, body: '<html>' }, retry('outgoing: malformed')],
  ])('an OpenID provider whose metadata names %s', async (_, reply, expected) => {
    const mock = await start('oidc');
    mock.trouble = { at: metadata, reply };
    expect(await revokeAt('oidc', { send: mock.send })).toEqual(expected);
    expect(mock.calls).toHaveLength(1);
  });
});

describe('a grant that another link has too', () => {
  const project = (number: string) => ({ preset: 'google', client_id: `${number}-abc.apps.googleusercontent.com` });
  const google = (name: string, revocation: object) => ({ type: 'google', name, revocation });
  const others = [
    google('same-project', { preset: 'google', client_id: '1234-other.apps.googleusercontent.com' }),
    google('other-project', project('99')),
    { type: 'google', name: 'binds', bind: project('1234') },
    { type: 'vk', name: 'vk_1', revocation: { preset: 'vk-id', client_id: '1234' } },
  ];
  const settings = project('1234');
  const at = (fpName: string) => ({ fpType: 'google', fpName, sid: MOCK_SID });

  test('is left alone: it is asked of the whole Google project, of which the client id tells', async () => {
    const mock = await start('google');
    const asked: (readonly ExternalIdentity[])[] = [];
    const isStillLinked: IsStillLinked = async (identities) => asked.push(identities) > 0;

    expect(await revokeAt('google', { send: mock.send, settings, others, isStillLinked })).toEqual(
      done('skipped_shared_grant'),
    );

    expect(asked).toEqual([[at('one'), at('same-project'), at('binds')]]);
    expect(mock.calls).toEqual([]);
  });

  test('is withdrawn with the last of them', async () => {
    const mock = await start('google');
    expect(await revokeAt('google', { send: mock.send, settings, others })).toEqual(done('revoked'));
  });

  test.each(NAMES.filter((name) => !UNSUPPORTED.includes(name)))(
    '%s: asked where a token takes the grant with it',
    async (name) => {
      const effect = CATALOGUE[name]?.revocation?.protocol.effect;
      const send = answering({ status: 500 });
      const attempt = await revokeAt(name, { send, isStillLinked: async () => true });
      if (effect === 'grant') expect(attempt).toEqual(done('skipped_shared_grant'));
      else expect(attempt).toMatchObject({ status: 'retry' });
    },
  );

  test('is not withdrawn while the directory cannot say', async () => {
    const mock = await start('google');
    const isStillLinked = () => Promise.reject(new StoreUnavailable('timed_out'));
    expect(await revokeAt('google', { send: mock.send, isStillLinked })).toMatchObject({ status: 'retry' });
    expect(await revokeAt('google', { send: mock.send, isStillLinked: undefined })).toEqual(
      ours('nobody can say whether another link has the grant'),
    );
    expect(mock.calls).toEqual([]);
  });

  test('a defect is not taken for an answer', async () => {
    const isStillLinked = () => Promise.reject(new Error('defect'));
    await expect(revokeAt('google', { send: answering({ status: 200 }), isStillLinked })).rejects.toThrow('defect');
  });
});

describe('what no vendor has documented is told no better than it is known', () => {
  test.each<[string, string, MockReply, object]>([
    ['slack', 'revoked', { status: 200, body: { ok: true, revoked: true } }, done('revoked')],
    ['slack', 'a dry run', { status: 200, body: { ok: true, revoked: false } }, retry('status 200')],
    ['slack', 'token_revoked', { status: 200, body: { ok: false, error: 'token_revoked' } }, done('already_revoked')],
    [
      'slack',
      'invalid_auth',
      { status: 200, body: { ok: false, error: 'invalid_auth' } },
      failed('status 200 invalid_auth'),
    ],
    [
      'slack',
      'ratelimited',
      { status: 429, body: { ok: false, error: 'ratelimited' }, headers: { 'retry-after': '30' } },
      retry('status 429 ratelimited', 30_000),
    ],
    ['slack', 'no JSON', { status: 200, body: 'ok' }, retry('status 200')],
    ['x', 'revoked', { status: 200, body: { revoked: true } }, done('revoked')],
    ['x', 'anything', { status: 200, body: {} }, done('accepted_unverified')],
    [
      'x',
      'a wrong client',
      { status: 401, body: { error: 'unauthorized_client' } },
      ours('status 401 unauthorized_client'),
    ],
    ['linkedin', 'anything', { status: 200 }, done('accepted_unverified')],
    [
      'linkedin',
      'a wrong client',
      { status: 401, body: { error: 'invalid_client' } },
      ours('status 401 invalid_client'),
    ],
    ['sberbusiness', 'revoked', { status: 200 }, done('revoked')],
    ['sberbusiness', 'a wrong client', { status: 401 }, ours('status 401')],
  ])('%s: %s', async (name, _, reply, expected) => {
    expect(await revokeAt(name, { send: answering(reply) })).toEqual(expected);
  });

  test.each([
    ['slack', 'POST https://slack.com/api/auth.revoke'],
    ['x', 'POST https://api.x.com/2/oauth2/revoke'],
    ['linkedin', 'POST https://www.linkedin.com/oauth/v2/revoke'],
    [
      'sberbusiness',
      'POST https://fintech.sberbank.ru:9443/ic/sso/api/v2/oauth/revoke?access_token=access-token-1&client_id=client-1&client_secret=secret-1',
    ],
  ])('%s is called where its clients call it', async (name, url) => {
    const send = answering({ status: 500 });
    await revokeAt(name, { send });
    expect(send.urls).toEqual([url]);
  });

  test('X knows a public client by its id', async () => {
    const bodies: unknown[] = [];
    const send: Send = async ({ body, headers }) => {
      bodies.push([Object.fromEntries(new URLSearchParams(String(body))), headers?.Authorization]);
      return { status: 200, headers: {}, body: Buffer.from('{"revoked":true}') };
    };
    await revokeAt('x', { send, settings: { preset: 'x', client_id: 'public' }, tokens: { accessToken: 'a' } });
    expect(bodies).toEqual([[{ token: 'a', token_type_hint: 'access_token', client_id: 'public' }, undefined]]);
  });
});

describe.each(UNSUPPORTED)('%s offers no way', (name) => {
  const row = { type: name, name: 'one', revocation: { preset: name } };

  test('no job is written for it, and the user is shown where to do it', () => {
    expect(readRows([row])).toMatchObject([
      { revocation: undefined, isIrrevocable: true, manageUrl: expect.stringMatching(/^https:\/\//) },
    ]);
  });

  test('a job from before says so, without a call', async () => {
    const send = answering({ status: 200 });
    expect(await revokeAt(name, { send, settings: row.revocation })).toEqual(done('unsupported'));
    expect(send.urls).toEqual([]);
  });
});

describe('revocation in providers.json', () => {
  const read = (revocation: unknown) => () => readRows([{ type: 'a', name: 'b', revocation }]);
  const client = { client_id: 'c', client_secret_env: 'S' };
  const key = { env: 'K', key_id: 'k', team_id: 't' };

  test.each<[object]>([
    [{ preset: 'google', client_id: 'c' }],
    [{ preset: 'google', ...client }],
    [{ preset: 'github', ...client }],
    [{ preset: 'apple', client_id: 'c', client_secret_key: key }],
    [{ preset: 'oidc', issuer: 'https://login.example', client_id: 'c', auth_method: 'none' }],
    [{ preset: 'oidc', issuer: 'https://login.example', ...client, auth_method: 'client_secret_post' }],
    [{ preset: 'spotify' }],
    [{ endpoint: 'https://a.example', ...client }],
    [{ endpoint: 'https://a.example', client_id: 'c', auth_method: 'none' }],
  ])('is taken: %j', (revocation) => {
    expect(read(revocation)).not.toThrow();
  });

  test.each<[unknown, string]>([
    [{ preset: 'gogle', client_id: 'c' }, 'preset must be one of those in docs/providers.md'],
    [{ preset: 'constructor', client_id: 'c' }, 'preset must be one of those in docs/providers.md'],
    [{ preset: 'google' }, 'client_id must be given'],
    [{ preset: 'github', client_id: 'c' }, 'client_secret_env must be given'],
    [
      { preset: 'github', client_id: 'c', client_secret_env: 'the-secret' },
      'client_secret_env must name a variable, such as GOOGLE_CLIENT_SECRET',
    ],
    [{ preset: 'github', ...client, endpoint: 'https://evil.example' }, 'endpoint is not known there'],
    [
      { preset: 'github', ...client, issuer: 'https://evil.example' },
      'issuer is not for preset github: its host is known',
    ],
    [{ preset: 'github', ...client, auth_method: 'none' }, 'auth_method is not for preset github'],
    [{ preset: 'github', ...client, client_secret_key: key }, 'client_secret_key is not for preset github'],
    [{ preset: 'apple', ...client }, 'client_secret_key must be given with preset apple'],
    [{ preset: 'apple', ...client, client_secret_key: key }, 'client_secret_key is there: no client_secret_env'],
    [{ preset: 'apple', client_id: 'c', client_secret_key: { env: 'K' } }, 'client_secret_key.key_id must be a text'],
    [{ preset: 'oidc', ...client }, 'issuer must be given with preset oidc'],
    [
      { preset: 'oidc', ...client, issuer: 'http://login.example' },
      'issuer must be an https URL, or http to this machine',
    ],
    [
      { preset: 'oidc', ...client, issuer: 'https://login.example', auth_method: 'none' },
      'client_secret_env is not for auth_method none',
    ],
    [{ endpoint: 'https://a.example', client_id: 'c' }, 'client_secret_env must be given'],
    [
      { endpoint: 'https://a.example', ...client, auth_method: 'none' },
      'client_secret_env is not for auth_method none',
    ],
    [{ endpoint: 'ftp://a.example', ...client }, 'endpoint must be an https URL, or http to this machine'],
    [
      { endpoint: 'https://a.example', ...client, auth_method: 'x' },
      'auth_method must be client_secret_basic, client_secret_post or none',
    ],
    ['google', 'it must be an object'],
  ])('%j is refused, and it is said why', (revocation, fault) => {
    expect(read(revocation)).toThrow(`revocation of a:b in providers.json: ${fault}`);
  });

  test.each([
    ['github', { FAKE_SECRET: '' }, 'FAKE_SECRET must be set: providers.json names it'],
    ['apple', { FAKE_KEY: '' }, 'FAKE_KEY must be set: providers.json names it'],
    ['apple', { FAKE_KEY: 'no key' }, 'FAKE_KEY must be a P-256 private key in PEM: providers.json names it'],
  ])('%s: the variable that it names has to hold it', async (name, environment, fault) => {
    await expect(revokeAt(name, { send: answering({ status: 200 }), environment })).rejects.toThrow(fault);
  });

  test("a row's own page goes before the catalogue's", () => {
    const row = { type: 'a', name: 'b', revocation: { preset: 'google', client_id: 'c' } };
    expect(readRows([row])[0]?.manageUrl).toBe('https://myaccount.google.com/connections');
    expect(readRows([{ ...row, manage_url: 'https://own.example/' }])[0]?.manageUrl).toBe('https://own.example/');
  });
});

describe('the catalogue', () => {
  test('has the rows of docs/providers.md, each as well known as it says there, with the same effect', () => {
    const list = readFileSync('docs/providers.md', 'utf8')
      .split('\n## ')
      .find((part) => part.startsWith('The list'));
    const rows = [...(list ?? '').matchAll(/^\| `([\w-]+)` \|(.*)\|$/gm)].map(([, name = '', rest = '']) => {
      const [how = '', , effect, , known] = rest.split('|').map((cell) => cell.trim());
      return { name, how, effect, known };
    });

    expect(rows.map(({ name }) => name)).toEqual(NAMES);
    expect(rows.map(({ name, effect, known }) => [name, effect, known])).toEqual(
      Object.entries(CATALOGUE).map(([name, { known, revocation }]) => [
        name,
        revocation === undefined ? '–' : { token: 'T', grant: 'G' }[revocation.protocol.effect],
        known === 'documented' ? 'vendor' : 'others',
      ]),
    );
    for (const { name, how } of rows) {
      const { endpoint = '', issuer = '' } = CATALOGUE[name]?.revocation ?? {};
      expect(how).toContain(`${issuer}${endpoint}`.replace('https://', ''));
    }
  });

  test('has a mock, and a line of tests, for each that its vendor documents', () => {
    const documented = NAMES.filter((name) => CATALOGUE[name]?.known === 'documented' && !UNSUPPORTED.includes(name));
    expect(Object.keys(PROVIDER_MOCKS).sort()).toEqual([...documented].sort());
    expect(Object.keys(DOCUMENTED).sort()).toEqual([...documented].sort());
    expect(BEST_EFFORT).toEqual(['slack', 'x', 'linkedin', 'sberbusiness']);
  });

  test('has every ready provider of binds, by the same name', () => {
    expect(Object.keys(PRESETS).filter((name) => !NAMES.includes(name))).toEqual([]);
  });
});
