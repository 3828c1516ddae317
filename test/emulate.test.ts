import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { expect, inject, onTestFinished, test } from 'vitest';
import { FREE_PORTS, PORT_OPTIONS } from '#scripts/emulator-process.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { TEST_PEPPERS } from '#test/support/emulated-project.ts';
import { type ScriptProcess, startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

function temporaryFolder(): string {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  return folder.path;
}

/** Runs scripts/emulate.ts on free ports and a folder of its own, unless the arguments say otherwise. */
function emulate(args: readonly string[] = [], env: NodeJS.ProcessEnv = {}): ScriptProcess {
  const defaults = [...FREE_PORTS, `--bundles=${inject('bundles')}`, `--data-dir=${temporaryFolder()}`];
  const script = startScript('emulate', [...defaults, ...args], env);
  onTestFinished(async () => {
    script.signal('SIGKILL');
    await script.ended;
  });
  return script;
}

/** What it says when it refuses to start. */
async function refusal(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string> {
  const script = emulate(args, env);
  const status = await script.ended;
  expect(status).toBe(1);
  expect(script.printed.stdout).not.toContain('curl');
  return script.printed.stderr.trimEnd();
}

test.each(PORT_OPTIONS)('a --%s in use is one sentence and status 1', async (option) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  // It listens on a port, not on a pipe.
  const { port } = server.address() as AddressInfo;

  expect(await refusal([`--${option}=${port}`])).toBe(`Port ${port} is in use.`);
});

test('a data folder that is a file is one sentence and status 1', async () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');

  expect(await refusal([`--data-dir=${file}`])).toBe(`The data folder ${file} cannot be made, read or written.`);
});

test('a store that is no database is one sentence and status 1', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'unlink.sqlite'), 'no database'.repeat(100));
  writeFileSync(join(folder, 'peppers'), TEST_PEPPERS);

  expect(await refusal([`--data-dir=${folder}`])).toBe(
    `The store in the data folder ${folder} cannot be opened or migrated.`,
  );
});

test('a store of an older version that cannot be upgraded is one sentence and status 1', async () => {
  const folder = temporaryFolder();
  migrateSqlite(join(folder, 'unlink.sqlite'));
  const database = new DatabaseSync(join(folder, 'unlink.sqlite'));
  database.exec("UPDATE schema_marker SET version = 1 WHERE component = 'token-revocation'");
  database.close();
  writeFileSync(join(folder, 'peppers'), TEST_PEPPERS);

  expect(await refusal([`--data-dir=${folder}`])).toBe(
    `The store in the data folder ${folder} was made by an older version and cannot be upgraded. Remove the folder, and start again.`,
  );
});

test('a store whose peppers are gone is one sentence and status 1: new ones would find nothing of it', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'unlink.sqlite'), '');
  expect(await refusal([`--data-dir=${folder}`])).toMatch(/has a store but no peppers/);
});

test.each([
  ['is gone', undefined],
  ['is an empty file', ''],
])(
  'a store that %s though its peppers are there is one sentence and status 1: a new one would let in what was revoked',
  async (_how, content) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'peppers'), TEST_PEPPERS);
    if (content !== undefined) writeFileSync(join(folder, 'unlink.sqlite'), content);
    expect(await refusal([`--data-dir=${folder}`])).toMatch(/has peppers but no store/);
  },
);

test('a file of peppers that holds none is one sentence and status 1', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'peppers'), '');
  expect(await refusal([`--data-dir=${folder}`])).toBe(
    `The file peppers in the data folder ${folder} holds no peppers.`,
  );
});

test('a file of the signing key that holds none is one sentence and status 1', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'signing.key'), 'ed25519 a_test short');
  expect(await refusal([`--data-dir=${folder}`])).toBe(
    `The file signing.key in the data folder ${folder} holds no keys.`,
  );
});

