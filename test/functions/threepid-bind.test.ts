import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Certificates } from '#scripts/matrix/certificates.ts';
import { MAX_BINDINGS, type ThreepidBinding } from '#shared/threepid/threepid-binding.ts';
import type { Changes, Received } from '#test/support/emulated-project.ts';
import { type MatrixProject, makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';
import {
  type MisbehavingIdentityServer,
  type Misbehaviour,
  PROVED_THREEPID,
  startMisbehavingIdentityServer,
} from '#test/support/misbehaving-identity-server.ts';

const SESSION = { client_secret: 'secret.0=_-Z', id_access_token: 'token-of-the-identity-server', sid: '1234' };
const DONE = { status: 200, body: {} };
const UNREADABLE = { status: 502, body: { errcode: 'M_UNKNOWN', error: expect.any(String) } };

let certificates: Certificates;
let matrix: MatrixProject;
let server: MisbehavingIdentityServer;
let token = '';
let mxid = '';
let count = 0;

const parsed = ({ status, body }: Received) => ({ status, body: JSON.parse(body) });
const bind = async (changes: Record<string, unknown> = {}, { post } = matrix, by: string | undefined = token) =>
  parsed(await post('bind', by, { ...SESSION, id_server: server.name, ...changes }));
const known = ({ of = mxid, from = matrix } = {}) => from.known({ mxid: of, ...PROVED_THREEPID });
const states = async () => (await known()).map(({ state }) => state);
const pathsOf = () => server.requests.map(({ method, path }) => `${method} ${path.split('/').at(-1)}`);
const before = (changes: Partial<ThreepidBinding>): ThreepidBinding => ({
  ...{ mxid, ...PROVED_THREEPID, idServer: server.name, bindId: 'before', state: 'pending', begunAt: 1 },
  ...changes,
});

/** A project of a test's own, and a user of it. */
async function start(changes: Changes): Promise<{ own: MatrixProject; ownToken: string; ownMxid: string }> {
  const own = await startMatrixProject(certificates, [server.name], changes);
  onTestFinished(() => own.close());
  return { own, ownToken: own.homeserver.accessToken('ann'), ownMxid: `@ann:${own.homeserver.serverName}` };
}

beforeAll(async () => {
  certificates = await makeCertificates();
  server = await startMisbehavingIdentityServer(certificates);
  matrix = await startMatrixProject(certificates, [server.name]);
});
afterAll(() => Promise.all([matrix.close(), server.close()]));
beforeEach(() => {
  count += 1;
  mxid = `@ann${count}:${matrix.homeserver.serverName}`;
  token = matrix.homeserver.accessToken(`ann${count}`);
  matrix.homeserver.calls.length = 0;
  server.behave();
  server.requests.length = 0;
});

describe('a bind', () => {
  test('is asked for as the user, with the token of the identity server alone, and remembered', async () => {
    expect(await bind()).toEqual(DONE);

    expect(matrix.homeserver.calls).toEqual(['GET /_matrix/client/v3/account/whoami']);
    expect(pathsOf()).toEqual(['GET getValidated3pid', 'POST bind']);
    const [validated, bound] = server.requests;
    expect(Object.fromEntries(validated?.query ?? [])).toEqual({ client_secret: 'secret.0=_-Z', sid: '1234' });
    expect(bound?.body).toEqual({ client_secret: 'secret.0=_-Z', sid: '1234', mxid });
    expect(bound?.headers.authorization).toEqual(['Bearer token-of-the-identity-server']);
    expect(JSON.stringify(server.requests)).not.toContain(token);
    expect(await known()).toMatchObject([{ mxid, ...PROVED_THREEPID, idServer: server.name, state: 'bound' }]);
  });

  test('is known in the canonical form of what the server has validated', async () => {
    server.answer(
      { status: 200, body: { medium: 'email', address: 'Ann@EXAMPLE.test', validated_at: 0 } },
      'getValidated3pid',
    );
    expect(await bind()).toEqual(DONE);
    expect(await states()).toEqual(['bound']);
  });

  test('is undone by an unbind that names no server', async () => {
    await bind();
    expect(parsed(await matrix.post('unbind', token, PROVED_THREEPID)).body).toEqual({
      id_server_unbind_result: 'success',
    });
    expect(await known()).toEqual([]);
  });

  test('that is repeated is one', async () => {
    await bind();
    await bind();
    expect(await states()).toEqual(['bound']);
  });

  test('that succeeds leaves nothing of those that were never answered', async () => {
    for (const bindId of ['first', 'second']) await matrix.put(before({ bindId }));
    expect(await bind()).toEqual(DONE);
    expect(await states()).toEqual(['bound']);
  });

  test('leaves what is known of other servers as it is', async () => {
    await matrix.put(before({ idServer: 'id.example.org' }));
    await bind();
    expect((await known()).map(({ idServer }) => idServer)).toEqual(['id.example.org', server.name]);
  });
});

describe('what is not known to have happened', () => {
  test('is remembered before it is asked for: a crash in between forgets nothing', async () => {
    const { own, ownToken, ownMxid } = await start({});
    server.answer('hang', 'bind');

    const crashed = bind({}, own, ownToken).catch(() => 'crashed');
    await expect.poll(pathsOf).toContain('POST bind');
    expect(await known({ of: ownMxid, from: own })).toMatchObject([{ state: 'pending' }]);

    server.behave();
    expect(parsed(await own.post('unbind', ownToken, PROVED_THREEPID)).body).toEqual({
      id_server_unbind_result: 'success',
    });
    // Ends the instance in the midst of the bind.
    await own.project.close();
    expect(await crashed).toBe('crashed');
  });

  test.each<[string, Misbehaviour, object]>([
    ['500 and a Matrix error', { status: 500, body: { errcode: 'M_UNKNOWN', error: 'x' } }, { status: 500 }],
    ['500 without', { status: 500 }, UNREADABLE],
    ['404 without an error', { status: 404 }, UNREADABLE],
    ['200 and HTML', { status: 200, body: '<html>' }, UNREADABLE],
    ['302', { status: 302, headers: { Location: '/' } }, UNREADABLE],
    ['a connection that ends', 'reset', UNREADABLE],
  ])('stays known: %s', async (_, misbehaviour, answer) => {
    server.answer(misbehaviour, 'bind');
    expect(await bind()).toMatchObject(answer);
    expect(await states()).toEqual(['pending']);
  });

  test('stays known: no answer in time', async () => {
    const { own, ownToken, ownMxid } = await start({ timeout: 4 });
    server.answer('hang', 'bind');
    expect(await bind({}, own, ownToken)).toMatchObject({ status: 504, body: { errcode: 'M_UNKNOWN' } });
    expect(await known({ of: ownMxid, from: own })).toMatchObject([{ state: 'pending' }]);
  });

  test('is known once for a server, however often it was tried', async () => {
    for (const bindId of ['first', 'second', 'third']) await matrix.put(before({ bindId }));
    server.answer('reset', 'bind');
    await bind();
    expect((await known()).map(({ bindId }) => bindId)).toEqual(['first', expect.any(String)]);
  });
});

describe('what is definitely refused', () => {
  test.each([
    [400, 'M_INVALID_PARAM'],
    [403, 'M_TERMS_NOT_SIGNED'],
    [404, 'M_NO_VALID_SESSION'],
    [429, 'M_LIMIT_EXCEEDED'],
  ])('is passed on and not known: %i %s', async (status, errcode) => {
    server.answer({ status, body: { errcode, error: 'In its own words', more: 1 } }, 'bind');
    expect(await bind()).toEqual({ status, body: { errcode, error: 'In its own words' } });
    expect(await known()).toEqual([]);
  });

  test('does not take away what was known', async () => {
    await matrix.put(before({ state: 'bound' }));
    await matrix.put(before({ bindId: 'crashed' }));
    server.answer({ status: 403, body: { errcode: 'M_FORBIDDEN', error: 'x' } }, 'bind');
    await bind();
    expect((await known()).map(({ bindId }) => bindId)).toEqual(['before', 'crashed']);
  });

  test('of its session is not asked for at all', async () => {
    server.answer({ status: 404, body: { errcode: 'M_NO_VALID_SESSION', error: 'x' } }, 'getValidated3pid');
    expect(await bind()).toEqual({ status: 404, body: { errcode: 'M_NO_VALID_SESSION', error: 'x' } });
    expect(pathsOf()).toEqual(['GET getValidated3pid']);
    expect(await known()).toEqual([]);
  });

  test.each(['M_UNKNOWN_TOKEN', 'M_MISSING_TOKEN', 'M_USER_LOCKED'])(
    'by %s does not log the user out',
    async (errcode) => {
      for (const operation of ['bind', 'getValidated3pid'] as const) {
        server.answer({ status: 401, body: { errcode, error: 'x' } }, operation);
        expect(await bind()).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } });
      }
    },
  );

  test.each<[string, object | string]>([
    ['an identifier of another medium', { medium: 'irc', address: 'ann' }],
    ['no identifier', {}],
    ['an address that is none', { medium: 'email', address: 'ann' }],
    ['a number', { medium: 'msisdn', address: 447700900000 }],
    ['HTML', '<html>'],
  ])('a session of %s: 502, and nothing is asked for', async (_, body) => {
    server.answer({ status: 200, body }, 'getValidated3pid');
    expect(await bind()).toEqual(UNREADABLE);
    expect(pathsOf()).toEqual(['GET getValidated3pid']);
  });
});

