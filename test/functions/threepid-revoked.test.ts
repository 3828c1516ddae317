/** Matrix access tokens that were revoked here, in both Matrix functions: the operator's command, then a call. */
import { renameSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, onTestFinished, test } from 'vitest';
import type { Certificates } from '#scripts/matrix/certificates.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { migrateDynamodb } from '#scripts/migrate-dynamodb.ts';
import { migrateRedis } from '#scripts/migrate-redis.ts';
import { type Ended, runAdmin, type Settings } from '#test/support/admin-process.ts';
import { DYNAMODB_CREDENTIALS, urlOfNewTable } from '#test/support/dynamodb-server.ts';
import { type Changes, type Received, TEST_PEPPERS } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { type MatrixProject, makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';
import {
  type MisbehavingIdentityServer,
  startMisbehavingIdentityServer,
} from '#test/support/misbehaving-identity-server.ts';
import { createDatabase } from '#test/support/postgres-server.ts';
import { claimDatabase } from '#test/support/redis-server.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { ISSUER_SETTINGS } from '#test/support/test-issuer.ts';

const OPERATIONS = ['unbind', 'bind'] as const;
type Operation = (typeof OPERATIONS)[number];

const SOFT_LOGOUT = {
  status: 401,
  body: { errcode: 'M_UNKNOWN_TOKEN', error: 'The access token was revoked.', soft_logout: true },
};
const UNAVAILABLE = { status: 503, body: { errcode: 'M_UNKNOWN', error: expect.any(String) } };
/** What each function answers where nothing is in the way. */
const DONE = {
  unbind: { status: 200, body: { id_server_unbind_result: 'success' } },
  bind: { status: 200, body: {} },
} as const;
const WITHOUT_ISSUERS: Settings = { TOKEN_PEPPERS: TEST_PEPPERS };
/** With it JWTs of other issuers, and all that is no JWT, are refused. */
const WITH_ISSUERS: Settings = { ...WITHOUT_ISSUERS, ISSUERS: ISSUER_SETTINGS.ISSUERS };

/** What a homeserver may issue: an opaque token, or one that looks like a JWT of whomever. */
const JWT = ['{"alg":"RS256"}', '{"iss":"https://homeserver.example"}', 'obviously-fake']
  .map((part) => Buffer.from(part).toString('base64url'))
  .join('.');

let certificates: Certificates;
let identity: MisbehavingIdentityServer;
let matrix: MatrixProject;
let count = 0;
let token = '';

beforeAll(async () => {
  certificates = await makeCertificates();
  identity = await startMisbehavingIdentityServer(certificates);
  matrix = await startMatrixProject(certificates, [identity.name]);
});
afterAll(() => Promise.all([matrix.close(), identity.close()]));
beforeEach(() => {
  count += 1;
  token = matrix.homeserver.accessToken(`ann${count}`);
  identity.requests.length = 0;
  matrix.project.output.length = 0;
});

const parsed = ({ status, body }: Received) => ({ status, body: JSON.parse(body) });
const bodyOf = (operation: Operation) =>
  operation === 'unbind'
    ? { medium: 'email', address: 'ann@example.test', id_server: identity.name }
    : { client_secret: 'secret', id_access_token: 'token', sid: '1', id_server: identity.name };
const call = async (operation: Operation, by: string, { post } = matrix) =>
  parsed(await post(operation, by, bodyOf(operation)));
const callRaw = (operation: Operation, by: string, { project } = matrix) =>
  project.raw(`threepid-${operation}`, {
    headers: { request_id: 'r', authorization: `Bearer ${by}` },
    request_type: `3pid.${operation}`,
    api_version: 1,
    payload: bodyOf(operation),
  });

/** Runs the operator's command on the store of a project, with a token at its standard input. */
const admin = (args: readonly string[], input: string, settings = WITH_ISSUERS, { project } = matrix): Promise<Ended> =>
  runAdmin(args, { STORE_URL: `sqlite:${project.database}`, ...settings }, input);
const REVOKE = ['revoke', '--token-stdin', '--matrix', '--yes'];

/** A project of a test's own, whose directory is not where its revocations are. */
async function start(local: NonNullable<Changes['local']>, changes: Changes = {}): Promise<MatrixProject> {
  const folder = createTemporaryFolder();
  const directory = `${folder.path}/directory.sqlite`;
  migrateSqlite(directory);
  const own = await startMatrixProject(certificates, [identity.name], {
    ...changes,
    local: { DIRECTORY_URL: `sqlite:${directory}`, ...local },
  });
  onTestFinished(async () => {
    await own.close();
    folder.remove();
  });
  return own;
}

/** The settings of a homeserver to which every token is Ann's. */
async function homeserverOfAnn() {
  const url = await startHttpServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"user_id":"@ann:example.test"}');
  });
  return { MATRIX_HOMESERVER_URL: url, MATRIX_SERVER_NAME: 'example.test' };
}

