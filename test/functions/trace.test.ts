/** The trace of a call: where it comes from, where it is written down, and who is told of it. */
import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Changes, type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { application, LINK_SETTINGS, providersAt } from '#test/support/link-calls.ts';
import { makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';
import { startMisbehavingIdentityServer } from '#test/support/misbehaving-identity-server.ts';
import { storeLink } from '#test/support/stored-link.ts';
import { ISSUER } from '#test/support/test-issuer.ts';

const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const GIVEN = `00-${TRACE_ID}-b7ad6b7169203331-01`;

/** The `traceparent` of each request that a server has had, by the path. */
let heard: Record<string, unknown>;
/** What it answers at a path; `{}` if not given. */
let answers: Record<string, { status: number; body: object }>;
/** A server of ours, and of a provider's, that remembers. */
let server: string;

async function listen(request: IncomingMessage): Promise<{ status: number; body: object }> {
  await text(request);
  const path = request.url ?? '';
  heard[path] = request.headers.traceparent;
  return answers[path] ?? { status: 200, body: {} };
}

beforeEach(async () => {
  heard = {};
  answers = {};
  server = await startHttpServer(async (request, response) => {
    const { status, body } = await listen(request);
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  });
});

async function start(local: Changes['local'] = {}): Promise<EmulatedProject> {
  const project = await startProject({ local });
  onTestFinished(() => project.close());
  return project;
}

const unlinkCall = (token: string, request_type = 'unlink') => ({
  headers: { request_id: 'trace-run', authorization: `Bearer ${token}` },
  request_type,
  api_version: 1,
});

/** What a call is told as `traceparent` that is a part of the one that the log line is about. */
const partOf = ({ trace_id, span_id }: Record<string, unknown>) => new RegExp(`^00-${trace_id}-${span_id}-0[0-3]$`);

describe('the log line', () => {
  test('goes on with the trace that came through the gateway, in a span of its own', async () => {
    const project = await start();

    await project.gateway('POST', '/v1.0/user/unlink', { Authorization: 'Bearer traced', TraceParent: GIVEN });

    const line = project.takeLogLine();
    expect(line).toMatchObject({ trace_id: TRACE_ID, span_id: expect.stringMatching(/^[0-9a-f]{16}$/) });
    expect(line.span_id).not.toBe('b7ad6b7169203331');
  });

  test('of the authorizer too', async () => {
    const project = await start();

    await project.gateway('GET', '/whoami', { Authorization: 'Bearer traced', traceparent: GIVEN });

    expect(project.takeLogLine()).toMatchObject({ trace_id: TRACE_ID, transport: 'authorizer' });
  });

  test.each([
    ['nothing', {}],
    ['what is no traceparent', { traceparent: `${GIVEN}-more` }],
    ['a secret', { traceparent: 'Bearer of-somebody' }],
  ])('of a call with %s has a trace of its own', async (_, headers) => {
    const project = await start();

    await project.gateway('POST', '/v1.0/user/unlink', { Authorization: 'Bearer traced', ...headers });

    const line = project.takeLogLine();
    expect(line.trace_id).toMatch(/^[0-9a-f]{32}$/);
    expect(line.trace_id).not.toBe(TRACE_ID);
    expect(JSON.stringify(line)).not.toContain('of-somebody');
  });

  test('of a raw call has a trace of its own, whatever stands in its envelope', async () => {
    const project = await start();
    const call = unlinkCall('traced');

    await project.raw('smart-home-unlink', { ...call, headers: { ...call.headers, traceparent: GIVEN } });

    expect(project.takeLogLine().trace_id).not.toBe(TRACE_ID);
  });
});

describe('our own services are told', () => {
  const introspected = (endpoint: string) =>
    JSON.stringify([{ issuer: ISSUER, introspection: { endpoint, client_id: 'c', client_secret: 's' } }]);
  const active = {
    active: true,
    token_type: 'Bearer',
    sub: 'ann',
    client_id: 'skill',
    iat: Math.floor(Date.now() / 1000) - 10,
  };

  test('the issuer that is asked about a token, and the provider’s own service', async () => {
    answers['/introspect'] = { status: 200, body: active };
    const project = await start({
      UNVERIFIED_TOKENS: null,
      ISSUERS: introspected(`${server}/introspect`),
      FULFILMENT_URL: `${server}/fulfilment`,
    });

    await project.raw('smart-home-unlink', unlinkCall('opaque', 'query'));

    const part = partOf(project.takeLogLine());
    expect(heard).toEqual({ '/introspect': expect.stringMatching(part), '/fulfilment': expect.stringMatching(part) });
  });

  test('the issuer whose keys are fetched', async () => {
    answers['/jwks'] = { status: 200, body: { keys: [] } };
    const issuers = [{ issuer: ISSUER, audience: 'https://api.example', jwks_uri: `${server}/jwks` }];
    const project = await start({ UNVERIFIED_TOKENS: null, ISSUERS: JSON.stringify(issuers) });
    const part = (content: object) => Buffer.from(JSON.stringify(content)).toString('base64url');
    const token = `${part({ alg: 'RS256', kid: 'unknown' })}.${part({ iss: ISSUER })}.bm9uZQ`;
    const headers = { Authorization: `Bearer ${token}`, traceparent: GIVEN };

    await project.gateway('GET', '/whoami', headers);

    expect(heard).toEqual({ '/jwks': expect.stringMatching(partOf(project.takeLogLine())) });
    expect(heard['/jwks']).toContain(TRACE_ID);
  });

  test('the authorization server that revokes too, by the call and by each later try', async () => {
    answers['/revoke'] = { status: 503, body: {} };
    const endpoint = { endpoint: `${server}/revoke`, client_id: 'c', client_secret: 's' };
    const project = await start({ REVOKE_UPSTREAM: JSON.stringify(endpoint) });

    await project.raw('smart-home-unlink', unlinkCall('opaque'));
    const part = partOf(project.takeLogLine());
    expect(heard['/revoke']).toMatch(part);

    heard = {};
    project.makeJobsDue();
    await project.tick();
    expect(heard['/revoke']).toMatch(part);
  });
});

describe('nobody else is told', () => {
  test('a provider whose grant is withdrawn', async () => {
    const project = await start({ ...LINK_SETTINGS, PROVIDERS: providersAt(`${server}/revoke`) });
    const path = '/blitz/api/v2/users/ann/fa/oidc/dev_1/1';
    const headers = { Authorization: application(), traceparent: GIVEN };
    const link = { subject: 'ann', fpType: 'oidc', fpName: 'dev_1', sid: '1' };
    await storeLink(project, link, { accessToken: 'obviously-fake' });

    await project.gateway('DELETE', path, headers);

    expect(project.takeLogLine()).toMatchObject({ trace_id: TRACE_ID, revocation: 'revoked' });
    expect(heard).toEqual({ '/revoke': undefined });
  });

  test('an identity server that a user names; the homeserver is', async () => {
    const certificates = await makeCertificates();
    const identity = await startMisbehavingIdentityServer(certificates);
    onTestFinished(() => identity.close());
    answers['/_matrix/client/v3/account/whoami'] = { status: 200, body: { user_id: '@ann:example.test' } };
    const local = { MATRIX_HOMESERVER_URL: server, MATRIX_SERVER_NAME: 'example.test' };
    const matrix = await startMatrixProject(certificates, [identity.name], { local });
    onTestFinished(() => matrix.close());

    await matrix.post('unbind', 'token', { medium: 'email', address: 'ann@example.test', id_server: identity.name });

    const line = matrix.project.takeLogLine();
    expect(line).toMatchObject({ outcome: 'ok' });
    expect(heard).toEqual({ '/_matrix/client/v3/account/whoami': expect.stringMatching(partOf(line)) });
    expect(identity.requests).toHaveLength(1);
    expect(identity.requests[0]?.headers).not.toHaveProperty('traceparent');
  });
});
