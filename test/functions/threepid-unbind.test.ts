import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Certificates } from '#scripts/matrix/certificates.ts';
import { type IdentityServer, startIdentityServer } from '#scripts/matrix/identity-server.ts';
import type { Changes, Received } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { callHttps } from '#test/support/https-call.ts';
import { type MatrixProject, makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';
import {
  type MisbehavingIdentityServer,
  type Misbehaviour,
  startMisbehavingIdentityServer,
} from '#test/support/misbehaving-identity-server.ts';

const EMAIL = { medium: 'email', address: 'ann@example.test' } as const;
const SUCCESS = { status: 200, body: { id_server_unbind_result: 'success' } };
const NO_SUPPORT = { status: 200, body: { id_server_unbind_result: 'no-support' } };
const UNREADABLE = {
  status: 502,
  body: { errcode: 'M_UNKNOWN', error: 'The identity server could not be reached, or its answer could not be read.' },
};

let certificates: Certificates;
let matrix: MatrixProject;
/** Verifies signatures. */
let identity: IdentityServer;
/** Answers as a test says. */
let first: MisbehavingIdentityServer;
let second: MisbehavingIdentityServer;
let third: MisbehavingIdentityServer;
let token = '';
let mxid = '';
let count = 0;

const parsed = ({ status, body }: Received) => ({ status, body: JSON.parse(body) });
const unbind = async (body: unknown, by: string | undefined = token) => parsed(await matrix.post('unbind', by, body));
const knownServers = async (threepid: { medium: 'email' | 'msisdn'; address: string } = EMAIL) =>
  (await matrix.known({ mxid, ...threepid })).map(({ idServer }) => idServer).sort();

/** A project of a test's own. */
async function start(local: NonNullable<Changes['local']>, changes: Changes = {}): Promise<MatrixProject> {
  const project = await startMatrixProject(certificates, [identity.name, first.name], { ...changes, local });
  onTestFinished(() => project.close());
  return project;
}

beforeAll(async () => {
  certificates = await makeCertificates();
  const homeserver = { url: '' };
  identity = await startIdentityServer({ port: 0, certificates, homeserverUrl: () => homeserver.url });
  [first, second, third] = await Promise.all([
    startMisbehavingIdentityServer(certificates),
    startMisbehavingIdentityServer(certificates),
    startMisbehavingIdentityServer(certificates),
  ]);
  matrix = await startMatrixProject(
    certificates,
    [identity, first, second, third].map(({ name }) => name),
  );
  homeserver.url = matrix.homeserver.url;
});
afterAll(() => Promise.all([matrix, identity, first, second, third].map((server) => server.close())));

beforeEach(() => {
  count += 1;
  mxid = `@ann${count}:${matrix.homeserver.serverName}`;
  token = matrix.homeserver.accessToken(`ann${count}`);
  matrix.homeserver.calls.length = 0;
  matrix.project.output.length = 0;
  identity.requests.length = 0;
  for (const server of [first, second, third]) {
    server.behave();
    server.requests.length = 0;
  }
});

describe('who calls', () => {
  const missing = { status: 401, body: expect.objectContaining({ errcode: 'M_MISSING_TOKEN' }) };

  test('the homeserver is asked for nothing but whose the token is', async () => {
    expect(await unbind({ ...EMAIL, id_server: first.name })).toEqual(SUCCESS);
    expect(matrix.homeserver.calls).toEqual(['GET /_matrix/client/v3/account/whoami']);
    expect(first.requests[0]?.body).toEqual({ mxid, threepid: EMAIL });
  });

  test.each(['{"medium":"email","address":"ann@example.test"}', '{not json'])(
    'without a token nothing is asked, nor is the body read: %s',
    async (body) => {
      expect(parsed(await matrix.post('unbind', undefined, body))).toEqual(missing);
      expect(matrix.homeserver.calls).toEqual([]);
    },
  );

  test.each(['Basic YTpi', 'Bearer', 'Bearer a b', ''])('the credential %j is no token', async (authorization) => {
    const path = '/_matrix/client/v3/account/3pid/unbind';
    expect(parsed(await matrix.project.gateway('POST', path, { Authorization: authorization }, '{}'))).toEqual(missing);
    expect(matrix.homeserver.calls).toEqual([]);
  });

  test('an unknown token is what the homeserver calls it', async () => {
    expect(await unbind('{not json', 'unknown')).toEqual({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN', error: 'Invalid access token passed.', soft_logout: false },
    });
  });

  test('so is a user who is locked', async () => {
    expect(await unbind(EMAIL, matrix.homeserver.lockedToken())).toEqual({
      status: 401,
      body: { errcode: 'M_USER_LOCKED', error: 'User account has been locked', soft_logout: true },
    });
  });

  test('a guest may not', async () => {
    expect(await unbind({ ...EMAIL, id_server: first.name }, matrix.homeserver.guestToken())).toMatchObject({
      status: 403,
      body: { errcode: 'M_GUEST_ACCESS_FORBIDDEN' },
    });
    expect(first.requests).toEqual([]);
  });

  test('a token in the query counts for nothing', async () => {
    const path = `/_matrix/client/v3/account/3pid/unbind?access_token=${token}`;
    expect(parsed(await matrix.project.gateway('POST', path, {}, JSON.stringify(EMAIL)))).toEqual(missing);
  });

  test('unless that is allowed, and it is the only one', async () => {
    const { project, homeserver } = await start({ ALLOW_QUERY_TOKEN: '1' });
    const given = homeserver.accessToken('ann');
    const path = `/_matrix/client/v3/account/3pid/unbind?access_token=${given}`;
    const call = async (headers: Record<string, string>, more = '') =>
      parsed(await project.gateway('POST', `${path}${more}`, headers, JSON.stringify(EMAIL)));

    expect(await call({})).toEqual(NO_SUPPORT);
    expect(homeserver.calls).toEqual(['GET /_matrix/client/v3/account/whoami']);
    expect(await call({ Authorization: `Bearer ${given}` })).toEqual(missing);
    expect(await call({}, `&access_token=${given}`)).toEqual(missing);
  });

  test('of a user of another homeserver nothing is signed, and an operator is told', async () => {
    const { project, post, homeserver } = await start({ MATRIX_SERVER_NAME: 'other.example.org' });

    const answer = await post('unbind', homeserver.accessToken('ann'), { ...EMAIL, id_server: first.name });

    expect(parsed(answer)).toEqual({ status: 500, body: { errcode: 'M_UNKNOWN', error: expect.any(String) } });
    expect(project.takeLogLine()).toMatchObject({
      level: 'ERROR',
      code: 'misconfigured',
      error: { message: expect.stringContaining('MATRIX_SERVER_NAME') },
    });
    expect(first.requests).toEqual([]);
  });

  test.each<[string, number, string, object | string, object]>([
    ['no JSON', 502, 'M_UNKNOWN', 'down for maintenance', { status: 200 }],
    ['no user', 502, 'M_UNKNOWN', {}, { status: 200 }],
    ['what is no user', 502, 'M_UNKNOWN', { user_id: 'ann' }, { status: 200 }],
    ['401 without a Matrix error', 502, 'M_UNKNOWN', '<html>', { status: 401 }],
    ['404', 502, 'M_UNKNOWN', { errcode: 'M_UNRECOGNIZED', error: 'x' }, { status: 404 }],
    ['500', 502, 'M_UNKNOWN', { errcode: 'M_UNKNOWN', error: 'x' }, { status: 500 }],
    [
      'that the user is deactivated',
      403,
      'M_USER_DEACTIVATED',
      { errcode: 'M_USER_DEACTIVATED', error: 'x' },
      { status: 403 },
    ],
    ['to wait', 429, 'M_LIMIT_EXCEEDED', { errcode: 'M_LIMIT_EXCEEDED', error: 'x' }, { status: 429, retryAfter: '7' }],
  ])(
    'a homeserver that says %s: %i %s',
    async (_, status, errcode, body, answer: { status?: number; retryAfter?: string }) => {
      const url = await startHttpServer((_request, response) => {
        response.writeHead(
          answer.status ?? 200,
          answer.retryAfter === undefined ? {} : { 'Retry-After': answer.retryAfter },
        );
        response.end(typeof body === 'string' ? body : JSON.stringify(body));
      });
      const { post } = await start({ MATRIX_HOMESERVER_URL: url });

      const received = await post('unbind', 'token', EMAIL);

      expect(parsed(received)).toEqual({ status, body: { errcode, error: expect.any(String) } });
      expect(received.headers.get('retry-after')).toBe(answer.retryAfter ?? null);
    },
  );

  test('a homeserver that is down: 502', async () => {
    const { post } = await start({ MATRIX_HOMESERVER_URL: 'http://127.0.0.1:9' });
    expect(parsed(await post('unbind', 'token', EMAIL))).toMatchObject({ status: 502, body: { errcode: 'M_UNKNOWN' } });
  });

  test('one that never answers: 504', async () => {
    const url = await startHttpServer(() => {});
    const { post } = await start({ MATRIX_HOMESERVER_URL: url }, { timeout: 3 });
    expect(parsed(await post('unbind', 'token', EMAIL))).toMatchObject({ status: 504, body: { errcode: 'M_UNKNOWN' } });
  });
});

describe('the body', () => {
  test.each<[string, unknown, number, string]>([
    ['not JSON', '{not json', 400, 'M_NOT_JSON'],
    ['empty', '', 400, 'M_NOT_JSON'],
    ['not UTF-8', '{"medium":"email","address":"\ufffd@example.test"}', 400, 'M_NOT_JSON'],
    ['NaN', '{"medium":NaN}', 400, 'M_NOT_JSON'],
    ['a list', [], 400, 'M_BAD_JSON'],
    ['null', 'null', 400, 'M_BAD_JSON'],
    ['a text', '"email"', 400, 'M_BAD_JSON'],
    ['a key twice', '{"medium":"email","address":"a@example.test","address":"b@example.test"}', 400, 'M_BAD_JSON'],
    ['too deep', `{"x":${'['.repeat(100)}${']'.repeat(100)}}`, 400, 'M_BAD_JSON'],
    ['without a key', { address: 'ann@example.test' }, 400, 'M_MISSING_PARAM'],
    ['without the other', { medium: 'email' }, 400, 'M_MISSING_PARAM'],
    ['without both', {}, 400, 'M_MISSING_PARAM'],
    ['of the medium irc', { ...EMAIL, medium: 'irc' }, 400, 'M_INVALID_PARAM'],
    ['of the medium EMAIL', { ...EMAIL, medium: 'EMAIL' }, 400, 'M_INVALID_PARAM'],
    ['of the medium 1', { ...EMAIL, medium: 1 }, 400, 'M_INVALID_PARAM'],
    ['of the medium null', { ...EMAIL, medium: null }, 400, 'M_INVALID_PARAM'],
    ['with a number as address', { ...EMAIL, address: 1 }, 400, 'M_INVALID_PARAM'],
    ['with null as address', { ...EMAIL, address: null }, 400, 'M_INVALID_PARAM'],
    ['with no address at all', { ...EMAIL, address: '' }, 400, 'M_INVALID_PARAM'],
    ['with an address without @', { ...EMAIL, address: 'ann.example.test' }, 400, 'M_INVALID_PARAM'],
    ['with half a character', '{"medium":"email","address":"\\ud83d@example.test"}', 400, 'M_INVALID_PARAM'],
    ['with an address of 100 kB', { ...EMAIL, address: `${'a'.repeat(100_000)}@b` }, 400, 'M_INVALID_PARAM'],
    ['with a phone number that is none', { medium: 'msisdn', address: '+44 7700' }, 400, 'M_INVALID_PARAM'],
    ['with a number as id_server', { ...EMAIL, id_server: 1 }, 400, 'M_INVALID_PARAM'],
    ['with a list as id_server', { ...EMAIL, id_server: ['id.example.org'] }, 400, 'M_INVALID_PARAM'],
    ['of 300 KB', { ...EMAIL, x: 'x'.repeat(300_000) }, 413, 'M_TOO_LARGE'],
  ])('%s: %i %s', async (_, body, status, errcode) => {
    const answer = await unbind(body);

    expect(answer).toEqual({ status, body: { errcode, error: expect.any(String) } });
    expect(answer.body.error).not.toMatch(/ann|irc|EMAIL|7700|x{9}/);
    expect(first.requests).toEqual([]);
  });

  test.each<[string, string, Buffer<ArrayBuffer>, object]>([
    ['as bytes, it may hold U+FFFD', 'text/plain', Buffer.from('{"x":"\ufffd"}'), { errcode: 'M_MISSING_PARAM' }],
    [
      'as text, it may hold it escaped',
      'application/json',
      Buffer.from('{"x":"\\ufffd"}'),
      { errcode: 'M_MISSING_PARAM' },
    ],
    [
      'as text, it may not hold it as it is',
      'application/json',
      Buffer.from('{"x":"\ufffd"}'),
      { errcode: 'M_NOT_JSON', error: expect.stringContaining('must be escaped: in JSON as \\ufffd') },
    ],
    [
      'as bytes, it must be UTF-8',
      'text/plain',
      Buffer.from('{"x":"\xff"}', 'latin1'),
      { errcode: 'M_NOT_JSON', error: 'The body is not UTF-8.' },
    ],
    [
      'it must not begin with a byte order mark',
      'text/plain',
      Buffer.from('\ufeff{}'),
      { errcode: 'M_NOT_JSON', error: 'The body is not JSON.' },
    ],
  ])('%s', async (_, type, body, expected) => {
    const response = await fetch(`${matrix.project.gatewayUrl}/_matrix/client/v3/account/3pid/unbind`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': type },
      body,
    });

    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject(expected);
  });

  test.each([null, ''])('the id_server %j is none', async (idServer) => {
    await matrix.remember({ mxid, ...EMAIL }, [first.name]);
    expect(await unbind({ ...EMAIL, id_server: idServer })).toEqual(SUCCESS);
    expect(first.requests).toHaveLength(1);
  });

  test('unknown keys are ignored and not passed on, nor is what the body says it is', async () => {
    const body = { ...EMAIL, id_server: first.name, id_access_token: 'secret', x: { y: 1 } };
    const path = '/_matrix/client/v3/account/3pid/unbind';
    const headers = { 'Content-Type': 'text/plain', Authorization: `Bearer ${token}` };

    expect(parsed(await matrix.project.gateway('POST', path, headers, JSON.stringify(body)))).toEqual(SUCCESS);
    expect(first.requests[0]?.body).toEqual({ mxid, threepid: EMAIL });
    expect(JSON.stringify(first.requests[0]?.headers)).not.toContain(token);
  });

  test.each([
    ['email', 'Ann.STRAUß@Example.TEST', 'ann.strauss@example.test'],
    ['email', 'ΟΔΥΣΣΕΥΣ@example.test', 'οδυσσευσ@example.test'],
    ['msisdn', '+447700900000', '447700900000'],
  ] as const)('%s %s is known and sent as %s', async (medium, address, canonical) => {
    await matrix.remember({ mxid, medium, address: canonical }, [first.name]);
    expect(await unbind({ medium, address })).toEqual(SUCCESS);
    expect(first.requests[0]?.body).toEqual({ mxid, threepid: { medium, address: canonical } });
    expect(await knownServers({ medium, address: canonical })).toEqual([]);
  });
});

