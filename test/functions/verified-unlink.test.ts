import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { basic, ISSUER, ISSUER_SETTINGS, issueToken, SECRET } from '#test/support/test-issuer.ts';

let project: EmulatedProject;

beforeAll(async () => {
  project = await startProject({ local: ISSUER_SETTINGS });
});

afterAll(() => project.close());

beforeEach(() => {
  project.output.length = 0;
});

const unlink = async (token: string, at = project) => {
  const event = {
    headers: { request_id: 'u-1', authorization: `Bearer ${token}` },
    request_type: 'unlink',
    api_version: 1,
  };
  at.output.length = 0;
  const body = JSON.parse((await at.raw('smart-home-unlink', event)).body);
  return { body, line: at.takeLogLine() };
};
const isLetIn = async (token: string, at = project) =>
  (await at.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status === 200;

const start = async (local: Record<string, string | null>) => {
  const started = await startProject({ local: { ...ISSUER_SETTINGS, ...local } });
  onTestFinished(() => started.close());
  return started;
};
const nowS = () => Math.floor(Date.now() / 1000);

describe('a token whose claims name its grant', () => {
  test('takes the whole grant with it, and no other of the same user at the same client', async () => {
    const user = { sub: 'of-two-grants' };
    const [mine, refreshed, household] = await Promise.all([
      issueToken({ ...user, grant_id: 'a' }),
      issueToken({ ...user, grant_id: 'a', iat: nowS() + 50 }),
      issueToken({ ...user, grant_id: 'b' }),
    ]);
    const { body, line } = await unlink(mine ?? '');
    expect(body).toEqual({ request_id: 'u-1' });
    expect(line).toMatchObject({ reached: ['grant'], revocation: { grants: [expect.any(String)], cut_offs: [] } });
    expect(await isLetIn(refreshed ?? '')).toBe(false);
    expect(await isLetIn(household ?? '')).toBe(true);
  });

  test('UNLINK_CUTOFF=client ends the user’s other grants at the client too', async () => {
    const wide = await start({ UNLINK_CUTOFF: 'client' });
    const [mine, household, elsewhere] = await Promise.all([
      issueToken({ grant_id: 'a' }),
      issueToken({ grant_id: 'b' }),
      issueToken({ grant_id: 'c', client_id: 'other' }),
    ]);
    expect((await unlink(mine ?? '', wide)).line).toMatchObject({ reached: ['grant', 'cut_off'] });
    expect(await isLetIn(household ?? '', wide)).toBe(false);
    expect(await isLetIn(elsewhere ?? '', wide)).toBe(true);
  });
});

describe('a token that does not name its grant', () => {
  test('takes with it what was issued so far to the user at the client, and nothing else', async () => {
    const user = { sub: 'cut-off-1' };
    const [mine, sibling, later, otherClient, otherUser] = await Promise.all([
      issueToken(user),
      issueToken({ ...user, iat: nowS() - 5 }),
      issueToken({ ...user, iat: nowS() + 30 }),
      issueToken({ ...user, client_id: 'other' }),
      issueToken({ sub: 'cut-off-2' }),
    ]);
    expect((await unlink(mine ?? '')).line).toMatchObject({ reached: ['cut_off'], first: true });
    expect(await isLetIn(sibling ?? '')).toBe(false);
    expect(await isLetIn(later ?? '')).toBe(true);
    expect(await isLetIn(otherClient ?? '')).toBe(true);
    expect(await isLetIn(otherUser ?? '')).toBe(true);
  });

  test('issued by a clock ahead of ours, it takes all up to its own time', async () => {
    const user = { sub: 'fast-clock' };
    const mine = await issueToken({ ...user, iat: nowS() + 600 });
    const sibling = await issueToken({ ...user, iat: nowS() + 599 });
    await unlink(mine);
    expect(await isLetIn(sibling)).toBe(false);
  });

  test('without a time of issue it takes itself alone, or the next link would be born revoked', async () => {
    const user = { sub: 'no-iat', iat: undefined };
    const mine = await issueToken(user);
    expect((await unlink(mine)).line).toMatchObject({ reached: ['access_token_only'], revocation: { cut_offs: [] } });
    expect(await isLetIn(mine)).toBe(false);
    expect(await isLetIn(await issueToken(user))).toBe(true);
  });

  test('replayed after the link was made anew, it changes nothing', async () => {
    const user = { sub: 'relinked' };
    const old = await issueToken(user);
    await unlink(old);
    const relinked = await issueToken({ ...user, iat: nowS() + 1 });
    expect(await isLetIn(relinked)).toBe(true);
    expect((await unlink(old)).line).toMatchObject({ first: false });
    // Nor does another token of the old link, which only the cut-off revoked.
    expect((await unlink(await issueToken({ ...user, iat: nowS() - 20 }))).line).toMatchObject({ first: false });
    expect(await isLetIn(relinked)).toBe(true);
  });
});

describe('a late unlink', () => {
  test('with an expired JWT still ends the link', async () => {
    const user = { sub: 'late' };
    const sibling = await issueToken(user);
    const expired = await issueToken({ ...user, exp: nowS() - 10_000, iat: nowS() - 20_000 });
    expect((await unlink(expired)).body).toEqual({ request_id: 'u-1' });
    expect(await isLetIn(sibling)).toBe(false);
  });

  test('with a token that its issuer calls inactive stores the token alone, for a day', async () => {
    const url = await startHttpServer((_request, response) => response.end('{"active":false}'));
    const introspection = { endpoint: url, client_id: 'us', client_secret: 's' };
    const asking = await start({ ISSUERS: JSON.stringify([{ issuer: ISSUER, introspection }]) });
    const { body, line } = await unlink('opaque', asking);
    expect(body).toEqual({ request_id: 'u-1' });
    expect(line).toMatchObject({ reached: ['access_token_only'] });
    const { expires_at } = line.revocation as { expires_at: number };
    expect(Math.abs(expires_at - nowS() - 86_400)).toBeLessThan(60);
  });

  test('never shortens by what the token says of its expiry', async () => {
    const { line } = await unlink(await issueToken({ exp: nowS() + 5 }));
    const { expires_at } = line.revocation as { expires_at: number };
    expect(expires_at).toBeGreaterThan(nowS() + 30_000_000);
  });
});

test.each<[name: string, token: () => Promise<string>]>([
  ['badly signed', async () => `${await issueToken()}x`],
  ['of a foreign issuer', () => issueToken({ iss: 'https://evil.example' })],
  ['for another audience', () => issueToken({ aud: 'https://other.example' })],
  ['of another kind', () => issueToken({}, { typ: 'logout+jwt' })],
  ['an ID token, also with the typ JWT', () => issueToken({ nonce: 'n' }, { typ: 'JWT' })],
  ['a refresh token', () => issueToken({ typ: 'Refresh' }, { typ: 'JWT' })],
  ['too old', () => issueToken({ iat: 1_600_000_000, exp: 1_600_003_600 })],
  ['opaque, where nobody can be asked', async () => '123qwe456a...'],
])('a token that is %s is a 401, and nothing is stored', async (_name, token) => {
  const before = project.countRows();
  expect((await unlink(await token())).body).toMatchObject({ status: 401, payload: { error: 'invalid_token' } });
  expect(project.countRows()).toBe(before);
});

test('a token that names no user ends itself alone, and no other of its client', async () => {
  const own = await issueToken({ sub: undefined });
  expect((await unlink(own)).line).toMatchObject({ reached: ['access_token_only'], first: true });
  expect(await isLetIn(own)).toBe(false);
  expect(await isLetIn(await issueToken({ sub: undefined }))).toBe(true);
  expect(await isLetIn(await issueToken({ sub: 'of-the-same-client' }))).toBe(true);
});

test('a grant of one user is no other’s, should two tokens have one value', async () => {
  const [mine, theirs] = await Promise.all(
    ['one', 'other'].map((sub) => issueToken({ sub, grant_id: 'of-two-users' })),
  );
  await unlink(mine ?? '');
  expect(await isLetIn(theirs ?? '')).toBe(true);
});

test('the log says how far the clock of an issuer is ahead', async () => {
  const { line } = await unlink(await issueToken({ sub: 'ahead', iat: nowS() + 600 }));
  expect(Math.abs(Number(line.iat_ahead_s) - 600)).toBeLessThan(60);
});

test('more tokens that their issuer calls inactive than an hour allows are a 502 raw, no error, and one alert', async () => {
  const url = await startHttpServer((_request, response) => response.end('{"active":false}'));
  const introspection = { endpoint: url, client_id: 'us', client_secret: 's' };
  const row = { issuer: ISSUER, audience: 'https://api.example', secret: SECRET, introspection };
  const asking = await start({ ISSUERS: JSON.stringify([row]) });
  const present = (token: string) =>
    asking.raw('smart-home-unlink', {
      headers: { authorization: `Bearer ${token}` },
      request_type: 'unlink',
      api_version: 1,
    });
  // Five at once, as one instance takes them.
  for (let index = 0; index < 1000; index += 5) {
    await Promise.all([0, 1, 2, 3, 4].map((more) => present(`opaque-${index + more}`)));
  }
  const before = asking.countRows();
  const lines: Record<string, unknown>[] = [];
  for (const token of ['one-too-many', 'two-too-many']) {
    asking.output.length = 0;
    expect((await present(token)).status).toBe(502);
    lines.push(...asking.output.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)));
  }
  expect(lines.map(({ outcome }) => outcome).filter(Boolean)).toEqual(['denied', 'denied']);
  expect(lines.filter(({ message }) => String(message).includes('too many tokens'))).toHaveLength(1);
  expect(asking.countRows()).toBe(before);
  expect((await unlink(await issueToken(), asking)).line).toMatchObject({ outcome: 'ok', first: true });
});

