import { beforeEach, describe, expect, test } from 'vitest';
import { createIntrospectionVerifier } from '#shared/access-token/introspection.ts';
import type { Issuer } from '#shared/access-token/issuers.ts';
import type { OutgoingRequest, OutgoingResponse } from '#shared/outgoing/send.ts';

const ISSUER = 'https://auth.example';
const CLIENT = { endpoint: 'https://auth.example/introspect', client_id: 'us', client_secret: 's' };
const NOW_S = 1_800_000_000;
const OPTIONS = { timeoutMs: 4000, traceparent: '00-1-2-01' };

let answer: object;
let status: number;
let nowMs: number;
let sent: OutgoingRequest[];

beforeEach(() => {
  answer = { active: true, token_type: 'Bearer', sub: 'user-1' };
  status = 200;
  nowMs = NOW_S * 1000;
  sent = [];
});

/** What verifies by asking an issuer that answers so. */
const verifierFor = (audience?: string | string[], more: Partial<Issuer> = {}) =>
  createIntrospectionVerifier({ issuer: ISSUER, audience, grant: { claim: 'grant_id' }, ...more }, CLIENT, {
    now: () => nowMs,
    monotonic: () => nowMs,
    send: async (request): Promise<OutgoingResponse> => {
      sent.push(request);
      return { status, headers: {}, body: Buffer.from(JSON.stringify(answer)) };
    },
  });

test('asks with the token in a form, as a client, with the trace of the call', async () => {
  await verifierFor()('a&b', OPTIONS);

  expect(sent).toEqual([
    {
      ...{ method: 'POST', url: CLIENT.endpoint, body: 'token=a%26b&token_type_hint=access_token', ...OPTIONS },
      headers: {
        Accept: 'application/json',
        Authorization: `Basic ${Buffer.from('us:s').toString('base64')}`,
        'Content-Type': 'application/x-www-form-urlencoded',
      },
    },
  ]);
});

test('reads the grant that the settings name, and the issuer that was asked', async () => {
  answer = { active: true, token_type: 'Bearer', sub: 'user-1', grant_id: 'g', iss: ISSUER };

  expect(await verifierFor()('a', OPTIONS)).toMatchObject({
    ...{ status: 'verified', token: { issuer: ISSUER, subject: 'user-1', grant: { claim: 'grant_id', value: 'g' } } },
  });
});

describe('an audience', () => {
  test.each<[string | string[] | undefined, unknown, boolean]>([
    [undefined, undefined, true],
    ['us', 'us', true],
    ['us', ['them', 'us'], true],
    [['we', 'us'], 'us', true],
    ['us', 'them', false],
    ['us', undefined, false],
    ['us', [7], false],
    [[], undefined, false],
  ])('of %j is met by %j: %s', async (ours, aud, isMet) => {
    answer = { active: true, token_type: 'Bearer', sub: 'user-1', aud };

    expect(await verifierFor(ours)('a', OPTIONS)).toMatchObject(
      isMet ? { status: 'verified' } : { status: 'refused', reason: 'wrong_audience' },
    );
  });
});

test.each([
  ['Bearer', true],
  ['DPoP', true],
  ['access_token', true],
  ['xbearer', 'wrong_type'],
  ['bearerx', 'wrong_type'],
  ['refresh_token', 'refresh_token'],
  [7, 'wrong_type'],
  [undefined, 'unmarked'],
  [null, 'unmarked'],
  ['', 'unmarked'],
])('the type %j is one of an access token: %s', async (token_type, verdict) => {
  answer = { active: true, sub: 'user-1', token_type };

  expect(await verifierFor()('a', OPTIONS)).toMatchObject(
    verdict === true ? { status: 'verified' } : { status: 'refused', reason: verdict },
  );
});

test.each([
  [200, { error: 'unsupported_token_type' }, 'malformed'],
  [400, { active: true }, 'malformed'],
  [401, { active: true }, 'malformed'],
  [400, [], 'malformed'],
])('%i with %j says nothing of the token', async (given, body, fault) => {
  status = given;
  answer = body;

  await expect(verifierFor()('a', OPTIONS)).rejects.toMatchObject({ fault });
});