describe('the server that is named', () => {
  test.each([
    ['with a scheme', (name: string) => `https://${name}`],
    ['with slashes behind', (name: string) => `https://${name}//`],
    ['in capitals', (name: string) => name.toUpperCase()],
  ])('%s is the same, and is signed to as it is itself', async (_, spell) => {
    expect(await unbind({ ...EMAIL, id_server: spell(identity.name) })).toEqual(SUCCESS);
    expect(identity.requests).toHaveLength(1);
  });

  // All of them: test/shared/outgoing/public-host.test.ts.
  test.each([
    '127.0.0.1',
    '[::1]',
    'localhost',
    'id.example.org/path',
    'id.example.org:22',
    'a@id.example.org',
    'http://id.example.org',
  ])('%s is refused without looking for it', async (idServer) => {
    const answer = await unbind({ ...EMAIL, id_server: idServer });
    expect(answer).toEqual({ status: 400, body: { errcode: 'M_INVALID_PARAM', error: expect.any(String) } });
    expect(answer.body.error).not.toContain(idServer);
  });

  test('is one that does not exist: the same answer as of any that cannot be reached', async () => {
    expect(await unbind({ ...EMAIL, id_server: 'id.example.invalid-tld-of-nobody' })).toMatchObject({ status: 502 });
  });

  test('is asked though nothing is known of it; what is known of others stays', async () => {
    await matrix.remember({ mxid, ...EMAIL }, [second.name]);
    expect(await unbind({ ...EMAIL, id_server: first.name })).toEqual(SUCCESS);
    expect(second.requests).toEqual([]);
    expect(await knownServers()).toEqual([second.name]);
  });

  test('has to be signed to, in the name of the homeserver', async () => {
    expect(await unbind({ ...EMAIL, id_server: first.name })).toEqual(SUCCESS);
    const [authorization] = first.requests[0]?.headers.authorization ?? [];
    const { serverName } = matrix.homeserver;
    expect(authorization).toMatch(
      /^X-Matrix origin="[^"]+",key="ed25519:\w+",sig="[A-Za-z0-9+/]{86}",destination="[^"]+"$/,
    );
    expect(authorization).toContain(`origin="${serverName}"`);
    expect(authorization).toContain(`destination="${first.name}"`);
    // One that was made for another server is refused by this one.
    const replayed = await callHttps(`${identity.url}/_matrix/identity/v2/3pid/unbind`, certificates.ca, {
      method: 'POST',
      headers: { Authorization: authorization ?? '' },
      body: JSON.stringify(first.requests[0]?.body),
    });
    expect(replayed.status).toBe(401);
  });
});

