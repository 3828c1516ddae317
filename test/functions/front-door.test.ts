import type { IncomingMessage } from 'node:http';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

/** What the provider's own service got. */
interface Passed {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingMessage['headers'];
  body: string;
}

let passed: Passed[];
let answer: { status: number; type: string; body: string };
let project: EmulatedProject;

beforeEach(async () => {
  passed = [];
  answer = { status: 200, type: 'application/json', body: '{"request_id":"f-1","payload":{"devices":[]}}' };
  const fulfilment = await startHttpServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url, headers } = request;
    passed.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
    response.writeHead(answer.status, { 'Content-Type': answer.type, 'Set-Cookie': 'a=b' }).end(answer.body);
  });
  const local = {
    ...ISSUER_SETTINGS,
    FULFILMENT_URL: `${fulfilment}/function?integration=raw`,
    FULFILMENT_REST_URL: `${fulfilment}/api/`,
  };
  project = await startProject({ local, timeout: 3 });
  onTestFinished(() => project.close());
});

const call = (
  token: string,
  request_type = 'query',
  payload: unknown = { devices: [{ id: 'lamp', custom_data: {} }] },
) => ({
  headers: { request_id: 'f-1', authorization: `Bearer ${token}`, extra: 'kept' },
  request_type,
  payload,
  api_version: 1.0,
});
const raw = async (event: object) => project.raw('smart-home-unlink', event);
const unlink = (token: string) => raw(call(token, 'unlink'));

describe('raw', () => {
  test.each(['discovery', 'query', 'action'])('%s is passed on as it came, and its JSON comes back', async (type) => {
    const event = call(await issueToken(), type);
    const { status, body } = await raw(event);
    expect({ status, body }).toEqual({ status: 200, body: answer.body });
    expect(passed).toHaveLength(1);
    expect(passed[0]).toMatchObject({ method: 'POST', url: '/function?integration=raw' });
    expect(JSON.parse(passed[0]?.body ?? '')).toEqual(event);
  });

  test('nothing is added but X-Request-Id, the trace and the credential that the call carries', async () => {
    const token = await issueToken();
    await raw(call(token));
    expect(passed[0]?.headers).toEqual({
      'accept-encoding': 'identity',
      authorization: `Bearer ${token}`,
      connection: 'close',
      'content-length': expect.any(String),
      'content-type': 'application/json',
      host: expect.any(String),
      traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-02$/),
      'x-request-id': 'f-1',
    });
  });

  test.each(['null', '12', '"text"', '[1,{"a":null}]'])('any JSON value comes back: %s', async (body) => {
    answer.body = body;
    expect((await raw(call(await issueToken()))).body).toBe(body);
  });

  test('a revoked token never reaches it', async () => {
    const token = await issueToken();
    await unlink(token);
    expect(JSON.parse((await raw(call(token))).body)).toMatchObject({ request_id: 'f-1', status: 401 });
    expect(passed).toEqual([]);
  });

  test.each<[name: string, token: () => Promise<string>]>([
    ['expired', () => issueToken({ exp: 1 })],
    ['badly signed', async () => `${await issueToken()}x`],
    ['of a foreign issuer', () => issueToken({ iss: 'https://evil.example' })],
  ])('a token that is %s never reaches it', async (_name, token) => {
    expect(JSON.parse((await raw(call(await token()))).body)).toMatchObject({ status: 401 });
    expect(passed).toEqual([]);
  });

  test.each<[name: string, set: () => void]>([
    [
      'a status of 500',
      () => {
        answer.status = 500;
      },
    ],
    [
      'a status of 404',
      () => {
        answer.status = 404;
      },
    ],
    [
      'a redirect',
      () => {
        answer.status = 302;
      },
    ],
    [
      'no JSON',
      () => {
        answer.body = '<html>';
      },
    ],
    [
      'a body above 3.5 MB',
      () => {
        answer.body = JSON.stringify('x'.repeat(3_700_000));
      },
    ],
  ])('%s of it is passed on as a failure', async (_name, set) => {
    set();
    const { status, body } = await raw(call(await issueToken()));
    expect(status).toBe(502);
    expect(JSON.parse(body)).toEqual({ errorMessage: 'temporarily_unavailable', errorType: 'Failure', stackTrace: [] });
  });

  test('a body of 3 MB is passed on, and one comes back', async () => {
    answer.body = JSON.stringify('y'.repeat(3_000_000));
    const event = call(await issueToken(), 'action', { devices: ['x'.repeat(3_000_000)] });
    expect((await raw(event)).body).toBe(answer.body);
    expect(JSON.parse(passed[0]?.body ?? '')).toEqual(event);
  });

  test('unlink stays here', async () => {
    expect((await unlink(await issueToken())).body).toBe('{"request_id":"f-1"}');
    expect(passed).toEqual([]);
  });
});

