import { describe, expect, test } from 'vitest';
import { findLiveToken } from '#shared/grant-revocation/live-token.ts';
import type { GrantTokens, RefreshProtocol, RevocationClient } from '#shared/grant-revocation/revoke-grant.ts';
import type { OutgoingRequest } from '#shared/outgoing/send.ts';
import { answered } from '#test/support/matrix-ports.ts';
import { START_MS, testClient } from '#test/support/outbox-run.ts';

const REFRESH: RefreshProtocol = { endpoint: 'https://provider.example/token', authMethod: 'client_secret_post' };
const DEAD = answered(400, { error: 'invalid_grant' });
const FRESH = answered(200, { access_token: 'fresh' });

/** What is found at a provider that answers a refresh so, and what it was sent. */
async function find(
  tokens: GrantTokens,
  {
    refresh = REFRESH,
    answer = FRESH,
    isRepeated = false,
    more = {},
  }: {
    refresh?: RefreshProtocol | undefined;
    answer?: ReturnType<typeof answered>;
    isRepeated?: boolean;
    more?: Partial<RevocationClient>;
  } = {},
) {
  const sent: Omit<OutgoingRequest, 'timeoutMs'>[] = [];
  const ask = async (request: Omit<OutgoingRequest, 'timeoutMs'>) => {
    sent.push(request);
    return answer;
  };
  const client = { ...testClient('https://provider.example/revoke'), protocol: { effect: 'grant', refresh }, ...more };
  const found = await findLiveToken(tokens, client as RevocationClient, { ask, isRepeated, now: () => START_MS });
  return { found, forms: sent.map(({ body }) => Object.fromEntries(new URLSearchParams(String(body)))), sent };
}

const OLD = { accessToken: 'old', refreshToken: 'r', accessTokenExpiresAt: START_MS + 60_000 };

describe('a token that lives', () => {
  test('is the one that is known, if it does so for more than a minute', async () => {
    expect(await find({ ...OLD, accessTokenExpiresAt: START_MS + 60_001 })).toMatchObject({ found: 'old', sent: [] });
  });

  test('is a fresh one, if the known one ends within a minute', async () => {
    const { found, sent, forms } = await find(OLD);

    expect(found).toBe('fresh');
    expect(sent).toMatchObject([{ method: 'POST', url: REFRESH.endpoint }]);
    const credentials = { client_id: 'our client', client_secret: 'its:secret' };
    expect(forms).toEqual([{ grant_type: 'refresh_token', refresh_token: 'r', ...credentials }]);
  });

  test.each<[string, GrantTokens]>([
    ['the time of the known one is not known', { accessToken: 'old', refreshToken: 'r' }],
    ['none is known, whatever its time', { refreshToken: 'r', accessTokenExpiresAt: START_MS + 3_600_000 }],
  ])('is a fresh one, if %s', async (_title, tokens) => {
    expect((await find(tokens)).found).toBe('fresh');
  });

  const NO_TOKEN = { status: 'done', result: 'no_token' };
  test.each<[string, GrantTokens, Parameters<typeof find>[1], unknown]>([
    ['no refresh token, the other may live', { accessToken: 'old' }, {}, 'old'],
    ['no refresh token, the other has ended', { accessToken: 'old', accessTokenExpiresAt: START_MS }, {}, NO_TOKEN],
    ['no token at all', {}, {}, NO_TOKEN],
    ['no way to refresh', OLD, { more: { protocol: { effect: 'grant' } } }, NO_TOKEN],
    ['no protocol', OLD, { more: { protocol: undefined } }, NO_TOKEN],
    ['no secret that a refresh takes', OLD, { more: { clientSecret: undefined } }, NO_TOKEN],
    ['no device that a refresh takes', OLD, { refresh: { ...REFRESH, needsDevice: true } }, NO_TOKEN],
  ])('is not asked for with %s', async (_title, tokens, options, expected) => {
    expect(await find(tokens, options)).toMatchObject({ found: expected, sent: [] });
  });

  test('is asked for without a secret where a refresh takes none', async () => {
    const refresh = { ...REFRESH, authMethod: 'none' } as const;
    const { found, forms } = await find(OLD, { refresh, more: { clientSecret: undefined } });

    expect(found).toBe('fresh');
    expect(forms).toEqual([{ grant_type: 'refresh_token', refresh_token: 'r', client_id: 'our client' }]);
  });

  test('is asked for the device where a refresh takes one, with a state that is new each time', async () => {
    const options = { refresh: { ...REFRESH, needsDevice: true } };
    const [first, second] = [
      await find({ ...OLD, deviceId: 'd' }, options),
      await find({ ...OLD, deviceId: 'd' }, options),
    ].map(({ forms }) => forms[0]);

    expect(first).toMatchObject({ device_id: 'd', state: expect.stringMatching(/^[0-9a-f]{32}$/) });
    expect(second?.state).not.toBe(first?.state);
  });

  test('is asked for without the device where a refresh takes none', async () => {
    expect((await find({ ...OLD, deviceId: 'd' })).forms[0]).not.toHaveProperty('device_id');
  });
});

