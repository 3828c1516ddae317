/** The client library of Element and others, as it is, against the functions. */
import { createClient, HttpApiEvent, type MatrixClient, MatrixError } from 'matrix-js-sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Certificates } from '#scripts/matrix/certificates.ts';
import { type IdentityServer, startIdentityServer } from '#scripts/matrix/identity-server.ts';
import { type MatrixProject, makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';
import {
  type MisbehavingIdentityServer,
  startMisbehavingIdentityServer,
} from '#test/support/misbehaving-identity-server.ts';
import { createTrustingFetch } from '#test/support/trusting-fetch.ts';

const SUCCESS = { id_server_unbind_result: 'success' };
const NO_SUPPORT = { id_server_unbind_result: 'no-support' };

const QUIET = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => QUIET };

let certificates: Certificates;
let matrix: MatrixProject;
/** Verifies signatures. */
let identity: IdentityServer;
/** Answers as a test says. */
let second: MisbehavingIdentityServer;
let mxid = '';
/** An address that no other test binds. */
let address = '';
let count = 0;

/** The client of a user. */
function signIn(idBaseUrl: string | undefined, accessToken = matrix.homeserver.accessToken(`ann${count}`)) {
  return createClient({
    baseUrl: matrix.project.gatewayUrl,
    accessToken,
    userId: mxid,
    fetchFn: createTrustingFetch(certificates.ca),
    logger: QUIET,
    ...(idBaseUrl !== undefined && { idBaseUrl }),
  });
}

/** Has the user's address validated at the identity server, and returns what a bind of it says, as Element does. */
async function validate(client: MatrixClient) {
  const { access_token: idToken } = await client.registerWithIdentityServer({
    access_token: 'openid-token-of-nobody',
    expires_in: 3600,
    matrix_server_name: matrix.homeserver.serverName,
    token_type: 'Bearer',
  });
  const clientSecret = client.generateClientSecret();
  const { sid } = await client.requestEmailToken(address, clientSecret, 1, undefined, idToken);
  const body = { client_secret: clientSecret, id_access_token: idToken, id_server: identity.name, sid };
  return { body, lookUp: () => client.lookupThreePid('email', address, idToken) };
}

/** What the library made of a refusal. */
async function refusalOf(call: Promise<unknown>): Promise<MatrixError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof MatrixError) return error;
  throw new Error('no MatrixError', { cause: error });
}

/** How often a client says that its session has ended. */
function countLogouts(client: MatrixClient): () => number {
  let logouts = 0;
  client.on(HttpApiEvent.SessionLoggedOut, () => {
    logouts += 1;
  });
  return () => logouts;
}

beforeAll(async () => {
  certificates = await makeCertificates();
  const homeserver = { url: '' };
  identity = await startIdentityServer({ port: 0, certificates, homeserverUrl: () => homeserver.url });
  second = await startMisbehavingIdentityServer(certificates);
  matrix = await startMatrixProject(certificates, [identity.name, second.name]);
  homeserver.url = matrix.homeserver.url;
});
afterAll(() => Promise.all([matrix, identity, second].map((server) => server.close())));

beforeEach(() => {
  count += 1;
  mxid = `@ann${count}:${matrix.homeserver.serverName}`;
  address = `ann${count}@example.test`;
  identity.requests.length = 0;
  second.behave();
  second.requests.length = 0;
});

describe('an address that is bound', () => {
  test.each([
    ['named', (url: string) => url],
    ['named with a slash at its end', (url: string) => `${url}/`],
    ['named without a scheme', (url: string) => url.replace('https://', '')],
    ['not named', () => undefined],
  ])('can be looked up until it is unbound; its server is %s', async (_, urlOf) => {
    const client = signIn(identity.url);
    const { body, lookUp } = await validate(client);
    expect(await lookUp()).toEqual({});

    expect(await client.bindThreePid(body)).toEqual({});
    expect(await lookUp()).toEqual({ medium: 'email', address, mxid });

    expect(await signIn(urlOf(identity.url)).unbindThreePid('email', address)).toEqual(SUCCESS);
    expect(await lookUp()).toEqual({});
    expect(await matrix.known({ mxid, medium: 'email', address })).toEqual([]);
  });

  test('is unbound however it is spelled', async () => {
    const client = signIn(identity.url);
    const { body, lookUp } = await validate(client);
    await client.bindThreePid(body);

    expect(await signIn(undefined).unbindThreePid('email', address.toUpperCase())).toEqual(SUCCESS);
    expect(await lookUp()).toEqual({});
  });

  test("stays bound when another user unbinds it, and nobody's is no-support", async () => {
    const client = signIn(identity.url);
    const { body, lookUp } = await validate(client);
    await client.bindThreePid(body);
    const other = signIn(undefined, matrix.homeserver.accessToken('eve'));

    expect(await other.unbindThreePid('email', address)).toEqual(NO_SUPPORT);
    other.setIdentityServerUrl(identity.url);
    await other.unbindThreePid('email', address);
    expect(await lookUp()).toMatchObject({ mxid });
  });
});

