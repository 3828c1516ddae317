import { describe, expect, test } from 'vitest';
import { createApiCredentials } from '#shared/grant-revocation/api-credentials.ts';
import type { ApiEnding, EndedToken } from '#shared/grant-revocation/end-grant.ts';
import { type EndingList, endGrant, type GrantApi, type GrantApiPorts } from '#shared/grant-revocation/grant-api.ts';
import type { AnswerReading } from '#shared/grant-revocation/read-answer.ts';
import { type Send, send } from '#shared/outgoing/send.ts';
import { apiEndingOf } from '#test/support/ending-of.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { START_MS } from '#test/support/outbox-run.ts';

/** An answer of an API; `cut` closes the connection in its place, `hang` never answers. */
type Reply =
  | { readonly status?: number; readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown }
  | 'cut'
  | 'hang';

/** A real API that gives to each call, by method and path, its replies, the last one for ever; 404 to all others. */
async function startApi(replies: Readonly<Record<string, Reply | readonly Reply[]>>) {
  const calls: string[] = [];
  const origin = await startHttpServer((request, response) => {
    const call = `${request.method} ${request.url}`;
    const all = [replies[call] ?? { status: 404 }].flat();
    const before = calls.filter((each) => each === call).length;
    calls.push(call);
    const reply = all[Math.min(before, all.length - 1)];
    if (reply === 'hang' || reply === undefined) return;
    if (reply === 'cut') return void request.socket.destroy();
    const { status = 200, headers, body } = reply;
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  return { origin, calls };
}

const ANN: EndedToken = { token: 't', subject: 'ann', client: 'skill', until: START_MS };
const GONE = { status: 204 };
const listed = (...body: unknown[]): Reply => ({ body });

/** Ends a grant at the API, once. */
async function end(ending: ApiEnding, token: EndedToken = ANN, ports: Partial<GrantApiPorts> = {}) {
  const credentials = createApiCredentials();
  return endGrant(ending, token, { send, credentials, timeoutMs: 5000, now: () => START_MS, ...ports });
}

/** A row of the preset at the server. */
function endingAt(origin: string, preset: 'okta' | 'hydra' | 'fusionauth' | 'authentik' | 'keycloak'): ApiEnding {
  const issuer = `${origin}${preset === 'okta' ? '/oauth2/default' : ''}`;
  return apiEndingOf({ issuer, preset, api: origin, authorization: 'obviously-fake', user_claim: 'sub' });
}

/** Of Okta: each token of the user has an id and the time when it was made. */
const OKTA = 'users/ann/clients/skill/tokens';
const LIST = `GET /${OKTA}?limit=200`;
const remove = (id: string) => `DELETE /${OKTA}/${id}`;
const item = (id: unknown, more: object = {}) => ({ id, created: new Date(START_MS - 1000).toISOString(), ...more });
const USER = { user: { claim: 'sub', value: 'ann' } };
const OF_ANN = { ...ANN, ...USER };

/** Ends a grant at an API that answers as Okta's does, but for the replies. */
async function endAtOkta(replies: Readonly<Record<string, Reply | readonly Reply[]>>, token: EndedToken = OF_ANN) {
  const { origin, calls } = await startApi(replies);
  return { attempt: await end(endingAt(origin, 'okta'), token), calls, origin };
}

/** Ends a grant at an API with one step, which takes all that it lists. */
async function endByStep(
  replies: Readonly<Record<string, Reply | readonly Reply[]>>,
  { token = ANN, api, ...step }: Partial<EndingList> & { token?: EndedToken; api?: Partial<GrantApi> } = {},
) {
  const { origin, calls } = await startApi(replies);
  const list: EndingList = {
    list: '/all',
    // Whatever it is: what a test's server says is what a test is about.
    itemsOf: (body) => body as ReturnType<EndingList['itemsOf']>,
    end: { method: 'DELETE', path: '/{id}' },
    ...step,
  };
  const ending: ApiEnding = {
    ...{ preset: 'okta', issuer: 'https://as.example', base: origin, credential: { kind: 'none' }, reaches: 'grant' },
    api: { steps: [list], right: 'a right', ...api },
  };
  return { attempt: await end(ending, token), calls };
}

const done = (result: string) => ({ status: 'done', result });
const NO_LIST = (url: string) => ({
  ...{ status: 'retry', isOurFault: true },
  error: `the answer is no list of the API: in END_GRANT, "api" must be the base of the API (GET ${url})`,
});

describe('a list of several pages', () => {
  const next = (url: string) => ({ Link: `<https://as.example/x?limit=200>; rel="self", <${url}>; rel="next"` });

  test('is read to its end, before and after what it names is ended', async () => {
    const second = `GET /${OKTA}?limit=200&after=p2`;
    const link = next(`https://as.example/${OKTA}?after=p2&limit=200`);

    const { attempt, calls } = await endAtOkta({
      [LIST]: [
        { headers: link, body: [item('1')] },
        { headers: link, body: [] },
      ],
      [second]: [listed(item('2')), listed()],
      ...{ [remove('1')]: GONE, [remove('2')]: GONE },
    });

    expect(attempt).toEqual(done('upstream_grant'));
    expect(calls).toEqual([LIST, second, remove('1'), remove('2'), LIST, second]);
  });

  test('has not ended where a later page still names something', async () => {
    const link = next('https://as.example/x?after=p2');

    const { attempt } = await endAtOkta({
      ...{ [LIST]: { headers: link, body: [] }, [`GET /${OKTA}?limit=200&after=p2`]: listed(item('2')) },
      [remove('2')]: GONE,
    });

    expect(attempt).toEqual({
      status: 'retry',
      error: 'DELETE /users/{subject}/clients/{client}/tokens/{id} succeeded, and the server still lists a grant',
    });
  });

  test('is asked of its own server alone, whoever a link names', async () => {
    const other = await startApi({});
    const { attempt, calls } = await endAtOkta({
      [LIST]: { headers: next(`${other.origin}/${OKTA}?after=p2`), body: [] },
      [`GET /${OKTA}?limit=200&after=p2`]: listed(),
    });

    expect(attempt).toEqual(done('nothing_found'));
    expect([calls.length, other.calls]).toEqual([2, []]);
  });

  test.each([
    ['/x?after=%7Bsubject%7D', '%7Bsubject%7D'],
    ['/x?after={subject}', '%7Bsubject%7D'],
    ['/x?after={id}', '%7Bid%7D'],
    ['/x?after=a%26b%3Dc', 'a%26b%3Dc'],
  ])('takes what %s says as data', async (link, after) => {
    const { attempt, calls } = await endAtOkta({
      ...{ [LIST]: { headers: next(link), body: [] }, [`GET /${OKTA}?limit=200&after=${after}`]: listed() },
    });

    expect(attempt).toEqual(done('nothing_found'));
    expect(calls).toHaveLength(2);
  });

  test.each([
    ['has no parameter of a page', next('/x?limit=1')],
    ['is of another kind', { Link: '</x?after=p2>; rel="prev"' }],
  ])('ends where a link %s', async (_title, headers) => {
    expect((await endAtOkta({ [LIST]: { headers, body: [] } })).calls).toEqual([LIST]);
  });

  test('that goes on for ever is given up, and ends nothing', async () => {
    const link = next('/x?after=same');
    const page = { headers: link, body: [item('1')] };

    const { attempt, calls } = await endAtOkta({ [LIST]: page, [`GET /${OKTA}?limit=200&after=same`]: page });

    expect(attempt).toEqual({ status: 'retry', error: 'the list has more than 20 pages' });
    expect(calls).toHaveLength(20);
  });

  test('is taken page by page by its numbers, too', async () => {
    const { origin, calls } = await startApi(
      Object.fromEntries(
        ['refresh', 'access'].flatMap((kind) => {
          const list = `GET /oauth2/${kind}_tokens/?user=ann&page_size=100`;
          const ofOther = { pk: 1, provider: { client_id: 'other' } };
          const ofSkill = { pk: 2, provider: { client_id: 'skill' } };
          return [
            [list, { body: { pagination: { next: 2 }, results: [ofOther] } }],
            [
              `${list}&page=2`,
              [ofSkill, ofOther].map((result) => ({ body: { pagination: { next: 0 }, results: [result] } })),
            ],
            [`DELETE /oauth2/${kind}_tokens/2/`, GONE],
          ];
        }),
      ),
    );

    expect(await end(endingAt(origin, 'authentik'), OF_ANN)).toEqual(done('upstream_grant'));

    expect(calls.filter((call) => call.startsWith('DELETE'))).toEqual([
      ...['DELETE /oauth2/refresh_tokens/2/', 'DELETE /oauth2/access_tokens/2/'],
    ]);
  });
});

describe('an answer that is no list of the API', () => {
  test.each<[string, Reply]>([
    ['a page', { body: '<html>obviously fake' }],
    ['nothing', { body: '' }],
    ['something else', { body: { message: 'welcome' } }],
    ['a list of something else', listed('a')],
    ['a list of nothing', listed(null)],
    ['a thing without an id', listed(item(undefined))],
    ['an empty id', listed(item(''))],
    ['an id that is no text', listed(item({ id: '1' }))],
    ['a number that has lost digits', { body: '[{"id":12345678901234567890}]' }],
    ['an id that is a step up', listed(item('..'))],
    ['an id that is a step up further on', listed(item('a/../../b'))],
    ['an id that is no step', listed(item('.'))],
    ['an id that is no text of Unicode', { body: '[{"id":"\\ud800"}]' }],
  ])('(%s) ends nothing, and says where the API must be', async (_title, reply) => {
    const { attempt, calls, origin } = await endAtOkta({ [LIST]: reply });

    expect(attempt).toEqual(NO_LIST(`${origin}/users/{subject}/clients/{client}/tokens`));
    expect(calls).toEqual([LIST]);
  });

  test('(one of more than 1 MB) ends nothing', async () => {
    const page = (bytes: number): Reply => ({ body: JSON.stringify([item('1', { scopes: 'x'.repeat(bytes) })]) });

    expect((await endAtOkta({ [LIST]: page(1_048_576) })).attempt).toEqual({
      ...{ status: 'retry', error: 'outgoing: too_large' },
    });
    expect((await endAtOkta({ [LIST]: [page(1_000_000), 'cut'] })).calls).toHaveLength(2);
  });

  test.each<[number, object, string]>([
    [201, {}, 'status 201'],
    [404, {}, 'status 404: in END_GRANT, "api" must be the base of the API (GET URL)'],
    [405, {}, 'status 405: in END_GRANT, "api" must be the base of the API (GET URL)'],
    [403, { errorCode: 'E0000006' }, 'status 403 E0000006: in END_GRANT, the credential must have RIGHT (GET URL)'],
    [403, { errorCode: 'obviously fake' }, 'status 403: in END_GRANT, the credential must have RIGHT (GET URL)'],
  ])('(status %j) is none', async (status, body, error) => {
    const { attempt, origin } = await endAtOkta({ [LIST]: { status, body } });

    const url = `${origin}/users/{subject}/clients/{client}/tokens`;
    const right = 'the right to read and revoke the tokens of users (okta.users.manage)';
    expect(attempt).toMatchObject({ status: 'retry', error: error.replace('URL', url).replace('RIGHT', right) });
  });

  test('but says that there is no such user, if it does so as documented: then there is nothing to end', async () => {
    const absent = { status: 404, body: { errorCode: 'E0000007' } };

    expect((await endAtOkta({ [LIST]: absent })).attempt).toEqual(done('nothing_found'));
  });

  test.each(['a\nb', 'a b', 'x'.repeat(65), ''])('has its word %j in no log', async (word) => {
    const errorOf = () => word;

    const { attempt } = await endByStep({ 'GET /all': { status: 403 } }, { api: { errorOf } });

    expect(attempt).toMatchObject({ error: expect.stringMatching(/^status 403: in END_GRANT/) });
  });
});

describe('what a list names', () => {
  test.each([
    ['a/b', 'a%2Fb'],
    ['a?b#c', 'a%3Fb%23c'],
    ['...', '...'],
    ['{subject}', '%7Bsubject%7D'],
    [7, '7'],
  ])('is ended by its id, whatever signs that has (%j)', async (id, encoded) => {
    const { attempt, calls } = await endAtOkta({ [LIST]: [listed(item(id)), listed()], [remove(encoded)]: GONE });

    expect(attempt).toEqual(done('upstream_grant'));
    expect(calls).toEqual([LIST, remove(encoded), LIST]);
  });

  const at = (ms: number) => new Date(START_MS + ms).toISOString();
  test.each<[string, object, boolean]>([
    ['before the unlink', { created: at(-1) }, true],
    ['at the very time of the unlink', { created: at(0) }, true],
    ['after the unlink', { created: at(1) }, false],
    ['nobody knows when', { created: undefined }, true],
    ['at a time that nobody can read', { created: 'yesterday' }, true],
    ['at a time of another type', { created: START_MS + 1 }, true],
  ])('is ended if it was made before the unlink (%s: %j)', async (_title, more, isEnded) => {
    const { attempt, calls } = await endAtOkta({ [LIST]: [listed(item('1', more)), listed()], [remove('1')]: GONE });

    expect(attempt).toEqual(done(isEnded ? 'upstream_grant' : 'nothing_found'));
    expect(calls).toEqual(isEnded ? [LIST, remove('1'), LIST] : [LIST]);
  });

  test('is ended whenever it was made, where the time of the unlink is not known', async () => {
    const { calls } = await endAtOkta(
      { [LIST]: [listed(item('1', { created: at(1) })), listed()], [remove('1')]: GONE },
      { ...OF_ANN, until: undefined },
    );

    expect(calls).toContain(remove('1'));
  });

  test('may be newer than the unlink after the end of what is older', async () => {
    const newer = item('2', { created: at(1) });

    const { attempt, calls } = await endAtOkta({
      ...{ [LIST]: [listed(item('1'), newer), listed(newer)], [remove('1')]: GONE },
    });

    expect(attempt).toEqual(done('upstream_grant'));
    expect(calls).not.toContain(remove('2'));
  });

  test('is the grant that the token names, and no other of the user', async () => {
    const replies = { [LIST]: [listed(item('1'), item('2')), listed(item('1'))], [remove('2')]: GONE };

    const { attempt, calls } = await endAtOkta(replies, { ...OF_ANN, grant: '2' });

    expect(attempt).toEqual(done('upstream_grant'));
    expect(calls).toEqual([LIST, remove('2'), LIST]);
  });

  test('is nothing if the grant that the token names is not there', async () => {
    const { attempt, calls } = await endAtOkta({ [LIST]: listed(item('1')) }, { ...OF_ANN, grant: '2' });

    expect(attempt).toEqual(done('nothing_found'));
    expect(calls).toEqual([LIST]);
  });

  test('may be ended by somebody else in between', async () => {
    const absent = { status: 404, body: { errorCode: 'E0000007' } };

    const { attempt } = await endAtOkta({ [LIST]: [listed(item('1')), listed()], [remove('1')]: absent });

    expect(attempt).toEqual(done('upstream_grant'));
  });

  test('that is refused for good leaves none of the others alive', async () => {
    const replies = { [LIST]: listed(item('1'), item('2')), [remove('1')]: { status: 409 }, [remove('2')]: GONE };

    const { attempt, calls } = await endAtOkta(replies);

    expect(attempt).toEqual({ status: 'failed', error: 'status 409' });
    expect(calls).toEqual([LIST, remove('1'), remove('2')]);
  });

  test('is tried no further where the server has had enough', async () => {
    const tooMany = { status: 429, headers: { 'Retry-After': '7' } };
    const replies = { [LIST]: listed(item('1'), item('2'), item('3')), [remove('1')]: { status: 409 } };

    const { attempt, calls } = await endAtOkta({ ...replies, [remove('2')]: tooMany });

    expect(attempt).toEqual({ status: 'retry', error: 'status 429', retryAfterMs: 7000 });
    expect(calls).toEqual([LIST, remove('1'), remove('2')]);
  });
});

describe('what ends in part', () => {
  const SESSIONS = 'GET /users/ann/sessions';
  const CONSENT = 'DELETE /users/ann/consents/skill';
  const session = { id: 's', clients: { uuid: 'skill' }, start: START_MS - 1 };
  const TOKEN = 'POST /token';
  const issued = { body: { access_token: 'a', expires_in: 300 } };

  /** Ends a grant at an API that answers as Keycloak's does. */
  async function endAtKeycloak(replies: Readonly<Record<string, Reply | readonly Reply[]>>, row: object = {}) {
    const { origin, calls } = await startApi({ [TOKEN]: issued, ...replies });
    const authorization = { client_id: 'c', client_secret: 's', token_endpoint: `${origin}/token` };
    const ending = { issuer: 'https://as.example/realms/r', preset: 'keycloak', api: origin, authorization };
    return { attempt: await end(apiEndingOf({ ...ending, ...row })), calls };
  }

  test('is a session of several clients that the row does not allow to end', async () => {
    const { attempt, calls } = await endAtKeycloak({ [CONSENT]: GONE, [SESSIONS]: listed(session) });

    expect(attempt).toEqual(done('ended_in_part'));
    expect(calls).toEqual([TOKEN, CONSENT, SESSIONS]);
  });

  test.each([
    ['of another client', { ...session, clients: { uuid: 'other' } }],
    ['of the next login', { ...session, start: START_MS + 1 }],
  ])('is none of it if the session is %s', async (_title, other) => {
    const { attempt } = await endAtKeycloak({ [CONSENT]: GONE, [SESSIONS]: listed(other) });

    expect(attempt).toEqual(done('upstream_grant'));
  });

  test('is none of it if the row allows it', async () => {
    const allowed = { reaches: 'all_clients' };
    const ends = { [SESSIONS]: [listed(session), listed()], 'DELETE /sessions/s': GONE };

    expect((await endAtKeycloak({ ...ends, [CONSENT]: GONE }, allowed)).attempt).toEqual(done('upstream_all_clients'));
    // Allowed, and not needed.
    expect((await endAtKeycloak({ [SESSIONS]: listed(), [CONSENT]: GONE }, allowed)).attempt).toEqual(
      done('upstream_grant'),
    );
  });

  const HYDRA = '/admin/oauth2/auth/sessions/consent';
  const CONSENTS = `GET ${HYDRA}?subject=ann&page_size=500`;
  const REST = `DELETE ${HYDRA}?subject=ann&client=skill`;
  const byId = (id: string) => `DELETE ${HYDRA}?consent_request_id=${id}`;
  const consent = (id: string, ms: number, client = 'skill') => ({
    ...{ consent_request_id: id, consent_request: { client: { client_id: client } } },
    handled_at: new Date(START_MS + ms).toISOString(),
  });

  /** Ends a grant at an API that answers as Hydra's does. */
  async function endAtHydra(lists: readonly Reply[], token: EndedToken = OF_ANN) {
    const { origin, calls } = await startApi({
      ...{ [CONSENTS]: lists, [REST]: GONE, [byId('1')]: GONE, [byId('2')]: GONE },
    });
    return { attempt: await end(endingAt(origin, 'hydra'), token), calls };
  }

  test('is what the list does not name, where something newer is listed', async () => {
    const newer = consent('2', 1);

    expect(await endAtHydra([listed(consent('1', -1), newer), listed(newer)])).toEqual({
      ...{ attempt: done('ended_in_part'), calls: [CONSENTS, byId('1'), CONSENTS] },
    });
    expect(await endAtHydra([listed(newer)])).toEqual({ attempt: done('ended_in_part'), calls: [CONSENTS] });
  });

  test('is also what is made while the older is ended', async () => {
    expect(await endAtHydra([listed(consent('1', -1)), listed(consent('2', 1))])).toEqual({
      ...{ attempt: done('ended_in_part'), calls: [CONSENTS, byId('1'), CONSENTS] },
    });
  });

  test('is none of it where nothing newer of the client is listed: the rest ends too', async () => {
    const ofOther = consent('2', 1, 'other');

    expect(await endAtHydra([listed(consent('1', -1), ofOther), listed(ofOther)])).toEqual({
      ...{ attempt: done('upstream_grant'), calls: [CONSENTS, byId('1'), CONSENTS, REST] },
    });
    expect(await endAtHydra([listed()])).toEqual({ attempt: done('upstream_grant'), calls: [CONSENTS, REST] });
  });

  test('is none of it where the token names its grant: nothing is listed', async () => {
    const named = { ...OF_ANN, grant: '1' };

    expect(await endAtHydra([listed()], named)).toEqual({ attempt: done('upstream_grant'), calls: [byId('1')] });
  });

  test.each([
    [[{ id: '1' }], 'upstream_grant'],
    [[], 'nothing_found'],
  ])('is none of it where there is no rest: what was listed counts (%j)', async (items, result) => {
    const { attempt } = await endByStep(
      { 'GET /all': [{ body: items }, { body: [] }], 'DELETE /1': GONE, 'DELETE /rest': { status: 410 } },
      {
        rest: {
          ...{ method: 'DELETE', path: '/rest', reading: { verdicts: { already_revoked: ['status 410'] } } },
        },
      },
    );

    expect(attempt).toEqual(done(result));
  });
});

describe('a 404 of a call that ends something', () => {
  const CALL = 'DELETE /users/ann/consents/skill';
  const END = { method: 'DELETE', path: '/users/{subject}/consents/{client}' } as const;
  const nothing = { verdicts: { already_revoked: ['nothing_there'] } };

  test.each<[string, AnswerReading | undefined, object, object]>([
    ['has nothing to end, if it says so as documented', nothing, { error: 'nothing_there' }, done('nothing_found')],
    ['is a wrong base without the word', nothing, {}, { status: 'retry', isOurFault: true }],
    ['is a wrong base with another word', nothing, { error: 'other' }, { status: 'retry', isOurFault: true }],
    ['is a wrong base where no word is documented', undefined, {}, { status: 'retry', isOurFault: true }],
    [
      'has nothing to end, where its status is documented',
      { verdicts: { already_revoked: ['status 404'] } },
      {},
      done('nothing_found'),
    ],
  ])('%s', async (_title, reading, body, expected) => {
    const { origin } = await startApi({ [CALL]: { status: 404, body } });
    const errorOf = (answer: unknown) => (answer as { error?: string } | undefined)?.error;
    const api: GrantApi = { steps: [{ ...END, reading }], right: 'a right', errorOf };

    const attempt = await end({ ...endingAt(origin, 'okta'), api, userClaim: undefined });

    expect(attempt).toMatchObject(expected);
  });
});

describe('a success that a body must confirm', () => {
  const CONFIRMED = { reaches: 'all_clients', api: 'http://127.0.0.1:1', user_claim: 'sub' };
  const cognito = apiEndingOf({
    ...{ issuer: 'https://cognito-idp.eu-north-1.amazonaws.com/eu-north-1_p', preset: 'cognito', ...CONFIRMED },
    authorization: { access_key_id: 'a', secret_access_key: 's' },
  });
  const entra = apiEndingOf({
    ...{ issuer: 'https://login.microsoftonline.com/t/v2.0', preset: 'entra', ...CONFIRMED },
    authorization: { client_id: 'c', client_secret: 's' },
  });
  const CALLS = { cognito: 'POST /', entra: 'POST /users/ann/revokeSignInSessions' };

  test.each<['cognito' | 'entra', Reply, boolean]>([
    ['cognito', { body: {} }, true],
    ['cognito', { body: '' }, true],
    ['cognito', { body: '<html>Welcome' }, false],
    ['cognito', { body: { message: 'welcome' } }, false],
    ['cognito', { body: 'null' }, false],
    ['entra', { body: { value: true } }, true],
    ['entra', { status: 204, body: '' }, true],
    ['entra', { body: { value: false } }, false],
    ['entra', { body: '<html>Welcome' }, false],
    ['entra', { body: 'null' }, false],
  ])('is one of %s with %j: %j', async (preset, reply, isDone) => {
    const { origin } = await startApi({ [CALLS[preset]]: reply });
    // Where its token comes from is not what this is about.
    const credential = { kind: 'none' } as const;
    const ending = { ...(preset === 'cognito' ? cognito : { ...entra, credential }), base: origin };

    expect(await end(ending, OF_ANN)).toMatchObject(
      isDone ? done('upstream_all_clients') : { status: 'retry', error: 'status 200' },
    );
  });

  test.each(['cognito', 'entra'] as const)('and a path that %s does not have is a wrong base', async (preset) => {
    const { origin } = await startApi({});
    const ending = { ...(preset === 'cognito' ? cognito : entra), base: origin, credential: { kind: 'none' } as const };

    expect(await end(ending, OF_ANN)).toMatchObject({
      ...{ status: 'retry', isOurFault: true, error: expect.stringContaining('"api" must be the base of the API') },
    });
  });
});

describe('a try', () => {
  test('sends nothing once its time has run out', async () => {
    const { origin, calls } = await startApi({ [LIST]: listed(item('1')) });

    expect(await end(endingAt(origin, 'okta'), OF_ANN, { timeoutMs: 0 })).toEqual({
      status: 'retry',
      error: 'outgoing: timed_out',
    });

    expect(calls).toEqual([]);
  });

  test('whose time runs out between two calls is followed by one that does the rest', async () => {
    const { origin, calls } = await startApi({
      ...{ [LIST]: [listed(item('1'), item('2')), listed(item('2')), listed()], [remove('1')]: GONE },
      [remove('2')]: ['hang', GONE],
    });
    const ending = endingAt(origin, 'okta');
    // So much is left at the third call, however fast the first two were.
    const hurried: Send = (request) => send({ ...request, ...(request.url.endsWith('/2') && { timeoutMs: 50 }) });

    expect(await end(ending, OF_ANN, { send: hurried })).toEqual({ status: 'retry', error: 'outgoing: timed_out' });
    expect(await end(ending, OF_ANN)).toEqual(done('upstream_grant'));

    expect(calls).toEqual([LIST, remove('1'), remove('2'), LIST, remove('2'), LIST]);
  });

  test('that follows one whose answer was lost finds nothing, and claims nothing', async () => {
    const { origin } = await startApi({ [LIST]: [listed(item('1')), listed()], [remove('1')]: 'cut' });
    const ending = endingAt(origin, 'okta');

    expect(await end(ending, OF_ANN)).toEqual({ status: 'retry', error: 'outgoing: unreachable' });
    expect(await end(ending, OF_ANN)).toEqual(done('nothing_found'));
  });

  test('does not end what it has not confirmed: a list that cannot be read again', async () => {
    const { attempt } = await endAtOkta({ [LIST]: [listed(item('1')), { status: 500 }], [remove('1')]: GONE });

    expect(attempt).toEqual({ status: 'retry', error: 'status 500' });
  });

  test('does not hide a defect', async () => {
    const itemsOf = () => {
      throw new TypeError('obviously fake');
    };

    await expect(endByStep({ 'GET /all': listed() }, { itemsOf })).rejects.toThrow('obviously fake');
  });
});