describe("an identity server's answer", () => {
  const error = (errcode: string, more: object = {}) => ({ errcode, error: 'In its own words', ...more });

  test.each<[string, Misbehaviour, { status: number; body: object }, 'forgotten' | 'kept']>([
    ['200 {}', { status: 200, body: {} }, SUCCESS, 'forgotten'],
    ['200 {} as HTML', { status: 200, body: '{}', headers: { 'Content-Type': 'text/html' } }, SUCCESS, 'forgotten'],
    ['200 null', { status: 200, body: 'null' }, SUCCESS, 'forgotten'],
    ['200 and nothing', { status: 200 }, UNREADABLE, 'kept'],
    ['200 and HTML', { status: 200, body: '<html>' }, UNREADABLE, 'kept'],
    ['200 and an error', { status: 200, body: error('M_UNKNOWN') }, UNREADABLE, 'kept'],
    ['204', { status: 204 }, UNREADABLE, 'kept'],
    ['an answer that is cut off', 'truncate', UNREADABLE, 'kept'],
    ['302', { status: 302, headers: { Location: 'https://id.example.org/' } }, UNREADABLE, 'kept'],
    ['307', { status: 307, headers: { Location: '/_matrix/identity/v2/3pid/unbind' } }, UNREADABLE, 'kept'],
    ['400 and HTML', { status: 400, body: '<html>' }, NO_SUPPORT, 'kept'],
    ['404 and HTML', { status: 404, body: '<html>' }, NO_SUPPORT, 'kept'],
    ['404 and nothing', { status: 404 }, NO_SUPPORT, 'kept'],
    ['501 and JSON of another kind', { status: 501, body: { message: 'no' } }, NO_SUPPORT, 'kept'],
    ['400 and an errcode that is no text', { status: 400, body: { errcode: 1, error: 'x' } }, NO_SUPPORT, 'kept'],
    ...[400, 401, 403, 404, 405, 409, 500, 501, 502, 503].map(
      (status): [string, Misbehaviour, { status: number; body: object }, 'kept'] => [
        `${status} and a Matrix error`,
        { status, body: error('M_FORBIDDEN', { extra: 'not passed on' }) },
        { status, body: error('M_FORBIDDEN') },
        'kept',
      ],
    ),
    [
      '404 M_UNRECOGNIZED',
      { status: 404, body: error('M_UNRECOGNIZED') },
      { status: 404, body: error('M_UNRECOGNIZED') },
      'kept',
    ],
    [
      '403 M_TERMS_NOT_SIGNED',
      { status: 403, body: error('M_TERMS_NOT_SIGNED') },
      { status: 403, body: error('M_TERMS_NOT_SIGNED') },
      'kept',
    ],
    ['403 without an error', { status: 403, body: '<html>' }, UNREADABLE, 'kept'],
    ['500 without an error', { status: 500, body: '<html>' }, UNREADABLE, 'kept'],
    ...[600, 999].map((status): [string, Misbehaviour, { status: number; body: object }, 'kept'] => [
      `${status}, which is no status, and a Matrix error`,
      { status, body: error('M_FORBIDDEN') },
      UNREADABLE,
      'kept',
    ]),
    ...['', 'M_FORBIDDEN\r\nX: y', 'M_FORBIDDÉN', 'x'.repeat(200)].map(
      (errcode): [string, Misbehaviour, { status: number; body: object }, 'kept'] => [
        `404 and a Matrix error whose errcode is ${JSON.stringify(errcode).slice(0, 30)}`,
        { status: 404, body: error(errcode) },
        { status: 404, body: error('M_UNKNOWN') },
        'kept',
      ],
    ),
    ...['M_UNKNOWN_TOKEN', 'M_MISSING_TOKEN', 'M_USER_LOCKED'].map(
      (errcode): [string, Misbehaviour, { status: number; body: object }, 'kept'] => [
        `401 ${errcode}, which would log the user out`,
        { status: 401, body: error(errcode) },
        { status: 403, body: { errcode: 'M_FORBIDDEN', error: expect.any(String) } },
        'kept',
      ],
    ),
    [
      'any with soft_logout',
      { status: 401, body: error('M_FORBIDDEN', { soft_logout: true }) },
      { status: 403, body: { errcode: 'M_FORBIDDEN', error: expect.any(String) } },
      'kept',
    ],
    [
      'an error of 10,000 characters',
      { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'x'.repeat(10_000) } },
      { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'x'.repeat(500) } },
      'kept',
    ],
    ['a connection that ends', 'reset', UNREADABLE, 'kept'],
    ['a connection that ends in the body', 'reset in body', UNREADABLE, 'kept'],
    ['a gigabyte', 'endless', UNREADABLE, 'kept'],
    ['a head of 64 KB', 'large head', UNREADABLE, 'kept'],
    ['ten thousand interim answers', 'interim answers', UNREADABLE, 'kept'],
  ])('%s', async (_, misbehaviour, answer, memory) => {
    await matrix.remember({ mxid, ...EMAIL }, [first.name]);
    first.answer(misbehaviour);

    expect(await unbind({ ...EMAIL, id_server: first.name })).toEqual(answer);
    expect(await knownServers()).toEqual(memory === 'kept' ? [first.name] : []);
  });

  test.each([
    ['7', '7'],
    ['Fri, 31 Dec 2027 23:59:59 GMT', 'Fri, 31 Dec 2027 23:59:59 GMT'],
    ['soon', null],
    ['1.5', null],
  ])('Retry-After: %s is passed on as %s', async (given, passedOn) => {
    first.answer({
      status: 429,
      headers: { 'Retry-After': given },
      body: error('M_LIMIT_EXCEEDED', { retry_after_ms: 9 }),
    });
    const received = await matrix.post('unbind', token, { ...EMAIL, id_server: first.name });
    expect(parsed(received)).toEqual({ status: 429, body: error('M_LIMIT_EXCEEDED') });
    expect(received.headers.get('retry-after')).toBe(passedOn);
  });

  test.each<Misbehaviour & string>(['hang', 'drip', 'drip headers'])(
    'that never ends (%s) is waited for only so long',
    async (misbehaviour) => {
      const short = await start({}, { timeout: 3 });
      first.answer(misbehaviour);
      const answer = await short.post('unbind', short.homeserver.accessToken('ann'), {
        ...EMAIL,
        id_server: first.name,
      });
      expect(parsed(answer)).toEqual({
        status: 504,
        body: { errcode: 'M_UNKNOWN', error: 'The identity server did not answer in time.' },
      });
    },
  );
});