test('the homeserver has the same key after a restart, and the identity server the same certificates', async () => {
  const options = [`--data-dir=${temporaryFolder()}`];

  async function published(): Promise<unknown> {
    const script = emulate(options);
    const [, homeserver] = await script.next(/homeserver (http:\/\/\S+)/);
    const [, caFile = ''] = await script.next(/its CA is (\S+)/);
    await script.next(/Ctrl-C ends it\./);
    const document = Object(await (await fetch(`${homeserver}/_matrix/key/v2/server`)).json());
    script.signal('SIGKILL');
    await script.ended;
    return [document.verify_keys, readFileSync(caFile, 'utf8')];
  }

  expect(await published()).toEqual(await published());
});

test('bundles that are missing are one sentence and status 1', async () => {
  expect(await refusal([`--bundles=${temporaryFolder()}`])).toMatch(
    /^The bundle of the function \S+ is missing: .+\. npm run build writes bundles to dist\.$/,
  );
});

test('a broken bundle is one sentence and status 1', async () => {
  const bundles = temporaryFolder();
  cpSync(inject('bundles'), bundles, { recursive: true });
  writeFileSync(join(bundles, 'smart-home-unlink/index.js'), 'exports.handler = {');

  expect(await refusal([`--bundles=${bundles}`])).toMatch(
    /^The bundle of the function smart-home-unlink does not load: SyntaxError: .+$/,
  );
});

test.each([
  [['--floppy'], {}, /^Unknown option '--floppy'/],
  [['--port', 'eighty'], {}, /^The port must be a number from 0 to 65535\./],
  [['--gateway-port', '65536'], {}, /^The gateway-port must be a number from 0 to 65535\./],
])('the flag %j is told with the usage, and status 1', async (args, env, message) => {
  const said = await refusal(args, env);

  expect(said).toMatch(message);
  expect(said).toContain('npm start -- [--port 8080]');
});

test('a wrong PORT in the environment is told like the flag', async () => {
  const script = startScript('emulate', [`--data-dir=${temporaryFolder()}`], { PORT: 'x' });

  expect(await script.ended).toBe(1);
  expect(script.printed.stderr).toMatch(/^The port must be a number from 0 to 65535\.\n/);
});

test('/healthz answers once it says where it runs', async () => {
  const script = emulate();
  const [, url] = await script.next(/functions {2}(http:\/\/[^/]+)/);

  const health = await fetch(`${url}/healthz`);

  expect(health.status).toBe(200);
  expect(await health.json()).toEqual({ status: 'ok' });
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s ends it with status 0, and no process is left', async (signal) => {
  const script = emulate();
  await script.next(/Ctrl-C ends it\./);

  script.signal(signal);

  expect(await script.ended).toBe(0);
  await script.nothingLeft();
  expect(script.printed.stderr).toBe('');
});

