import { expect, test } from 'vitest';
import { OutgoingFailure, type OutgoingRequest, type OutgoingResponse } from '#shared/outgoing/send.ts';
import { askIdentityServer, unreadable } from '#shared/threepid/ask-identity-server.ts';
import { answered } from '#test/support/matrix-ports.ts';

const REQUEST: OutgoingRequest = { method: 'POST', url: 'https://id.example.org/', timeoutMs: 1000 };
const WORDS = { errcode: 'M_OWN', error: 'In its own words' };

/** What a server's answer is taken for. */
const taken = (response: OutgoingResponse) => askIdentityServer(REQUEST, async () => response);

test('sends the request as it is', async () => {
  const sent: OutgoingRequest[] = [];

  await askIdentityServer(REQUEST, async (request) => {
    sent.push(request);
    return answered(200, {});
  });

  expect(sent).toEqual([REQUEST]);
});

test.each([
  ['an object', { medium: 'email' }, { medium: 'email' }],
  ['a list, which says nothing', [1], {}],
])('takes 200 with %s for done', async (_title, body, read) => {
  expect(await taken(answered(200, body))).toEqual({ status: 'done', body: read });
});

test.each([400, 404, 501])(
  'takes %i without a Matrix error for a server that knows no such request',
  async (status) => {
    expect(await taken(answered(status, {}))).toEqual({ status: 'unsupported' });
  },
);

test.each([
  [400, 'refused'],
  [404, 'refused'],
  [499, 'refused'],
  [500, 'failed'],
  [501, 'failed'],
  [599, 'failed'],
])('takes %i with a Matrix error for %s, in its words', async (status, kind) => {
  const answer = { ...answered(status, WORDS), headers: { 'retry-after': '7' } };

  expect(await taken(answer)).toMatchObject({
    status: kind,
    error: { status, errcode: 'M_OWN', message: 'In its own words', retryAfter: '7' },
  });
});

test.each([
  ['M_UNKNOWN_TOKEN', {}],
  ['M_MISSING_TOKEN', {}],
  ['M_USER_LOCKED', {}],
  ['M_OWN', { soft_logout: false }],
])('does not pass %s %j on, which would log the user out of the homeserver', async (errcode, more) => {
  expect(await taken(answered(401, { ...WORDS, errcode, ...more }))).toMatchObject({
    status: 'refused',
    error: {
      status: 403,
      errcode: 'M_FORBIDDEN',
      message: 'The identity server did not accept the credential of this request.',
    },
  });
});

const UNREADABLE = {
  status: 502,
  errcode: 'M_UNKNOWN',
  message: 'The identity server could not be reached, or its answer could not be read.',
};
test.each<[string, OutgoingResponse]>([
  ['200 that is no JSON', { ...answered(200, {}), body: Buffer.from('<html>') }],
  ['200 with a Matrix error', answered(200, WORDS)],
  ['another success', answered(202, {})],
  ['403 without a Matrix error', answered(403, {})],
  ['500 without a Matrix error', answered(500, {})],
  ['a status that HTTP does not have', answered(600, WORDS)],
  ['a status below the errors', answered(399, WORDS)],
])('takes %s for no answer', async (_title, response) => {
  expect(await taken(response)).toMatchObject({
    ...{ status: 'unanswered', fault: 'malformed' },
    error: { ...UNREADABLE, cause: { fault: 'malformed' } },
  });
});

test.each(['forbidden', 'malformed', 'redirected', 'tls', 'too_large', 'unreachable'] as const)(
  'tells of one that is %s what it tells of every other',
  async (fault) => {
    const answer = await askIdentityServer(REQUEST, async () => {
      throw new OutgoingFailure(fault);
    });

    expect(answer).toMatchObject({ status: 'unanswered', fault, error: { ...UNREADABLE, cause: { fault } } });
  },
);

test('tells of one that is too slow that it is so', async () => {
  const answer = await askIdentityServer(REQUEST, async () => {
    throw new OutgoingFailure('timed_out');
  });

  expect(answer).toMatchObject({
    ...{ status: 'unanswered', fault: 'timed_out' },
    error: {
      ...{ status: 504, errcode: 'M_UNKNOWN', message: 'The identity server did not answer in time.' },
      cause: { fault: 'timed_out' },
    },
  });
});

test('does not take a fault of this code for one of the server', async () => {
  const fault = new TypeError('obviously fake');

  await expect(askIdentityServer(REQUEST, () => Promise.reject(fault))).rejects.toBe(fault);
});

test('an answer without what was asked for is as good as none', () => {
  expect(unreadable()).toMatchObject({ ...UNREADABLE, cause: { fault: 'malformed' } });
});
