/** The built functions with the tokens of real servers: one project knows all the servers. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { JsonObject } from '#shared/json.ts';
import { type Asked, CORPUS_JWKS, corpusText, introspects } from '#test/support/corpus-issuer.ts';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { basic, client } from '#test/support/test-issuer.ts';
import { CORPUS_ISSUER, type CorpusCase, corpusAt, corpusTable } from '#test/support/token-corpus.ts';

/** Each server is an issuer with keys, and another that is asked. */
const issuerOf = ({ server, isIntrospected }: CorpusCase) =>
  `https://${isIntrospected ? 'asked.' : ''}${server.replaceAll('_', '-')}.test`;

/** A case at its own issuer; each user's token is of a user of its own, whom no other test unlinks. */
function ownCase(one: CorpusCase): CorpusCase {
  const own: CorpusCase = JSON.parse(JSON.stringify(one).replaceAll(CORPUS_ISSUER, issuerOf(one)));
  const { sub } = own.claims;
  const isClients = one.wanted === 'no_user' || one.wanted === 'own_subject';
  return isClients || sub === undefined ? own : { ...own, claims: { ...own.claims, sub: `${sub}-${one.name}` } };
}

const CASES = corpusAt(Math.floor(Date.now() / 1000)).map(ownCase);
const isOf = (...wanted: string[]) => CASES.filter((one) => wanted.includes(one.wanted));
const HYDRA_CLIENT = CASES.find(({ server, name }) => server === 'hydra' && name === 'cc') as CorpusCase;

const asked: Asked[] = [];
let server: Server;
let project: EmulatedProject;

/** The rows of `ISSUERS`, one for each issuer of the cases. */
function rowsAt(url: string, changes: (issuer: string) => JsonObject = () => ({})): string {
  const rows = new Map(
    CASES.map((one) => {
      const introspection = { endpoint: `${url}/${one.server}`, client_id: 'caller', client_secret: 's' };
      const keys = one.row.secret === undefined ? { jwks_uri: `${url}/jwks` } : {};
      const issuer = issuerOf(one);
      return [issuer, { issuer, ...one.row, ...(one.isIntrospected ? { introspection } : keys), ...changes(issuer) }];
    }),
  );
  return JSON.stringify([...rows.values()]);
}

/** The settings of functions that know all the servers, and whose links are those of Hydra's users. */
const settingsOf = (rows: string) => ({
  ISSUERS: rows,
  ISSUER: issuerOf(HYDRA_CLIENT),
  UNVERIFIED_TOKENS: null,
  GRANT_CLAIM: null,
  CLIENTS: JSON.stringify([client('spk', 'spk-secret'), client('other', 'other-secret')]),
  SCOPE_NAMES: '{"blitz_api_sys_ufa":"devices"}',
});

let url: string;

