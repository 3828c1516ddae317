import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { DEMO_SECRET } from '#scripts/authorization-server/demo.ts';
import { type LinkedProject, startLinkedProject } from '#test/support/linked-project.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const DOCUMENT = readFileSync('docs/authorization-server.md', 'utf8');

let linked: LinkedProject;

beforeAll(async () => {
  linked = await startLinkedProject();
});

afterAll(() => linked.close());

/** The code of the document in a language, block by block. */
function blocks(language: string): string[] {
  return [...DOCUMENT.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(([, code]) => code ?? '');
}

type Middleware = (
  request: IncomingMessage & { token?: { sub: string } },
  response: ServerResponse,
  next: () => void,
) => Promise<void>;

/** A resource server with the middleware of the document, which introspects at a URL. */
async function startResourceServer(introspectUrl: string): Promise<(authorization?: string) => Promise<Response>> {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const file = join(folder.path, 'require-live-token.mjs');
  writeFileSync(file, blocks('js').join());
  vi.stubEnv('INTROSPECT_URL', introspectUrl).stubEnv('CLIENT_ID', 'smart-home').stubEnv('CLIENT_SECRET', DEMO_SECRET);
  // What the document's block exports.
  const { requireLiveToken } = (await import(pathToFileURL(file).href)) as { requireLiveToken: Middleware };
  const answer: RequestListener = (request, response) => {
    const withToken: Parameters<Middleware>[0] = request;
    void requireLiveToken(withToken, response, () => response.end(`hello ${withToken.token?.sub}`));
  };
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  // It listens on a port, not on a pipe.
  const { port } = server.address() as { port: number };
  return (authorization) => fetch(`http://127.0.0.1:${port}`, authorization ? { headers: { authorization } } : {});
}

test('the middleware lets a live token in with its claims, and no other', async () => {
  const { accessToken } = await linked.link('ann');
  const request = await startResourceServer(`${linked.project.gatewayUrl}/oauth/introspect`);

  expect((await request()).status).toBe(401);
  expect((await request('Bearer unknown')).status).toBe(401);
  const welcome = await request(`Bearer ${accessToken}`);
  expect([welcome.status, await welcome.text()]).toEqual([200, 'hello ann']);

  await linked.unlink(accessToken);

  expect((await request(`Bearer ${accessToken}`)).status).toBe(401);
});

test.each([
  ['does not answer with 200', () => `${linked.project.gatewayUrl}/v1.0/user/unlink`],
  ['does not answer', () => 'http://127.0.0.1:1/'],
])('the middleware lets nobody in while token-introspect %s', async (_name, introspectUrl) => {
  const { accessToken } = await linked.link('ann');
  const request = await startResourceServer(introspectUrl());

  expect((await request(`Bearer ${accessToken}`)).status).toBe(503);
});

test('the calls for any language do what they say', async () => {
  const { accessToken } = await linked.link('ann');
  const env = {
    ...process.env,
    NO_PROXY: '*',
    no_proxy: '*',
    CLIENT_ID: 'smart-home',
    CLIENT_SECRET: DEMO_SECRET,
    TOKEN: accessToken,
    GATEWAY: linked.project.gatewayUrl,
  };
  const [introspect = '', revoke = ''] = blocks('sh');
  const run = async (command: string) => (await promisify(execFile)('sh', ['-c', command], { env })).stdout;

  expect(JSON.parse(await run(introspect))).toMatchObject({ active: true, sub: 'ann' });
  expect(await run(revoke)).toBe('');
  expect(JSON.parse(await run(introspect))).toEqual({ active: false });
});

test('every word of `reached` is explained', () => {
  for (const word of [
    'grant',
    'cut_off',
    'upstream_token',
    'upstream_grant',
    'upstream_all_clients',
    'access_token_only',
  ]) {
    expect(DOCUMENT).toContain(`| \`${word}\` |`);
  }
});
