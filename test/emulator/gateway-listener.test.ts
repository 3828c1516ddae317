import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Fixture, send, startFixture } from '#test/support/emulator-fixture/start-fixture.ts';

let now: Date;
let emulator: Fixture;
beforeAll(async () => {
  emulator = await startFixture({ now: () => now });
});
afterAll(() => emulator.close());
beforeEach(() => {
  now = new Date('2026-01-02T03:04:05Z');
});

const get = (path: string, headers: Record<string, string | string[]> = {}, method = 'GET') =>
  send(`${emulator.gatewayUrl}${path}`, { method, headers });

const getAsItIs = (path: string) => send(emulator.gatewayUrl, { method: 'GET', path });

describe('an event of the gateway', () => {
  it('has exactly the fields of payload format 1.0', async () => {
    const answer = await get('/users/7?tag=a&tag=b&other=%20', {
      'x-trace': ['1', '2'],
      'user-agent': 'test',
      cookie: 'theme=dark; other=1',
      authorization: 'Bearer x',
    });

    const event = JSON.parse(answer.text);
    const { requestId } = event.requestContext;
    const multiValueHeaders = {
      'X-Trace': ['1', '2'],
      'User-Agent': ['test'],
      Cookie: ['theme=dark; other=1'],
      Authorization: ['Bearer x'],
      Host: [new URL(emulator.gatewayUrl).host],
      'X-Forwarded-For': ['127.0.0.1'],
      'X-Request-Id': [requestId],
    };
    expect(event).toEqual({
      version: '1.0',
      resource: '/users/{id}',
      path: '/users/7',
      httpMethod: 'GET',
      headers: Object.fromEntries(Object.entries(multiValueHeaders).map(([name, list]) => [name, list.at(-1)])),
      multiValueHeaders,
      queryStringParameters: { tag: 'b', other: ' ' },
      multiValueQueryStringParameters: { tag: ['a', 'b'], other: [' '] },
      requestContext: {
        identity: { sourceIp: '127.0.0.1', userAgent: 'test' },
        httpMethod: 'GET',
        requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        requestTime: '02/Jan/2026:03:04:05 +0000',
        requestTimeEpoch: 1_767_323_045,
      },
      pathParameters: { id: '7' },
      body: '',
      isBase64Encoded: true,
      parameters: { id: '7', tag: 'b', 'X-Trace': '2', theme: 'dark' },
      multiValueParameters: { id: ['7'], tag: ['a', 'b'], 'X-Trace': ['1', '2'], theme: ['dark'] },
      operationId: 'user',
    });
  });

  it('carries the context of its operation, with parameters put in', async () => {
    const answer = await get('/users/7', {}, 'POST');

    expect(JSON.parse(answer.text)).toMatchObject({
      operationId: 'user.change',
      requestContext: { apiGateway: { operationContext: { level: 2, greeting: 'for 7', braces: '{unknown}' } } },
    });
  });

  it('has a JSON body as text', async () => {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await send(`${emulator.gatewayUrl}/users/7`, { headers, body: '{"a":1}' });

    expect(JSON.parse(answer.text)).toMatchObject({ body: '{"a":1}', isBase64Encoded: false });
  });

  it.each([
    ['/users/me', 'me', {}],
    ['/users/m', 'user', { id: 'm' }],
    ['/users/a%2Fb', 'user', { id: 'a/b' }],
    ['/users/%2520', 'user', { id: '%20' }],
    ['/users/%C3%A9', 'user', { id: 'é' }],
    [`/users/${'x'.repeat(5000)}`, 'user', { id: 'x'.repeat(5000) }],
    ['/files/a', 'files', { path: 'a' }],
    ['/files/a/b%20c/d', 'files', { path: 'a/b c/d' }],
  ])('comes from the path that fits best: %s', async (path, operationId, pathParameters) => {
    const answer = await get(path);

    expect(JSON.parse(answer.text)).toMatchObject({ path, operationId, pathParameters });
  });

  it.each([
    ['a slash that divides nothing', '%2F', '/'],
    ['a per cent sign', '%25', '%'],
    ['what looks encoded when it is decoded once', '%252F%2525', '%2F%25'],
    ['an encoded per cent sign before encoded digits', '%25%32%46', '%2F'],
    ['NUL', '%00', '\0'],
    ['a plus sign', '+', '+'],
    ['a semicolon, a question mark, a hash', ';%3F%23', ';?#'],
    ['dots that are not all of it', '...%2F..', '.../..'],
  ])('has a path parameter decoded once: %s', async (_, sent, id) => {
    const answer = await getAsItIs(`/users/${sent}`);

    expect(JSON.parse(answer.text)).toMatchObject({
      path: `/users/${sent}`,
      pathParameters: { id },
      parameters: { id },
    });
  });

  it.each([
    ['PATCH', 'files'],
    ['DELETE', 'files.delete'],
  ])('of any method reaches the operation for it: %s', async (method, operationId) => {
    const answer = await get('/files/a', {}, method);

    expect(JSON.parse(answer.text)).toMatchObject({ httpMethod: method, operationId });
  });
});

