/** What the built functions do while something that they depend on is down: each cell of the table of the document. */
import { readFileSync, renameSync } from 'node:fs';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import type { Certificates } from '#scripts/matrix/certificates.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { type Changes, type EmulatedProject, type Received, startProject } from '#test/support/emulated-project.ts';
import { type Forwarder, startForwarder } from '#test/support/forwarder.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { application, LINK_SETTINGS, providersAt, user } from '#test/support/link-calls.ts';
import { makeCertificates, startMatrixProject } from '#test/support/matrix-project.ts';
import { startMisbehavingIdentityServer } from '#test/support/misbehaving-identity-server.ts';
import { startRevocationProvider } from '#test/support/revocation-provider.ts';
import { storeLink } from '#test/support/stored-link.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { CLAIMS, ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

/** A row of the document. */
interface Row {
  readonly dependency: string;
  readonly call: string;
  readonly raw: string;
  readonly gateway: string;
  readonly log: string;
  readonly after: string;
}

/** Functions, something of theirs that can be down, and one call of theirs. */
interface Scene {
  readonly project: EmulatedProject;
  readonly setDown: (isDown: boolean) => void;
  /** Absent where there is no such call. */
  readonly raw?: () => Promise<Received>;
  readonly gateway?: () => Promise<Received>;
  /** What the answer says beside its status, where it says something. */
  readonly said?: (received: Received) => string | undefined;
  /** What is down is asked again after some seconds, and no sooner. */
  readonly isAskedSeldom?: boolean;
}

const DOCUMENT = 'docs/operations.md';

/** The rows of the table under the heading. */
function readRows(): Row[] {
  const section = readFileSync(DOCUMENT, 'utf8').split('\n## When something is down\n')[1]?.split('\n## ')[0] ?? '';
  const [, , ...rows] = section.split('\n').filter((line) => line.startsWith('| '));
  return rows.map((line) => {
    const [dependency = '', call = '', raw = '', gateway = '', log = '', after = ''] = line
      .slice(1, -1)
      .split(' | ')
      .map((cell) => cell.trim());
    return { dependency, call, raw, gateway, log, after };
  });
}

const authorized = async () => `Bearer ${await issueToken()}`;
const FORM = 'application/x-www-form-urlencoded';
const IDENTITY = { fpType: 'oidc', fpName: 'dev_1', sid: '1' };
const LINK = { subject: 'ann', ...IDENTITY };
const LINK_PATH = '/blitz/api/v2/users/ann/fa/oidc/dev_1/1';

let certificates: Certificates;
beforeAll(async () => {
  certificates = await makeCertificates();
});

/** Functions whose directory is not where their revocations are. */
async function start(
  local: NonNullable<Changes['local']>,
  more: Pick<Changes, 'timeout' | 'bundles'> = {},
): Promise<{ project: EmulatedProject; directory: string }> {
  const folder = createTemporaryFolder();
  const directory = `${folder.path}/directory.sqlite`;
  migrateSqlite(directory);
  const project = await startProject({
    local: { DIRECTORY_URL: `sqlite:${directory}`, ...local },
    timeout: 2,
    ...more,
  });
  onTestFinished(async () => {
    await project.close();
    folder.remove();
  });
  return { project, directory };
}

/** Takes a store's file away, or puts it back. */
const moves = (file: string) => (isDown: boolean) =>
  isDown ? renameSync(file, `${file}.away`) : renameSync(`${file}.away`, file);

const stops = (forwarder: Forwarder) => (isDown: boolean) => {
  forwarder.isDown = isDown;
};

const envelope = (authorization: string, request_type: string, payload?: object) => ({
  headers: { request_id: 'down', authorization },
  request_type,
  api_version: 1,
  ...(payload !== undefined && { payload }),
});

