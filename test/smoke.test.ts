import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Changes, type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

async function start(changes: Changes = {}): Promise<EmulatedProject> {
  const project = await startProject({ local: { ...ISSUER_SETTINGS, ISSUER }, ...changes });
  onTestFinished(() => project.close());
  return project;
}

async function smoke(...args: string[]): Promise<{ status: unknown; lines: string[]; text: string }> {
  const script = startScript('smoke', ['--token', await issueToken(), ...args]);
  const status = await script.ended;
  const text = script.printed.stdout + script.printed.stderr;
  return { status, text, lines: script.printed.stdout.trim().split('\n') };
}

const urlsOf = ({ functionsUrl, gatewayUrl }: EmulatedProject) => [
  '--functions-url',
  functionsUrl,
  '--gateway-url',
  gatewayUrl,
];

describe('on the emulator', () => {
  test('every call passes, says what was expected and got, and the token is revoked', async () => {
    const project = await start();

    const { status, lines } = await smoke(...urlsOf(project), '--request-id', 'smoke-1');

    expect(lines.filter((line) => line.startsWith('FAIL'))).toEqual([]);
    expect(lines.at(-1)).toMatch(/^\d+ passed, 0 failed$/);
    expect(status).toBe(0);
    expect(lines).toContain(
      'ok   smart-home-unlink: raw unlink: expected 200 {"request_id":"<the same>"}, got 200 {"request_id":"smoke-1"}',
    );
    for (const line of lines.slice(0, -1)) expect(line).toMatch(/^(ok {3}\S+: .+: expected .+, got \d+|info )/);
    expect(project.countRows()).toBeGreaterThan(0);
  });

  test('what the platform leaves open is reported', async () => {
    const { lines } = await smoke(...urlsOf(await start()));

    for (const observation of [
      'an answer to HEAD has Content-Type',
      'an empty raw body is told to be: The body is empty or is not JSON.',
      'a raw body null is told to be: The body is not a JSON object.',
      'WWW-Authenticate of a direct call arrives as',
      'a raw answer has Content-Type application/json',
      'the gateway hands Authorization on to functions',
    ]) {
      expect(lines).toContainEqual(expect.stringContaining(`info ${observation}`));
    }
  });

  test('a gateway that withholds credentials is reported, and everything else passes', async () => {
    const { status, lines } = await smoke(...urlsOf(await start({ stripCredentialHeaders: true })));

    expect(status).toBe(0);
    expect(lines.at(-1)).toMatch(/ 0 failed$/);
    expect(lines).toContainEqual(expect.stringContaining('info the gateway withholds Authorization'));
    expect(lines).toContainEqual(expect.stringContaining('now revoked: expected 403, got 403'));
  });

  test('the given token is used, and never printed', async () => {
    const project = await start();
    const token = await issueToken();

    const { status, text } = await smoke(...urlsOf(project), '--token', token);

    expect(status).toBe(0);
    expect(text).not.toContain(token);
    expect((await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status).toBe(403);
  });

  test('where tokens are not verified, a random token will do', async () => {
    const project = await start({ local: {} });

    const script = startScript('smoke', [
      ...urlsOf(project),
      '--only',
      'smart-home-unlink',
      '--only',
      'token-authorize',
    ]);

    expect(await script.ended).toBe(0);
    expect(project.countRows()).toBe(1);
  });

  test('a function whose store is down fails, and the shape of what it throws is reported', async () => {
    const project = await start({ migrate: false, timeout: 1 });

    const { status, lines } = await smoke(...urlsOf(project), '--only', 'smart-home-unlink');

    expect(status).toBe(1);
    expect(lines.at(-1)).toMatch(/ passed, [1-9]\d* failed$/);
    expect(lines).toContainEqual(
      expect.stringMatching(/^info a thrown error arrives as 502 with .*"errorMessage":"temporarily_unavailable"/),
    );
  });
});

describe('only what is deployed is tried', () => {
  const outputsOf = ({ functionsUrl, gatewayUrl }: EmulatedProject) => ({
    functions_url: { value: functionsUrl },
    gateway_url: { value: gatewayUrl },
    function_ids: { value: { 'smart-home-unlink': 'smart-home-unlink' } },
    public_functions: { value: ['smart-home-unlink'] },
  });

  async function smokeOutputs(outputs: object, ...args: string[]): Promise<Awaited<ReturnType<typeof smoke>>> {
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const file = join(folder.path, 'outputs.json');
    writeFileSync(file, JSON.stringify(outputs));
    return await smoke('--outputs', file, ...args);
  }

  test('by --only', async () => {
    const { status, text } = await smoke(...urlsOf(await start()), '--only', 'token-authorize');

    expect(status).toBe(0);
    expect(text).toMatch(/^[1-9]\d* passed, 0 failed$/m);
    expect(text).not.toContain('smart-home-unlink');
  });

  test('by what terraform output -json prints, ids included', async () => {
    const project = await start();

    const { status, text } = await smokeOutputs(outputsOf(project));

    expect(status).toBe(0);
    expect(text).not.toContain('token-authorize');

    const elsewhere = { ...outputsOf(project), function_ids: { value: { 'smart-home-unlink': 'd4e0' } } };
    expect((await smokeOutputs(elsewhere)).text).toContain(
      'raw unlink: expected 200 {"request_id":"<the same>"}, got 404',
    );
  });

  test('a function that not anybody may call, and a gateway that is not there, are said to be left out', async () => {
    const { gateway_url: _, ...outputs } = outputsOf(await start());

    const { status, text } = await smokeOutputs({ ...outputs, public_functions: { value: [] } });

    expect(text).toContain('info smart-home-unlink: HEAD /v1.0/: not tried, no gateway is given');
    expect(text).toContain('info smart-home-unlink: raw unlink: not tried, the function may not be called directly');
    // Nothing tried is nothing shown.
    expect(text).toContain('0 passed, 0 failed');
    expect(status).toBe(1);
  });

  test('by what terraform output says of the context prefix, unless --context-prefix says otherwise', async () => {
    const project = await start();
    const outputs = {
      ...outputsOf(project),
      function_ids: { value: { 'external-provider-list': 'external-provider-list' } },
      context_prefix: { value: '/idp' },
    };

    expect((await smokeOutputs(outputs)).text).toMatch(/users\/current\/fa .*"invalid_token"}, got 404/);
    const { status, text } = await smokeOutputs(outputs, '--context-prefix', '/blitz');
    expect(text).toMatch(/users\/current\/fa .*"invalid_token"}, got 401/);
    expect(text).toMatch(/users\/smoke\/fa .* got 403/);
    expect(status).toBe(0);
  });

  test('by --function, a deployed function’s id stands for its name', async () => {
    const { text } = await smoke(...urlsOf(await start()), '--function', 'smart-home-unlink=d4e0');

    expect(text).toMatch(/^FAIL smart-home-unlink: raw unlink: .* got 404/m);
  });
});

