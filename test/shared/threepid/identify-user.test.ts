import { describe, expect, test } from 'vitest';
import { StoreUnavailable } from '#shared/errors.ts';
import { OutgoingFailure, type OutgoingRequest, type OutgoingResponse } from '#shared/outgoing/send.ts';
import { identifyUser, type UserCall } from '#shared/threepid/identify-user.ts';
import { openMemoryStore } from '#shared/token-revocation/drivers/memory.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { textIds, tokenIds } from '#shared/token-revocation/token-id.ts';
import { answered, PEPPERS } from '#test/support/matrix-ports.ts';

const ANN = { user_id: '@ann:example.org' };

/** A homeserver that answers as a test says, and what it was sent. */
function homeserverThat(answer: () => OutgoingResponse | Promise<OutgoingResponse>, allowsQueryToken = false) {
  const sent: OutgoingRequest[] = [];
  const homeserver = {
    name: 'example.org',
    url: 'https://homeserver.example.org/base',
    allowsQueryToken,
    send: async (request: OutgoingRequest) => {
      sent.push(request);
      return answer();
    },
  };
  return { ports: { homeserver, revocations: openMemoryStore(), peppers: PEPPERS }, sent };
}

const callWith = (authorization?: string, query = ''): UserCall => ({
  authorization,
  query: () => new URLSearchParams(query),
  note: () => {},
});
const CALL = callWith('Bearer token-of-ann');

/** Who calls, by a homeserver that answers so. */
const userBy = (answer: () => OutgoingResponse) => identifyUser(CALL, 60_000, homeserverThat(answer).ports);

test('asks the homeserver whose the token is, with the trace of the call', async () => {
  const { ports, sent } = homeserverThat(() => answered(200, ANN));

  expect(await identifyUser({ ...CALL, traceparent: '00-1-2-01' }, 60_000, ports)).toBe('@ann:example.org');
  expect(sent).toEqual([
    {
      method: 'GET',
      url: 'https://homeserver.example.org/base/_matrix/client/v3/account/whoami',
      headers: { Accept: 'application/json', Authorization: 'Bearer token-of-ann' },
      timeoutMs: 3000,
      traceparent: '00-1-2-01',
      signal: expect.any(AbortSignal),
    },
  ]);
});

test('gives the homeserver no more time than the call has', async () => {
  const { ports, sent } = homeserverThat(() => answered(200, ANN));

  await identifyUser(CALL, 200, ports);

  expect(sent[0]?.timeoutMs).toBe(200);
});

test('takes a token of the query where that is allowed', async () => {
  const { ports, sent } = homeserverThat(() => answered(200, ANN), true);

  expect(await identifyUser(callWith(undefined, 'access_token=from-query'), 1000, ports)).toBe('@ann:example.org');
  expect(sent[0]?.headers?.Authorization).toBe('Bearer from-query');
});

test.each([
  ['no token', callWith(), false, /^No credential arrived/],
  ['a token in the query where that is not allowed', callWith(undefined, 'access_token=a'), false, /^No credential/],
  ['no token where the query may have it', callWith(), true, /^No credential arrived/],
  ['another scheme', callWith('Basic YTpi'), false, /^The credential is not "Bearer"/],
  ['an empty token in the query', callWith(undefined, 'access_token='), true, /^The credential is not "Bearer"/],
  [
    'a token in the query beside the header',
    callWith('Bearer a', 'access_token=a'),
    true,
    /more than one access token/,
  ],
  ['two tokens in the query', callWith(undefined, 'access_token=a&access_token=b'), true, /more than one access token/],
])('refuses %s without asking the homeserver', async (_title, call, allowsQueryToken, message) => {
  const { ports, sent } = homeserverThat(() => answered(200, ANN), allowsQueryToken);

  await expect(identifyUser(call, 1000, ports)).rejects.toMatchObject({
    status: 401,
    errcode: 'M_MISSING_TOKEN',
    message: expect.stringMatching(message),
  });
  expect(sent).toEqual([]);
});

test('refuses to act for the user of another homeserver: the settings are wrong', async () => {
  await expect(userBy(() => answered(200, { user_id: '@ann:other.example.org' }))).rejects.toMatchObject({
    code: 'misconfigured',
    message: 'MATRIX_SERVER_NAME must be the name of the homeserver of MATRIX_HOMESERVER_URL',
  });
});

