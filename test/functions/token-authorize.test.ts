import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';

let project: EmulatedProject;

beforeAll(async () => {
  project = await startProject();
});

afterAll(() => project.close());

const authorize = async (event: unknown) => JSON.parse((await project.raw('token-authorize', event)).body);
const unlink = (token: string) =>
  project.raw('smart-home-unlink', {
    headers: { authorization: `Bearer ${token}` },
    request_type: 'unlink',
    api_version: 1,
  });

describe('the answer to the gateway', () => {
  test('a token that is not revoked is let in, and handed on for the next function to verify', async () => {
    expect(await authorize({ headers: { Authorization: 'Bearer good' } })).toEqual({
      isAuthorized: true,
      context: { authorization: 'Bearer good' },
    });
  });

  test.each<[name: string, event: unknown]>([
    ['revoked', { headers: { Authorization: 'Bearer revoked' } }],
    ['revoked, in another case of the scheme', { headers: { authorization: 'bearer  revoked' } }],
    ['missing', { headers: {} }],
    ['malformed', { headers: { Authorization: 'Bearer a b' } }],
    ['a list of one', { headers: { Authorization: ['Bearer good'] } }],
    [
      'beside more headers than any call has',
      {
        headers: {
          Authorization: 'Bearer good',
          ...Object.fromEntries(Array.from({ length: 256 }, (_, index) => [`H${index}`, ''])),
        },
      },
    ],
    ['no string', { headers: { Authorization: ['Bearer a', 'Bearer b'] } }],
    ['of another scheme', { headers: { Authorization: 'Basic dTpw' } }],
    ['given twice and different', { headers: { Authorization: 'Bearer a', authorization: 'Bearer b' } }],
    ['in the query alone', { headers: {}, queryStringParameters: { access_token: 'good' } }],
    ['in a cookie alone', { headers: { Cookie: 'token=good' }, cookies: { token: 'good' } }],
    ['nowhere: the event is null', null],
    ['nowhere: the event is text', '"Bearer good"'],
  ])('a credential that is %s is refused, in the one form of every refusal', async (_name, event) => {
    await unlink('revoked');
    expect(await authorize(event)).toEqual({ isAuthorized: false });
  });

  test('the caller’s request id is in the log', async () => {
    project.output.length = 0;
    await authorize({ headers: { Authorization: 'Bearer good', 'X-Request-Id': 'auth-1' } });
    expect(project.takeLogLine()).toMatchObject({ request_id: 'auth-1', transport: 'authorizer' });
  });

  test('the reason is in the log, and nowhere else', async () => {
    await unlink('revoked');
    project.output.length = 0;
    await authorize({ headers: { Authorization: 'Bearer revoked' } });
    expect(project.takeLogLine()).toMatchObject({ outcome: 'denied', reason: 'revoked_by_token' });
  });
});

test('a decision takes at most a second, however slow the issuer is', async () => {
  const url = await startHttpServer(() => {});
  const introspection = { endpoint: url, client_id: 'us', client_secret: 's' };
  const ISSUERS = JSON.stringify([{ issuer: 'https://slow.example', introspection }]);
  const slow = await startProject({ local: { ISSUERS, UNVERIFIED_TOKENS: null } });
  onTestFinished(() => slow.close());
  expect((await slow.gateway('GET', '/whoami', { Authorization: 'Bearer x' })).status).toBe(500);
  const line = slow.takeLogLine();
  expect(line).toMatchObject({ level: 'ERROR', error: { message: 'outgoing: timed_out' } });
  // Of the two seconds that the function may take.
  expect(line.remaining_ms).toBeGreaterThan(500);
});

describe('a resource behind the authorizer', () => {
  const whoami = (headers?: Record<string, string>) => project.gateway('GET', '/whoami', headers);

  test('answers 401 without a credential, 200 before an unlink, 403 after', async () => {
    expect((await whoami()).status).toBe(401);
    expect((await whoami({ Authorization: 'Bearer who' })).status).toBe(200);
    await unlink('who');
    expect((await whoami({ Authorization: 'Bearer who' })).status).toBe(403);
  });

  test('answers 500, never 200 or 403, when the store is lost', async () => {
    const broken = await startProject();
    onTestFinished(() => broken.close());
    rmSync(broken.database);
    const answer = await broken.gateway('GET', '/whoami', { Authorization: 'Bearer who' });
    expect(answer.status).toBe(500);
    expect(broken.takeLogLine()).toMatchObject({
      level: 'ERROR',
      code: 'temporarily_unavailable',
      error: { fault: 'unreachable' },
    });
  });
});
