import { createHash, createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import { createApiCredentials } from '#shared/grant-revocation/api-credentials.ts';
import type { ApiEnding } from '#shared/grant-revocation/end-grant.ts';
import { endGrant } from '#shared/grant-revocation/grant-api.ts';
import type { Ask } from '#shared/grant-revocation/revoke-grant.ts';
import { send } from '#shared/outgoing/send.ts';
import { apiEndingOf } from '#test/support/ending-of.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { START_MS } from '#test/support/outbox-run.ts';

const SECRET = 'obviously-fake: 100 %';

/** An answer of a token endpoint. */
interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** What a token endpoint was sent. */
interface Asked {
  readonly headers: IncomingHttpHeaders;
  readonly form: Readonly<Record<string, string>>;
}

const issued = (access_token: unknown, more: object = { expires_in: 300 }): Reply => ({
  status: 200,
  body: { access_token, token_type: 'Bearer', ...more },
});

/** A token endpoint that gives these replies, the last one for ever, and what it was asked. */
async function startTokenEndpoint(...replies: readonly Reply[]): Promise<{ endpoint: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  const origin = await startHttpServer(async (request, response) => {
    const form = Object.fromEntries(new URLSearchParams(await text(request)));
    const { status, headers, body } = replies[Math.min(asked.length, replies.length - 1)] ?? { status: 404 };
    asked.push({ headers: request.headers, form });
    response.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body));
  });
  return { endpoint: `${origin}/token?key=in-the-query`, asked };
}

/** A row whose API takes a token of our client. */
function rowOf(endpoint: string, authorization: object = {}): ApiEnding {
  return apiEndingOf({
    ...{ issuer: 'https://as.example', preset: 'http', method: 'DELETE', url: 'https://as.example/{grant}' },
    ...{ success: [204], reaches: 'grant' },
    authorization: { client_id: 'our client', client_secret: SECRET, token_endpoint: endpoint, ...authorization },
  });
}

const CALL = { method: 'DELETE', url: 'https://as.example/g' } as const;
const ask: Ask = (request) => send({ ...request, timeoutMs: 5000 });

/** Credentials whose clocks a test sets. */
function createTimedCredentials() {
  const clock = { wall: START_MS, monotonic: 0 };
  const credentials = createApiCredentials({ now: () => clock.wall, monotonic: () => clock.monotonic });
  return { clock, authorize: (ending: ApiEnding) => credentials.authorize(ending, CALL, ask) };
}

const bearer = (token: string, isKept: boolean) => ({ headers: { Authorization: `Bearer ${token}` }, isKept });