describe.each(OPERATIONS)('an operation %s', (operation) => {
  test('answers a soft logout to a token that an operator has revoked, and asks no identity server', async () => {
    expect(await admin(REVOKE, token)).toMatchObject({ status: 0, stderr: '' });

    expect(await call(operation, token)).toEqual(SOFT_LOGOUT);

    expect(identity.requests).toEqual([]);
    const line = matrix.project.takeLogLine();
    expect(line).toMatchObject({
      ...{ outcome: 'denied', reason: 'revoked_by_token', token_id: expect.stringMatching(/^k1\.[\w-]{43}$/) },
    });
    expect(JSON.stringify(line)).not.toContain(token);
  });

  test('answers the same soft logout to a raw call', async () => {
    await admin(REVOKE, token);

    const { status, body } = await callRaw(operation, token);

    expect({ status, body: JSON.parse(body) }).toEqual({
      status: 200,
      body: { request_id: 'r', status: 401, payload: SOFT_LOGOUT.body },
    });
    expect(identity.requests).toEqual([]);
  });

  test('is done for another token of the same user', async () => {
    const other = matrix.homeserver.accessToken(`ann${count}`);
    await admin(REVOKE, token);

    expect(await call(operation, other)).toEqual(DONE[operation]);
  });

  test.each<[string, object | 'hang', number]>([
    ['calls the token unknown', { errcode: 'M_UNKNOWN_TOKEN', error: 'x', soft_logout: false }, 401],
    ['asks to wait', { errcode: 'M_LIMIT_EXCEEDED', error: 'x' }, 429],
    ['fails', { errcode: 'M_UNKNOWN', error: 'x' }, 500],
    ['never answers', 'hang', 0],
  ])('answers a soft logout to a revoked token also when the homeserver %s', async (_title, answer, status) => {
    const url = await startHttpServer((_request, response) => {
      if (answer !== 'hang') response.writeHead(status).end(JSON.stringify(answer));
    });
    const own = await start({ MATRIX_HOMESERVER_URL: url });
    await admin(REVOKE, token, WITH_ISSUERS, own);

    expect(await call(operation, token, own)).toEqual(SOFT_LOGOUT);
    expect(identity.requests).toEqual([]);
  });

  test.each<[string, object | 'hang', number]>([
    ['knows the user', { user_id: '@ann:example.test' }, 200],
    ['calls the token unknown', { errcode: 'M_UNKNOWN_TOKEN', error: 'x', soft_logout: false }, 401],
    ['fails', { errcode: 'M_UNKNOWN', error: 'x' }, 500],
    ['never answers', 'hang', 0],
  ])('answers 503 while the revocation store is down and the homeserver %s', async (_title, answer, status) => {
    const url = await startHttpServer((_request, response) => {
      if (answer !== 'hang') response.writeHead(status).end(JSON.stringify(answer));
    });
    const local = { MATRIX_HOMESERVER_URL: url, MATRIX_SERVER_NAME: 'example.test' };
    const own = await start(local, { timeout: 2 });
    renameSync(own.project.database, `${own.project.database}.away`);

    expect(await call(operation, token, own)).toEqual(UNAVAILABLE);
    expect(own.project.takeLogLine()).toMatchObject({
      ...{ level: 'ERROR', code: 'temporarily_unavailable', store_fault: 'unreachable' },
    });
    const { status: rawStatus, body } = await callRaw(operation, token, own);
    expect([rawStatus, JSON.parse(body).errorMessage]).toEqual([502, 'temporarily_unavailable']);
    expect(identity.requests).toEqual([]);
  });

  test('works again by itself once the revocation store is back', async () => {
    const own = await start(await homeserverOfAnn(), { timeout: 2 });
    const { database } = own.project;
    renameSync(database, `${database}.away`);
    expect(await call(operation, token, own)).toEqual(UNAVAILABLE);

    renameSync(`${database}.away`, database);

    expect(await call(operation, token, own)).toEqual(DONE[operation]);
  });

  test('needs TOKEN_PEPPERS', async () => {
    const own = await start({ TOKEN_PEPPERS: null });

    expect(await call(operation, token, own)).toMatchObject({ status: 500 });
    expect(own.project.takeLogLine()).toMatchObject({
      ...{ code: 'misconfigured', error: { message: expect.stringMatching(/^TOKEN_PEPPERS must be set/) } },
    });
  });

  test('asks REVOCATION_STORE_URL before STORE_URL', async () => {
    await admin(REVOKE, token);
    const own = await start({
      ...(await homeserverOfAnn()),
      STORE_URL: 'sqlite:/nowhere/unlink.sqlite',
      REVOCATION_STORE_URL: `sqlite:${matrix.project.database}`,
    });

    expect(await call(operation, token, own)).toEqual(SOFT_LOGOUT);
    expect(await call(operation, `${token}-other`, own)).toEqual(DONE[operation]);
  });
});

