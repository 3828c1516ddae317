import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';

/** The call of the documentation, with a token that no test asks about. */
const SEED = {
  headers: { request_id: '1111-aaaa-2222-bbbb', authorization: 'Bearer of-the-seed' },
  request_type: 'unlink',
  api_version: 1.0,
};

const withHeaders = (headers: unknown) => ({ ...SEED, headers });
const withId = (request_id: unknown) => withHeaders({ ...SEED.headers, request_id });
const withCredential = (authorization: unknown) => withHeaders({ ...SEED.headers, authorization });
const without = (key: keyof typeof SEED) => Object.fromEntries(Object.entries(SEED).filter(([name]) => name !== key));
const nested = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);

let project: EmulatedProject;

beforeAll(async () => {
  project = await startProject();
});

afterAll(() => project.close());

afterEach(() => {
  project.output.length = 0;
});

const unlink = (body: unknown) => project.raw('smart-home-unlink', body);
const isLetIn = async (token: string) => {
  const { status } = await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` });
  return status === 200;
};

describe('raw: a link is ended', () => {
  test('the call of the documentation, word for word, is answered as documented, and the token is refused', async () => {
    expect(await isLetIn('123qwe456a...')).toBe(true);
    const { status, body } = await project.raw(
      'smart-home-unlink',
      `{
      "headers": {
        "request_id": "1111-aaaa-2222-bbbb",
        "authorization": "Bearer 123qwe456a..."
      },
      "request_type": "unlink",
      "api_version": 1.0
}`,
    );
    expect(status).toBe(200);
    expect(JSON.parse(body)).toEqual({ request_id: '1111-aaaa-2222-bbbb' });
    expect(await isLetIn('123qwe456a...')).toBe(false);
    expect(await isLetIn('123qwe456b...')).toBe(true);
  });

  test('sent again, and fifty times at once: the same answer, one row', async () => {
    const before = project.countRows();
    const call = withCredential('Bearer fifty-times');
    const answers = await Promise.all(Array.from({ length: 50 }, () => unlink(call)));
    for (const { status, body } of [...answers, await unlink(call)]) {
      expect(status).toBe(200);
      expect(JSON.parse(body)).toEqual({ request_id: '1111-aaaa-2222-bbbb' });
    }
    expect(project.countRows()).toBe(before + 1);
  });

  test.each([
    ['Bearer', 'Bearer a'],
    ['bearer', 'bearer b'],
    ['BEARER with two spaces', 'BEARER  c'],
    ['characters that are not of b64token', 'Bearer 1|abc…'.replace('…', '"\\{}')],
    ['8192 characters', `Bearer ${'d'.repeat(8192)}`],
  ])('a credential is taken: %s', async (_name, authorization) => {
    expect((await unlink(withCredential(authorization))).body).toBe('{"request_id":"1111-aaaa-2222-bbbb"}');
    expect(await isLetIn(authorization.replace(/^\S+ +/, ''))).toBe(false);
  });

  test.each([
    ['a number', 1],
    ['text', '1.0'],
    ['a later one', 1.1],
    ['a much later one', '20'],
  ])('api_version may be %s', async (_name, api_version) => {
    expect((await unlink({ ...SEED, api_version })).body).toBe('{"request_id":"1111-aaaa-2222-bbbb"}');
    const { level } = project.takeLogLine();
    expect(level).toBe(Number(api_version) === 1 ? 'INFO' : 'WARN');
  });

  test('a stray field that an HTTP event has does not keep a token alive', async () => {
    const call = { ...withCredential('Bearer stray'), httpMethod: 'POST', requestContext: {} };
    expect((await unlink(call)).body).toBe('{"request_id":"1111-aaaa-2222-bbbb"}');
  });

  test('the largest call that is allowed is taken: 16 levels, 256 keys, 256 KB', async () => {
    const wide = Object.fromEntries(Array.from({ length: 256 }, (_, index) => [`k${index}`, 1]));
    const call = { ...SEED, payload: { deep: nested(14), wide, long: '' } };
    call.payload.long = 'x'.repeat(262_144 - JSON.stringify(call).length);
    expect((await unlink(call)).body).toBe('{"request_id":"1111-aaaa-2222-bbbb"}');
    call.payload.long += 'x';
    expect(JSON.parse((await unlink(call)).body)).toMatchObject({ status: 413 });
  });

  test('fields that are unknown are ignored', async () => {
    const call = { ...SEED, payload: { a: [1] }, new_field: null, headers: { ...SEED.headers, more: {} } };
    expect((await unlink(call)).body).toBe('{"request_id":"1111-aaaa-2222-bbbb"}');
  });

  test('without a request id the platform’s own is answered: a missing id must not keep a token alive', async () => {
    const { body } = await unlink(withHeaders({ authorization: 'Bearer without-id' }));
    expect(JSON.parse(body)).toEqual({ request_id: project.takeLogLine().invocation_id });
    expect(await isLetIn('without-id')).toBe(false);
  });

  test.each([
    ['one character', 'x'],
    ['255 characters', 'x'.repeat(255)],
    ['printable characters that are not ASCII', 'запрос-№1'],
  ])('a request id of %s is answered and logged', async (_name, id) => {
    expect(JSON.parse((await unlink(withId(id))).body)).toEqual({ request_id: id });
    expect(project.takeLogLine()).toMatchObject({ request_id: id });
  });

  test('the spellings of one JWT are one token: revoked in one, it is refused in all', async () => {
    const segment = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const signed = `${segment({ alg: 'RS256', typ: 'JWT' })}.${segment({ sub: 'user' })}`;
    await unlink(withCredential(`Bearer ${signed}.c2lnbmF0dXJlAA`));
    expect(await isLetIn(`${signed}.c2lnbmF0dXJlAB`)).toBe(false);
    expect(await isLetIn(`${signed}.c2lnbmF0dXJlAA==`)).toBe(false);
    expect(await isLetIn(`${signed.slice(0, -1)}x.c2lnbmF0dXJlAA`)).toBe(true);
  });
});

describe('raw: a caller’s mistake is returned in the documented form, and nothing is stored', () => {
  const PLATFORM_ID = expect.stringMatching(/^[0-9a-f-]{36}$/);
  const SAME_ID = '1111-aaaa-2222-bbbb';

  test.each<[name: string, status: number, error: string, requestId: unknown, body: unknown]>([
    ['null', 400, 'invalid_request', PLATFORM_ID, 'null'],
    ['a number', 400, 'invalid_request', PLATFORM_ID, '12'],
    ['true', 400, 'invalid_request', PLATFORM_ID, 'true'],
    ['text', 400, 'invalid_request', PLATFORM_ID, '"str"'],
    ['an array', 400, 'invalid_request', PLATFORM_ID, '[1]'],
    ['an array of a call', 400, 'invalid_request', PLATFORM_ID, [SEED]],
    ['empty', 400, 'invalid_request', PLATFORM_ID, ''],
    ['not JSON', 400, 'invalid_request', PLATFORM_ID, 'not json'],
    ['two documents', 400, 'invalid_request', PLATFORM_ID, '{}{}'],
    ['an empty object', 400, 'invalid_request', PLATFORM_ID, '{}'],
    ['nested 17 deep', 400, 'invalid_request', SAME_ID, { ...SEED, payload: nested(16) }],
    [
      'nested 20,000 deep',
      400,
      'invalid_request',
      SAME_ID,
      `{"payload":${'['.repeat(20_000)}${']'.repeat(20_000)},${JSON.stringify(SEED).slice(1)}`,
    ],
    [
      '257 keys',
      400,
      'invalid_request',
      SAME_ID,
      { ...SEED, payload: Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`k${index}`, 1])) },
    ],
    ['a key __proto__', 400, 'invalid_request', SAME_ID, `{"__proto__":{"x":1},${JSON.stringify(SEED).slice(1)}`],
    ['a key constructor inside', 400, 'invalid_request', SAME_ID, { ...SEED, payload: [{ constructor: 1 }] }],
    ['above 256 KB', 413, 'payload_too_large', SAME_ID, { ...SEED, payload: 'x'.repeat(262_144) }],
    ['headers missing', 400, 'invalid_request', PLATFORM_ID, without('headers')],
    ['headers null', 400, 'invalid_request', PLATFORM_ID, withHeaders(null)],
    ['headers text', 400, 'invalid_request', PLATFORM_ID, withHeaders('x')],
    ['headers an array', 400, 'invalid_request', PLATFORM_ID, withHeaders([SEED.headers])],
    ['api_version missing', 400, 'invalid_request', SAME_ID, without('api_version')],
    ['api_version null', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: null }],
    ['api_version an array', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: [1] }],
    ['api_version true', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: true }],
    ['api_version 0', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: 0 }],
    ['api_version 0.9', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: '0.9' }],
    ['api_version negative', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: -1 }],
    [
      'api_version infinite',
      400,
      'invalid_request',
      SAME_ID,
      JSON.stringify(SEED).replace('"api_version":1', '"api_version":1e309'),
    ],
    ['api_version words', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: 'one' }],
    ['api_version empty', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: '' }],
    ['api_version hexadecimal', 400, 'invalid_request', SAME_ID, { ...SEED, api_version: '0x1' }],
    ['request_id null', 400, 'invalid_request', PLATFORM_ID, withId(null)],
    ['request_id empty', 400, 'invalid_request', PLATFORM_ID, withId('')],
    ['request_id a number', 400, 'invalid_request', PLATFORM_ID, withId(1111)],
    ['request_id an array', 400, 'invalid_request', PLATFORM_ID, withId(['x'])],
    ['request_id of 256 characters', 400, 'invalid_request', PLATFORM_ID, withId('x'.repeat(256))],
    ['request_id with a line break', 400, 'invalid_request', PLATFORM_ID, withId('a\r\nb')],
    ['request_id with an escape code', 400, 'invalid_request', PLATFORM_ID, withId('\u001b[31mred')],
    ['request_id with U+2028', 400, 'invalid_request', PLATFORM_ID, withId('a\u2028b')],
    ['request_id with a mark that turns the text around', 400, 'invalid_request', PLATFORM_ID, withId('a\u202eb')],
    ['request_id with a lone surrogate', 400, 'invalid_request', PLATFORM_ID, withId('a\ud800')],
    ['request_type missing', 400, 'invalid_request', SAME_ID, without('request_type')],
    ['request_type unknown', 400, 'invalid_request', SAME_ID, { ...SEED, request_type: 'link' }],
    ['request_type in capitals', 400, 'invalid_request', SAME_ID, { ...SEED, request_type: 'UNLINK' }],
    ['request_type an array', 400, 'invalid_request', SAME_ID, { ...SEED, request_type: ['unlink'] }],
    ['request_type a name of every object', 400, 'invalid_request', SAME_ID, { ...SEED, request_type: 'toString' }],
    ['authorization missing', 401, 'invalid_token', SAME_ID, withHeaders({ request_id: SAME_ID })],
    ['authorization null', 401, 'invalid_token', SAME_ID, withCredential(null)],
    ['authorization empty', 401, 'invalid_token', SAME_ID, withCredential('')],
    ['authorization an array', 401, 'invalid_token', SAME_ID, withCredential(['Bearer x'])],
    ['authorization an object', 401, 'invalid_token', SAME_ID, withCredential({ toString: 'Bearer x' })],
    ['only the scheme', 401, 'invalid_token', SAME_ID, withCredential('Bearer')],
    ['only the scheme and a space', 401, 'invalid_token', SAME_ID, withCredential('Bearer ')],
    ['another scheme', 401, 'invalid_token', SAME_ID, withCredential('Basic dTpw')],
    ['the token alone', 401, 'invalid_token', SAME_ID, withCredential('123qwe456a')],
    ['a tab between', 401, 'invalid_token', SAME_ID, withCredential('Bearer\tx')],
    ['a no-break space between', 401, 'invalid_token', SAME_ID, withCredential('Bearer\u00a0x')],
    ['two tokens', 401, 'invalid_token', SAME_ID, withCredential('Bearer x y')],
    ['a space before', 401, 'invalid_token', SAME_ID, withCredential(' Bearer x')],
    ['a space after', 401, 'invalid_token', SAME_ID, withCredential('Bearer x ')],
    ['a line break after', 401, 'invalid_token', SAME_ID, withCredential('Bearer x\n')],
    ['a NUL inside', 401, 'invalid_token', SAME_ID, withCredential('Bearer x\u0000')],
    ['a token that is not ASCII', 401, 'invalid_token', SAME_ID, withCredential('Bearer токен')],
    ['a token of 8193 characters', 401, 'invalid_token', SAME_ID, withCredential(`Bearer ${'x'.repeat(8193)}`)],
    ['discovery', 404, 'unsupported_request_type', SAME_ID, { ...SEED, request_type: 'discovery' }],
    ['query', 404, 'unsupported_request_type', SAME_ID, { ...SEED, request_type: 'query', payload: { devices: [] } }],
    ['action', 404, 'unsupported_request_type', SAME_ID, { ...SEED, request_type: 'action' }],
  ])('%s: %i %s', async (_name, status, error, requestId, body) => {
    const before = project.countRows();
    const answer = await unlink(body);
    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.body)).toEqual({
      request_id: requestId,
      status,
      payload: { error, error_description: expect.stringMatching(/^[A-Z][\x20-\x7e]+\.$/) },
    });
    expect(project.takeLogLine()).toMatchObject({ level: 'INFO', outcome: 'denied', code: error });
    expect(project.countRows()).toBe(before);
  });

  test('nothing of what the caller wrote is in the description', async () => {
    const { body } = await unlink({ ...SEED, request_type: '<script>alert(1)</script>', api_version: '<b>' });
    expect(body).not.toContain('<');
  });
});

describe('behind the gateway', () => {
  const post = (headers: Record<string, string>, body?: string) =>
    project.gateway('POST', '/v1.0/user/unlink', headers, body);

  test('POST /v1.0/user/unlink answers the X-Request-Id that it got, and the token is refused', async () => {
    const { status, headers, body } = await post({ Authorization: 'Bearer rest', 'X-Request-Id': 'rest-1' });
    expect({ status, body }).toEqual({ status: 200, body: '{"request_id":"rest-1"}' });
    expect(headers.get('content-type')).toBe('application/json');
    expect(headers.get('x-request-id')).toBe('rest-1');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(await isLetIn('rest')).toBe(false);
  });

  test('a token revoked over the gateway is the same token in raw: one row', async () => {
    await post({ Authorization: 'Bearer both' });
    const rows = project.countRows();
    await unlink(withCredential('Bearer both'));
    expect(project.countRows()).toBe(rows);
  });

  test('without X-Request-Id the platform’s own is answered', async () => {
    const { status, body } = await post({ Authorization: 'Bearer rest-without-id' });
    expect(status).toBe(200);
    expect(JSON.parse(body)).toEqual({ request_id: project.takeLogLine().invocation_id });
  });

  test('a body is ignored', async () => {
    expect((await post({ Authorization: 'Bearer rest-body' }, 'not json')).status).toBe(200);
  });

  test.each<[name: string, status: number, error: string, headers: Record<string, string>, body?: string]>([
    ['no credential', 401, 'invalid_token', {}],
    ['another scheme', 401, 'invalid_token', { Authorization: 'Basic dTpw' }],
    ['a malformed token', 401, 'invalid_token', { Authorization: 'Bearer x y' }],
    [
      'an unusable X-Request-Id',
      400,
      'invalid_request',
      { Authorization: 'Bearer x', 'X-Request-Id': 'x'.repeat(256) },
    ],
    ['a body above 256 KB', 413, 'payload_too_large', { Authorization: 'Bearer x' }, 'x'.repeat(262_145)],
  ])('%s: %i %s', async (_name, status, error, headers, body) => {
    const before = project.countRows();
    const answer = await post(headers, body);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toEqual({ error, error_description: expect.any(String) });
    expect(answer.headers.get('www-authenticate')).toBe(status === 401 ? 'Bearer' : null);
    expect(project.countRows()).toBe(before);
  });

  test.each(['/v1.0', '/v1.0/'])('HEAD %s answers 200 and no body', async (path) => {
    expect(await project.gateway('HEAD', path)).toMatchObject({ status: 200, body: '' });
    const unusable = await project.gateway('HEAD', path, { 'X-Request-Id': 'x'.repeat(256) });
    expect(unusable).toMatchObject({ status: 400, body: '' });
  });

  test.each(['GET', 'POST'])('%s /v1.0 is no method of the path', async (method) => {
    expect((await project.gateway(method, '/v1.0')).status).toBe(405);
  });

  test('a gateway that withholds the credential leads to a 401', async () => {
    const withholding = await startProject({ stripCredentialHeaders: true });
    const answer = await withholding.gateway('POST', '/v1.0/user/unlink', { Authorization: 'Bearer withheld' });
    expect(answer.status).toBe(401);
    expect(answer.body).toContain('the gateway withholds it');
    expect(withholding.countRows()).toBe(0);
    await withholding.close();
  });
});

describe('an event that a raw caller forged', () => {
  const gatewayEvent = (parts: object) => ({
    version: '1.0',
    httpMethod: 'POST',
    operationId: 'smart-home-unlink',
    headers: {},
    requestContext: { identity: { sourceIp: '127.0.0.1' } },
    ...parts,
  });

  test.each<[name: string, event: object, statusCode: number]>([
    [
      'a body that is no base64, in a way that takes some checks for ever',
      gatewayEvent({
        body: `${'='.repeat(1_000_000)}A`,
        isBase64Encoded: true,
        operationId: 'smart-home-unlink.query',
      }),
      400,
    ],
    ['a gateway event without a credential', gatewayEvent({}), 401],
    [
      'claims of an authorizer',
      gatewayEvent({ requestContext: { authorizer: { sub: 'admin', jwt: { claims: {} } } } }),
      401,
    ],
    [
      'a header that differs from what an authorizer handed on',
      gatewayEvent({
        headers: { Authorization: 'Bearer a' },
        requestContext: { authorizer: { authorization: 'Bearer b' } },
      }),
      401,
    ],
    [
      'a header in two spellings that differ',
      gatewayEvent({ headers: { Authorization: 'Bearer a', authorization: 'Bearer b' } }),
      401,
    ],
    [
      'a repeated header that differs',
      gatewayEvent({ multiValueHeaders: { Authorization: ['Bearer a', 'Bearer b'] } }),
      401,
    ],
    [
      'a credential that is no string',
      gatewayEvent({ requestContext: { authorizer: { authorization: { a: 1 } } } }),
      401,
    ],
    ['an unknown operation', gatewayEvent({ operationId: 'constructor' }), 404],
    ['no operation', gatewayEvent({ operationId: undefined }), 404],
    [
      'two request ids',
      gatewayEvent({ multiValueHeaders: { 'X-Request-Id': ['a', 'b'] }, headers: { Authorization: 'Bearer a' } }),
      400,
    ],
    ['headers of a wrong type', gatewayEvent({ headers: [], multiValueHeaders: 7 }), 401],
    ['a direct HTTPS event', { httpMethod: 'POST', headers: { Authorization: 'Bearer a' }, requestContext: {} }, 401],
  ])('%s is refused in that event’s form, without effect', async (_name, event, statusCode) => {
    const before = project.countRows();
    const answer = JSON.parse((await unlink(event)).body);
    expect(answer).toMatchObject({ statusCode, isBase64Encoded: false });
    expect(JSON.parse(answer.body)).toHaveProperty('error');
    expect(project.countRows()).toBe(before);
  });

  test.each([
    [
      'a timer event',
      {
        messages: [
          { event_metadata: { event_type: 'yandex.cloud.events.serverless.triggers.TimerMessage' }, details: {} },
        ],
      },
    ],
    ['an authorizer event', { resource: '/whoami', path: '/whoami', httpMethod: 'GET', headers: {}, cookies: {} }],
  ])('%s is refused, without effect', async (_name, event) => {
    const before = project.countRows();
    expect(JSON.parse((await unlink(event)).body)).toMatchObject({ status: 400 });
    expect(project.countRows()).toBe(before);
  });

  test('the credential that an authorizer handed on is taken, and verified like any other', async () => {
    await unlink(gatewayEvent({ requestContext: { authorizer: { authorization: 'Bearer handed-on' } } }));
    expect(await isLetIn('handed-on')).toBe(false);
  });
});

describe('a direct HTTPS call, without integration=raw', () => {
  test('is a 401 that says why', async () => {
    const response = await fetch(`${project.functionsUrl}/smart-home-unlink`, {
      method: 'POST',
      headers: { Authorization: 'Bearer direct' },
    });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error_description: expect.stringContaining('integration=raw') });
    expect(await isLetIn('direct')).toBe(true);
  });
});

describe('the log', () => {
  test('one structured line a call holds what an operator needs, and the whole revocation', async () => {
    await unlink(withCredential('Bearer logged'));
    const line = project.takeLogLine();
    expect(line).toEqual({
      level: 'INFO',
      message: 'smart-home-unlink: ok',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      function: 'smart-home-unlink',
      function_id: 'smart-home-unlink', // in the cloud the platform's own id
      function_version: expect.any(String),
      invocation_id: expect.any(String),
      trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      span_id: expect.stringMatching(/^[0-9a-f]{16}$/),
      cold_start: expect.any(Boolean),
      request_id: '1111-aaaa-2222-bbbb',
      transport: 'raw',
      operation: 'unlink',
      token_id: expect.stringMatching(/^k1\.[\w-]{43}$/),
      revocation: {
        made_at: expect.any(Number),
        token_ids: [line.token_id],
        grants: [],
        cut_offs: [],
        expires_at: expect.any(Number),
        presented: { token_ids: [line.token_id], grants: [], cut_off_keys: [] },
      },
      first: true,
      at: expect.any(Number),
      reached: ['access_token_only'],
      outcome: 'ok',
      duration_ms: expect.any(Number),
      remaining_ms: expect.any(Number),
    });
  });

  test('a revocation is kept for 400 days unless MAX_TOKEN_LIFETIME_S says otherwise', async () => {
    const nowS = Date.now() / 1000;
    await unlink(withCredential('Bearer lifetime'));
    const { revocation } = project.takeLogLine();
    expect(Math.abs((revocation as { expires_at: number }).expires_at - nowS - 34_560_000)).toBeLessThan(60);
  });
});