describe('the gateway answers', () => {
  it.each([
    ['404 to an unknown path', 'GET', '/nowhere', 404],
    ['404 to one segment too many', 'GET', '/users/1/2', 404],
    ['405 to another method of a known path', 'DELETE', '/users/7', 405],
  ])('%s', async (_, method, path, status) => {
    const answer = await get(path, {}, method);

    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ errorCode: status });
  });

  it.each([
    ['400', 'a broken percent-encoding', '/users/%zz', 400],
    ['400', 'half a percent-encoding', '/users/7%2', 400],
    ['400', 'a percent-encoding that is not UTF-8', '/users/%ff', 400],
    ['400', 'the segment "."', '/users/.', 400],
    ['400', 'the segment ".."', '/files/a/../b', 400],
    ['400', 'the segment "..", encoded', '/users/%2e%2E', 400],
    ['404', 'an empty segment where a parameter belongs', '/users/', 404],
    ['404', 'an empty segment where many belong', '/files/', 404],
    ['404', 'an empty segment before a path that there is', '//users/7', 404],
    ['404', 'a slash behind a path that there is', '/users/7/', 404],
  ])('%s to %s: %s', async (_, _what, path, status) => {
    const answer = await getAsItIs(path);

    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ errorCode: status });
  });

  it.each([
    [2_621_440, 200],
    [2_621_441, 413],
  ])('a body of %i bytes with %i', async (length, status) => {
    const answer = await send(`${emulator.gatewayUrl}/files/a`, {
      headers: { 'X-Reply': '{}' },
      body: Buffer.alloc(length),
    });

    expect(answer.status).toBe(status);
  });

  it('HEAD without a body', async () => {
    const answer = await get('/files/a', {}, 'HEAD');

    expect(answer).toMatchObject({ status: 200, text: '' });
  });

  it('with the headers of the function as they are, but for those of the connection', async () => {
    const headers = {
      Date: 'a',
      Server: 'b',
      'WWW-Authenticate': 'Bearer',
      'X-Request-Id': 'c',
      Connection: 'x',
      Te: 'x',
    };
    const answer = await get('/users/7', { 'X-Reply': JSON.stringify({ statusCode: 401, headers }) });

    expect(answer.status).toBe(401);
    expect(answer.headers).toMatchObject({ date: 'a', server: 'b', 'www-authenticate': 'Bearer', 'x-request-id': 'c' });
    expect(answer.headers.te).toBeUndefined();
    expect(answer.headers.connection).not.toBe('x');
  });

  it.each([
    ['that throws', 'throw', { errorMessage: 'no answer' }],
    ['with a malformed result', '"text"', { errorType: 'ProxyIntegrationError', payload: '"text"' }],
  ])('502 for a function %s', async (_, reply, error) => {
    const answer = await get('/users/7', { 'X-Reply': reply });

    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.text)).toMatchObject(error);
  });
});