describe('behind the gateway', () => {
  const rest = async (method: string, path: string, token: string, body?: string) =>
    project.gateway(
      method,
      `/v1.0/user/devices${path}`,
      { Authorization: `Bearer ${token}`, 'X-Request-Id': 'f-2', ...(body && { 'Content-Type': 'application/json' }) },
      body,
    );

  test.each([
    ['GET', '', undefined],
    ['POST', '/query', '{"devices":[{"id":"lamp"}]}'],
    ['POST', '/action', '{"payload":{"devices":[]}}'],
  ])('%s /v1.0/user/devices%s is passed on, status and body come back as they are', async (method, path, body) => {
    answer = { status: 207, type: 'application/json; charset=utf-8', body: '{"request_id": "f-2" }' };
    const token = await issueToken();
    const received = await rest(method, path, token, body);
    expect(received).toMatchObject({ status: 207, body: answer.body });
    expect(received.headers.get('content-type')).toBe(answer.type);
    expect(received.headers.get('set-cookie')).toBeNull();
    expect(passed).toEqual([
      expect.objectContaining({
        method,
        url: `/api/v1.0/user/devices${path}`,
        body: body ?? '',
        headers: expect.objectContaining({ authorization: `Bearer ${token}`, 'x-request-id': 'f-2' }),
      }),
    ]);
  });

  test.each(['.evil.example/', '@127.0.0.1:9/', '/../../admin', '//evil.example/', '/v1.0/user/devices?x=1#'])(
    'a path that a raw caller forged (%s) chooses nothing',
    async (path) => {
      const token = await issueToken();
      const event = {
        version: '1.0',
        operationId: 'smart-home-unlink.devices',
        httpMethod: 'DELETE',
        path,
        headers: { Authorization: `Bearer ${token}` },
        requestContext: {},
      };
      await raw(event);
      expect(passed).toEqual([expect.objectContaining({ method: 'GET', url: '/api/v1.0/user/devices' })]);
    },
  );

  test('a failure of it comes back as it is', async () => {
    answer = { status: 503, type: 'text/plain', body: 'down' };
    expect(await rest('GET', '', await issueToken())).toMatchObject({ status: 503, body: 'down' });
  });

  test('a revoked token never reaches it: 401', async () => {
    const token = await issueToken();
    await unlink(token);
    expect((await rest('GET', '', token)).status).toBe(401);
    expect(passed).toEqual([]);
  });
});

test('when the store is down nothing is passed on: a failure, not a refusal', async () => {
  const broken = await startProject({
    local: { ...ISSUER_SETTINGS, FULFILMENT_URL: 'http://127.0.0.1:9/', STORE_URL: 'sqlite:/nowhere/unlink.sqlite' },
    timeout: 1,
  });
  onTestFinished(() => broken.close());
  const answered = await broken.raw('smart-home-unlink', call(await issueToken()));
  expect(answered.status).toBe(502);
  expect(broken.takeLogLine()).toMatchObject({ error: { fault: 'unreachable', message: 'store: unreachable' } });
});

test('without FULFILMENT_URL and FULFILMENT_REST_URL the answers are 404, as before', async () => {
  const unset = await startProject({ local: ISSUER_SETTINGS });
  onTestFinished(() => unset.close());
  const token = await issueToken();
  expect(JSON.parse((await unset.raw('smart-home-unlink', call(token))).body)).toMatchObject({ status: 404 });
  const rest = await unset.gateway('GET', '/v1.0/user/devices', { Authorization: `Bearer ${token}` });
  expect(rest.status).toBe(404);
});
