import { expect, test } from 'vitest';
import { OutgoingFailure, type OutgoingRequest, type OutgoingResponse } from '#shared/outgoing/send.ts';
import { identifyUser, type UserCall } from '#shared/threepid/identify-user.ts';
import { answered } from '#test/support/matrix-ports.ts';

const ANN = { user_id: '@ann:example.org' };

/** A homeserver that answers as a test says, and what it was sent. */
function homeserverThat(answer: () => OutgoingResponse, allowsQueryToken = false) {
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
  return { homeserver, sent };
}

const callWith = (authorization?: string, query = ''): UserCall => ({
  authorization,
  query: () => new URLSearchParams(query),
});
const CALL = callWith('Bearer token-of-ann');

/** Who calls, by a homeserver that answers so. */
const userBy = (answer: () => OutgoingResponse) => identifyUser(CALL, 60_000, homeserverThat(answer).homeserver);

test('asks the homeserver whose the token is, with the trace of the call', async () => {
  const { homeserver, sent } = homeserverThat(() => answered(200, ANN));

  expect(await identifyUser({ ...CALL, traceparent: '00-1-2-01' }, 60_000, homeserver)).toBe('@ann:example.org');
  expect(sent).toEqual([
    {
      method: 'GET',
      url: 'https://homeserver.example.org/base/_matrix/client/v3/account/whoami',
      headers: { Accept: 'application/json', Authorization: 'Bearer token-of-ann' },
      timeoutMs: 3000,
      traceparent: '00-1-2-01',
    },
  ]);
});

test('gives the homeserver no more time than the call has', async () => {
  const { homeserver, sent } = homeserverThat(() => answered(200, ANN));

  await identifyUser(CALL, 200, homeserver);

  expect(sent[0]?.timeoutMs).toBe(200);
});

test('takes a token of the query where that is allowed', async () => {
  const { homeserver, sent } = homeserverThat(() => answered(200, ANN), true);

  expect(await identifyUser(callWith(undefined, 'access_token=from-query'), 1000, homeserver)).toBe('@ann:example.org');
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
  const { homeserver, sent } = homeserverThat(() => answered(200, ANN), allowsQueryToken);

  await expect(identifyUser(call, 1000, homeserver)).rejects.toMatchObject({
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