describe('no server is named', () => {
  test('and none is known: no-support, and nothing is opened but whoami', async () => {
    expect(await unbind(EMAIL)).toEqual(NO_SUPPORT);
    expect(matrix.homeserver.calls).toEqual(['GET /_matrix/client/v3/account/whoami']);
    expect([first, second, third, identity].flatMap(({ requests }) => requests)).toEqual([]);
  });

  test('what is known of others, or of other identifiers, is not asked', async () => {
    await matrix.remember({ mxid: `@bob:${matrix.homeserver.serverName}`, ...EMAIL }, [first.name]);
    await matrix.remember({ mxid, medium: 'email', address: 'other@example.test' }, [second.name]);
    expect(await unbind(EMAIL)).toEqual(NO_SUPPORT);
    expect([...first.requests, ...second.requests]).toEqual([]);
  });

  test('all that are known unbind: success, and they are forgotten', async () => {
    await matrix.remember({ mxid, ...EMAIL }, [first.name, second.name, identity.name]);
    expect(await unbind(EMAIL)).toEqual(SUCCESS);
    expect(await knownServers()).toEqual([]);
    expect(await unbind(EMAIL)).toEqual(NO_SUPPORT);
  });

  const refused: Misbehaviour = { status: 403, body: { errcode: 'M_FORBIDDEN', error: 'no' } };
  const unsupported: Misbehaviour = { status: 404 };
  const broken: Misbehaviour = { status: 200, body: '<html>' };

  test.each<[string, readonly [Misbehaviour, Misbehaviour], object]>([
    ['one that refuses', [refused, unsupported], { status: 403 }],
    ['one that refuses before one that cannot be read', [broken, refused], { status: 403 }],
    ['one that cannot be read before one that does not support it', [unsupported, broken], { status: 502 }],
    ['one that does not support it before success', [unsupported, { status: 200, body: {} }], NO_SUPPORT],
  ])('the answer is that of %s', async (_, [ofFirst, ofSecond], answer) => {
    await matrix.remember({ mxid, ...EMAIL }, [first.name, second.name, third.name]);
    first.answer(ofFirst);
    second.answer(ofSecond);

    expect(await unbind(EMAIL)).toMatchObject(answer);
    // The one that has done it is forgotten, whatever the others say.
    expect(await knownServers()).not.toContain(third.name);
    expect(await knownServers()).toContain(first.name);
  });

  test('one that is too slow before one that cannot be read, and neither hides a success', async () => {
    const short = await startMatrixProject(certificates, [first.name, second.name, third.name], { timeout: 3 });
    onTestFinished(() => short.close());
    const ann = { mxid: `@ann:${short.homeserver.serverName}`, ...EMAIL };
    await short.remember(ann, [first.name, second.name, third.name]);
    first.answer('hang');
    second.answer(broken);

    expect(parsed(await short.post('unbind', short.homeserver.accessToken('ann'), EMAIL))).toMatchObject({
      status: 504,
    });
    expect((await short.known(ann)).map(({ idServer }) => idServer)).toEqual([first.name, second.name]);
  });

  test('a bind that may be under way is asked for, and kept: its server may yet do it', async () => {
    const begunAt = Date.now();
    await matrix.put({ mxid, ...EMAIL, idServer: first.name, bindId: 'under way', state: 'pending', begunAt });
    await matrix.put({ mxid, ...EMAIL, idServer: first.name, bindId: 'crashed', state: 'pending', begunAt: 1 });

    expect(await unbind(EMAIL)).toEqual(SUCCESS);
    expect(first.requests).toHaveLength(1);
    expect(await matrix.known({ mxid, ...EMAIL })).toMatchObject([{ bindId: 'under way' }]);
  });

  test('the directory is down: nothing is asked, nothing is forgotten', async () => {
    const down = await start({ DIRECTORY_URL: 'sqlite:/nowhere/unlink.sqlite' });
    const answer = await down.post('unbind', down.homeserver.accessToken('ann'), { ...EMAIL, id_server: first.name });
    expect(parsed(answer)).toEqual({ status: 503, body: { errcode: 'M_UNKNOWN', error: expect.any(String) } });
    expect(first.requests).toEqual([]);
  });
});