test('the lines that it prints can be pasted into a shell, and are answered as promised', async () => {
  const script = emulate();
  await script.next(/Ctrl-C ends it\./);
  const [, walkThrough = ''] = /^A user links.*?:\n(.*)^Each call/ms.exec(script.printed.stdout) ?? [];
  const lines = walkThrough.split('\n').filter((line) => line.startsWith('  '));
  expect(lines).toHaveLength(27);

  // A proxy that the machine may have is not asked for loopback.
  const env = { ...process.env, NO_PROXY: '*', no_proxy: '*' };
  const { stdout } = await promisify(execFile)('sh', ['-c', lines.join('\n')], { env });

  const answers = [...stdout.matchAll(/HTTP\/1\.1 (\d{3}) .*?\r\n\r\n(\{.*?\})(?=HTTP|\s*$)/gs)];
  expect(answers.map(([, status, body]) => [Number(status), JSON.parse(body ?? '')])).toEqual([
    [200, { authorized: true }],
    [200, { request_id: '1111-aaaa-2222-bbbb' }],
    [403, expect.anything()],
    [400, expect.objectContaining({ error: 'invalid_grant' })],
    [200, { authorized: true }],
    [200, { request_id: '2222-cccc' }],
    [200, { request_id: '3333-dddd' }],
    [400, expect.objectContaining({ error: 'invalid_grant' })],
    [200, { redirectTo: expect.stringMatching(/^https:\/\/oauth\.vk\.com\/authorize\?/) }],
    [200, {}],
    [200, { mappings: { 'ann@example.test email': expect.stringMatching(/^@ann:localhost:\d+$/) } }],
    [200, { id_server_unbind_result: 'success' }],
    [200, { mappings: {} }],
  ]);
  const [unlink] = await script.next(/^\{.*"request_id":"3333-dddd".*$/m);
  expect(JSON.parse(unlink)).toMatchObject({ reached: ['cut_off', 'upstream_grant'] });
});

/** The request of the API's documentation, `seeds/003`, line for line. */
const BIND_REQUEST = `POST /blitz/api/v2/users/current/fa/bind HTTP/1.1
Authorization: Basic ZG5ldm5pay10ZXN0Lm1vcy5ydTphUU56S0JuY2VBQVQwelg
Content-Type: application/json

{
"fp": "vk:vk_1",
"callback": "https://app.company.com/callback"
}`;
const BIND_ANSWER =
  'https://oauth.vk.com/authorize?state=5c415063-a153-424c-af9c-023a6bbf1892&scope=email&redirect_uri=https%3A%2F%2Flogin.company.com%2Fblitz%2Fapi%2Fusers%2Fcurrent%2Ffps%2Fbind%2Fcb%2Fvk%2Fvk_1&client_id=5566286&v=5.52&response_type=code';

test("the documentation's bind request gives the documentation's redirectTo, but for state and PKCE", async () => {
  const script = emulate();
  const [, gateway = ''] = await script.next(/gateway {4}(http:\/\/\S+)/);
  await script.next(/Ctrl-C ends it\./);
  const [head = '', body = ''] = BIND_REQUEST.split('\n\n');
  const [line = '', ...headers] = head.split('\n');
  const [method = '', path = ''] = line.split(' ');

  const response = await fetch(`${gateway}${path}`, {
    method,
    headers: headers.map((header): [string, string] => [header.split(': ')[0] ?? '', header.split(': ')[1] ?? '']),
    body,
  });

  expect(response.status).toBe(200);
  // What the documentation promises.
  const { redirectTo, ...more } = (await response.json()) as { redirectTo: string };
  expect(more).toEqual({});
  const [given, documented] = [redirectTo, BIND_ANSWER].map((url) =>
    url.replace(/(?<=[?&]state=)[\w-]+/, '…').replace(/&code_challenge=[\w-]{43}&code_challenge_method=S256$/, ''),
  );
  expect(given).toBe(documented);
});

test('the URL that it prints starts a bind in the browser, under another prefix too', async () => {
  const script = emulate(['--context-prefix=/idp']);
  const [, gateway] = await script.next(/gateway {4}(http:\/\/\S+)/);
  const [, provider] = await script.next(/provider {3}(http:\/\/\S+)/);
  const [, demo, start = ''] = await script.next(/demo {7}(http:\/\/\S+).*\n +(http:\/\/\S+)/);
  await script.next(/Ctrl-C ends it\./);

  const page = await fetch(`${demo}/`);
  expect(await page.text()).toContain('<h1>Demo shop</h1>');
  const response = await fetch(start, { redirect: 'manual' });

  expect(response.status).toBe(303);
  const { origin, pathname, searchParams } = new URL(response.headers.get('location') ?? '');
  expect(origin + pathname).toBe(`${provider}/auth`);
  expect(Object.fromEntries(searchParams)).toMatchObject({
    client_id: 'dev_1',
    redirect_uri: `${gateway}/idp/api/users/current/fps/bind/cb/oidc/dev_1`,
    code_challenge_method: 'S256',
  });
});