describe('what an issuer calls active', () => {
  test('is believed for 30 seconds', async () => {
    const verify = verifierFor();
    const first = await verify('a', OPTIONS);
    nowMs += 29_999;
    expect(await verify('a', OPTIONS)).toBe(first);
    nowMs += 1;
    expect(await verify('a', OPTIONS)).not.toBe(first);
    expect(sent).toHaveLength(2);
  });

  test('is believed no longer than the token lives', async () => {
    answer = { active: true, token_type: 'Bearer', sub: 'user-1', exp: NOW_S + 10 };
    const verify = verifierFor();
    await verify('a', OPTIONS);
    nowMs += 9999;
    await verify('a', OPTIONS);
    expect(sent).toHaveLength(1);
    nowMs += 1;
    await verify('a', OPTIONS);
    expect(sent).toHaveLength(2);
  });

  test.each([
    [59, 'verified'],
    [60, 'inactive'],
  ])('though it expired %i seconds ago is %s', async (seconds, expected) => {
    answer = { active: true, token_type: 'Bearer', sub: 'user-1', exp: NOW_S - seconds };

    expect(await verifierFor()('a', OPTIONS)).toMatchObject({ status: expected });
    expect(await verifierFor()('a', { ...OPTIONS, atAnyTime: true })).toMatchObject({ status: 'verified' });
  });

  test('is of that token alone', async () => {
    const verify = verifierFor();
    await verify('a', OPTIONS);
    answer = { active: false };
    expect(await verify('b', OPTIONS)).toEqual({ status: 'inactive' });
  });

  test('is remembered of a thousand tokens, the oldest of which is forgotten', async () => {
    const verify = verifierFor();
    for (let index = 0; index < 1000; index += 1) await verify(`token-${index}`, OPTIONS);
    await verify('token-0', OPTIONS);
    expect(sent).toHaveLength(1000);
    await verify('one more', OPTIONS);
    await verify('token-1', OPTIONS);
    expect(sent).toHaveLength(1001);
    await verify('token-0', OPTIONS);
    expect(sent).toHaveLength(1002);
  });
});