const unlinks = (project: EmulatedProject, authorization: string) => ({
  raw: () => project.raw('smart-home-unlink', envelope(authorization, 'unlink')),
  gateway: () => project.gateway('POST', '/v1.0/user/unlink', { Authorization: authorization }),
});
const authorizes = (project: EmulatedProject, authorization: string) => ({
  gateway: () => project.gateway('GET', '/whoami', { Authorization: authorization }),
});
const serves = (project: EmulatedProject, name: 'revoke' | 'introspect', token: string) => {
  const authorization = `Basic ${Buffer.from('skill:skill-secret').toString('base64')}`;
  return {
    raw: () => project.raw(`token-${name}`, envelope(authorization, `token.${name}`, { token })),
    gateway: () =>
      project.gateway(
        'POST',
        `/oauth/${name}`,
        { Authorization: authorization, 'Content-Type': FORM },
        `token=${token}`,
      ),
  };
};
const lists = (project: EmulatedProject, authorization: string) => ({
  raw: () =>
    project.raw('external-provider-list', envelope(authorization, 'external-provider.list', { subjectId: 'ann' })),
  gateway: () => project.gateway('GET', '/blitz/api/v2/users/ann/fa', { Authorization: authorization }),
});
const deletes = (project: EmulatedProject) => ({
  raw: () =>
    project.raw(
      'external-provider-delete',
      envelope(application(), 'external-provider.delete', { subjectId: 'ann', ...IDENTITY, view: 'full' }),
    ),
  gateway: () => project.gateway('DELETE', `${LINK_PATH}?view=full`, { Authorization: application() }),
});

/** A server of JSON, and what stands before it. */
async function startService(answer: object): Promise<Forwarder> {
  const url = await startHttpServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
  });
  return await startForwarder(() => url);
}

/** Functions that verify tokens by keys that they have to fetch. */
async function withKeys() {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const keys = await startService({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }] });
  const { project } = await start({
    UNVERIFIED_TOKENS: null,
    ISSUERS: JSON.stringify([{ issuer: ISSUER, audience: 'https://api.example', jwks_uri: `${keys.url}/jwks` }]),
  });
  const sign = (header: object) => new SignJWT(CLAIMS()).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', ...header });
  return { project, setDown: stops(keys), authorization: `Bearer ${await sign({ kid: 'k' }).sign(privateKey)}` };
}

/** Functions that ask the issuer about every token. */
async function withIntrospection() {
  const asked = await startService({
    active: true,
    token_type: 'Bearer',
    sub: 'ann',
    client_id: 'skill',
    iat: Math.floor(Date.now() / 1000) - 10,
  });
  const introspection = { endpoint: asked.url, client_id: 'c', client_secret: 'obviously-fake' };
  const { project } = await start({
    UNVERIFIED_TOKENS: null,
    ISSUERS: JSON.stringify([{ issuer: ISSUER, introspection }]),
  });
  return { project, setDown: stops(asked), authorization: 'Bearer opaque' };
}

async function withUpstream() {
  const provider = await startRevocationProvider();
  const upstream = await startForwarder(() => provider.endpoint);
  const client = { endpoint: upstream.url, client_id: 'c', client_secret: 'obviously-fake' };
  return { upstream, ...(await start({ ...ISSUER_SETTINGS, REVOKE_UPSTREAM: JSON.stringify(client) })) };
}

/** A homeserver, an identity server, and the functions between. */
async function withMatrix() {
  const identityServer = await startMisbehavingIdentityServer(certificates);
  const homeserver = await startService({ user_id: '@ann:example.test' });
  const folder = createTemporaryFolder();
  const directory = `${folder.path}/directory.sqlite`;
  migrateSqlite(directory);
  const local = {
    MATRIX_HOMESERVER_URL: homeserver.url,
    MATRIX_SERVER_NAME: 'example.test',
    DIRECTORY_URL: `sqlite:${directory}`,
  };
  const matrix = await startMatrixProject(certificates, [identityServer.name], { local, timeout: 5 });
  onTestFinished(async () => {
    await Promise.all([matrix.close(), identityServer.close()]);
    folder.remove();
  });
  const { project } = matrix;
  const body = { medium: 'email', address: 'ann@example.test', id_server: identityServer.name };
  const call = {
    raw: () => project.raw('threepid-unbind', envelope('Bearer a', '3pid.unbind', body)),
    gateway: () => matrix.post('unbind', 'a', body),
  };
  const session = { client_secret: 'c', id_access_token: 'a', sid: '1', id_server: identityServer.name };
  const bind = {
    raw: () => project.raw('threepid-bind', envelope('Bearer a', '3pid.bind', session)),
    gateway: () => matrix.post('bind', 'a', session),
  };
  return { project, homeserver, identityServer, directory, call, bind };
}