describe('the path', () => {
  const path = '/_matrix/client/v3/account/3pid/unbind';
  const CORS = {
    'access-control-allow-origin': '*',
    'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS',
    'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization',
    'access-control-expose-headers': 'Retry-After',
  };

  test.each(['r0', 'v3', 'unstable'])('of version %s is there', async (version) => {
    expect(parsed(await matrix.post('unbind', token, EMAIL, version))).toEqual(NO_SUPPORT);
  });

  test.each<[string, string, number, string | null]>([
    ['POST', '/_matrix/client/v1/account/3pid/unbind', 404, 'M_UNRECOGNIZED'],
    ['POST', `${path}/`, 404, 'M_UNRECOGNIZED'],
    ['POST', '/_matrix/client/v3/account/3pid/unbind/more', 404, 'M_UNRECOGNIZED'],
    ['GET', path, 405, 'M_UNRECOGNIZED'],
    ['PUT', path, 405, 'M_UNRECOGNIZED'],
    ['DELETE', path, 405, 'M_UNRECOGNIZED'],
    ['POST', path, 401, 'M_MISSING_TOKEN'],
    ['OPTIONS', path, 204, null],
  ])('%s %s: %i, for any page to read', async (method, at, status, errcode) => {
    const answer = await matrix.project.gateway(method, at);

    expect(answer.status).toBe(status);
    if (errcode === null) expect(answer.body).toBe('');
    else expect(JSON.parse(answer.body)).toEqual({ errcode, error: expect.any(String) });
    expect(Object.fromEntries(answer.headers)).toMatchObject(CORS);
    expect(matrix.homeserver.calls).toEqual([]);
  });

  test('a success and a refusal are for any page to read too', async () => {
    for (const body of [EMAIL, 'not json']) {
      expect(Object.fromEntries((await matrix.post('unbind', token, body)).headers)).toMatchObject(CORS);
    }
  });
});