describe('an answer', () => {
  const asked = async (token: string, more: object, row: Partial<Issuer> = {}, options: object = {}) => {
    answer = { active: true, token_type: 'Bearer', sub: 'user-1', ...more };
    return await verifierFor(undefined, row)(token, { ...OPTIONS, ...options });
  };
  const refused = (reason: string) => ({ status: 'refused', reason });
  const jwtOf = (header: object, claims: object) =>
    `${[{ alg: 'RS256', ...header }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.c2ln`;

  test.each([[null], [''], [[]]])('counts members that are %j as absent', async (nothing) => {
    const silent = {
      jti: nothing,
      username: nothing,
      scope: nothing,
      iss: nothing,
      nonce: nothing,
      exp: nothing,
      scp: ['a'],
    };

    expect(await asked('a', silent)).toEqual({
      status: 'verified',
      token: expect.objectContaining({
        ...{
          subject: 'user-1',
          scopes: ['a'],
          claims: { active: true, token_type: 'Bearer', sub: 'user-1', scp: ['a'] },
        },
      }),
    });
  });

  test('with a time that is text is refused, and the log can say why', async () => {
    expect(await asked('a', { exp: `${NOW_S + 10}` })).toEqual(refused('bad_claims'));
  });

  test('with no subject names no user', async () => {
    expect(await asked('a', { sub: undefined, client_id: 'bot' })).toMatchObject({
      ...{ status: 'verified', token: { subject: undefined, client: 'bot', isApplication: false } },
    });
  });

  test('about a JWT is judged by what is in the JWT too', async () => {
    expect(await asked(jwtOf({}, { tt: 1 }), {})).toEqual(refused('refresh_token'));
    expect(await asked(jwtOf({ typ: 'logout+jwt' }, {}), {})).toEqual(refused('wrong_type'));
    expect(await asked(jwtOf({}, { events: { a: {} } }), {})).toEqual(refused('wrong_type'));
    expect(await asked(jwtOf({ typ: 'at+jwt' }, {}), { token_type: undefined })).toMatchObject({ status: 'verified' });
  });

  test('that says nothing of the kind and has what ID tokens have is of an ID token, if the token is a JWT', async () => {
    const silent = { token_type: undefined, nonce: 'n' };

    expect(await asked(jwtOf({}, {}), silent)).toEqual(refused('id_token'));
    expect(await asked('opaque', silent, { token_type: 'optional' })).toEqual(refused('unmarked'));
  });

  test('that says nothing of the kind is of an ID token if the JWT itself has what ID tokens have', async () => {
    const silent = { token_type: undefined };

    for (const member of ['nonce', 'at_hash', 'c_hash', 's_hash']) {
      expect(await asked(jwtOf({}, { [member]: 'x' }), silent, { token_type: 'optional' })).toEqual(
        refused('id_token'),
      );
    }
    expect(await asked(jwtOf({}, { nonce: 'x' }), {})).toMatchObject({ status: 'verified' });
  });

  test('need not say what the token is where the row says so', async () => {
    expect(await asked('a', { token_type: undefined }, { token_type: 'optional' })).toMatchObject({
      status: 'verified',
    });
  });

  test('is of an access token only if an opaque token begins as the row says', async () => {
    const row = { prefix: 'as_at_' };

    expect(await asked('as_at_1', {}, row)).toMatchObject({ status: 'verified' });
    expect(await asked('as_rt_1', {}, row)).toEqual(refused('row_rule'));
    expect(await asked(jwtOf({}, {}), {}, row)).toMatchObject({ status: 'verified' });
  });

  test('is of an access token only with what the row requires, and without what it forbids', async () => {
    expect(await asked('a', { azp: 'spk' }, { require: ['azp'] })).toMatchObject({ status: 'verified' });
    expect(await asked('a', { azp: '' }, { require: ['azp'] })).toEqual(refused('row_rule'));
    expect(await asked('a', { azp: 'spk' }, { forbid: ['azp'] })).toEqual(refused('row_rule'));
    expect(await asked('a', { azp: null }, { forbid: ['azp'] })).toMatchObject({ status: 'verified' });
    expect(await asked('a', { jti: 'AT.1' }, { jti: /^AT[.]/ })).toMatchObject({ status: 'verified' });
    expect(await asked('a', { jti: 'oar1' }, { jti: /^AT[.]/ })).toEqual(refused('row_rule'));
    expect(await asked('a', {}, { jti: /^AT[.]/ })).toEqual(refused('row_rule'));
  });

  test('is asked for with the hint of who revokes a refresh token, and is not believed for later', async () => {
    const refresh = { token_type: undefined, client_id: 'skill' };
    const known = { status: 'refresh', token: { subject: 'user-1', client: 'skill' } };

    expect(await asked('a', refresh, {}, { refreshTokens: { hint: 'refresh_token' } })).toMatchObject(known);
    expect(await asked('a', refresh, {}, { refreshTokens: { hint: undefined } })).toMatchObject(known);
    expect(await asked('a', refresh)).toEqual(refused('unmarked'));
    expect(sent.map(({ body }) => body)).toEqual([
      ...['token=a&token_type_hint=refresh_token', 'token=a', 'token=a&token_type_hint=access_token'],
    ]);
  });

  test.each<[string, string, object, Partial<Issuer>]>([
    ['by its type', 'a', { token_type: 'refresh_token' }, {}],
    ['by another prefix', 'as_rt_1', {}, { prefix: 'as_at_' }],
    ['without what the row requires', 'a', {}, { require: ['azp'] }],
    ['with another jti', 'a', { jti: 'oar1' }, { jti: /^AT[.]/ }],
  ])('is of a refresh token %s, to who asks for one', async (_title, token, more, row) => {
    const options = { refreshTokens: { hint: undefined } };

    expect(await asked(token, more, row, options)).toMatchObject({ status: 'refresh', token: { subject: 'user-1' } });
    expect(await asked(token, more, row)).toMatchObject({ status: 'refused' });
  });

  test('of a JWT that a rule of the row refuses is of no refresh token', async () => {
    const options = { refreshTokens: { hint: undefined } };

    expect(await asked(jwtOf({}, {}), { azp: 'spk' }, { forbid: ['azp'] }, options)).toEqual(refused('row_rule'));
  });

  test('of an access token is of one to who asks for a refresh token', async () => {
    const options = { refreshTokens: { hint: 'refresh_token' } };

    expect(await asked('a', {}, {}, options)).toMatchObject({ status: 'verified' });
  });
});

test('how long "active" is believed does not follow the wall clock', async () => {
  let wallMs = NOW_S * 1000;
  let monotonicMs = 0;
  const verify = createIntrospectionVerifier({ issuer: ISSUER }, CLIENT, {
    now: () => wallMs,
    monotonic: () => monotonicMs,
    async send(request) {
      sent.push(request);
      return { status, headers: {}, body: Buffer.from(JSON.stringify(answer)) };
    },
  });
  await verify('a', OPTIONS);
  wallMs += 86_400_000;
  await verify('a', OPTIONS);
  expect(sent).toHaveLength(1);
  wallMs -= 2 * 86_400_000;
  monotonicMs += 30_000;
  await verify('a', OPTIONS);
  expect(sent).toHaveLength(2);
});