describe('a refresh', () => {
  const ours = (error: string) => ({ status: 'retry', error: `status 400 ${error}`, isOurFault: true });
  const retry = (error: string) => ({ status: 'retry', error: `status 400 ${error}`, retryAfterMs: undefined });
  // It is of a grant, which may live.
  const dead = { status: 'done', result: 'no_token' };

  test.each<[object, object]>([
    [{ error: 'invalid_grant' }, dead],
    [{ error: 'invalid_token' }, dead],
    [{ error: 'bad_refresh_token' }, dead],
    [{ error: 'invalid_refresh_token' }, dead],
    [{ message: 'Invalid refresh token' }, dead],
    [{ error: 'invalid_grant', message: 'slow down' }, dead],
    [{ error: 'incorrect_client_credentials' }, ours('incorrect_client_credentials')],
    [{ error: 'invalid_client_secret' }, ours('invalid_client_secret')],
    [{ error: 'slow_down' }, retry('slow_down')],
    [{ error: 'server_error' }, retry('server_error')],
    [{ error: 'temporarily_unavailable' }, retry('temporarily_unavailable')],
    [{ error: 'other' }, { status: 'failed', error: 'status 400 other' }],
  ])('that is answered %j says what has become of the grant', async (body, expected) => {
    expect((await find(OLD, { answer: answered(400, body) })).found).toEqual(expected);
  });

  test.each([{}, [], { access_token: '' }, { access_token: 7 }, { access_token: ' a' }, { access_token: 'a\n' }])(
    'is no success with %j',
    async (body) => {
      expect((await find(OLD, { answer: answered(200, body) })).found).toMatchObject({ status: 'retry' });
    },
  );

  test('gets a token of 8192 characters, and no longer one', async () => {
    const answer = (length: number) => answered(200, { access_token: 'x'.repeat(length) });

    expect((await find(OLD, { answer: answer(8192) })).found).toBe('x'.repeat(8192));
    expect((await find(OLD, { answer: answer(8193) })).found).toMatchObject({ status: 'retry' });
  });

  test('whose token is dead leaves one that may live', async () => {
    expect((await find({ accessToken: 'old', refreshToken: 'r' }, { answer: DEAD })).found).toBe('old');
  });

  test('whose token is dead proves nothing after a try before', async () => {
    expect((await find(OLD, { answer: DEAD, isRepeated: true })).found).toEqual({
      ...{ status: 'failed', error: 'the refresh token is dead, by an earlier try perhaps' },
    });
  });

  test('that is put off is so, though the known token may live', async () => {
    const answer = answered(503, {});

    expect((await find({ accessToken: 'old', refreshToken: 'r' }, { answer })).found).toMatchObject({
      ...{ status: 'retry', error: 'status 503' },
    });
  });
});