describe('a refusal', () => {
  test('of the identity server reaches the client in its own words', async () => {
    second.answer({ status: 403, body: { errcode: 'M_TERMS_NOT_SIGNED', error: 'Please sign first' } });

    const error = await refusalOf(signIn(second.url).unbindThreePid('email', address));

    expect(error).toMatchObject({
      httpStatus: 403,
      errcode: 'M_TERMS_NOT_SIGNED',
      data: { errcode: 'M_TERMS_NOT_SIGNED', error: 'Please sign first' },
    });
  });

  test('of a bind does so too', async () => {
    const client = signIn(identity.url);
    const { body } = await validate(client);

    const error = await refusalOf(client.bindThreePid({ ...body, sid: 'unknown' }));

    expect(error).toMatchObject({ httpStatus: 404, errcode: 'M_NO_VALID_SESSION' });
  });

  test('of our own is one as well', async () => {
    expect(await refusalOf(signIn('https://localhost').unbindThreePid('email', address))).toMatchObject({
      httpStatus: 400,
      errcode: 'M_INVALID_PARAM',
    });
  });

  test.each([
    ['7', 7000],
    ['soon', null],
  ])('with Retry-After: %s tells the client how long to wait: %j', async (retryAfter, waitMs) => {
    second.answer({
      status: 429,
      headers: { 'Retry-After': retryAfter },
      body: { errcode: 'M_LIMIT_EXCEEDED', error: 'Too many' },
    });

    const error = await refusalOf(signIn(second.url).unbindThreePid('email', address));

    expect(error.isRateLimitError()).toBe(true);
    expect(error.getRetryAfterMs()).toBe(waitMs);
  });

  test('with a date tells it too', async () => {
    second.answer({
      status: 429,
      headers: { 'Retry-After': new Date(Date.now() + 3_600_000).toUTCString() },
      body: { errcode: 'M_LIMIT_EXCEEDED', error: 'Too many' },
    });

    const error = await refusalOf(signIn(second.url).unbindThreePid('email', address));

    expect(error.getRetryAfterMs()).toBeGreaterThan(3_000_000);
  });
});

describe('the session of the client', () => {
  test.each(['unbind', 'bind', 'getValidated3pid'] as const)(
    "outlives an identity server's M_UNKNOWN_TOKEN of %s",
    async (operation) => {
      const client = signIn(second.url);
      const logouts = countLogouts(client);
      second.answer({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN', error: 'x', soft_logout: true } }, operation);
      const session = { client_secret: 'secret', id_access_token: 'token', id_server: second.name, sid: '1' };

      const error = await refusalOf(
        operation === 'unbind' ? client.unbindThreePid('email', address) : client.bindThreePid(session),
      );

      expect(error).toMatchObject({ httpStatus: 403, errcode: 'M_FORBIDDEN' });
      expect(error.data).not.toHaveProperty('soft_logout');
      expect(logouts()).toBe(0);
    },
  );

  test("ends with the homeserver's own", async () => {
    const client = signIn(second.url, 'a-token-of-nobody');
    const logouts = countLogouts(client);

    const error = await refusalOf(client.unbindThreePid('email', address));

    expect(error).toMatchObject({ httpStatus: 401, errcode: 'M_UNKNOWN_TOKEN', data: { soft_logout: false } });
    expect(logouts()).toBe(1);
    expect(second.requests).toEqual([]);
  });
});