const revocationOf = ({ body }: Received) => {
  const parsed = JSON.parse(body);
  return String((parsed.payload ?? parsed).revocation);
};

/** What is started for each row. */
const SCENES: Readonly<Record<string, () => Promise<Scene>>> = {
  async 'the revocation store: `unlink`'() {
    const { project } = await start(ISSUER_SETTINGS);
    return { project, setDown: moves(project.database), ...unlinks(project, await authorized()) };
  },
  async 'the revocation store: `token-authorize`'() {
    const { project } = await start(ISSUER_SETTINGS);
    return { project, setDown: moves(project.database), ...authorizes(project, await authorized()) };
  },
  async 'the revocation store: `token-revoke`'() {
    const { project } = await start(ISSUER_SETTINGS);
    return { project, setDown: moves(project.database), ...serves(project, 'revoke', await issueToken()) };
  },
  async 'the revocation store: `token-introspect`'() {
    const { project } = await start(ISSUER_SETTINGS);
    return { project, setDown: moves(project.database), ...serves(project, 'introspect', await issueToken()) };
  },
  async 'the revocation store: `external-provider-list`, by a token'() {
    const { project } = await start(LINK_SETTINGS);
    return { project, setDown: moves(project.database), ...lists(project, await user('ann')) };
  },
  async 'the revocation store: `external-provider-list`, by HTTP Basic'() {
    const { project } = await start(LINK_SETTINGS);
    return { project, setDown: moves(project.database), ...lists(project, application()) };
  },
  async 'the revocation store: `threepid-unbind`'() {
    const { project, call } = await withMatrix();
    return { project, setDown: moves(project.database), ...call };
  },
  async 'the revocation store: `threepid-bind`'() {
    const { project, bind } = await withMatrix();
    return { project, setDown: moves(project.database), ...bind };
  },
  async 'the revocation store: `threepid-unbind`, while the homeserver is down, too'() {
    const { project, homeserver, call } = await withMatrix();
    const moveStore = moves(project.database);
    const setDown = (isDown: boolean) => {
      homeserver.isDown = isDown;
      moveStore(isDown);
    };
    return { project, setDown, ...call };
  },
  async 'the directory: `unlink`'() {
    const { project, directory } = await start(ISSUER_SETTINGS);
    return { project, setDown: moves(directory), ...unlinks(project, await authorized()) };
  },
  async 'the directory: `unlink`, with `REVOKE_UPSTREAM`'() {
    const { project, directory } = await withUpstream();
    return { project, setDown: moves(directory), ...unlinks(project, await authorized()) };
  },
  async 'the directory: `external-provider-list`, by HTTP Basic'() {
    const { project, directory } = await start(LINK_SETTINGS);
    return { project, setDown: moves(directory), ...lists(project, application()) };
  },
  async 'the directory: `external-provider-delete`'() {
    const { project, directory } = await start(LINK_SETTINGS);
    await storeLink({ database: directory }, LINK, { accessToken: 'obviously-fake' });
    return { project, setDown: moves(directory), ...deletes(project) };
  },
  async 'the directory: `maintenance`'() {
    // It begins nothing when its time is short.
    const { project, directory } = await start(LINK_SETTINGS, { timeout: 20 });
    const raw = async () => {
      const response = await fetch(`${project.functionsUrl}/_timers/maintenance`, { method: 'POST' });
      return { status: response.status, headers: response.headers, body: await response.text() };
    };
    return { project, setDown: moves(directory), raw };
  },
  async 'the directory: `threepid-unbind`'() {
    const { project, directory, call } = await withMatrix();
    return { project, setDown: moves(directory), ...call };
  },
  async 'the keys of the issuer: `unlink`'() {
    const { project, setDown, authorization } = await withKeys();
    return { project, setDown, isAskedSeldom: true, ...unlinks(project, authorization) };
  },
  async 'the keys of the issuer: `token-authorize`'() {
    const { project, setDown, authorization } = await withKeys();
    return { project, setDown, isAskedSeldom: true, ...authorizes(project, authorization) };
  },
  async 'the keys of the issuer: `token-authorize`, with keys of the last 24 hours at hand'() {
    const { project, setDown, authorization } = await withKeys();
    const call = authorizes(project, authorization);
    await call.gateway();
    return { project, setDown, ...call };
  },
  async 'introspection: `unlink`'() {
    const { project, setDown, authorization } = await withIntrospection();
    return { project, setDown, ...unlinks(project, authorization) };
  },
  async 'introspection: `token-authorize`'() {
    const { project, setDown, authorization } = await withIntrospection();
    return { project, setDown, ...authorizes(project, authorization) };
  },
  async 'introspection: `token-authorize`, of a token that was asked about in the last 30 seconds'() {
    const { project, setDown, authorization } = await withIntrospection();
    const call = authorizes(project, authorization);
    await call.gateway();
    return { project, setDown, ...call };
  },
  async 'the revocation endpoint of a provider: `external-provider-delete`'() {
    const provider = await startRevocationProvider();
    const between = await startForwarder(() => provider.endpoint);
    // The timer's directory is the functions' own.
    const project = await startProject({ local: { ...LINK_SETTINGS, PROVIDERS: providersAt(between.url) } });
    onTestFinished(() => project.close());
    await storeLink(project, LINK, { accessToken: 'obviously-fake' });
    return { project, setDown: stops(between), ...deletes(project), said: revocationOf };
  },
  async 'the revocation endpoint of our authorization server: `unlink`'() {
    const provider = await startRevocationProvider();
    const between = await startForwarder(() => provider.endpoint);
    const client = { endpoint: between.url, client_id: 'c', client_secret: 'obviously-fake' };
    const project = await startProject({ local: { ...ISSUER_SETTINGS, REVOKE_UPSTREAM: JSON.stringify(client) } });
    onTestFinished(() => project.close());
    return { project, setDown: stops(between), ...unlinks(project, await authorized()) };
  },
  async 'an identity server: `threepid-unbind`'() {
    const { project, identityServer, call } = await withMatrix();
    const setDown = (isDown: boolean) => (isDown ? identityServer.answer('reset') : identityServer.behave());
    return { project, setDown, ...call };
  },
  async 'the homeserver: `threepid-unbind`'() {
    const { project, homeserver, call } = await withMatrix();
    return { project, setDown: stops(homeserver), ...call };
  },
  async 'the service behind `FULFILMENT_URL`: `query`'() {
    const service = await startService({ request_id: 'down', payload: {} });
    const { project } = await start({
      ...ISSUER_SETTINGS,
      FULFILMENT_URL: service.url,
      FULFILMENT_REST_URL: service.url,
    });
    const authorization = await authorized();
    const headers = { Authorization: authorization, 'Content-Type': 'application/json' };
    return {
      project,
      setDown: stops(service),
      raw: () => project.raw('smart-home-unlink', envelope(authorization, 'query', { devices: [] })),
      gateway: () => project.gateway('POST', '/v1.0/user/devices/query', headers, '{}'),
    };
  },
  async 'the service behind `FULFILMENT_URL`: `unlink`'() {
    const service = await startService({});
    const { project } = await start({ ...ISSUER_SETTINGS, FULFILMENT_URL: service.url });
    return { project, setDown: stops(service), ...unlinks(project, await authorized()) };
  },
  async 'Lockbox: `unlink`, in a function that was started without the secret'() {
    const { project } = await start({ ...ISSUER_SETTINGS, TOKEN_PEPPERS: null });
    return { project, setDown: () => {}, ...unlinks(project, await authorized()) };
  },
  async 'IAM: `unlink`, the store refuses the token of the function'() {
    const store = await startHttpServer((_request, response) => {
      const body = { __type: 'com.amazonaws.dynamodb.v20120810#AccessDeniedException' };
      response.writeHead(400, { 'Content-Type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
    });
    const url = `dynamodb+${store}/?region=local&table=unlink&auth=iam`;
    // Its directory is on SQLite: a build with both drivers.
    const { project } = await start({ ...ISSUER_SETTINGS, STORE_URL: url }, { bundles: inject('bundles') });
    return { project, setDown: () => {}, ...unlinks(project, await authorized()) };
  },
};

/** What an answer says, in the words of the table. */
function describeAnswer(received: Received, { said }: Scene): string {
  const { status, body } = received;
  if (status === 502 && body.includes('"errorMessage"')) return `thrown \`${JSON.parse(body).errorMessage}\``;
  const word = status === 200 ? said?.(received) : undefined;
  return word === undefined ? String(status) : `${status} \`${word}\``;
}

/** The line of the call, and not of a timer that has come by itself. */
function takeLine({ output }: EmulatedProject, call: string): Record<string, unknown> {
  const lines = output.splice(0).flatMap((line) => (line.includes('"outcome":') ? [JSON.parse(line)] : []));
  const isTimer = call.includes('maintenance');
  return lines.find((line) => (line.transport === 'timer') === isTimer);
}

/** Whether a line says what a cell does: `field=value`. */
function expectLogged(line: Record<string, unknown>, cell: string): void {
  const [, field = '', value] = /^`([a-z_]+)=(.*)`$/.exec(cell) ?? [];
  expect(line).toMatchObject({ [field]: value });
}

const rows = readRows();

test('each row of the document is run, and no other', () => {
  expect(rows.map(({ dependency, call }) => `${dependency}: ${call}`)).toEqual(Object.keys(SCENES));
});

describe.each(rows)('while $dependency is down, $call', ({ dependency, call, raw, gateway, log, after }) => {
  test.each([
    ['raw', raw],
    ['gateway', gateway],
  ] as const)(`%s: %s, ${log}; ${after}`, async (transport, expected) => {
    const scene = await SCENES[`${dependency}: ${call}`]?.();
    if (scene === undefined) throw new Error('there is no such scene');
    const send = scene[transport];
    expect(send === undefined).toBe(expected === '–');
    if (send === undefined) return;
    scene.project.output.length = 0;
    scene.setDown(true);

    expect(describeAnswer(await send(), scene)).toBe(expected);

    expectLogged(takeLine(scene.project, call), log);
    scene.setDown(false);
    await AFTERWARDS[after]?.(scene, send, call);
  });
});

/** What each word of the last column promises of the time after, by the same instance of the function. */
const AFTERWARDS: Readonly<
  Record<string, (scene: Scene, send: () => Promise<Received>, call: string) => Promise<void>>
> = {
  'to be repeated': worksNow,
  nothing: worksNow,
  async 'the timer does it'({ project }) {
    project.makeJobsDue();
    await project.tick();
    const lines = project.output.flatMap((line) => (line.includes('"jobs":') ? [JSON.parse(line).jobs.done] : []));
    expect(lines).toContain(1);
  },
  async 'a new deployment'({ project }, send, call) {
    await send();
    expect(takeLine(project, call)).toMatchObject({ outcome: 'error' });
  },
  // What would take the token is not there in this test, and each call brings one anew.
  async '–'() {},
};

/** Works at the next try, or, where what was down is asked seldom, at one of the next seconds. */
async function worksNow({ project, isAskedSeldom }: Scene, send: () => Promise<Received>, call: string): Promise<void> {
  const again = async () => {
    await send();
    return takeLine(project, call);
  };
  if (isAskedSeldom === true) await expect.poll(again, { timeout: 10_000 }).toMatchObject({ outcome: 'ok' });
  else expect(await again()).toMatchObject({ outcome: 'ok' });
}

test('the last column has no other words', () => {
  expect(Object.keys(AFTERWARDS)).toEqual(expect.arrayContaining(rows.map(({ after }) => after)));
});
