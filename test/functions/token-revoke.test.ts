import { renameSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type EmulatedProject, type Received, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { basic, ISSUER, ISSUER_SETTINGS, issueToken, SECRET } from '#test/support/test-issuer.ts';

let project: EmulatedProject;

beforeAll(async () => {
  project = await startProject({ local: ISSUER_SETTINGS });
});

afterAll(() => project.close());

const SKILL = { Authorization: basic('skill', 'skill-secret') };
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

const post = (body: string | Record<string, string>, headers: Record<string, string> = SKILL) =>
  project.gateway(
    'POST',
    '/oauth/revoke',
    { ...FORM, ...headers },
    typeof body === 'string' ? body : new URLSearchParams(body).toString(),
  );

const isLetIn = async (token: string) =>
  (await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status === 200;

const errorOf = ({ status, body }: Received) => ({ status, error: JSON.parse(body).error });

describe('RFC 7009', () => {
  test('7009-01: only POST with a form is answered', async () => {
    expect((await project.gateway('GET', '/oauth/revoke?token=x', SKILL)).status).toBe(405);
    const json = await post('{"token":"x"}', { ...SKILL, 'Content-Type': 'application/json' });
    expect(errorOf(json)).toEqual({ status: 400, error: 'invalid_request' });
  });

  test('7009-02: a client authenticates by Basic or in the body, and the token must be its own', async () => {
    const token = await issueToken();
    const other = { Authorization: basic('other', 'p+1%20:x') };
    expect(errorOf(await post({ token }, other))).toEqual({ status: 400, error: 'invalid_grant' });
    expect(await isLetIn(token)).toBe(true);
    expect((await post({ token, client_id: 'skill', client_secret: 'skill-secret' }, {})).status).toBe(200);
    expect(await isLetIn(token)).toBe(false);
  });

  test.each<[name: string, headers: Record<string, string>, fields: Record<string, string>]>([
    ['no credentials', {}, {}],
    ['an unknown client', { Authorization: basic('nobody', 'skill-secret') }, {}],
    ['a wrong secret', { Authorization: basic('skill', 'wrong') }, {}],
    ['an empty secret', { Authorization: basic('skill', '') }, {}],
    ['another scheme', { Authorization: 'Bearer skill-secret' }, {}],
    ['no base64', { Authorization: 'Basic !!!!' }, {}],
    ['no colon', { Authorization: `Basic ${Buffer.from('skill').toString('base64')}` }, {}],
    ['the hash in place of the secret', { Authorization: basic('skill', ISSUER_SETTINGS.CLIENTS.slice(31, 95)) }, {}],
    ['a wrong secret in the body', {}, { client_id: 'skill', client_secret: 'wrong' }],
    ['a client id alone', {}, { client_id: 'skill' }],
  ])('7009-02: invalid_client with %s', async (_name, headers, fields) => {
    const token = await issueToken();
    const answer = await post({ token, ...fields }, headers);
    expect(errorOf(answer)).toEqual({ status: 401, error: 'invalid_client' });
    expect(answer.headers.get('www-authenticate')).toMatch(/^Basic /);
    expect(await isLetIn(token)).toBe(true);
  });

  test('7009-02: both ways to authenticate at once are refused', async () => {
    const answer = await post({ token: 'x', client_id: 'skill', client_secret: 'skill-secret' });
    expect(errorOf(answer)).toEqual({ status: 400, error: 'invalid_request' });
  });

  test.each([
    ['as it stands', basic('other', 'p+1%20:x')],
    ['form-encoded', basic('other', encodeURIComponent('p+1%20:x'))],
    ['without base64 padding', basic('other', 'p+1%20:x').replace(/=+$/, '')],
    ['with a lower-case scheme', basic('other', 'p+1%20:x').replace('Basic', 'basic')],
  ])('7009-02: Basic credentials are taken %s', async (_name, Authorization) => {
    const token = await issueToken({ client_id: 'other' });
    expect((await post({ token }, { Authorization })).status).toBe(200);
    expect(await isLetIn(token)).toBe(false);
  });

  test.each<[name: string, token: () => Promise<string>]>([
    ['unknown', async () => 'no-such-token'],
    ['of a foreign issuer', () => issueToken({ iss: 'https://evil.example' })],
    ['badly signed', async () => `${await issueToken()}x`],
  ])('7009-03: a token that is %s answers 200 with an empty body, and stores nothing', async (_name, token) => {
    const before = project.countRows();
    expect(await post({ token: await token() })).toMatchObject({ status: 200, body: '' });
    expect(project.countRows()).toBe(before);
  });

  test('7009-03: an expired token, and one that is already revoked, answer 200', async () => {
    const expired = await issueToken({ exp: Math.floor(Date.now() / 1000) - 1000 });
    expect((await post({ token: expired })).status).toBe(200);
    const token = await issueToken();
    expect((await post({ token })).status).toBe(200);
    expect((await post({ token })).status).toBe(200);
  });

  test.each(['refresh_token', 'access_token', 'nonsense', ''])('7009-04: the hint %j is ignored', async (hint) => {
    const token = await issueToken();
    expect((await post({ token, token_type_hint: hint })).status).toBe(200);
    expect(await isLetIn(token)).toBe(false);
  });

  test.each([
    ['missing', ''],
    ['empty', 'token='],
    ['given twice', 'token=a&token=a'],
  ])('7009-05: a token that is %s is an invalid_request', async (_name, body) => {
    expect(errorOf(await post(body))).toEqual({ status: 400, error: 'invalid_request' });
  });

  test.each([
    ['not visible ASCII', 'token=%00'],
    ['longer than 8192 characters', `token=${'x'.repeat(8193)}`],
  ])('7009-03: a text that can be no token, as one that is %s, answers 200 and stores nothing', async (_name, body) => {
    const before = project.countRows();
    expect(await post(body)).toMatchObject({ status: 200, body: '' });
    expect(project.countRows()).toBe(before);
  });

  test('7009-02: a parameter without a value counts as omitted, beside Basic too', async () => {
    const token = await issueToken();
    expect((await post({ token, client_id: '', client_secret: '' })).status).toBe(200);
    expect(await isLetIn(token)).toBe(false);
  });

  test('7009-03: a token that is too old answers 200, and stores nothing', async () => {
    const before = project.countRows();
    project.output.length = 0;
    expect((await post({ token: await issueToken({ iat: 1_600_000_000, exp: 1_600_003_600 }) })).status).toBe(200);
    expect(project.countRows()).toBe(before);
    expect(project.takeLogLine()).toMatchObject({ reason: 'too_old' });
  });

  test('7009-06: a token of another kind is an unsupported_token_type', async () => {
    const token = await issueToken({}, { typ: 'logout+jwt' });
    expect(errorOf(await post({ token }))).toEqual({ status: 400, error: 'unsupported_token_type' });
  });

  test('7009-07: when the store is down the answer is 503 with Retry-After, and the token still lives', async () => {
    const broken = await startProject({ timeout: 1, local: ISSUER_SETTINGS });
    onTestFinished(() => broken.close());
    renameSync(broken.database, `${broken.database}.away`);
    const token = await issueToken();
    const answer = await broken.gateway('POST', '/oauth/revoke', { ...FORM, ...SKILL }, `token=${token}`);
    expect(errorOf(answer)).toEqual({ status: 503, error: 'temporarily_unavailable' });
    expect(answer.headers.get('retry-after')).toBe('1');
    renameSync(`${broken.database}.away`, broken.database);
    expect((await broken.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status).toBe(200);
  });

  test('7009-08: the other tokens of the grant end with it', async () => {
    const [revoked, sibling, stranger] = await Promise.all(
      ['g-08', 'g-08', 'another'].map((grant_id) => issueToken({ grant_id })),
    );
    await post({ token: revoked ?? '' });
    expect(await isLetIn(sibling ?? '')).toBe(false);
    expect(await isLetIn(stranger ?? '')).toBe(true);
  });

  test('7009-09: it takes effect at once', async () => {
    for (let round = 0; round < 20; round += 1) {
      const token = await issueToken();
      await post({ token });
      expect(await isLetIn(token)).toBe(false);
    }
  });

  test('7009-10: the answer is not to be stored', async () => {
    expect((await post({ token: 'x' })).headers.get('cache-control')).toBe('no-store');
  });

  test('7009-11: no origin is allowed to read it with credentials', async () => {
    const answer = await post({ token: 'x' }, { ...SKILL, Origin: 'https://evil.example' });
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('7009-14: a token in the URL is not taken', async () => {
    const token = await issueToken();
    const answer = await project.gateway('POST', `/oauth/revoke?token=${token}`, { ...FORM, ...SKILL }, '');
    expect(errorOf(answer)).toEqual({ status: 400, error: 'invalid_request' });
    expect(await isLetIn(token)).toBe(true);
  });
});

describe('an opaque refresh token that its issuer calls active', () => {
  /** A project whose issuer is asked, and what it was asked. */
  const askIssuer = async (answer: object) => {
    const bodies: string[] = [];
    const url = await startHttpServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      bodies.push(body);
      response.end(JSON.stringify({ active: true, client_id: 'skill', ...answer }));
    });
    const introspection = { endpoint: url, client_id: 'us', client_secret: 's' };
    const row = { issuer: ISSUER, audience: 'https://api.example', secret: SECRET, introspection };
    const asking = await startProject({ local: { ...ISSUER_SETTINGS, ISSUERS: JSON.stringify([row]) } });
    onTestFinished(() => asking.close());
    const send = (fields: Record<string, string>, headers: Record<string, string> = SKILL) =>
      asking.gateway('POST', '/oauth/revoke', { ...FORM, ...headers }, new URLSearchParams(fields).toString());
    return { asking, bodies, send };
  };

  test('revokes itself and its grant, with the hint of the client passed on', async () => {
    const { asking, bodies, send } = await askIssuer({ sub: 'user-1', grant_id: 'g-rt' });
    expect((await send({ token: 'rt', token_type_hint: 'refresh_token' })).status).toBe(200);
    expect(asking.takeLogLine()).toMatchObject({ reached: ['grant'], first: true });
    expect(bodies).toEqual(['token=rt&token_type_hint=refresh_token']);
    const ofGrant = await issueToken({ grant_id: 'g-rt' });
    expect((await asking.gateway('GET', '/whoami', { Authorization: `Bearer ${ofGrant}` })).status).toBe(403);
  });

  test('without a subject revokes itself alone, and the log says so', async () => {
    const { asking, send } = await askIssuer({});
    expect((await send({ token: 'rt' })).status).toBe(200);
    expect(asking.takeLogLine()).toMatchObject({ reached: ['refresh_token_only'], first: true });
  });

  test('is no other client’s to revoke', async () => {
    const { asking, send } = await askIssuer({ sub: 'user-1' });
    const before = asking.countRows();
    const other = { Authorization: basic('other', 'p+1%20:x') };
    expect(errorOf(await send({ token: 'rt' }, other))).toEqual({ status: 400, error: 'invalid_grant' });
    expect(asking.countRows()).toBe(before);
  });

  test('lets nobody in, and is no token to unlink with', async () => {
    const { asking } = await askIssuer({ sub: 'user-1' });
    expect((await asking.gateway('GET', '/whoami', { Authorization: 'Bearer rt' })).status).toBe(403);
    const event = { headers: { authorization: 'Bearer rt' }, request_type: 'unlink', api_version: 1 };
    const before = asking.countRows();
    expect(JSON.parse((await asking.raw('smart-home-unlink', event)).body)).toMatchObject({ status: 401 });
    expect(asking.countRows()).toBe(before);
  });
});

describe('raw', () => {
  const raw = async (payload: unknown, authorization?: string) =>
    JSON.parse(
      (
        await project.raw('token-revoke', {
          headers: { request_id: 'r-1', authorization },
          request_type: 'token.revoke',
          api_version: 1,
          payload,
        })
      ).body,
    );

  test('answers with the status and body of the native protocol', async () => {
    const token = await issueToken();
    expect(await raw({ token }, SKILL.Authorization)).toEqual({ request_id: 'r-1', status: 200 });
    expect(await isLetIn(token)).toBe(false);
    expect(await raw({ token })).toMatchObject({
      request_id: 'r-1',
      status: 401,
      payload: { error: 'invalid_client' },
    });
    expect(await raw('x', SKILL.Authorization)).toMatchObject({ status: 400, payload: { error: 'invalid_request' } });
  });

  test('the client may authenticate in the payload', async () => {
    const token = await issueToken();
    expect(await raw({ token, client_id: 'skill', client_secret: 'skill-secret' })).toMatchObject({ status: 200 });
  });
});

test('it does not start for tokens that cannot be verified', async () => {
  const unverified = await startProject({ local: { CLIENTS: '[]', ISSUERS: null, UNVERIFIED_TOKENS: '1' } });
  onTestFinished(() => unverified.close());
  const answer = await unverified.gateway('POST', '/oauth/revoke', { ...FORM, ...SKILL }, 'token=x');
  expect(errorOf(answer)).toEqual({ status: 500, error: 'misconfigured' });
  expect(unverified.output.join()).toContain('ISSUERS must be JSON');
});
