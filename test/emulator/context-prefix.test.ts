import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, inject, it, onTestFinished } from 'vitest';
import { startEmulator } from '#scripts/emulator/emulator.ts';
import { FREE_PORTS } from '#scripts/emulator-process.ts';
import { type Answer, fixtureOptions, send, startFixture } from '#test/support/emulator-fixture/start-fixture.ts';
import { startScript } from '#test/support/script-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'emulator-'));
afterAll(() => rmSync(folder, { recursive: true }));

const gatewayFile = join(folder, 'openapi.yaml');
const dummy = '{ get: { x-yc-apigateway-integration: { type: dummy, http_code: 200 } } }';
const web = `{ get: { operationId: links, x-yc-apigateway-integration: { type: cloud_functions,
  payload_format_version: '1.0', function_id: '\${functions.web}' } } }`;
writeFileSync(
  gatewayFile,
  `paths: { '/blitz/api/{id}': ${web}, /blitzen: ${dummy}, /api/blitz/x: ${dummy}, /taken/api/7: ${dummy} }`,
);

async function start(contextPrefix?: string): Promise<(path: string) => Promise<Answer>> {
  const emulator = await startFixture({
    gatewayFile,
    lazy: true,
    ...(contextPrefix !== undefined && { contextPrefix }),
  });
  onTestFinished(() => emulator.close());
  return (path) => send(`${emulator.gatewayUrl}${path}`, { method: 'GET' });
}

describe('the context prefix', () => {
  it.each([
    ['/blitz', undefined],
    ['/idp/sso.2', '/idp/sso.2'],
    ['', ''],
  ])('"%s" is what the paths begin with that are declared below /blitz', async (prefix, option) => {
    const get = await start(option);

    const answer = await get(`${prefix}/api/7`);

    expect(JSON.parse(answer.text)).toMatchObject({
      resource: `${prefix}/api/{id}`,
      path: `${prefix}/api/7`,
      operationId: 'links',
      pathParameters: { id: '7' },
    });
    if (prefix !== '/blitz') expect((await get('/blitz/api/7')).status).toBe(404);
  });

  it('leaves other paths as they are', async () => {
    const get = await start('/idp');

    expect((await get('/blitzen')).status).toBe(200);
    expect((await get('/api/blitz/x')).status).toBe(200);
    expect((await get('/idpen')).status).toBe(404);
  });

  it.each<[string, string[], NodeJS.ProcessEnv]>([
    ['--context-prefix /idp', ['--context-prefix', '/idp'], {}],
    ['CONTEXT_PREFIX=/idp', [], { CONTEXT_PREFIX: '/idp' }],
  ])('is told to npm start by %s', async (_, args, env) => {
    const dataDir = mkdtempSync(join(folder, 'data-'));
    const script = startScript(
      'emulate',
      [...FREE_PORTS, `--data-dir=${dataDir}`, `--bundles=${inject('bundles')}`, ...args],
      env,
    );
    onTestFinished(async () => {
      script.signal('SIGKILL');
      await script.ended;
    });
    const [, url] = await script.next(/gateway {4}(http:\/\/[^ ]+) .*GET \/idp\/api\/v3\/users\/current\/fa/);

    const links = (path: string) => fetch(`${url}${path}/users/current/fa`);
    expect((await links('/idp/api/v3')).status).toBe(401);
    expect((await links('/idp/api/v2')).status).toBe(401);
    expect((await links('/blitz/api/v3')).status).toBe(404);
  });

  it.each(['blitz', '/', '/blitz/', '//blitz', '/{id}', '/a b', '/..', '/a/./b', '/a%2Fb', '/a?b'])(
    '"%s" is refused',
    async (contextPrefix) => {
      await expect(startEmulator({ ...fixtureOptions, gatewayFile, contextPrefix })).rejects.toThrow(
        'The context prefix must be empty, or segments each after a slash, as /blitz.',
      );
    },
  );
});