describe('a token of our client', () => {
  test('is kept until shortly before it expires, whatever the wall clock does', async () => {
    const { endpoint } = await startTokenEndpoint(issued('t1'), issued('t2'));
    const ending = rowOf(endpoint);
    const { clock, authorize } = createTimedCredentials();

    expect(await authorize(ending)).toEqual(bearer('t1', false));
    for (const wall of [START_MS + 86_400_000, 0]) {
      clock.wall = wall;
      expect(await authorize(ending)).toEqual(bearer('t1', true));
    }
    clock.monotonic = 269_999;
    expect(await authorize(ending)).toEqual(bearer('t1', true));
    clock.monotonic = 270_000;
    expect(await authorize(ending)).toEqual(bearer('t2', false));
  });

  test.each<[string, object]>([
    ['does not say when it expires', {}],
    ['says so as no number', { expires_in: '3600' }],
    ['says a time that has passed', { expires_in: -1 }],
  ])('that %s is kept for half a minute', async (_title, more) => {
    const { endpoint } = await startTokenEndpoint(issued('t1', more), issued('t2', more));
    const ending = rowOf(endpoint);
    const { clock, authorize } = createTimedCredentials();
    await authorize(ending);

    clock.monotonic = 29_999;
    expect(await authorize(ending)).toEqual(bearer('t1', true));
    clock.monotonic = 30_000;
    expect(await authorize(ending)).toEqual(bearer('t2', false));
  });

  test('that lives no longer than half a minute is used once', async () => {
    const { endpoint } = await startTokenEndpoint(issued('t1', { expires_in: 30 }), issued('t2'));
    const ending = rowOf(endpoint);
    const { authorize } = createTimedCredentials();

    expect(await authorize(ending)).toEqual(bearer('t1', false));
    expect(await authorize(ending)).toEqual(bearer('t2', false));
  });

  test('is of one row alone', async () => {
    const { endpoint } = await startTokenEndpoint(issued('t1'), issued('t2'));
    const { authorize } = createTimedCredentials();

    expect(await authorize(rowOf(endpoint))).toEqual(bearer('t1', false));
    expect(await authorize(rowOf(endpoint))).toEqual(bearer('t2', false));
  });

  test('is asked for by HTTP Basic, with the parameters of the row', async () => {
    const { endpoint, asked } = await startTokenEndpoint(issued('t'));
    const fields = { audience: 'https://api.example/', resource: 'urn:x', scope: 'a b' };

    await createTimedCredentials().authorize(rowOf(endpoint, fields));

    // Each form-encoded before (RFC 6749, section 2.3.1).
    const authorization = `Basic ${btoa('our+client:obviously-fake%3A+100+%25')}`;
    expect(asked).toMatchObject([{ headers: { authorization } }]);
    expect(asked[0]?.form).toEqual({ grant_type: 'client_credentials', ...fields });
  });

  test('is asked for in the form alone, where the row says so', async () => {
    const { endpoint, asked } = await startTokenEndpoint(issued('t'));

    await createTimedCredentials().authorize(rowOf(endpoint, { auth_method: 'client_secret_post' }));

    expect(asked[0]?.headers).not.toHaveProperty('authorization');
    expect(asked[0]?.form).toEqual({
      ...{ grant_type: 'client_credentials', client_id: 'our client', client_secret: SECRET },
    });
  });

  const ours = { isOurFault: true };
  const none = { error: 'the token endpoint URL gave no access token', ...ours };
  test.each<[string, Reply, object]>([
    ['401', { status: 401 }, { error: 'status 401 of the token endpoint URL', ...ours }],
    [
      'a word of OAuth',
      { status: 400, body: { error: 'invalid_client', error_description: SECRET } },
      { error: 'status 400 invalid_client of the token endpoint URL', ...ours },
    ],
    [
      'a word that is no word',
      { status: 400, body: { error: SECRET } },
      { error: 'status 400 of the token endpoint URL', ...ours },
    ],
    ['no such path', { status: 404 }, { error: 'status 404 of the token endpoint URL', ...ours }],
    [
      'that there are too many calls',
      { status: 429, headers: { 'Retry-After': '7' } },
      { error: 'status 429 of the token endpoint URL', retryAfterMs: 7000 },
    ],
    ['that it is broken', { status: 502 }, { error: 'status 502 of the token endpoint URL' }],
    ['an error with 200', { status: 200, body: { error: 'invalid_client' } }, none],
    ['a page', { status: 200, body: '<html>obviously-fake: 100 %' }, none],
    ['nothing', { status: 204, body: '' }, none],
    ['a list', { status: 200, body: [{ access_token: 't' }] }, none],
    ['a refusal that is known nowhere', { status: 422 }, none],
    ['no token', issued(undefined), none],
    ['an empty token', issued(''), none],
    ['a token that is a number', issued(7), none],
    ['a token that breaks a line', issued('t\r\nHost: x'), none],
    ['a token of another alphabet', issued('ж'), none],
    ['a token that is too long', issued('t'.repeat(16_385)), none],
  ])('that the endpoint answers with %s is a fault that says where, and no secret', async (_title, reply, expected) => {
    const { endpoint } = await startTokenEndpoint(reply);

    const authorization = await createTimedCredentials().authorize(rowOf(endpoint));

    const told = JSON.stringify(authorization).replace(endpoint.split('?')[0] ?? '', 'URL');
    expect(JSON.parse(told)).toEqual({ attempt: { status: 'retry', ...expected } });
    expect(told).not.toMatch(/obviously-fake|in-the-query/);
  });

  test('that was not given is asked for by the next call', async () => {
    const { endpoint } = await startTokenEndpoint({ status: 503 }, issued('t'));
    const ending = rowOf(endpoint);
    const { authorize } = createTimedCredentials();

    expect(await authorize(ending)).toMatchObject({ attempt: { status: 'retry' } });
    expect(await authorize(ending)).toEqual(bearer('t', false));
  });
});