test('a revoked token in the query is refused, too', async () => {
  const own = await start({ ALLOW_QUERY_TOKEN: '1', ...(await homeserverOfAnn()) });
  await admin(REVOKE, token, WITH_ISSUERS, own);
  const path = `/_matrix/client/v3/account/3pid/unbind?access_token=${token}`;

  expect(parsed(await own.project.gateway('POST', path, {}, JSON.stringify(bodyOf('unbind'))))).toEqual(SOFT_LOGOUT);
});

test('a token that was revoked under an older pepper is refused under a newer one', async () => {
  const TOKEN_PEPPERS = `k2:${Buffer.alloc(32, 'q').toString('base64')},${TEST_PEPPERS}`;
  const own = await start({ TOKEN_PEPPERS, ...(await homeserverOfAnn()) });
  await admin(REVOKE, token, WITH_ISSUERS, own);

  expect(await call('unbind', token, own)).toEqual(SOFT_LOGOUT);
});

describe('what an operator revokes is what the functions look up', () => {
  test.each([
    ['an opaque token, with --matrix', 'opaque', WITH_ISSUERS, REVOKE],
    ['a token like a JWT, with --matrix', JWT, WITH_ISSUERS, REVOKE],
    ['an opaque token, without ISSUERS', 'opaque', WITHOUT_ISSUERS, ['revoke', '--token-stdin', '--yes']],
    ['a token like a JWT, without ISSUERS', JWT, WITHOUT_ISSUERS, ['revoke', '--token-stdin', '--yes']],
  ])('%s', async (_title, ownToken, settings, args) => {
    const own = await start(await homeserverOfAnn());
    expect(await call('unbind', ownToken, own)).toEqual(DONE.unbind);

    expect((await admin(args, ownToken, settings, own)).status).toBe(0);

    expect(await call('unbind', ownToken, own)).toEqual(SOFT_LOGOUT);
    const check = ['check', '--token-stdin', '--matrix'];
    expect((await admin(check, ownToken, settings, own)).status).toBe(4);
    expect((await admin(check, `${ownToken}x`, settings, own)).status).toBe(0);
  });

  test('a cut-off of a subject does not reach a Matrix token, and says so', async () => {
    const own = await start(await homeserverOfAnn());

    const args = ['revoke', '--subject', '@ann:example.test', '--yes'];
    const { status, stdout } = await admin(args, '', WITH_ISSUERS, own);

    expect(status).toBe(0);
    expect(stdout).toMatch(/not reached +Matrix access tokens: each is revoked with --token-stdin --matrix\n/);
    expect(await call('unbind', token, own)).toEqual(DONE.unbind);
  });
});

describe.each<[string, () => Promise<Record<string, string>>]>([
  [
    'PostgreSQL',
    async () => {
      const { url, drop } = await createDatabase(inject('postgresUrl'), inject('postgresTemplate'));
      onTestFinished(drop);
      return { STORE_URL: url };
    },
  ],
  [
    'Redis',
    async () => {
      const { url, drop } = await claimDatabase(inject('redisUrl'));
      onTestFinished(drop);
      await migrateRedis(url);
      return { STORE_URL: url };
    },
  ],
  [
    'the DynamoDB API',
    async () => {
      const url = urlOfNewTable(inject('dynamodbUrl'));
      await migrateDynamodb(url, { credentials: DYNAMODB_CREDENTIALS });
      const { accessKeyId, secretAccessKey } = DYNAMODB_CREDENTIALS;
      return { STORE_URL: url, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
    },
  ],
])('with revocations in %s', (_name, settingsOf) => {
  test('a revoked token is a soft logout, and another is not', async () => {
    const settings = await settingsOf();
    const local = { ...settings, ...(await homeserverOfAnn()) };
    const own = await start(local, { bundles: inject('bundles') });

    expect((await admin(REVOKE, token, { ...WITH_ISSUERS, ...settings })).status).toBe(0);

    expect(await call('unbind', token, own)).toEqual(SOFT_LOGOUT);
    expect(await call('unbind', `${token}-other`, own)).toEqual(DONE.unbind);
  });
});