test('refuses a guest', async () => {
  await expect(userBy(() => answered(200, { ...ANN, is_guest: true }))).rejects.toMatchObject({
    status: 403,
    errcode: 'M_GUEST_ACCESS_FORBIDDEN',
    message: 'Guests have no identifiers.',
  });
  expect(await userBy(() => answered(200, { ...ANN, is_guest: false }))).toBe('@ann:example.org');
});

test.each([401, 403, 429])("passes the homeserver's own %i on, in its words", async (status) => {
  const words = { errcode: 'M_OWN', error: 'In its own words' };
  const answer = { ...answered(status, { ...words, soft_logout: true }), headers: { 'retry-after': '7' } };

  await expect(userBy(() => answer)).rejects.toMatchObject({
    ...{ status, errcode: 'M_OWN', message: 'In its own words', retryAfter: '7', softLogout: true },
  });
});

test('passes a soft_logout on that is true or false, and nothing else', async () => {
  const refusal = (soft_logout: unknown) => () => answered(401, { errcode: 'M_X', error: 'x', soft_logout });

  await expect(userBy(refusal(false))).rejects.toMatchObject({ softLogout: false });
  await expect(userBy(refusal('yes'))).rejects.toMatchObject({ status: 401, softLogout: undefined });
});

const MATRIX_ERROR = { errcode: 'M_OWN', error: 'In its own words' };
test.each<[string, OutgoingResponse]>([
  ['an error of its own', answered(500, MATRIX_ERROR)],
  ['that there is no such path', answered(404, MATRIX_ERROR)],
  ['401 and no Matrix error', answered(401, {})],
  ['another success', answered(201, ANN)],
  ['no user', answered(200, {})],
  ['a user that is no text', answered(200, { user_id: 7 })],
  ['a user without a server', answered(200, { user_id: '@ann' })],
  ['a list', answered(200, ['@ann:example.org'])],
])('answers 502 where the homeserver answers %s', async (_title, answer) => {
  await expect(userBy(() => answer)).rejects.toMatchObject({
    status: 502,
    errcode: 'M_UNKNOWN',
    message: 'The homeserver did not say whose the access token is.',
    cause: { fault: 'malformed' },
  });
});

test.each([
  ['timed_out', 504],
  ['unreachable', 502],
] as const)('answers a homeserver that is %s with %i', async (fault, status) => {
  const fail = () => {
    throw new OutgoingFailure(fault);
  };

  await expect(userBy(fail)).rejects.toMatchObject({ status, errcode: 'M_UNKNOWN', cause: { fault } });
});

test('does not take a fault of this code for one of the homeserver', async () => {
  const fault = new TypeError('obviously fake');
  const fail = () => {
    throw fault;
  };

  await expect(userBy(fail)).rejects.toBe(fault);
});