describe('a call that cannot be', () => {
  test.each<[string, Record<string, unknown>, string]>([
    ['without client_secret', { client_secret: undefined }, 'M_MISSING_PARAM'],
    ['without id_access_token', { id_access_token: undefined }, 'M_MISSING_PARAM'],
    ['without id_server', { id_server: undefined }, 'M_MISSING_PARAM'],
    ['without sid', { sid: undefined }, 'M_MISSING_PARAM'],
    ['with a client_secret of other characters', { client_secret: 'a b' }, 'M_INVALID_PARAM'],
    ['with a client_secret that is too long', { client_secret: 'a'.repeat(256) }, 'M_INVALID_PARAM'],
    ['with a sid that is a path', { sid: '../x' }, 'M_INVALID_PARAM'],
    ['with a sid that is a number', { sid: 1234 }, 'M_INVALID_PARAM'],
    ['with a token that holds a line', { id_access_token: 'a\r\nX: y' }, 'M_INVALID_PARAM'],
    ['with null as id_server', { id_server: null }, 'M_INVALID_PARAM'],
    ['with an address as id_server', { id_server: '127.0.0.1' }, 'M_INVALID_PARAM'],
    ['with a path in id_server', { id_server: 'id.example.org/x' }, 'M_INVALID_PARAM'],
  ])('%s: 400, and nothing is asked', async (_, changes, errcode) => {
    expect(await bind(changes)).toEqual({ status: 400, body: { errcode, error: expect.any(String) } });
    expect(server.requests).toEqual([]);
  });

  test('of nobody, or of a guest', async () => {
    expect(parsed(await matrix.post('bind', undefined, '{'))).toMatchObject({ status: 401 });
    expect(await bind({}, matrix, matrix.homeserver.guestToken())).toMatchObject({ status: 403 });
  });

  test('of a user who has as many as there may be: 403, and nothing is bound', async () => {
    for (let index = 0; index < MAX_BINDINGS; index += 1)
      await matrix.put(before({ bindId: `${index}`, address: `${index}@example.test` }));
    expect(await bind()).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } });
    expect(pathsOf()).toEqual(['GET getValidated3pid']);
  });

  test('of an identifier that is bound at as many servers as there may be: 403, but at one of them', async () => {
    for (let index = 0; index < 10; index += 1) await matrix.put(before({ idServer: `id${index}.example.org` }));
    expect(await bind()).toMatchObject({ status: 403, body: { errcode: 'M_FORBIDDEN' } });
    expect(pathsOf()).toEqual(['GET getValidated3pid']);

    mxid = `@bob${count}:${matrix.homeserver.serverName}`;
    token = matrix.homeserver.accessToken(`bob${count}`);
    for (let index = 0; index < 9; index += 1) await matrix.put(before({ idServer: `id${index}.example.org` }));
    await matrix.put(before({}));
    expect(await bind()).toEqual(DONE);
  });

  test('while the directory is down: 503, and nothing is bound', async () => {
    const { own, ownToken } = await start({ local: { DIRECTORY_URL: 'sqlite:/nowhere/unlink.sqlite' } });
    expect(await bind({}, own, ownToken)).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
    expect(pathsOf()).toEqual(['GET getValidated3pid']);
  });

  test('by another method or version', async () => {
    const path = '/_matrix/client/v3/account/3pid/bind';
    expect(parsed(await matrix.project.gateway('GET', path))).toMatchObject({
      status: 405,
      body: { errcode: 'M_UNRECOGNIZED' },
    });
    expect(parsed(await matrix.post('bind', token, {}, 'v1'))).toMatchObject({
      status: 404,
      body: { errcode: 'M_UNRECOGNIZED' },
    });
    expect((await matrix.project.gateway('OPTIONS', path)).headers.get('access-control-allow-origin')).toBe('*');
  });
});

test('raw, the same in the envelope', async () => {
  const answer = await matrix.project.raw('threepid-bind', {
    headers: { request_id: '1111-aaaa', authorization: `Bearer ${token}` },
    request_type: '3pid.bind',
    api_version: 1.0,
    payload: { ...SESSION, id_server: server.name },
  });
  expect(JSON.parse(answer.body)).toEqual({ request_id: '1111-aaaa', status: 200, payload: {} });
});

test('no token, secret or address is in what is printed', async () => {
  matrix.project.output.length = 0;
  await bind();
  await bind({ sid: 'a b' });
  const printed = matrix.project.output.join('\n');
  for (const secret of [token, SESSION.client_secret, SESSION.id_access_token, PROVED_THREEPID.address]) {
    expect(printed).not.toContain(secret);
  }
  expect(printed).toContain('"event":"threepid.bound"');
});