beforeAll(async () => {
  const texts = await Promise.all(CASES.map(async (one) => [one, await corpusText(one)] as const));
  const answersOf = (name: string | undefined) =>
    new Map(
      texts.filter(([one]) => one.isIntrospected && one.server === name).map(([one, text]) => [text, one.claims]),
    );
  server = createServer((request, response) => {
    if (request.url === '/jwks') return response.end(JSON.stringify(CORPUS_JWKS));
    return introspects(answersOf(request.url?.slice(1)), asked)(request, response);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  // It listens on a port, not on a pipe.
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  project = await startProject({ local: settingsOf(rowsAt(url)) });
});

afterAll(async () => {
  await project.close();
  server.closeAllConnections();
  server.close();
});

const isLetIn = async (token: string): Promise<number> =>
  (await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status;

async function unlink(token: string) {
  const headers = { request_id: 'u-1', authorization: `Bearer ${token}` };
  project.output.length = 0;
  const { body } = await project.raw('smart-home-unlink', { headers, request_type: 'unlink', api_version: 1 });
  return { body: JSON.parse(body), line: project.takeLogLine() };
}

async function revoke(token: string, id: string, hint = 'refresh_token') {
  project.output.length = 0;
  const headers = {
    'Content-Type': 'application/x-www-form-urlencoded',
    Authorization: basic(id, `${id}-secret`),
  };
  const form = new URLSearchParams({ token, token_type_hint: hint }).toString();
  const { status, body } = await project.gateway('POST', '/oauth/revoke', headers, form);
  return { status, error: body === '' ? undefined : JSON.parse(body).error, line: project.takeLogLine() };
}

const list = async (at: EmulatedProject, token: string, subject: string): Promise<number> =>
  (await at.gateway('GET', `/blitz/api/v3/users/${subject}/fa`, { Authorization: `Bearer ${token}` })).status;

test.each(corpusTable(isOf('user')))('%s is let in, unlinked, and refused from then on', async (_title, one) => {
  const token = await corpusText(one);
  expect(await isLetIn(token)).toBe(200);
  const { body, line } = await unlink(token);
  expect(body).toEqual({ request_id: 'u-1' });
  // A token that says nothing of when it was issued is older than every cut-off.
  const reach = one.claims.iat === undefined ? 'access_token_only' : 'cut_off';
  const namesGrant = one.row.grant !== undefined;
  expect(line).toMatchObject({ first: true, reached: [namesGrant ? 'grant' : reach] });
  expect(await isLetIn(token)).toBe(403);
});

describe('a client’s own token', () => {
  test.each(corpusTable(isOf('no_user')))('%s is let in, and an unlink ends it alone', async (_title, one) => {
    const token = await corpusText(one);
    expect(await isLetIn(token)).toBe(200);
    const { body, line } = await unlink(token);
    expect(body).toEqual({ request_id: 'u-1' });
    expect(line).toMatchObject({ reached: ['access_token_only'], revocation: { grants: [], cut_offs: [] } });
    expect(await isLetIn(token)).toBe(403);
  });

  test.each(corpusTable(isOf('no_user').filter((one) => !one.isIntrospected)))(
    '%s is not ended by the unlink of another token of that client',
    async (_title, one) => {
      const [mine, next] = await Promise.all(
        ['1', '2'].map((id) => corpusText({ ...one, claims: { ...one.claims, jti: `${one.claims.jti ?? ''}${id}` } })),
      );
      expect((await unlink(mine ?? '')).line).toMatchObject({ first: true });
      expect(await isLetIn(next ?? '')).toBe(200);
    },
  );

  test('is no user’s where links are listed, unless its row declares it an application’s', async () => {
    const token = await corpusText({ ...HYDRA_CLIENT, claims: { ...HYDRA_CLIENT.claims, jti: 'listing' } });
    expect(await list(project, token, 'u1')).toBe(401);
    expect(await list(project, token, 'bot')).toBe(401);
    expect(await list(project, token, 'current')).toBe(401);

    const rows = rowsAt(url, (issuer) => (issuer === issuerOf(HYDRA_CLIENT) ? { client_tokens: ['bot'] } : {}));
    const declared = await startProject({ local: settingsOf(rows) });
    onTestFinished(() => declared.close());
    expect(await list(declared, token, 'u1')).toBe(200);
    // A user whom a system's scope was granted to is no application.
    const claims = { ...HYDRA_CLIENT.claims, sub: 'ann' };
    expect(await list(declared, await corpusText({ ...HYDRA_CLIENT, claims }), 'u1')).toBe(403);
  });
});

const OTHER_KINDS = CASES.filter(({ wanted }) => !['user', 'no_user', 'own_subject', 'inactive'].includes(wanted));

test.each(corpusTable(OTHER_KINDS))('%s is refused, and an unlink with it writes nothing', async (_title, one) => {
  const token = await corpusText(one);
  expect(await isLetIn(token)).toBe(403);
  const before = project.countRows();
  const { body, line } = await unlink(token);
  expect(body).toMatchObject({ status: 401, payload: { error: 'invalid_token' } });
  expect(line).toMatchObject({ reason: one.wanted });
  expect(project.countRows()).toBe(before);
});

describe('token-revoke', () => {
  const refreshTokens = CASES.filter(({ name }) => name.startsWith('i_rt') || ['rt_custom'].includes(name));

  test.each(corpusTable(refreshTokens))('revokes %s for its own client alone', async (_title, one) => {
    const token = await corpusText(one);
    const before = project.countRows();
    expect(await revoke(token, 'other')).toMatchObject({ status: 400, error: 'invalid_grant' });
    expect(project.countRows()).toBe(before);

    const { status, line } = await revoke(token, 'spk');
    expect(status).toBe(200);
    const endsLink = one.claims.sub !== undefined && one.claims.iat !== undefined;
    const reach = one.server === 'hydra' ? 'grant' : endsLink ? 'cut_off' : 'refresh_token_only';
    expect(line).toMatchObject({ first: true, reached: [reach] });
    expect(project.countRows()).toBeGreaterThan(before);
  });

  const otherKinds = OTHER_KINDS.filter(({ name }) => /^id|^i_id|^lo|^userinfo|^info/.test(name));

  test.each(corpusTable(otherKinds))('says of %s that it revokes no such token', async (_title, one) => {
    const before = project.countRows();
    const { status, error } = await revoke(await corpusText(one), 'spk');
    expect({ status, error }).toEqual({ status: 400, error: 'unsupported_token_type' });
    expect(project.countRows()).toBe(before);
  });

  test('passes the caller’s hint on, where a check asks for access tokens', async () => {
    const hintsOf = async (call: () => Promise<unknown>) => {
      asked.length = 0;
      await call();
      return [...new Set(asked.map(({ hint }) => hint))];
    };
    expect(await hintsOf(() => isLetIn('not-known-1'))).toEqual(['access_token']);
    expect(await hintsOf(() => unlink('not-known-2'))).toEqual(['access_token']);
    expect(await hintsOf(() => revoke('not-known-3', 'spk', 'refresh_token'))).toEqual(['refresh_token']);
    expect(await hintsOf(() => revoke('not-known-4', 'spk', 'access_token'))).toEqual(['access_token']);
  });
});