describe('an API that takes a token of our client', () => {
  /** An API that answers a token with the status; 204 if it has none of it. */
  async function startApi(statuses: Readonly<Record<string, number>>) {
    const { endpoint, asked } = await startTokenEndpoint(...['t1', 't2', 't3'].map((token) => issued(token)));
    const calls: (string | undefined)[] = [];
    const origin = await startHttpServer(({ headers }, response) => {
      const token = headers.authorization?.replace('Bearer ', '');
      calls.push(token);
      response.writeHead(statuses[token ?? ''] ?? 204).end();
    });
    const ending = { ...rowOf(endpoint), base: `${origin}/{grant}` };
    const credentials = createApiCredentials();
    const end = () => endGrant(ending, { token: 't', grant: 'g' }, { send, credentials, timeoutMs: 5000 });
    return { asked, calls, end, statuses };
  }

  const ENDED = { status: 'done', result: 'upstream_grant' };

  test('is called with one token for several grants', async () => {
    const { asked, calls, end } = await startApi({});

    expect([await end(), await end(), await end()]).toEqual([ENDED, ENDED, ENDED]);

    expect([asked.length, calls]).toEqual([1, ['t1', 't1', 't1']]);
  });

  test('is called once more with another token if it refuses one that was kept', async () => {
    const statuses: Record<string, number> = {};
    const { calls, end } = await startApi(statuses);
    await end();
    statuses.t1 = 401;

    expect(await end()).toEqual(ENDED);

    expect(calls).toEqual(['t1', 't1', 't2']);
  });

  test('is not called a third time', async () => {
    const statuses: Record<string, number> = {};
    const { calls, end } = await startApi(statuses);
    await end();
    Object.assign(statuses, { t1: 401, t2: 401 });

    expect(await end()).toMatchObject({ status: 'retry', isOurFault: true });

    expect(calls).toEqual(['t1', 't1', 't2']);
  });

  test('is not called a third time where another call has brought a token meanwhile', async () => {
    const { endpoint } = await startTokenEndpoint(issued('t'));
    let calls = 0;
    const api = await startHttpServer((_request, response) => {
      calls += 1;
      response.writeHead(401).end();
    });
    const ending = { ...rowOf(endpoint), base: `${api}/{grant}` };
    // As it is for a call whose neighbours bring a new token each time that it has forgotten one.
    const credentials = { ...createApiCredentials(), authorize: async () => bearer('t', true), forget: () => {} };

    const attempt = await endGrant(ending, { token: 't', grant: 'g' }, { send, credentials, timeoutMs: 5000 });

    expect(attempt).toMatchObject({ status: 'retry', isOurFault: true });
    expect(calls).toBe(2);
  });

  test.each([401, 403])('is called with another token the next time if it refuses a new one (%j)', async (status) => {
    const { calls, end } = await startApi({ t1: status });

    expect(await end()).toMatchObject({ status: 'retry', isOurFault: true });
    // The right has been given meanwhile: it is in tokens from now on.
    expect(await end()).toEqual(ENDED);

    expect(calls).toEqual(['t1', 't2']);
  });
});

