/** Each rotation of docs/operations.md, step by step: one store, and functions that are deployed anew with other keys. */
import { createHash } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runAdmin } from '#test/support/admin-process.ts';
import { type EmulatedProject, startProject, TEST_KEYS, TEST_PEPPERS } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { application, LINK_SETTINGS, providersAt } from '#test/support/link-calls.ts';
import { startRevocationProvider } from '#test/support/revocation-provider.ts';
import { storeLink } from '#test/support/stored-link.ts';
import { basic, ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

const newKey = (letter: string) => `k2:${Buffer.alloc(32, letter).toString('base64')}`;
const NEW_PEPPER = newKey('q');
const NEW_KEY = newKey('f');

type Local = Readonly<Record<string, string | null>>;

/** Functions with these settings on an empty store, or on the store of others. */
async function deploy(local: Local, before?: EmulatedProject): Promise<EmulatedProject> {
  const store = before && { STORE_URL: `sqlite:${before.database}` };
  const project = await startProject({ local: { ...local, ...store } });
  onTestFinished(() => project.close());
  return project;
}

const unlink = (project: EmulatedProject, token: string) =>
  project.raw('smart-home-unlink', {
    headers: { request_id: 'rotation', authorization: `Bearer ${token}` },
    request_type: 'unlink',
    api_version: 1,
  });
const statusOf = async (project: EmulatedProject, token: string) =>
  (await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status;

describe('TOKEN_PEPPERS', () => {
  const [first, second, third, last] = [
    TEST_PEPPERS,
    `${TEST_PEPPERS},${NEW_PEPPER}`,
    `${NEW_PEPPER},${TEST_PEPPERS}`,
    NEW_PEPPER,
  ];

  test('old revocations are found after each step, new ones are of the new pepper from the third on', async () => {
    const start = await deploy({ ...ISSUER_SETTINGS, TOKEN_PEPPERS: first });
    const old = await issueToken();
    await unlink(start, old);
    expect(start.takeLogLine().token_id).toMatch(/^k1\./);

    const ready = await deploy({ ...ISSUER_SETTINGS, TOKEN_PEPPERS: second }, start);
    expect(await statusOf(ready, old)).toBe(403);
    const between = await issueToken({ sub: 'user-2' });
    await unlink(ready, between);

    const rotated = await deploy({ ...ISSUER_SETTINGS, TOKEN_PEPPERS: third }, start);
    expect([await statusOf(rotated, old), await statusOf(rotated, between)]).toEqual([403, 403]);
    rotated.output.length = 0;
    const young = await issueToken({ sub: 'user-3' });
    await unlink(rotated, young);
    expect(rotated.takeLogLine().token_id).toMatch(/^k2\./);
    // A function that is still at the second step.
    expect(await statusOf(ready, young)).toBe(403);
  });

  test('without the second step a function that is deployed later misses what the others revoke', async () => {
    const late = await deploy({ ...ISSUER_SETTINGS, TOKEN_PEPPERS: first });
    const early = await deploy({ ...ISSUER_SETTINGS, TOKEN_PEPPERS: third }, late);
    const token = await issueToken();

    await unlink(early, token);

    expect(await statusOf(late, token)).toBe(200);
  });

  test('a pepper that is taken out before its revocations have expired lets revoked tokens in again', async () => {
    const start = await deploy({ ...ISSUER_SETTINGS, TOKEN_PEPPERS: first });
    const token = await issueToken();
    await unlink(start, token);

    const tooEarly = await deploy({ ...ISSUER_SETTINGS, TOKEN_PEPPERS: last }, start);

    expect(await statusOf(tooEarly, token)).toBe(200);
  });
});

describe('ENCRYPTION_KEYS', () => {
  test('what the old key has sealed is opened, sealed anew, and opened without the old key', async () => {
    const provider = await startRevocationProvider();
    const local = { ...LINK_SETTINGS, PROVIDERS: providersAt(provider.endpoint) };
    const start = await deploy({ ...local, ENCRYPTION_KEYS: TEST_KEYS });
    const linkOf = (sid: string) => ({ subject: 'ann', fpType: 'oidc', fpName: 'dev_1', sid });
    for (const sid of ['1', '2', '3']) await storeLink(start, linkOf(sid), { accessToken: `obviously-fake-${sid}` });
    const end = (project: EmulatedProject, sid: string) =>
      project.gateway('DELETE', `/blitz/api/v2/users/ann/fa/oidc/dev_1/${sid}?view=full`, {
        Authorization: application(),
      });

    const both = `${NEW_KEY},${TEST_KEYS}`;
    const rotated = await deploy({ ...local, ENCRYPTION_KEYS: both }, start);
    expect((await end(rotated, '1')).body).toContain('"revoked"');
    const command = await runAdmin(['rotate-keys', '--json'], {
      STORE_URL: `sqlite:${start.database}`,
      ENCRYPTION_KEYS: both,
    });
    expect(JSON.parse(command.stdout)).toMatchObject({ resealed: 2, unopened: 0, removable_keys: ['k1'] });

    const after = await deploy({ ...local, ENCRYPTION_KEYS: NEW_KEY }, start);
    expect((await end(after, '2')).body).toContain('"revoked"');
    expect(provider.revoked).toEqual(['obviously-fake-1', 'obviously-fake-2']);
  });

  test('an old key that is taken out too early leaves jobs that wait for it, and an alert', async () => {
    const provider = await startRevocationProvider();
    const local = { ...LINK_SETTINGS, PROVIDERS: providersAt(provider.endpoint) };
    const start = await deploy({ ...local, ENCRYPTION_KEYS: TEST_KEYS });
    await storeLink(start, { subject: 'ann', fpType: 'oidc', fpName: 'dev_1', sid: '1' }, { accessToken: 'fake' });

    const tooEarly = await deploy({ ...local, ENCRYPTION_KEYS: NEW_KEY }, start);
    const path = '/blitz/api/v2/users/ann/fa/oidc/dev_1/1?view=full';
    const answer = await tooEarly.gateway('DELETE', path, { Authorization: application() });
    expect(answer.body).toContain('"pending"');
    expect(tooEarly.output.join()).toContain('an outbox job waits for an operator');

    const back = await deploy({ ...local, ENCRYPTION_KEYS: `${NEW_KEY},${TEST_KEYS}` }, start);
    start.makeJobsDue();
    await back.tick();
    expect(provider.revoked).toEqual(['fake']);
  });
});

describe('the secret of a client in CLIENTS', () => {
  const hash = (secret: string) => createHash('sha256').update(secret).digest('hex');
  const clients = (...secrets: string[]) => {
    const [one] = secrets;
    const secret_sha256 = secrets.length === 1 && one !== undefined ? hash(one) : secrets.map(hash);
    return { ...ISSUER_SETTINGS, CLIENTS: JSON.stringify([{ id: 'skill', secret_sha256 }]) };
  };
  const revoke = async (project: EmulatedProject, secret: string) => {
    const headers = { Authorization: basic('skill', secret), 'Content-Type': 'application/x-www-form-urlencoded' };
    return (await project.gateway('POST', '/oauth/revoke', headers, `token=${await issueToken()}`)).status;
  };

  test('both are good in between, the old one is refused after', async () => {
    const start = await deploy(clients('old-secret'));
    expect([await revoke(start, 'old-secret'), await revoke(start, 'new-secret')]).toEqual([200, 401]);

    const between = await deploy(clients('new-secret', 'old-secret'), start);
    expect([await revoke(between, 'old-secret'), await revoke(between, 'new-secret')]).toEqual([200, 200]);
    expect(await revoke(between, 'another')).toBe(401);

    const after = await deploy(clients('new-secret'), start);
    expect([await revoke(after, 'old-secret'), await revoke(after, 'new-secret')]).toEqual([401, 200]);
  });

  test.each([
    ['a third one', ['a', 'b', 'c']],
    ['none', []],
  ])('%s is refused at the start', async (_, secrets) => {
    const project = await deploy(clients(...secrets));

    expect(await revoke(project, 'a')).toBe(500);
    expect(project.takeLogLine()).toMatchObject({
      code: 'misconfigured',
      error: { message: expect.stringMatching(/^CLIENTS /) },
    });
  });
});

describe('our secret at another service', () => {
  /** A service that knows one secret of ours. */
  async function startService(answer: object): Promise<{ url: string; knows: (secret: string) => void }> {
    let known = '';
    const url = await startHttpServer(async (request, response) => {
      await text(request);
      const isRight = request.headers.authorization === basic('unlink-functions', known);
      response
        .writeHead(isRight ? 200 : 401, { 'Content-Type': 'application/json' })
        .end(JSON.stringify(isRight ? answer : { error: 'invalid_client' }));
    });
    return {
      url,
      knows: (secret) => {
        known = secret;
      },
    };
  }

  test('of introspection: nothing is let in, and nothing refused for good, until it is deployed', async () => {
    const service = await startService({
      active: true,
      token_type: 'Bearer',
      sub: 'ann',
      iat: Math.floor(Date.now() / 1000) - 10,
    });
    service.knows('new-secret');
    const withSecret = (client_secret: string) => ({
      UNVERIFIED_TOKENS: null,
      ISSUERS: JSON.stringify([
        { issuer: ISSUER, introspection: { endpoint: service.url, client_id: 'unlink-functions', client_secret } },
      ]),
    });

    const before = await deploy(withSecret('old-secret'));
    expect(await statusOf(before, 'opaque')).toBe(500);
    expect(before.takeLogLine()).toMatchObject({ outcome: 'error', outgoing_fault: 'malformed' });
    expect((await unlink(before, 'opaque')).status).toBe(502);

    const after = await deploy(withSecret('new-secret'), before);
    expect(await statusOf(after, 'opaque')).toBe(200);
  });

  test('of a provider: the job waits with an alert, and is done with the new one', async () => {
    const service = await startService({});
    service.knows('new-secret');
    const withSecret = (secret: string) => ({
      ...LINK_SETTINGS,
      PROVIDERS: providersAt(service.url),
      DEV_1_CLIENT_SECRET: secret,
    });

    const before = await deploy(withSecret('old-secret'));
    await storeLink(before, { subject: 'ann', fpType: 'oidc', fpName: 'dev_1', sid: '1' }, { accessToken: 'fake' });
    const path = '/blitz/api/v2/users/ann/fa/oidc/dev_1/1?view=full';
    expect((await before.gateway('DELETE', path, { Authorization: application() })).body).toContain('"pending"');
    expect(before.output.join()).toContain('an outbox job waits for an operator');

    const after = await deploy(withSecret('new-secret'), before);
    before.makeJobsDue();
    await after.tick();
    expect(after.takeLogLine()).toMatchObject({ jobs: { done: 1 } });
  });
});
