import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Fixture, send, startFixture } from '#test/support/emulator-fixture/start-fixture.ts';

let emulator: Fixture;
beforeAll(async () => {
  emulator = await startFixture();
});
afterAll(() => emulator.close());

const raw = (body: string) => send(`${emulator.functionsUrl}/probe?integration=raw`, { body });

describe('a raw call', () => {
  it.each([
    ['an object', '{"a":1}', { a: 1 }],
    ['an empty body', '', { payload: '' }],
    ['a body that is not JSON', 'not json', { payload: 'not json' }],
    ['null', 'null', null],
    ['a number', '12', 12],
    ['a string', '"str"', 'str'],
    ['an array', '[1]', [1]],
  ])('hands over %s as the platform does', async (_, body, event) => {
    const answer = await raw(body);

    expect(answer.status).toBe(200);
    expect(JSON.parse(answer.text)).toEqual(event);
  });

  it.each([
    ['string', '"ok"'],
    ['asyncUndefined', ''],
    ['null', 'null'],
    ['buffer', '{"type":"Buffer","data":[97,98]}'],
    ['thenable', '{}'],
    ['envelope', '{"statusCode":404,"headers":{"A":"b"},"body":"text"}'],
  ])('answers 200 with the JSON of the result: %s', async (name, text) => {
    const answer = await emulator.call('probe', { do: name });

    expect(answer).toMatchObject({ status: 200, text });
  });

  it.each([
    ['throwError', 'TypeError', 'a message'],
    ['rejectError', 'RangeError', 'rejected'],
    ['syncUndefined', 'Error', expect.stringMatching(/^Non-async entry point should provide a result/)],
    ['bigint', 'TypeError', expect.stringContaining('BigInt')],
    ['cyclic', 'TypeError', expect.stringContaining('circular')],
  ])('answers 502 with the error of the function: %s', async (name, errorType, errorMessage) => {
    const answer = await emulator.call('probe', { do: name });

    expect(answer.status).toBe(502);
    expect(answer.headers['x-function-error']).toBe('true');
    expect(answer.text).not.toContain('scripts/emulator');
    const error = JSON.parse(answer.text);
    expect(error).toEqual({ errorMessage, errorType, stackTrace: expect.any(Array) });
    // None of the emulator's own, nor of Node's that called it. What is built in has no file.
    const files = error.stackTrace.flatMap(({ file }: { file?: string | null }) => file ?? []);
    expect(files.filter((file: string) => !file.endsWith('/bundles/probe/index.js'))).toEqual([]);
  });

  it('puts a row of the stack into an object', async () => {
    const answer = await emulator.call('probe', { do: 'throwError' });

    const { stackTrace } = JSON.parse(answer.text);
    expect(stackTrace[0]).toMatchObject({ file: expect.stringContaining('probe/index.js'), line: expect.any(Number) });
  });

  it('tells nothing about a thrown text', async () => {
    const answer = await emulator.call('probe', { do: 'throwText' });

    expect(answer).toMatchObject({ status: 502, text: '{"stackTrace":[]}' });
  });

  it('logs a thrown error in one line', async () => {
    await emulator.call('probe', { do: 'throwError' });

    const findLine = () => emulator.output.find((text) => text.startsWith('probe: [ERROR] TypeError: a message'));
    // The answer comes by another pipe, and may be there before the line.
    await expect.poll(findLine).toMatch(/\r {4}at .*probe\/index\.js/);
    const line = findLine();
    expect(line).not.toMatch(/unlink-functions\/instance|scripts\/emulator|node:/);
  });

  it('may use any method', async () => {
    const answer = await send(`${emulator.functionsUrl}/probe?integration=raw`, { method: 'GET' });

    expect(answer).toMatchObject({ status: 200, text: '{"payload":""}' });
  });

  it('is told apart by an id of its own', async () => {
    const [one, other] = await Promise.all([raw('1'), raw('2')]);

    expect(one.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(one.headers['x-request-id']).not.toBe(other.headers['x-request-id']);
  });
});

describe('the context', () => {
  it('has the keys of the platform, the token and the request among them', async () => {
    const answer = await emulator.call('probe', { do: 'contextKeys' });

    expect(JSON.parse(answer.text)).toEqual([
      ...['awsRequestId', 'requestId', 'invokedFunctionArn', 'functionName', 'functionVersion', 'memoryLimitInMB'],
      ...['deadlineMs', 'logGroupName', 'token', '_data'],
    ]);
  });

  it('tells of the call', async () => {
    const answer = await emulator.call('probe', { do: 'context' });

    const context = JSON.parse(answer.text);
    expect(context).toMatchObject({
      requestId: answer.headers['x-request-id'],
      functionName: 'probe',
      memoryLimitInMB: '128',
      token: { access_token: expect.stringMatching(/^t1\./), expires_in: expect.any(Number), token_type: 'Bearer' },
      _data: { do: 'context' },
      payload: '',
    });
    expect(context.remaining).toBeGreaterThan(0);
    expect(context.remaining).toBeLessThanOrEqual(10_000);
  });
});

it('an instance has exactly the environment of functions.yaml', async () => {
  const answer = await emulator.call('probe', { do: 'environment' });

  expect(JSON.parse(answer.text)).toEqual({
    FIXED: '1',
    STORE_URL: 'sqlite:/nowhere/test.sqlite',
    SECRET: 'of /nowhere',
  });
});

it('what a function prints comes out line by line', async () => {
  // Or what its instance prints next would belong to the line that did not end.
  onTestFinished(() => emulator.reload('probe'));
  await emulator.call('probe', { do: 'print' });

  await vi.waitFor(() =>
    expect(emulator.output).toEqual(expect.arrayContaining(['probe: to stdout', 'probe: to stderr'])),
  );
  expect(emulator.output).not.toContain('probe: not ended');
});

describe('the functions listener', () => {
  const platformError = (errorCode: number) => ({
    errorCode,
    errorMessage: expect.any(String),
    errorType: expect.any(String),
  });

  it.each([
    ['an unknown function', '/unknown?integration=raw', 404],
    ['an inherited name', '/constructor?integration=raw', 404],
    ['no function', '/', 404],
    ['a path below a function', '/probe/below?integration=raw', 400],
    ['another integration', '/probe?integration=async', 400],
  ])('refuses %s', async (_, path, status) => {
    const answer = await send(`${emulator.functionsUrl}${path}`, { body: '{}' });

    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toEqual(platformError(status));
  });

  const limit = 3_670_016;
  it.each([
    ['a body of 3.5 MB', 'raw', limit, {}, 200],
    ['one byte more', 'raw', limit + 1, {}, 413],
    ['one byte more in chunks', 'raw', limit + 1, { 'Transfer-Encoding': 'chunked' }, 413],
    ['an envelope over 3.5 MB', '', limit - 10, { 'Content-Type': 'application/json' }, 413],
  ])('answers %s', async (_, integration, length, headers, status) => {
    const query = integration && `?integration=${integration}`;
    const answer = await send(`${emulator.functionsUrl}/small${query}`, { headers, body: Buffer.alloc(length, '1') });

    expect(answer.status).toBe(status);
  });

  it('says that it is up', async () => {
    const answer = await send(`${emulator.functionsUrl}/healthz`, { method: 'GET' });

    expect(answer).toMatchObject({ status: 200, text: '{"status":"ok"}' });
  });
});

describe('a direct HTTPS call', () => {
  const direct = (query: string, options: Parameters<typeof send>[1] = {}) =>
    send(`${emulator.functionsUrl}/web${query}`, options);

  it('is handed over as an envelope', async () => {
    const answer = await direct('?a=1&a=2&b=%C3%A9&__proto__=p', {
      headers: {
        'Content-Type': 'application/json',
        'User-Agent': 'test',
        'x-many': ['1', '2'],
        'X-Forwarded-For': '1.2.3.4',
      },
      body: '{"a": 1}',
    });

    expect(answer.status).toBe(200);
    const requestId = answer.headers['x-request-id'];
    const event = JSON.parse(answer.text);
    expect(event).toMatchObject({
      httpMethod: 'POST',
      path: '',
      queryStringParameters: { a: '2', b: 'é' },
      multiValueQueryStringParameters: { a: ['1', '2'], b: ['é'] },
      requestContext: {
        identity: { sourceIp: '127.0.0.1', userAgent: 'test' },
        httpMethod: 'POST',
        requestId,
        requestTime: expect.stringMatching(/^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/),
        requestTimeEpoch: expect.closeTo(Date.now() / 1000, -1),
      },
      body: '{"a": 1}',
      isBase64Encoded: false,
    });
    expect(event.headers).toMatchObject({
      'X-Many': '2',
      'X-Request-Id': requestId,
      'X-Forwarded-For': '1.2.3.4, 127.0.0.1',
    });
    expect(event.multiValueHeaders['X-Many']).toEqual(['1', '2']);
    expect(Object.keys(event.multiValueHeaders)).toEqual(Object.keys(event.headers));
  });

  it('keeps the X-Request-Id of the client in the headers only', async () => {
    const answer = await direct('', { headers: { 'X-Request-Id': 'mine' } });

    const event = JSON.parse(answer.text);
    expect(event.headers['X-Request-Id']).toBe('mine');
    expect(event.requestContext.requestId).toBe(answer.headers['x-request-id']);
  });

  it.each([
    ...['Expect', 'Te', 'Trailer', 'Upgrade', 'Proxy-Authenticate', 'Authorization', 'Connection', 'Content-Md5'],
    ...['Max-Forwards', 'Server', 'Transfer-Encoding', 'Www-Authenticate', 'Cookie'],
  ])('loses the header %s', async (name) => {
    const values: Record<string, string> = {
      Expect: '100-continue',
      Connection: 'close',
      'Transfer-Encoding': 'chunked',
    };
    const answer = await direct('', { headers: { [name]: values[name] ?? 'x' }, body: '{}' });

    const { headers, multiValueHeaders } = JSON.parse(answer.text);
    expect({ ...headers, ...multiValueHeaders }).not.toHaveProperty(name);
  });

  it.each([
    ['application/json', false],
    ['application/json; charset=utf-8', false],
    ['application/x-www-form-urlencoded', true],
    ['text/plain', true],
    [undefined, true],
  ])('has the body in Base64 unless it is JSON: %s', async (type, isBase64Encoded) => {
    const answer = await direct('', { headers: type ? { 'Content-Type': type } : {}, body: '"é"' });

    const body = isBase64Encoded ? Buffer.from('"é"').toString('base64') : '"é"';
    expect(JSON.parse(answer.text)).toMatchObject({ body, isBase64Encoded });
  });

  const reply = (value: unknown) => direct('', { headers: { 'X-Reply': JSON.stringify(value) } });

  it('is answered with what the function returned', async () => {
    const answer = await reply({
      statusCode: 201,
      headers: { 'x-one': 'overruled', 'X-Two': '2' },
      multiValueHeaders: { 'X-One': ['a', 'b'], 'set-cookie': ['c=1', 'd=2'] },
      body: Buffer.from('bytes').toString('base64'),
      isBase64Encoded: true,
    });

    expect(answer).toMatchObject({ status: 201, text: 'bytes' });
    expect(answer.headers).toMatchObject({ 'x-one': 'a, b', 'x-two': '2', 'set-cookie': ['c=1', 'd=2'] });
  });

  it.each([
    ...['Host', 'Authorization', 'User-Agent', 'Max-Forwards', 'Cookie'],
    ...['X-Request-Id', 'X-Function-Id', 'X-Function-Version-Id', 'X-Content-Type-Options'],
  ])('loses the header %s of the answer', async (name) => {
    const answer = await reply({ headers: { [name]: 'from the function' } });

    expect(answer.status).toBe(200);
    expect(answer.headers[name.toLowerCase()]).not.toBe('from the function');
  });

  it.each(['Content-Md5', 'Date', 'Server', 'Www-Authenticate'])(
    'renames the header %s of the answer',
    async (name) => {
      const answer = await reply({ headers: { [name.toLowerCase()]: 'from the function' } });

      expect(answer.headers[`x-yf-remapped-${name.toLowerCase()}`]).toBe('from the function');
      expect(answer.headers[name.toLowerCase()]).not.toBe('from the function');
    },
  );

  it.each([
    ['a text', 'text'],
    ['null', null],
    ['an array', [1]],
    ['a status that is no number', { statusCode: '200' }],
    ['an impossible status', { statusCode: 99 }],
    ['a body that is no text', { body: { a: 1 } }],
    ['a header that is no text', { headers: { A: 1 } }],
    ['a header that cannot be sent', { headers: { A: 'a\nb' } }],
    ['the header Proxy-Authenticate', { headers: { 'proxy-authenticate': 'x' } }],
    ['the header Transfer-Encoding', { headers: { 'Transfer-Encoding': 'chunked' } }],
    ['the header Via', { multiValueHeaders: { Via: ['x'] } }],
  ])('answers 502 for a malformed result: %s', async (_, result) => {
    const answer = await reply(result);

    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.text)).toEqual({
      errorMessage: expect.stringMatching(/^Malformed serverless function response: /),
      errorType: 'ProxyIntegrationError',
      payload: JSON.stringify(result),
    });
  });

  it('answers 502 when the function throws', async () => {
    const answer = await direct('?reply=throw');

    expect(answer.status).toBe(502);
    expect(answer.headers['x-function-error']).toBe('true');
    expect(JSON.parse(answer.text)).toMatchObject({ errorMessage: 'no answer', errorType: 'Error' });
  });
});