describe('a token and the revocation store', () => {
  const TOKEN = 'token-of-ann';
  const JWT = `${Buffer.from('{"alg":"RS256"}').toString('base64url')}.e30.c2ln`;
  const SOFT_LOGOUT = {
    ...{ status: 401, errcode: 'M_UNKNOWN_TOKEN', message: 'The access token was revoked.', softLogout: true },
  };
  const never = () => new Promise<never>(() => {});
  const revoke = (store: TokenRevocationStore, ids: readonly string[]) =>
    store.revoke({ tokenIds: ids, grants: [], cutOffs: [], expiresAt: 4_000_000_000 });
  /** A store that says so in place of what it holds. */
  const storeThat = (check: TokenRevocationStore['check']): TokenRevocationStore => ({ ...openMemoryStore(), check });
  const down = storeThat(async () => {
    throw new StoreUnavailable('unreachable');
  });

  test('a revoked token is a soft logout, without a wait for the homeserver, which is not asked any longer', async () => {
    const { ports, sent } = homeserverThat(never);
    await revoke(ports.revocations, [textIds(TOKEN, PEPPERS).current]);

    await expect(identifyUser(CALL, 60_000, ports)).rejects.toMatchObject(SOFT_LOGOUT);
    expect(sent[0]?.signal?.aborted).toBe(true);
  });

  test.each([
    ['knows the user', () => answered(200, ANN)],
    ['calls the token unknown', () => answered(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'x', soft_logout: false })],
    [
      'is down',
      () => {
        throw new OutgoingFailure('unreachable');
      },
    ],
  ])('a revoked token is a soft logout, also when a homeserver that %s answers first', async (_title, answer) => {
    const { promise: hasAnswered, resolve } = Promise.withResolvers<void>();
    const { ports } = homeserverThat(() => {
      resolve();
      return answer();
    });
    const revocations = storeThat(async () => {
      await hasAnswered;
      // By then the homeserver's answer has been read.
      await new Promise(setImmediate);
      return { revoked: true, by: 'token' };
    });

    await expect(identifyUser(CALL, 60_000, { ...ports, revocations })).rejects.toMatchObject(SOFT_LOGOUT);
  });

  test.each([
    ['knows the user', () => answered(200, ANN)],
    ['refuses the token', () => answered(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'x' })],
    [
      'is down',
      () => {
        throw new OutgoingFailure('unreachable');
      },
    ],
    ['says nothing', never],
  ])('a store that is down is the failure, when the homeserver %s', async (_title, answer) => {
    const { ports, sent } = homeserverThat(answer);

    await expect(identifyUser(CALL, 50, { ...ports, revocations: down })).rejects.toMatchObject({
      code: 'temporarily_unavailable',
      fault: 'unreachable',
    });
    expect(sent[0]?.signal?.aborted).toBe(true);
  });

  test('a store that is busy once is asked again', async () => {
    const { ports } = homeserverThat(() => answered(200, ANN));
    let calls = 0;
    const revocations = storeThat(async () => {
      calls += 1;
      if (calls === 1) throw new StoreUnavailable('busy');
      return { revoked: false };
    });

    expect(await identifyUser(CALL, 1000, { ...ports, revocations })).toBe('@ann:example.org');
    expect(calls).toBe(2);
  });

  test('the store gets no more time than the call has, nor more than the homeserver', async () => {
    const { ports } = homeserverThat(() => answered(200, ANN));
    const times: number[] = [];
    const revocations = storeThat(async (_presented, timeoutMs = 0) => {
      times.push(timeoutMs);
      return { revoked: false };
    });

    await identifyUser(CALL, 60_000, { ...ports, revocations });
    await identifyUser(CALL, 200, { ...ports, revocations });

    expect(times[0]).toBeLessThanOrEqual(3000);
    expect(times[1]).toBeLessThanOrEqual(200);
  });

  test.each([
    ['an opaque token', TOKEN],
    ['a token that looks like a JWT', JWT],
  ])('%s is looked up by its text alone, under every pepper', async (_title, token) => {
    const { ports } = homeserverThat(() => answered(200, ANN));
    const [pepper] = PEPPERS;
    const peppers = [...PEPPERS, ...(pepper === undefined ? [] : [{ ...pepper, name: 'k0' }])];
    const asked: unknown[] = [];
    const revocations = storeThat(async (presented) => {
      asked.push(presented);
      return { revoked: false };
    });

    await identifyUser(callWith(`Bearer ${token}`), 1000, { ...ports, revocations, peppers });

    expect(asked).toEqual([{ tokenIds: textIds(token, peppers).all, grants: [], cutOffKeys: [] }]);
  });

  test.each(['==', '='])(
    'a revoked token that looks like a JWT is refused with %j at its end, too',
    async (padding) => {
      const { ports } = homeserverThat(() => answered(200, ANN));
      await revoke(ports.revocations, [textIds(JWT, PEPPERS).current]);

      const call = callWith(`Bearer ${JWT}${padding}`);
      await expect(identifyUser(call, 1000, ports)).rejects.toMatchObject(SOFT_LOGOUT);
    },
  );

  test('whoever knows a JWT but for its signature cannot have it refused', async () => {
    const { ports } = homeserverThat(() => answered(200, ANN));
    await revoke(ports.revocations, [tokenIds(JWT, PEPPERS).current]);

    expect(await identifyUser(callWith(`Bearer ${JWT}`), 1000, ports)).toBe('@ann:example.org');
  });

  test('the log line says which token was refused and by what, and not the token', async () => {
    const { ports } = homeserverThat(() => answered(200, ANN));
    const { current } = textIds(TOKEN, PEPPERS);
    await revoke(ports.revocations, [current]);
    const noted: Record<string, unknown> = {};

    const call = { ...CALL, note: (fields: Record<string, unknown>) => void Object.assign(noted, fields) };
    await expect(identifyUser(call, 1000, ports)).rejects.toThrow();

    expect(noted).toEqual({ token_id: current, reason: 'revoked_by_token' });
  });

  test('a call without a token asks the store nothing', async () => {
    const { ports } = homeserverThat(() => answered(200, ANN));

    await expect(identifyUser(callWith(), 1000, { ...ports, revocations: down })).rejects.toMatchObject({
      errcode: 'M_MISSING_TOKEN',
    });
  });
});
