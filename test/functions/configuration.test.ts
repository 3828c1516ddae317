import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { type Changes, type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { basic, ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

const CALL = { headers: { authorization: 'Bearer x' }, request_type: 'unlink', api_version: 1 };
const SECRET = 'c2VjcmV0LXZhbHVlLXRoYXQtbXVzdC1ub3Qtc2hvdw';

async function start(changes: Changes): Promise<EmulatedProject> {
  const project = await startProject(changes);
  onTestFinished(() => project.close());
  return project;
}

describe('a setting that is wrong stops the first call, by its name and without its value', () => {
  test.each<[local: Record<string, string | null>, names: string]>([
    [{ STORE_URL: null }, 'STORE_URL must be memory:, sqlite:<path>'],
    [{ STORE_URL: '' }, 'STORE_URL must be'],
    [{ STORE_URL: `mysql://user:${SECRET}@host/db` }, 'STORE_URL must be'],
    [{ STORE_URL: `redis://user:${SECRET}@127.0.0.1/first` }, 'STORE_URL: the path of'],
    [{ STORE_URL: `dynamodb+https://127.0.0.1/?table=${SECRET}` }, 'STORE_URL: the dynamodb URL'],
    [{ STORE_URL: 'sqlite:' }, 'STORE_URL must be'],
    [{ STORE_URL: SECRET }, 'STORE_URL must be'],
    [{ REVOCATION_STORE_URL: `mongodb:${SECRET}` }, 'REVOCATION_STORE_URL must be'],
    [{ TOKEN_PEPPERS: null }, 'TOKEN_PEPPERS must be set'],
    [{ TOKEN_PEPPERS: SECRET }, 'TOKEN_PEPPERS must be name:base64'],
    [{ TOKEN_PEPPERS: `k1:${SECRET.slice(0, 30)}` }, 'TOKEN_PEPPERS must be name:base64'],
    [{ TOKEN_PEPPERS: `k1:${SECRET.repeat(2)},k1:${SECRET.repeat(2)}` }, 'TOKEN_PEPPERS must be name:base64'],
    [{ MAX_TOKEN_LIFETIME_S: `1 day ${SECRET}` }, 'MAX_TOKEN_LIFETIME_S must be a whole number of seconds'],
    [{ ISSUERS: `{"${SECRET}"`, UNVERIFIED_TOKENS: null }, 'ISSUERS must be JSON'],
    [{ UNVERIFIED_TOKENS: null }, 'ISSUERS must be set, or UNVERIFIED_TOKENS=1'],
    [{ UNVERIFIED_TOKENS: SECRET }, 'UNVERIFIED_TOKENS must be 1 or unset'],
    [{ REVOKE_UPSTREAM: `{"client_secret":"${SECRET}"}` }, 'REVOKE_UPSTREAM must be JSON'],
    [{ FULFILMENT_URL: SECRET }, 'FULFILMENT_URL must be an https URL, or http to this machine'],
    [{ FULFILMENT_REST_URL: `http://${SECRET}.example/` }, 'FULFILMENT_REST_URL must be an https URL'],
    [{ UNLINK_CUTOFF: SECRET }, 'UNLINK_CUTOFF must be client or unset'],
    [{ STORE_URL: `memory:${SECRET}` }, 'STORE_URL must be'],
    [{ MAX_TOKEN_LIFETIME_S: '0' }, 'MAX_TOKEN_LIFETIME_S must be'],
    [{ ALLOW_EPHEMERAL_STORE: SECRET }, 'ALLOW_EPHEMERAL_STORE must be 1 or unset'],
  ])('%j: %s', async (local, names) => {
    // A build with one driver alone would refuse the URLs of the others first.
    const project = await start({ local, bundles: inject('bundles') });
    const answer = await project.raw('smart-home-unlink', CALL);

    expect(answer.status).toBe(502);
    expect(JSON.parse(answer.body)).toEqual({ errorMessage: 'misconfigured', errorType: 'Failure', stackTrace: [] });
    const printed = project.output.join('\n');
    expect(JSON.parse(project.output[0] ?? '')).toMatchObject({
      level: 'ERROR',
      code: 'misconfigured',
      error: { message: expect.stringContaining(names) },
    });
    expect(printed + answer.body).not.toContain(SECRET.slice(0, 20));
  });

  test('each that is wrong is named', async () => {
    const project = await start({ local: { TOKEN_PEPPERS: null, UNLINK_CUTOFF: SECRET } });
    await project.raw('smart-home-unlink', CALL);
    const { message } = project.takeLogLine().error as { message: string };
    expect(message.split('; ')).toEqual([
      expect.stringMatching(/^TOKEN_PEPPERS must be set/),
      'UNLINK_CUTOFF must be client or unset',
    ]);
  });

  test('over the gateway it is a 500', async () => {
    const project = await start({ local: { TOKEN_PEPPERS: null } });
    const answer = await project.gateway('POST', '/v1.0/user/unlink', { Authorization: 'Bearer x' });
    expect(answer.status).toBe(500);
    expect(JSON.parse(answer.body)).toMatchObject({ error: 'misconfigured' });
  });
});

describe('in the cloud, known by the platform’s environment', () => {
  const cloud = { LAMBDA_TASK_ROOT: '/function/code' };

  test.each(['LAMBDA_TASK_ROOT', 'AWS_LAMBDA_RUNTIME_API'])('by %s alone', async (variable) => {
    const project = await start({ local: { [variable]: 'x', STORE_URL: 'memory:' } });
    expect((await project.raw('smart-home-unlink', CALL)).status).toBe(502);
  });

  test.each(['memory:', 'sqlite:/tmp/unlink.sqlite'])('%s is refused: it is lost with its instance', async (url) => {
    const project = await start({ local: { ...cloud, STORE_URL: url } });
    expect((await project.raw('smart-home-unlink', CALL)).status).toBe(502);
    const [line = ''] = project.output;
    expect(line).toContain('STORE_URL names a store that is lost with its instance; ALLOW_EPHEMERAL_STORE=1');
  });

  test('ALLOW_EPHEMERAL_STORE=1 accepts the loss', async () => {
    const project = await start({ local: { ...cloud, ALLOW_EPHEMERAL_STORE: '1' } });
    expect((await project.raw('smart-home-unlink', CALL)).status).toBe(200);
  });
});

describe('settings that are right', () => {
  test('what a function does not ask for is nothing to it: one that verifies all tokens goes on verifying', async () => {
    const project = await start({ local: { ...ISSUER_SETTINGS, ISSUER, UNVERIFIED_TOKENS: '1' } });
    const headers = {
      Authorization: basic('skill', 'skill-secret'),
      'Content-Type': 'application/x-www-form-urlencoded',
    };
    const ask = (token: string) => project.gateway('POST', '/oauth/introspect', headers, `token=${token}`);
    expect(JSON.parse((await ask(await issueToken())).body)).toMatchObject({ active: true, iss: ISSUER });
    expect(JSON.parse((await ask('anything')).body)).toEqual({ active: false });

    const unlink = {
      headers: { authorization: 'Bearer anything' },
      request_type: 'external-provider.delete',
      api_version: 1,
    };
    expect(JSON.parse((await project.raw('external-provider-delete', unlink)).body)).toMatchObject({ status: 401 });
  });

  test('an empty variable is one that is not set, in a function too that reads the providers’ secrets', async () => {
    const empty = {
      DIRECTORY_URL: '',
      REVOCATION_STORE_URL: '',
      PROVIDERS: '',
      ENCRYPTION_KEYS: '',
      AWS_ACCESS_KEY_ID: '',
    };
    await (await start({ local: empty })).tick();

    const inCloud = { LAMBDA_TASK_ROOT: '/function/code', STORE_URL: 'memory:', ALLOW_EPHEMERAL_STORE: '' };
    await expect((await start({ local: inCloud })).tick()).rejects.toThrow('misconfigured');
  });

  test('MAX_TOKEN_LIFETIME_S is how long a revocation is kept', async () => {
    const project = await start({ local: { MAX_TOKEN_LIFETIME_S: '1000' } });
    await project.raw('smart-home-unlink', CALL);
    const { expires_at } = project.takeLogLine().revocation as { expires_at: number };
    expect(Math.abs(expires_at - Date.now() / 1000 - 1000)).toBeLessThan(60);
  });

  test('a token revoked under an older pepper is refused, and unlinked again it is not the first time', async () => {
    const key = (letter: string) => Buffer.alloc(32, letter).toString('base64url');
    const before = await start({ local: { TOKEN_PEPPERS: `k1:${key('a')}` } });
    await before.raw('smart-home-unlink', CALL);
    const store = { STORE_URL: `sqlite:${before.database}` };

    const after = await start({ local: { ...store, TOKEN_PEPPERS: `k2:${key('b')},k1:${key('a')}` } });
    expect((await after.gateway('GET', '/whoami', { Authorization: 'Bearer x' })).status).toBe(403);
    after.output.length = 0;
    await after.raw('smart-home-unlink', CALL);
    expect(after.takeLogLine()).toMatchObject({ token_id: expect.stringMatching(/^k2\./), first: false });

    const without = await start({ local: { ...store, TOKEN_PEPPERS: `k3:${key('c')}` } });
    expect((await without.gateway('GET', '/whoami', { Authorization: 'Bearer x' })).status).toBe(200);
  });

  test('the first call of an instance is a cold start, the next is not', async () => {
    const project = await start({});
    await project.raw('smart-home-unlink', CALL);
    expect(project.takeLogLine()).toMatchObject({ cold_start: true });
    await project.raw('smart-home-unlink', CALL);
    expect(project.takeLogLine()).toMatchObject({ cold_start: false });
  });
});
