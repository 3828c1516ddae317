import { renameSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { basic, CLAIMS, client, ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

let project: EmulatedProject;

beforeAll(async () => {
  project = await startProject({ local: ISSUER_SETTINGS });
});

afterAll(() => project.close());

const SKILL = { Authorization: basic('skill', 'skill-secret') };
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

const introspect = async (token: string, headers: Record<string, string> = SKILL, at = project) => {
  const body = new URLSearchParams({ token }).toString();
  const answer = await at.gateway('POST', '/oauth/introspect', { ...FORM, ...headers }, body);
  return { ...answer, json: JSON.parse(answer.body) };
};
const revoke = (token: string) => project.gateway('POST', '/oauth/revoke', { ...FORM, ...SKILL }, `token=${token}`);

describe('RFC 7662', () => {
  test('an active token is answered with its claims', async () => {
    const claims = { ...CLAIMS(), scope: 'a b', grant_id: 'g-1' };
    const { status, headers, json } = await introspect(await issueToken(claims));
    expect(status).toBe(200);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(json).toEqual({ ...claims, active: true, token_type: 'Bearer' });
  });

  test('7662-01: only clients that authenticate are answered', async () => {
    const token = await issueToken();
    for (const headers of [{}, { Authorization: basic('skill', 'wrong') }]) {
      const { status, json } = await introspect(token, headers);
      expect({ status, error: json.error }).toEqual({ status: 401, error: 'invalid_client' });
    }
  });

  test.each<[name: string, token: () => Promise<string>]>([
    [
      'revoked',
      async () => {
        const token = await issueToken();
        await revoke(token);
        return token;
      },
    ],
    [
      'of a revoked grant',
      async () => {
        await revoke(await issueToken({ grant_id: 'g-2' }));
        return issueToken({ grant_id: 'g-2' });
      },
    ],
    ['expired', () => issueToken({ exp: 1 })],
    ['not valid yet', () => issueToken({ nbf: 4_000_000_000 })],
    ['of a foreign issuer', () => issueToken({ iss: 'https://evil.example' })],
    ['for another audience', () => issueToken({ aud: 'https://other.example' })],
    ['badly signed', async () => `${await issueToken()}x`],
    ['of another kind', () => issueToken({}, { typ: 'logout+jwt' })],
    ['unknown', async () => 'no-such-token'],
    ['no token at all', async () => 'a b'],
    ['an ID token', () => issueToken({ nonce: 'n' }, { typ: 'JWT' })],
  ])('7662-02, 7662-03: a token that is %s is answered {"active":false} and nothing else', async (_name, token) => {
    expect((await introspect(await token())).body).toBe('{"active":false}');
  });

  test('7662-04: when the store is down the answer is 503, never "not active"', async () => {
    const broken = await startProject({ timeout: 1, local: ISSUER_SETTINGS });
    onTestFinished(() => broken.close());
    renameSync(broken.database, `${broken.database}.away`);
    const { status, headers, json } = await introspect(await issueToken(), SKILL, broken);
    expect({ status, error: json.error }).toEqual({ status: 503, error: 'temporarily_unavailable' });
    expect(headers.get('retry-after')).toBe('1');
  });
});

describe('whose tokens a client may ask about', () => {
  const other = { Authorization: basic('other', 'p+1%20:x') };

  test('7662-03: its own alone', async () => {
    expect((await introspect(await issueToken(), other)).body).toBe('{"active":false}');
    expect((await introspect(await issueToken({ client_id: 'other' }), other)).json).toMatchObject({ active: true });
  });

  test('with the scope introspect, as a resource server has, any', async () => {
    const clients = JSON.stringify([{ ...client('api', 'api-secret'), scopes: ['introspect'] }]);
    const withApi = await startProject({ local: { ...ISSUER_SETTINGS, CLIENTS: clients } });
    onTestFinished(() => withApi.close());
    const answer = await introspect(await issueToken(), { Authorization: basic('api', 'api-secret') }, withApi);
    expect(answer.json).toMatchObject({ active: true, sub: 'user-1' });
  });

  test('a token that is good only with a key, whose proof nothing here looks at, is not active', async () => {
    const bound = await issueToken({ cnf: { jkt: 'x' } });
    expect((await introspect(bound)).body).toBe('{"active":false}');
    expect((await project.gateway('GET', '/whoami', { Authorization: `Bearer ${bound}` })).status).toBe(403);
  });
});

describe('a token that its issuer is asked about', () => {
  test('7662-05, 7662-06: the issuer’s answer is passed on, and overlaid with what is revoked here', async () => {
    const upstream: Record<string, unknown> = {
      active: true,
      token_type: 'Bearer',
      sub: 'user-1',
      client_id: 'skill',
      scope: ['x', 'y'],
      username: null,
      aud: [],
      ext: { a: 1 },
      grant_id: 'g-9',
    };
    const url = await startHttpServer((_request, response) => response.end(JSON.stringify(upstream)));
    const introspection = { endpoint: url, client_id: 'us', client_secret: 's' };
    const asking = await startProject({
      local: { ...ISSUER_SETTINGS, ISSUERS: JSON.stringify([{ issuer: ISSUER, introspection }]) },
    });
    onTestFinished(() => asking.close());

    expect((await introspect('opaque', SKILL, asking)).json).toEqual({
      ...{ active: true, token_type: 'Bearer', iss: ISSUER, sub: 'user-1', client_id: 'skill', scope: 'x y' },
      ...{ ext: { a: 1 }, grant_id: 'g-9' },
    });
    await asking.gateway('POST', '/oauth/revoke', { ...FORM, ...SKILL }, 'token=opaque');
    // The issuer still says "active", and said so just now.
    expect((await introspect('opaque', SKILL, asking)).body).toBe('{"active":false}');
    expect((await introspect('another-of-the-grant', SKILL, asking)).body).toBe('{"active":false}');
  });
});

test('raw answers with the status and body of the native protocol', async () => {
  const call = {
    headers: { request_id: 'r-1', authorization: SKILL.Authorization },
    request_type: 'token.introspect',
    api_version: 1,
    payload: { token: 'no-such-token' },
  };
  expect(JSON.parse((await project.raw('token-introspect', call)).body)).toEqual({
    request_id: 'r-1',
    status: 200,
    payload: { active: false },
  });
});