describe('a token that was revoked alone before', () => {
  test('by its client: its unlink still ends the link, up to then', async () => {
    const user = { sub: 'revoked-alone' };
    const [mine, sibling] = await Promise.all([issueToken(user), issueToken(user)]);
    const form = { 'Content-Type': 'application/x-www-form-urlencoded', Authorization: basic('skill', 'skill-secret') };
    await project.gateway('POST', '/oauth/revoke', form, `token=${mine}`);
    expect(await isLetIn(sibling)).toBe(true);
    expect((await unlink(mine)).line).toMatchObject({ reached: ['cut_off'], first: false });
    expect(await isLetIn(sibling)).toBe(false);
    expect(await isLetIn(await issueToken({ ...user, iat: nowS() + 5 }))).toBe(true);
  });
});

describe('a JWT at an issuer that is asked about it', () => {
  test('cannot be revoked by who knows it but for its signature', async () => {
    const token = await issueToken();
    const forged = token.replace(/[^.]+$/, 'AAAA');
    const url = await startHttpServer(async (request, response) => {
      let body = '';
      for await (const chunk of request) body += chunk;
      const isGood = new URLSearchParams(body).get('token') === token;
      response.end(
        JSON.stringify(
          isGood
            ? { active: true, token_type: 'Bearer', sub: 'user-1', client_id: 'skill', iat: nowS() }
            : { active: false },
        ),
      );
    });
    const asking = await start({
      ISSUERS: JSON.stringify([
        { issuer: ISSUER, introspection: { endpoint: url, client_id: 'us', client_secret: 's' } },
      ]),
    });
    expect((await unlink(forged, asking)).body).toEqual({ request_id: 'u-1' });
    expect(await isLetIn(token, asking)).toBe(true);
    expect((await unlink(token, asking)).line).toMatchObject({ first: true, reached: ['cut_off'] });
    expect(await isLetIn(token, asking)).toBe(false);
  });
});

