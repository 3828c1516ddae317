/** Sytest's cases of unbinding (`tests/54identity.pl`), by their names, at the paths that it calls. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Certificates } from '#scripts/matrix/certificates.ts';
import { type IdentityServer, startIdentityServer } from '#scripts/matrix/identity-server.ts';
import { callHttps } from '#test/support/https-call.ts';
import { type MatrixProject, makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';

const CLIENT_SECRET = '0123456789Az.=_-';

let certificates: Certificates;
let matrix: MatrixProject;
let identity: IdentityServer;

beforeAll(async () => {
  certificates = await makeCertificates();
  const homeserver = { url: '' };
  identity = await startIdentityServer({ port: 0, certificates, homeserverUrl: () => homeserver.url });
  matrix = await startMatrixProject(certificates, [identity.name]);
  homeserver.url = matrix.homeserver.url;
});
afterAll(() => Promise.all([matrix.close(), identity.close()]));

/** What the identity server answers; it must be 200. */
async function ask(method: 'GET' | 'POST', path: string, body: object, idToken = '') {
  const answer = await callHttps(`${identity.url}/_matrix/identity/v2${path}`, certificates.ca, {
    method,
    headers: { Authorization: `Bearer ${idToken}` },
    ...(method === 'POST' && { body: JSON.stringify(body) }),
  });
  expect(answer.status).toBe(200);
  return JSON.parse(answer.body);
}

/** A call of the homeserver's client API by a user; it must be answered 200. */
async function call(operation: 'bind' | 'unbind', token: string, body: object): Promise<unknown> {
  const answer = await matrix.post(operation, token, body, 'unstable');
  expect(answer.status).toBe(200);
  return JSON.parse(answer.body);
}

/** A user who has bound an address through the homeserver, and whom that address leads to. */
async function bindAddress(localpart: string, address: string) {
  const token = matrix.homeserver.accessToken(localpart);
  const { token: idToken } = await ask('POST', '/account/register', {
    matrix_server_name: matrix.homeserver.serverName,
    access_token: 'openid-token-of-nobody',
  });
  const session = { client_secret: CLIENT_SECRET, email: address, send_attempt: 1 };
  const { sid } = await ask('POST', '/validate/email/requestToken', session, idToken);
  const lookUp = async () => {
    const { lookup_pepper: pepper } = await ask('GET', '/hash_details', {}, idToken);
    const query = { addresses: [`${address} email`], algorithm: 'none', pepper };
    return (await ask('POST', '/lookup', query, idToken)).mappings;
  };
  const bind = { client_secret: CLIENT_SECRET, id_access_token: idToken, id_server: identity.name, sid };
  expect(await call('bind', token, bind)).toEqual({});
  expect(await lookUp()).toEqual({ [`${address} email`]: `@${localpart}:${matrix.homeserver.serverName}` });
  return { token, lookUp };
}

test('Can bind and unbind 3PID via /unbind by specifying the identity server', async () => {
  const address = 'bob@example.test';
  const { token, lookUp } = await bindAddress('bob', address);

  const answer = await call('unbind', token, { medium: 'email', address, id_server: identity.name });

  expect(answer).toEqual({ id_server_unbind_result: 'success' });
  expect(await lookUp()).toEqual({});
});

test('Can bind and unbind 3PID via /unbind without specifying the identity server', async () => {
  const address = 'eve@example.test';
  const { token, lookUp } = await bindAddress('eve', address);

  const answer = await call('unbind', token, { medium: 'email', address });

  expect(answer).toEqual({ id_server_unbind_result: 'success' });
  expect(await lookUp()).toEqual({});
});
