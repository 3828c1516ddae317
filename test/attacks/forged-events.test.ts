import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { LINK_SETTINGS } from '#test/support/link-calls.ts';

/** What a raw caller can write: each form of event that the platform makes, without a valid credential. */
const identity = { sourceIp: '127.0.0.1', userAgent: 'gateway' };
const claims = { sub: 'admin', scope: 'blitz_api_sys_ufa_chg', active: true };
const gatewayEvent = (operationId: string) => ({
  version: '1.0',
  operationId,
  resource: '/',
  path: '/',
  httpMethod: 'POST',
  headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  requestContext: { identity, authorizer: { ...claims, jwt: { claims, scopes: ['admin'] } } },
  body: 'token=x',
  isBase64Encoded: false,
  pathParameters: { subjectId: 'admin', fpType: 'vk', fpName: 'vk_1', sid: '1' },
});

const file: unknown = parse(readFileSync('infra/functions.yaml', 'utf8'));
// The emulator checks the shape of the file whenever it starts.
const rows = (file as { functions: Record<string, { public?: boolean; timer?: object }> }).functions;
const gateway = readFileSync('infra/openapi.yaml', 'utf8');
const operations = [...gateway.matchAll(/operationId: (\S+)/g)].map(([, id]) => id ?? '');

/** What anybody may have: that a skill is there, what a browser asks first, a script. */
const OPEN = new Set([
  'smart-home-unlink.check',
  'smart-home-unlink.check-slash',
  'social-unlink.preflight',
  'social-unlink.script',
  'threepid-bind.preflight',
  'threepid-unbind.preflight',
]);

let project: EmulatedProject;

beforeAll(async () => {
  project = await startProject({ local: LINK_SETTINGS });
});

afterAll(() => project.close());

// A timer's function is protected by who may invoke it: test/infra asserts that.
const functions = Object.keys(rows).filter((name) => rows[name]?.timer === undefined);

describe.each(functions)('a forged event sent raw to %s without a valid credential', (name) => {
  const answer = async (event: unknown) => JSON.parse((await project.raw(name, event)).body);
  const isRefused = (answered: Record<string, unknown>) =>
    answered.isAuthorized === false || Number(answered.statusCode ?? answered.status) >= 400;

  const own = operations.filter((id) => id.split('.')[0] === name && !OPEN.has(id));

  test.each([...own, 'nothing'])('a gateway event of %s is refused in its own form, without effect', async (id) => {
    const before = project.countRows();
    const answered = await answer(gatewayEvent(id));
    expect(isRefused(answered)).toBe(true);
    expect('statusCode' in answered || 'isAuthorized' in answered).toBe(true);
    expect(project.countRows()).toBe(before);
  });

  test.each<[name: string, event: unknown]>([
    ['an authorizer event', { resource: '/', path: '/', httpMethod: 'GET', headers: {}, requestContext: { identity } }],
    [
      'a timer event',
      {
        messages: [
          {
            event_metadata: { event_type: 'yandex.cloud.events.serverless.triggers.TimerMessage' },
            details: { trigger_id: 'a1s', payload: '' },
          },
        ],
      },
    ],
    [
      'a direct HTTPS event',
      { httpMethod: 'POST', headers: { Authorization: 'Bearer x' }, requestContext: { identity } },
    ],
    ['a raw call', { headers: { request_id: 'x' }, request_type: 'unlink', api_version: 1, payload: { token: 'x' } }],
  ])('%s is refused, without effect', async (_name, event) => {
    const before = project.countRows();
    expect(isRefused(await answer(event))).toBe(true);
    expect(project.countRows()).toBe(before);
  });
});
