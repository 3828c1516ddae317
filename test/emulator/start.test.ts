import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { findFreePort } from '#scripts/authorization-server/listen.ts';
import { type EmulatorOptions, startEmulator } from '#scripts/emulator/emulator.ts';
import { StartError } from '#scripts/emulator/start-error.ts';
import { fixtureOptions, send, startFixture } from '#test/support/emulator-fixture/start-fixture.ts';

const folder = mkdtempSync(join(tmpdir(), 'emulator-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts the emulator with options that are wrong, and returns what it says. */
async function refusal(options: Partial<EmulatorOptions>): Promise<string> {
  const error = await startEmulator({ ...fixtureOptions, ...options }).then(
    (emulator) => emulator.close(),
    (reason: unknown) => reason,
  );
  if (!(error instanceof StartError)) throw new Error('the emulator started', { cause: error });
  return error.message;
}

function fileOf(text: string): string {
  const file = join(mkdtempSync(join(folder, 'file-')), 'file.yaml');
  writeFileSync(file, text);
  return file;
}

const noPaths = fileOf('openapi: 3.0.0\npaths: {}\n');

describe('the emulator refuses to start', () => {
  it.each(['port', 'gatewayPort'] as const)('with a %s in use', async (option) => {
    const server = createServer();
    const port = await listenOnFreePort(server);

    expect(await refusal({ [option]: port })).toBe(`Port ${port} is in use.`);
    server.close();
  });

  it.each([
    ['no file', undefined, /cannot be read/],
    ['no YAML', 'functions: [', /cannot be read/],
    ['a wrong value', 'functions: { one: { timeout: soon } }', /functions\.one\.timeout/],
    ['a bad name', 'functions: { ../one: {} }', /functions\.\.\.\/one/],
    [
      'an unknown placeholder',
      `functions: { one: { local: { A: '\${NOT_GIVEN}' } } }`,
      /functions\.one.*\$\{NOT_GIVEN\}/,
    ],
    ['a cron of two fields', 'functions: { small: { timer: { cron: "0 3" } } }', /function small.*six fields/],
    ['a cron with both days', 'functions: { small: { timer: { cron: "0 3 1 * 2 *" } } }', /function small.*"\?"/],
    [
      'a cron out of range',
      'functions: { small: { timer: { cron: "99 3 ? * * *" } } }',
      /function small has the bad cron/,
    ],
    [
      'a retry interval out of range',
      'functions: { small: { timer: { cron: "0 3 ? * * *", retry_interval: 1 } } }',
      /retry_interval/,
    ],
    ['a missing bundle', 'functions: { nowhere: {} }', /bundle of the function nowhere is missing/],
  ])('with %s in functions.yaml', async (_, text, message) => {
    const functionsFile = text === undefined ? join(folder, 'nowhere.yaml') : fileOf(text);

    expect(await refusal({ functionsFile, gatewayFile: noPaths })).toMatch(message);
  });

  it.each([
    ['throws at load', 'throw new TypeError("broken")', /function broken does not load: TypeError: broken/],
    ['exports no handler', 'exports.other = 1', /function broken does not load: .*handler/],
    ['exports something else', 'exports.handler = 1', /function broken does not load: .*must be function/],
    ['is no JavaScript', 'exports.handler = {', /function broken does not load: SyntaxError/],
    ['ends the process', 'process.exit(0)', /function broken does not load: .*ended/],
  ])('with a bundle that %s', async (_, code, message) => {
    const bundles = mkdtempSync(join(folder, 'bundles-'));
    writeBundle(bundles, 'broken', code);
    const functionsFile = fileOf('functions: { broken: {} }');

    expect(await refusal({ functionsFile, gatewayFile: noPaths, bundles, onOutput: () => {} })).toMatch(message);
  });

  const dummy = 'x-yc-apigateway-integration: { type: dummy, http_code: 200 }';
  it.each([
    ['no paths', 'openapi: 3.0.0', /paths/],
    ['a validator', `x-yc-apigateway: { validator: {} }\npaths: {}`, /x-yc-apigateway.*validator/],
    ['a rate limit', `paths: { /a: { x-yc-apigateway-rate-limit: {} } }`, /x-yc-apigateway-rate-limit is not emulated/],
    [
      'a status mapping',
      `paths: { /a: { get: { responses: { 200: { x-yc-status-mapping: 201 } }, ${dummy} } } }`,
      /x-yc-status-mapping/,
    ],
    [
      'another integration',
      'paths: { /a: { get: { x-yc-apigateway-integration: { type: http } } } }',
      /type http is not emulated/,
    ],
    [
      'a security scheme that is misspelt',
      `paths: { /a: { get: { security: [{ tokn: [] }], ${dummy} } } }`,
      /asks for the security scheme tokn, which there is not/,
    ],
    [
      'a tag other than $latest',
      `paths: { /a: { get: { x-yc-apigateway-integration: { type: cloud_functions, payload_format_version: '1.0', tag: old, function_id: web } } } }`,
      /tag/,
    ],
    ['no integration', 'paths: { /a: { get: {} } }', /\/a\.get\.x-yc-apigateway-integration/],
    [
      'an option that is not emulated',
      `paths: { /a: { get: { x-yc-apigateway-integration: { type: dummy, http_code: 200, extra: 1 } } } }`,
      /extra/,
    ],
    [
      'payload format 0.1',
      'paths: { /a: { get: { x-yc-apigateway-integration: { type: cloud_functions, function_id: web } } } }',
      /payload_format_version/,
    ],
    [
      'an unknown function',
      `paths: { /a: { get: { x-yc-apigateway-integration: { type: cloud_functions, payload_format_version: '1.0', function_id: '\${functions.gone}' } } } }`,
      /function gone/,
    ],
    [
      'a JWT authorizer',
      'paths: {}\ncomponents: { securitySchemes: { a: { type: http, scheme: bearer, x-yc-apigateway-authorizer: { type: jwt } } } }',
      /securitySchemes\.a/,
    ],
    ['a greedy parameter in the middle', `paths: { '/a/{b+}/c': { get: { ${dummy} } } }`, /\/a\/\{b\+\}\/c/],
    [
      'a reference to nothing',
      `paths: { /a: { x-yc-apigateway-cors: { $ref: '#/components/gone' }, get: { ${dummy} } } }`,
      /#\/components\/gone/,
    ],
  ])('with %s in openapi.yaml', async (_, text, message) => {
    expect(await refusal({ gatewayFile: fileOf(text) })).toMatch(message);
  });
});

it('is healthy only once every function has loaded', async () => {
  const bundles = mkdtempSync(join(folder, 'bundles-'));
  const gate = join(bundles, 'gate');
  const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)';
  const isShut = `!require('fs').existsSync(${JSON.stringify(gate)})`;
  writeBundle(bundles, 'one', `while (${isShut}) ${wait}; exports.handler = async () => null`);
  const functionsFile = fileOf('functions: { one: {} }');
  const port = await findFreePort();
  const health = () => send(`http://127.0.0.1:${port}/healthz`, { method: 'GET' });

  const starting = startFixture({ functionsFile, gatewayFile: noPaths, bundles, port });
  await vi.waitFor(async () => expect(await health()).toMatchObject({ status: 503, text: '{"status":"starting"}' }));
  writeFileSync(gate, '');
  const emulator = await starting;

  expect(emulator.functionsUrl).toBe(`http://127.0.0.1:${port}`);
  expect(await health()).toMatchObject({ status: 200, text: '{"status":"ok"}' });
  await emulator.close();
});

it('a reload that fails says so and keeps the old bundle', async () => {
  const bundles = mkdtempSync(join(folder, 'bundles-'));
  writeBundle(bundles, 'one', 'exports.handler = async () => "old"');
  const functionsFile = fileOf('functions: { one: {} }');
  const emulator = await startFixture({ functionsFile, gatewayFile: noPaths, bundles });

  writeBundle(bundles, 'one', 'throw new Error("half written")');
  await expect(emulator.reload('one')).rejects.toThrow(/function one does not load: Error: half written/);
  expect((await emulator.call('one', null)).text).toBe('"old"');

  writeBundle(bundles, 'one', 'exports.handler = async () => "new"');
  await emulator.reload();
  expect((await emulator.call('one', null)).text).toBe('"new"');
  await emulator.close();
});

async function listenOnFreePort(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // It listens on a port, not on a pipe.
  return (server.address() as AddressInfo).port;
}

function writeBundle(bundles: string, name: string, code: string): void {
  const bundle = join(bundles, name);
  mkdirSync(bundle, { recursive: true });
  writeFileSync(join(bundle, 'index.js'), code);
}