test('a key id that is made up is a 401 at an unlink too, and makes no ERROR line', async () => {
  const jwk = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
  let fetches = 0;
  const url = await startHttpServer((_request, response) => {
    fetches += 1;
    response.end(JSON.stringify({ keys: [{ ...jwk, kid: 'known' }] }));
  });
  const keyed = await start({
    ISSUERS: JSON.stringify([{ issuer: ISSUER, audience: 'https://api.example', jwks_uri: `${url}/jwks` }]),
  });
  const [, payload, signature] = (await issueToken()).split('.');
  for (const kid of ['made-up', 'another']) {
    const header = Buffer.from(JSON.stringify({ alg: 'EdDSA', typ: 'at+jwt', kid })).toString('base64url');
    const { body, line } = await unlink(`${header}.${payload}.${signature}`, keyed);
    expect(body).toMatchObject({ status: 401, payload: { error: 'invalid_token' } });
    expect(line).toMatchObject({ level: 'INFO', outcome: 'denied', reason: 'unusable_key' });
  }
  expect(fetches).toBe(1);
});

describe('the provider’s own authorization server', () => {
  test('knows no such token any more: the log says no more than that', async () => {
    const url = await startHttpServer((_request, response) => response.writeHead(400).end('{"error":"invalid_token"}'));
    const told = await start({ REVOKE_UPSTREAM: upstream(`${url}/revoke`) });
    const token = await issueToken({ iat: undefined });
    expect((await unlink(token, told)).line).toMatchObject({
      reached: ['access_token_only'],
      upstream: 'already_revoked',
    });
  });

  const upstream = (endpoint: string) =>
    JSON.stringify({ endpoint, client_id: 'unlink', client_secret: 'obviously-fake' });

  test('7009-12, 7009-13, 7009-14: is told of the one token that there is, in the body, after the local write', async () => {
    const bodies: string[] = [];
    const rows: number[] = [];
    const url = await startHttpServer(async (request, response) => {
      for await (const chunk of request) bodies.push(String(chunk));
      rows.push(told.countRows());
      response.end();
    });
    const told = await start({ REVOKE_UPSTREAM: upstream(`${url}/revoke`) });
    const token = await issueToken({ grant_id: 'up' });
    expect((await unlink(token, told)).line).toMatchObject({ reached: ['grant', 'upstream_token'], level: 'INFO' });
    expect(bodies.map((body) => Object.fromEntries(new URLSearchParams(body)))).toEqual([
      { token, token_type_hint: 'access_token' },
    ]);
    expect(rows[0]).toBeGreaterThan(0);
  });

  test.each<[name: string, endpoint: () => Promise<string>, says: string]>([
    [
      'not revoking tokens of this kind',
      () => startHttpServer((_request, response) => response.writeHead(400).end('{"error":"unsupported_token_type"}')),
      'unsupported',
    ],
    ['down', async () => 'http://127.0.0.1:9/', 'pending: outgoing: unreachable'],
    [
      'refusing us',
      () => startHttpServer((_request, response) => response.writeHead(401).end()),
      'pending: status 401',
    ],
  ])(
    '%s, it changes nothing of the answer, and the log says so, and whether it is still tried',
    async (_name, endpoint, says) => {
      const told = await start({ REVOKE_UPSTREAM: upstream(await endpoint()) });
      const token = await issueToken({ grant_id: 'up' });
      const { body, line } = await unlink(token, told);
      expect(body).toEqual({ request_id: 'u-1' });
      expect(line).toMatchObject({ reached: ['grant'], upstream: says, level: 'WARN' });
      expect(await isLetIn(token, told)).toBe(false);
    },
  );
});

test('the keys of an issuer that cannot be had are a failure: the token may be good', async () => {
  const down = await start({
    ISSUERS: JSON.stringify([{ issuer: ISSUER, audience: 'https://api.example', jwks_uri: 'http://127.0.0.1:9/jwks' }]),
  });
  const [, payload, signature] = (await issueToken()).split('.');
  const header = Buffer.from('{"alg":"RS256","typ":"at+jwt","kid":"k"}').toString('base64url');
  const token = `${header}.${payload}.${signature}`;
  const event = { headers: { authorization: `Bearer ${token}` }, request_type: 'unlink', api_version: 1 };
  expect((await down.raw('smart-home-unlink', event)).status).toBe(502);
  expect((await down.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status).toBe(500);
});