test('what a Matrix client meets without a user is tried, and no other function', async () => {
  const project = await start();

  const { status, text } = await smoke(...urlsOf(project), '--only', 'threepid-unbind', '--only', 'threepid-bind');

  expect(status).toBe(0);
  expect(text).toContain('8 passed, 0 failed');
  for (const operation of ['unbind', 'bind']) {
    expect(text).toMatch(new RegExp(`OPTIONS …/account/3pid/${operation}: .* got 204`));
    expect(text).toMatch(new RegExp(`raw 3pid.${operation} without a token: .*M_MISSING_TOKEN.* got 200`));
  }
});

test('a dead URL fails every call, readably', async () => {
  const { status, lines } = await smoke('--functions-url', 'http://127.0.0.1:1', '--gateway-url', 'http://127.0.0.1:1');

  expect(status).toBe(1);
  expect(lines.at(-1)).toMatch(/^0 passed, [1-9]\d* failed$/);
  for (const line of lines.slice(0, -1)) expect(line).toMatch(/^(FAIL .*: expected .*, got no answer: [A-Z]\w+|info )/);
});

test.each([
  [[], 'No URL is given.'],
  [['--functions-url', 'nowhere'], '--functions-url must be an http or https URL.'],
  [['--functions-url', 'http://127.0.0.1:1', '--only', 'nothing'], '--only must be one of smart-home-unlink'],
  [['--functions-url', 'http://127.0.0.1:1', '--function', 'nothing'], '--function must be <name>=<id>.'],
  [['--outputs', 'package.json'], 'package.json is not what terraform output -json prints'],
  [['--what'], "Unknown option '--what'"],
])('%j is answered with what is wrong and the usage', async (args, message) => {
  const { status, text } = await smoke(...args);

  expect(status).toBe(1);
  expect(text).toMatch(new RegExp(`^${message.replaceAll('.', '\\.')}`));
  expect(text).toContain('npm run smoke --');
});
