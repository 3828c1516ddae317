import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import {
  type GrantTokens,
  type RevocationAttempt,
  type RevocationClient,
  revokeGrant,
} from '#shared/grant-revocation/revoke-grant.ts';
import { send } from '#shared/outgoing/send.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { START_MS, testClient } from '#test/support/outbox-run.ts';

/** What a provider answers. */
interface Reply {
  readonly status: number;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a provider was sent. */
interface Sent {
  readonly method: string | undefined;
  readonly authorization: string | undefined;
  readonly type: string | undefined;
  readonly form: Readonly<Record<string, string>>;
}

const BOTH = { refreshToken: 'r', accessToken: 'a' };
const OK: Reply = { status: 200 };
const refusal = (error: string, status = 400): Reply => ({ status, body: JSON.stringify({ error }) });

/** A real provider that gives its replies by the token's name, and what it was sent. */
async function startProvider(replies: Readonly<Record<string, Reply>>) {
  const sent: Sent[] = [];
  const endpoint = await startHttpServer(async (request, response) => {
    const form = Object.fromEntries(new URLSearchParams(await text(request)));
    const { authorization, 'content-type': type } = request.headers;
    sent.push({ method: request.method, authorization, type, form });
    const { status, headers = {}, body } = replies[form.token ?? ''] ?? { status: 404 };
    response.writeHead(status, headers).end(body);
  });
  return { sent, endpoint };
}

/** Revokes at a provider with these replies. */
async function revoke(
  tokens: GrantTokens,
  replies: Readonly<Record<string, Reply>>,
): Promise<{ attempt: RevocationAttempt; order: (string | undefined)[] }> {
  const { sent, endpoint } = await startProvider(replies);
  const attempt = await revokeGrant(tokens, testClient(endpoint), { send, timeoutMs: 5000, now: () => START_MS });
  return { attempt, order: sent.map(({ form }) => form.token_type_hint) };
}

const done = (result: string) => ({ status: 'done', result });
const failed = (error: string) => ({ status: 'failed', error });
const retry = (error: string) => ({ status: 'retry', error });

describe('the tokens of a grant', () => {
  test('are revoked one after the other, the refresh token first', async () => {
    expect(await revoke(BOTH, { r: OK, a: OK })).toEqual({
      attempt: done('revoked'),
      order: ['refresh_token', 'access_token'],
    });
  });

  test.each([
    ['refresh_token', { refreshToken: 'r' }],
    ['access_token', { accessToken: 'a' }],
  ])('may be the %s alone', async (hint, tokens) => {
    expect(await revoke(tokens, { r: OK, a: OK })).toEqual({ attempt: done('revoked'), order: [hint] });
  });

  test('may be none: nothing is sent', async () => {
    expect(await revoke({}, {})).toEqual({ attempt: done('no_token'), order: [] });
  });

  test.each([
    ['both revoked', OK, OK, done('revoked')],
    ['the access token dies with the refresh token', OK, refusal('invalid_token'), done('revoked')],
    ['access tokens are not revoked there', OK, refusal('unsupported_token_type'), done('revoked')],
    ['the access token is refused', OK, refusal('invalid_request'), done('revoked')],
    ['refresh tokens are not revoked there', refusal('unsupported_token_type'), OK, done('revoked')],
    ['a repetition of a try whose answer was lost', refusal('invalid_token'), OK, done('revoked')],
    ['both were dead', refusal('invalid_token'), refusal('invalid_token'), done('already_revoked')],
    [
      'the one was dead, the other is not revoked there',
      refusal('invalid_token'),
      refusal('unsupported_token_type'),
      done('already_revoked'),
    ],
    [
      'the one is not revoked there, the other was dead',
      refusal('unsupported_token_type'),
      refusal('invalid_token'),
      done('already_revoked'),
    ],
    [
      'neither is revoked there',
      refusal('unsupported_token_type'),
      refusal('unsupported_token_type'),
      done('unsupported'),
    ],
    [
      'the one is not revoked there, the other refused',
      refusal('unsupported_token_type'),
      refusal('invalid_request'),
      failed('status 400 invalid_request'),
    ],
    ['the refresh token is refused', refusal('invalid_request'), OK, failed('status 400 invalid_request')],
    ['the access token has to wait', OK, { status: 503 }, retry('status 503')],
  ])('come to one result: %s', async (_, r, a, expected) => {
    expect(await revoke(BOTH, { r, a })).toEqual({ attempt: expected, order: ['refresh_token', 'access_token'] });
  });

  test('wait together: the access token is not sent before the refresh token has its answer', async () => {
    expect(await revoke(BOTH, { r: { status: 500 }, a: OK })).toEqual({
      attempt: retry('status 500'),
      order: ['refresh_token'],
    });
  });

  test('share one deadline', async () => {
    const endpoint = await startHttpServer(() => {}); // never answers
    const startedAt = performance.now();
    const attempt = await revokeGrant(BOTH, testClient(endpoint), { send, timeoutMs: 100 });
    expect(attempt).toEqual(retry('outgoing: timed_out'));
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});

/** RFC 7009, section 2.2, and HTTP: what each answer to one token comes to. */
describe('an answer', () => {
  const ours = (error: string) => ({ status: 'retry', error, isOurFault: true });

  test.each<[string, Reply, object]>([
    ['200', OK, done('revoked')],
    ['200 with anything at all', { status: 200, body: '<html>{"error":"invalid_client"}' }, done('revoked')],
    ['200 with an error', refusal('invalid_token', 200), done('revoked')],
    ['204', { status: 204 }, done('revoked')],
    ['400 invalid_token', refusal('invalid_token'), done('already_revoked')],
    ['400 invalid_grant', refusal('invalid_grant'), done('already_revoked')],
    ['400 unsupported_token_type', refusal('unsupported_token_type'), done('unsupported')],
    ['400 invalid_request', refusal('invalid_request'), failed('status 400 invalid_request')],
    ['400 without a reason', { status: 400 }, failed('status 400')],
    ['400 with a reason out of the alphabet', refusal('see "access-1"'), failed('status 400')],
    ['400 invalid_client', refusal('invalid_client'), ours('status 400 invalid_client')],
    ['400 unauthorized_client', refusal('unauthorized_client'), ours('status 400 unauthorized_client')],
    ['401', { status: 401 }, ours('status 401')],
    ['401 invalid_client', refusal('invalid_client', 401), ours('status 401 invalid_client')],
    ['401 invalid_token', refusal('invalid_token', 401), ours('status 401 invalid_token')],
    ['403', { status: 403 }, ours('status 403')],
    ['404', { status: 404 }, failed('status 404')],
    ['405', { status: 405 }, failed('status 405')],
    ['410', { status: 410 }, failed('status 410')],
    ['408', { status: 408 }, retry('status 408')],
    ['425', { status: 425 }, retry('status 425')],
    ['429', { status: 429 }, retry('status 429')],
    ['429 with a reason', refusal('slow_down', 429), retry('status 429 slow_down')],
    ['500', { status: 500 }, retry('status 500')],
    ['500 with a reason that is not read', refusal('invalid_token', 500), retry('status 500')],
    ['502', { status: 502, body: '<html>' }, retry('status 502')],
    ['503', { status: 503 }, retry('status 503')],
    ['504', { status: 504 }, retry('status 504')],
    ['302', { status: 302, headers: { Location: '/ok' } }, retry('outgoing: redirected')],
    ['a body beyond the cap', { status: 400, body: 'x'.repeat(100_000) }, retry('outgoing: too_large')],
  ])('%s', async (_, reply, expected) => {
    expect((await revoke({ refreshToken: 'r' }, { r: reply })).attempt).toEqual(expected);
  });

  const date = (ms: number) => new Date(ms).toUTCString();
  test.each<[string, string, number | undefined]>([
    ['seconds', '120', 120_000],
    ['no seconds', '0', 0],
    ['seconds beyond a day', '999999999', 86_400_000],
    ['a date', date(START_MS + 90_000), 90_000],
    ['a date that has passed', date(START_MS - 90_000), 0],
    ['a date beyond a day', date(START_MS + 40 * 86_400_000), 86_400_000],
    ['nonsense', 'soon', undefined],
    ['more digits than any pause has', '1'.repeat(400), undefined],
  ])('that names a pause is believed up to a day: %s', async (_, value, retryAfterMs) => {
    for (const status of [429, 503]) {
      const reply = { status, headers: { 'Retry-After': value } };
      const { attempt } = await revoke({ accessToken: 'a' }, { a: reply });
      expect(attempt).toEqual({ status: 'retry', error: `status ${status}`, retryAfterMs });
    }
  });
});

describe('our client authenticates', () => {
  test.each<[RevocationClient['authMethod'], string | undefined, object]>([
    ['client_secret_basic', `Basic ${Buffer.from('our+client:its%3Asecret').toString('base64')}`, {}],
    ['client_secret_post', undefined, { client_id: 'our client', client_secret: 'its:secret' }],
    ['none', undefined, { client_id: 'our client' }],
  ])('by %s', async (authMethod, authorization, fields) => {
    const { sent, endpoint } = await startProvider({ 'a&b=c': OK });

    await revokeGrant({ accessToken: 'a&b=c' }, { ...testClient(endpoint), authMethod }, { send, timeoutMs: 5000 });

    expect(sent).toEqual([
      {
        method: 'POST',
        authorization,
        type: 'application/x-www-form-urlencoded',
        form: { token: 'a&b=c', token_type_hint: 'access_token', ...fields },
      },
    ]);
  });
});

test('what nobody expects is not taken for an answer', async () => {
  const defect = () => Promise.reject(new Error('defect'));
  const revoking = revokeGrant(BOTH, testClient('https://provider.invalid'), { send: defect, timeoutMs: 10 });
  await expect(revoking).rejects.toThrow('defect');
});

test.each<[string, GrantTokens, string]>([
  ['expired, and the only one', { accessToken: 'a', accessTokenExpiresAt: START_MS }, 'no_token'],
  ['alive by its time', { accessToken: 'a', accessTokenExpiresAt: START_MS + 1 }, 'already_revoked'],
  ['of unknown expiry', { accessToken: 'a' }, 'already_revoked'],
  ['expired, beside a refresh token', { ...BOTH, accessTokenExpiresAt: START_MS }, 'already_revoked'],
])('a dead access token that is %s', async (_name, tokens, result) => {
  const { endpoint } = await startProvider({ a: refusal('invalid_token'), r: refusal('invalid_token') });
  const options = { send, timeoutMs: 2000, now: () => START_MS };
  expect(await revokeGrant(tokens, testClient(endpoint), options)).toEqual({ status: 'done', result });
});