describe('a dummy integration', () => {
  it.each([
    ['text/html', 203, 'text/html', '<p>'],
    ['text/*', 203, 'text/html', '<p>'],
    ['text/html;q=0.1, application/json', 203, 'application/json', '{"json":true}'],
    ['image/png, text/html;q=0', 203, 'text/x-any', 'any'],
    ['image/png', 203, 'text/x-any', 'any'],
  ])('answers Accept: %s', async (accept, status, type, text) => {
    const answer = await get('/static', { accept });

    expect(answer).toMatchObject({ status, text });
    expect(answer.headers).toMatchObject({ 'content-type': type, 'x-extra': 'yes' });
  });

  it.each([
    ['415 when nothing fits', '/only-json/a', { accept: 'text/html' }, 415, undefined],
    ['any content without Accept, parameters put in', '/only-json/%22a%22', {}, 200, '{"name":""a""}'],
    ['nothing where there is no content', '/moved', { accept: 'text/html' }, 302, ''],
  ])('answers %s', async (_, path, headers, status, text) => {
    const answer = await get(path, headers);

    expect(answer.status).toBe(status);
    if (text !== undefined) expect(answer.text).toBe(text);
  });
});

describe('an authorizer', () => {
  it.each([
    ['/secret', {}],
    ['/secret', { authorization: 'Basic yes' }],
    ['/basic', { authorization: 'Bearer yes' }],
    ['/key', { authorization: 'Bearer yes' }],
  ])('is not asked, and the answer is 401, without a credential of its scheme: %s %o', async (path, headers) => {
    const before = await askedSoFar();
    const answer = await get(path, headers);

    expect(answer.status).toBe(401);
    expect(await askedSoFar()).toBe(before + 1);
  });

  it.each([
    ['/secret', { authorization: 'bearer yes' }],
    ['/basic', { authorization: 'Basic yes' }],
    ['/key', { 'x-api-key': 'yes' }],
    ['/key?key=yes', {}],
    ['/key', { cookie: 'a=b; session=yes' }],
  ])('lets a credential of its scheme in: %s %o', async (path, headers) => {
    const answer = await get(path, headers);

    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text).requestContext.authorizer.asked).toBeGreaterThan(0);
  });

  it.each([
    ['no', 403],
    ['throw', 500],
    ['odd', 500],
    ['text', 500],
  ])('that answers "%s" makes a %i', async (credential, status) => {
    const answer = await get('/secret', { authorization: `Bearer ${credential}` });

    expect(answer.status).toBe(status);
    expect(answer.text).not.toContain('the store is down');
  });

  it('may leave out the context', async () => {
    const answer = await get('/secret', { authorization: 'Bearer bare' });

    expect(JSON.parse(answer.text).requestContext.authorizer).toEqual({});
  });

  it('is told of the request', async () => {
    const answer = await get('/cached/7?a=1&a=2', {
      authorization: 'Bearer yes',
      cookie: 'one=1; two=a=b',
      'x-a': ['1', '2'],
    });

    const { event } = JSON.parse(answer.text).requestContext.authorizer;
    expect(event).toEqual({
      resource: '/cached/{id}',
      path: '/cached/7',
      httpMethod: 'GET',
      headers: expect.objectContaining({ Authorization: 'Bearer yes', 'X-A': '2' }),
      queryStringParameters: { a: '2' },
      pathParameters: { id: '7' },
      requestContext: expect.objectContaining({ httpMethod: 'GET', requestId: expect.any(String) }),
      cookies: { one: '1', two: 'a=b' },
    });
  });

  it.each([
    ['/optional', 'one that need not be asked'],
    ['/documented', 'a scheme without one'],
  ])('is not needed for %s: %s', async (path) => {
    const answer = await get(path);

    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text).requestContext).not.toHaveProperty('authorizer');
  });

  it('is asked each time without a TTL', async () => {
    const first = await askedSoFar();

    expect(await askedSoFar()).toBe(first + 1);
  });

  it('is remembered for its TTL by template, method and credential', async () => {
    const ask = async (path: string, credential: string) =>
      JSON.parse((await get(path, { authorization: `Bearer ${credential}` })).text).requestContext.authorizer.asked;
    const first = await ask('/cached/1', 'ttl');

    expect(await ask('/cached/2', 'ttl')).toBe(first);
    expect(await ask('/cached/1', 'ttl other')).toBe(first + 1);
    expect(await ask('/cached-by-uri/1', 'ttl')).toBe(first + 2);
    expect(await ask('/cached-by-uri/1', 'ttl')).toBe(first + 2);
    expect(await ask('/cached-by-uri/2', 'ttl')).toBe(first + 3);
    now = new Date(now.getTime() + 59_999);
    expect(await ask('/cached/1', 'ttl')).toBe(first);
    now = new Date(now.getTime() + 1);
    expect(await ask('/cached/1', 'ttl')).toBe(first + 4);
  });

  it.each([
    ['a refusal', 'ttl no', 403, 0],
    ['not a failure', 'ttl throw', 500, 1],
  ])('is remembered with %s', async (_, credential, status, askedAgain) => {
    const headers = { authorization: `Bearer ${credential}` };
    const first = await get('/cached/1', headers);
    const before = await askedSoFar();
    const second = await get('/cached/1', headers);

    expect([first.status, second.status]).toEqual([status, status]);
    expect(await askedSoFar()).toBe(before + 1 + askedAgain);
  });

  /** How often the authorizer was asked, this time included. */
  async function askedSoFar(): Promise<number> {
    const answer = await get('/secret', { authorization: 'Bearer yes' });
    return JSON.parse(answer.text).requestContext.authorizer.asked;
  }
});

