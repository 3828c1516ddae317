import { beforeEach, describe, expect, test } from 'vitest';
import { createIntrospectionVerifier } from '#shared/access-token/introspection.ts';
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
  answer = { active: true, sub: 'user-1' };
  status = 200;
  nowMs = NOW_S * 1000;
  sent = [];
});

/** What verifies by asking an issuer that answers so. */
const verifierFor = (audience?: string | string[]) =>
  createIntrospectionVerifier({ issuer: ISSUER, audience }, CLIENT, {
    grantClaim: 'sid',
    now: () => nowMs,
    send: async (request): Promise<OutgoingResponse> => {
      sent.push(request);
      return { status, headers: {}, body: Buffer.from(JSON.stringify(answer)) };
    },
  });

test('asks with the token in a form, as a client, with the trace of the call', async () => {
  await verifierFor()('a&b', OPTIONS);

  expect(sent).toEqual([
    {
      ...{ method: 'POST', url: CLIENT.endpoint, body: 'token=a%26b', ...OPTIONS },
      headers: {
        Accept: 'application/json',
        Authorization: `Basic ${Buffer.from('us:s').toString('base64')}`,
        'Content-Type': 'application/x-www-form-urlencoded',
      },
    },
  ]);
});

test('reads the grant that the settings name, and the issuer that was asked', async () => {
  answer = { active: true, sub: 'user-1', sid: 'g', iss: ISSUER };

  expect(await verifierFor()('a', OPTIONS)).toMatchObject({
    ...{ status: 'verified', token: { issuer: ISSUER, subject: 'user-1', grant: 'g' } },
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
    answer = { active: true, sub: 'user-1', aud };

    expect(await verifierFor(ours)('a', OPTIONS)).toMatchObject(
      isMet ? { status: 'verified' } : { status: 'refused', reason: 'wrong_audience' },
    );
  });
});

test.each([
  [undefined, true],
  ['Bearer', true],
  ['DPoP', true],
  ['xbearer', false],
  ['bearerx', false],
  ['refresh_token', false],
  [7, false],
  [null, false],
])('the type %j is one of an access token: %s', async (token_type, isAccessToken) => {
  answer = { active: true, sub: 'user-1', token_type };

  expect(await verifierFor()('a', OPTIONS)).toMatchObject(
    isAccessToken ? { status: 'verified' } : { status: 'refused', reason: 'wrong_type' },
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
    answer = { active: true, sub: 'user-1', exp: NOW_S + 10 };
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
    answer = { active: true, sub: 'user-1', exp: NOW_S - seconds };

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