describe('a credential that the row has', () => {
  test('is sent as it is', async () => {
    const row = { ...{ issuer: 'https://as.example', preset: 'fusionauth', api: 'https://as.example' } };
    const ending = apiEndingOf({ ...row, authorization: 'obviously-fake' });

    expect(await createTimedCredentials().authorize(ending)).toEqual({
      ...{ headers: { Authorization: 'obviously-fake' }, isKept: false },
    });
  });
});

describe('a signature of AWS, version 4', () => {
  const SIGNED = { kind: 'sigv4', accessKeyId: 'AKIDEXAMPLE' } as const;
  const KEY = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY';

  // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-test-suite.html: get-vanilla and post-vanilla.
  test.each([
    ['GET', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
    ['POST', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
  ] as const)('is the one that AWS documents (%s)', async (method, signature) => {
    const credential = { ...SIGNED, service: 'service', region: 'us-east-1', secretAccessKey: KEY };
    const ending = { ...rowOf('https://as.example/token'), credential };
    const credentials = createApiCredentials({ now: () => Date.UTC(2015, 7, 30, 12, 36, 0, 999) });

    const signed = await credentials.authorize(ending, { method, url: 'https://example.amazonaws.com/' }, ask);

    expect(signed).toEqual({
      isKept: false,
      headers: {
        ...{ Host: 'example.amazonaws.com', 'X-Amz-Date': '20150830T123600Z' },
        Authorization: `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=${signature}`,
      },
    });
  });

  test('is of the very call that the server gets, at the time of the given clock', async () => {
    const received: { headers: IncomingHttpHeaders; body: string; url: string | undefined }[] = [];
    const api = await startHttpServer(async (request, response) => {
      received.push({ headers: request.headers, url: request.url, body: await text(request) });
      response.end('{}');
    });
    const row = { ...{ issuer: 'https://cognito-idp.eu-north-1.amazonaws.com/eu-north-1_pool', preset: 'cognito' } };
    const authorization = { access_key_id: 'AKIDEXAMPLE', secret_access_key: KEY };
    const ending = apiEndingOf({ ...row, reaches: 'all_clients', api: `${api}/a%20b`, authorization });
    const credentials = createApiCredentials({ now: () => START_MS });
    const token = { token: 't', user: { claim: 'username', value: 'ann ж' } };

    expect(await endGrant(ending, token, { send, credentials, timeoutMs: 5000 })).toEqual({
      ...{ status: 'done', result: 'upstream_all_clients' },
    });

    const [{ headers, body, url } = { headers: {}, body: '', url: '' }] = received;
    expect([url, JSON.parse(body)]).toEqual(['/a%20b/', { UserPoolId: 'eu-north-1_pool', Username: 'ann ж' }]);
    const signedNames = 'accept;content-length;content-type;host;x-amz-date;x-amz-target';
    expect(headers['x-amz-date']).toBe('20270115T080000Z');
    expect(headers.authorization).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20270115/eu-north-1/cognito-idp/aws4_request, SignedHeaders=${signedNames}, Signature=${signatureOf(
        ['POST', '/a%2520b/', '', ...signedNames.split(';').map((name) => `${name}:${headers[name]}`), ''],
        ...[signedNames, body],
      )}`,
    );
  });

  /** @see https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
  function signatureOf(head: readonly string[], signedNames = '', body = ''): string {
    const sha256 = (value: string) => createHash('sha256').update(value).digest('hex');
    const hmac = (key: string | Buffer, value: string) => createHmac('sha256', key).update(value).digest();
    const canonical = [...head, signedNames, sha256(body)].join('\n');
    const scope = '20270115/eu-north-1/cognito-idp/aws4_request';
    const toSign = ['AWS4-HMAC-SHA256', '20270115T080000Z', scope, sha256(canonical)].join('\n');
    const key = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${KEY}`);
    return hmac(key, toSign).toString('hex');
  }
});