describe('CORS', () => {
  const preflight = { origin: 'https://other.example', 'access-control-request-method': 'PUT' };
  const allow = 'access-control-allow-';

  it('preflights are answered by the gateway with the whole rule', async () => {
    const answer = await get('/cors', preflight, 'OPTIONS');

    expect(answer).toMatchObject({ status: 204, text: '' });
    expect(answer.headers).toMatchObject({
      [`${allow}origin`]: 'https://app.example',
      [`${allow}methods`]: 'GET,PUT',
      [`${allow}headers`]: 'Authorization,X-One',
      [`${allow}credentials`]: 'true',
      'access-control-expose-headers': 'X-Two,X-Three',
      'access-control-max-age': '600',
    });
  });

  it.each([
    ['GET', 200],
    ['PUT', 401],
  ])('the answer to %s has the headers of the rule', async (method, status) => {
    const answer = await get('/cors', { origin: 'https://app.example' }, method);

    expect(answer.status).toBe(status);
    expect(answer.headers).toMatchObject({
      [`${allow}origin`]: 'https://app.example',
      [`${allow}credentials`]: 'true',
    });
    expect(answer.headers).not.toHaveProperty(`${allow}methods`);
  });

  it('an origin of true is the one of the request, and methods are what was asked for', async () => {
    const answer = await get('/cors-echo', preflight, 'OPTIONS');

    expect(answer).toMatchObject({ status: 200, text: '' });
    expect(answer.headers).toMatchObject({ [`${allow}origin`]: preflight.origin, [`${allow}methods`]: 'PUT' });
    expect(answer.headers).not.toHaveProperty(`${allow}headers`);
  });

  it('an OPTIONS request that is no preflight reaches its operation', async () => {
    const answer = await get('/cors-echo', {}, 'OPTIONS');

    expect(JSON.parse(answer.text)).toMatchObject({ httpMethod: 'OPTIONS' });
    expect(answer.headers).not.toHaveProperty(`${allow}origin`);
  });

  it('an origin of false leaves preflights to the function', async () => {
    const answer = await get('/cors-off', preflight, 'OPTIONS');

    expect(JSON.parse(answer.text)).toMatchObject({ operationId: 'own-preflight' });
  });
});

describe('a gateway that strips credential headers', () => {
  let stripping: Fixture;
  beforeAll(async () => {
    stripping = await startFixture({ stripCredentialHeaders: true });
  });
  afterAll(() => stripping.close());

  it('withholds them from the function, not from its authorizer', async () => {
    const headers = { authorization: 'Bearer yes', cookie: 'a=b' };
    const answer = await send(`${stripping.gatewayUrl}/secret`, { method: 'GET', headers });

    const { requestContext, ...event } = JSON.parse(answer.text);
    expect(JSON.stringify(event)).not.toMatch(/authorization|cookie|Bearer|a=b/i);
    expect(requestContext.authorizer.event.headers).toMatchObject({ Authorization: 'Bearer yes', Cookie: 'a=b' });
  });
});