describe('raw', () => {
  const raw = (payload: unknown, authorization: string | undefined = `Bearer ${token}`) =>
    matrix.project.raw('threepid-unbind', {
      headers: { request_id: '1111-aaaa', ...(authorization !== undefined && { authorization }) },
      request_type: '3pid.unbind',
      api_version: 1.0,
      payload,
    });

  test('the same, in the envelope', async () => {
    expect(JSON.parse((await raw({ ...EMAIL, id_server: first.name })).body)).toEqual({
      request_id: '1111-aaaa',
      status: 200,
      payload: { id_server_unbind_result: 'success' },
    });
  });

  test('a refusal is returned', async () => {
    expect(JSON.parse((await raw({ medium: 'email' })).body)).toMatchObject({
      status: 400,
      payload: { errcode: 'M_MISSING_PARAM' },
    });
    expect(JSON.parse((await raw('email')).body)).toMatchObject({ status: 400, payload: { errcode: 'M_BAD_JSON' } });
  });

  test('a failure is thrown, with its code alone, one that is passed on too', async () => {
    for (const answer of [{ status: 503, body: { errcode: 'M_UNKNOWN', error: 'x' } }, 'reset'] as const) {
      first.answer(answer);
      const { status, body } = await raw({ ...EMAIL, id_server: first.name });
      expect(status).toBe(502);
      expect(JSON.parse(body)).toMatchObject({ errorMessage: 'temporarily_unavailable' });
    }
  });
});

test('neither the token nor the address is in what is printed; the servers and what they did are', async () => {
  await matrix.remember({ mxid, ...EMAIL }, [first.name]);
  await unbind(EMAIL);
  await unbind({ ...EMAIL, address: 'broken' });

  const printed = matrix.project.output.join('\n');
  expect(printed).not.toContain(token);
  expect(printed).not.toContain('ann@example.test');
  expect(printed).not.toContain('broken');
  expect(printed).toContain(`"id_servers":["${first.name} done"]`);
  expect(printed).toContain('"event":"threepid.unbound"');
});
