import { writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Run, SMOKE_CALLS } from '#scripts/smoke/calls.ts';
import { readRows } from '#test/infra/terraform-files.ts';
import { CALLBACK, startBindProject } from '#test/support/bind-project.ts';
import { type Changes, type EmulatedProject, startProject } from '#test/support/emulated-project.ts';
import { startHttpServer } from '#test/support/http-server.ts';
import { startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { ISSUER, ISSUER_SETTINGS, issueToken } from '#test/support/test-issuer.ts';

async function start(changes: Changes = {}): Promise<EmulatedProject> {
  const project = await startProject({ local: { ...ISSUER_SETTINGS, ISSUER }, ...changes });
  onTestFinished(() => project.close());
  return project;
}

interface Smoked {
  readonly status: unknown;
  readonly lines: string[];
  readonly text: string;
}

/** Without a token unless `token` is what standard input holds. */
async function smokeWith(
  { token, env = {} }: { readonly token?: string; readonly env?: NodeJS.ProcessEnv },
  ...args: string[]
): Promise<Smoked> {
  const script = startScript('smoke', token === undefined ? args : ['--token-stdin', ...args], env, token);
  const status = await script.ended;
  const text = script.printed.stdout + script.printed.stderr;
  return { status, text, lines: script.printed.stdout.trim().split('\n') };
}

const smoke = async (...args: string[]) => await smokeWith({ token: await issueToken() }, ...args);

async function smokeOutputs(outputs: object, ...args: string[]): Promise<Smoked> {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const file = join(folder.path, 'outputs.json');
  writeFileSync(file, JSON.stringify(outputs));
  return await smoke('--outputs', file, ...args);
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

  test('what introspection says of the user is not printed', async () => {
    const given = { token: await issueToken(), env: { SMOKE_CLIENT: 'skill:skill-secret' } };
    const only = ['--only', 'token-introspect', '--only', 'token-authorize'];

    const { text } = await smokeWith(given, ...urlsOf(await start()), ...only);

    expect(text).toContain('by the client: expected 200 {"active":true,…}, got 200 {"active":true,…}');
    expect(text).not.toContain('user-1');
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

    const { status, text } = await smokeWith({ token }, ...urlsOf(project));

    expect(status).toBe(0);
    expect(text).not.toContain(token);
    expect((await project.gateway('GET', '/whoami', { Authorization: `Bearer ${token}` })).status).toBe(403);
  });

  test('where tokens are not verified, a random token will do', async () => {
    const project = await start({ local: {} });

    const only = ['--only', 'smart-home-unlink', '--only', 'token-authorize'];

    expect((await smokeWith({}, ...urlsOf(project), ...only)).status).toBe(0);
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
    expect(text).toContain('info smart-home-unlink: raw unlink: not tried, the function is not public');
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

describe('every function is tried', () => {
  const NOTHING_GIVEN: Run = {
    token: 'token',
    isTokenGiven: false,
    requestId: 'request',
    contextPrefix: '/blitz',
    bind: {},
  };

  test.each(['emulator', 'deployment'])(
    'on the %s there is a call of each, for which nothing need be given',
    async (kind) => {
      const tried = SMOKE_CALLS.filter(({ where, request }) => {
        return (where === undefined || where === kind) && request(NOTHING_GIVEN).via !== 'nothing';
      }).map(({ functions: [name] }) => name);

      expect(Object.keys(await readRows()).filter((name) => !tried.includes(name))).toEqual([]);
    },
  );

  test('a function without a smoke call fails the run', async () => {
    const { functionsUrl, gatewayUrl } = await start();

    const { status, lines } = await smokeOutputs({
      functions_url: { value: functionsUrl },
      gateway_url: { value: gatewayUrl },
      function_ids: { value: { 'token-revoke': 'token-revoke', 'new-function': 'd4e0' } },
      public_functions: { value: [] },
    });

    expect(lines).toContain('FAIL new-function: no smoke call is known for it: scripts/smoke/calls.ts must have one');
    expect(lines.at(-1)).toMatch(/^[1-9]\d* passed, 0 failed, nothing tried of new-function$/);
    expect(status).toBe(1);
  });

  test('a function of which no call could be tried fails the run, which says what to give', async () => {
    const { functionsUrl, gatewayUrl } = await start();

    const only = ['--only', 'smart-home-unlink', '--only', 'token-revoke'];
    // As a CI job gives a secret that there is not.
    const given = { token: await issueToken(), env: { SMOKE_CLIENT: '' } };
    const direct = await smokeWith(given, '--functions-url', functionsUrl, ...only);
    expect(direct.lines).toContain(
      'FAIL token-revoke: no call of it was tried: give --gateway-url, or SMOKE_CLIENT, or leave it out by --only',
    );
    expect(direct.lines.at(-1)).toMatch(/^[1-9]\d* passed, 0 failed, nothing tried of token-revoke$/);
    expect(direct.status).toBe(1);

    // Of another user: what was issued to the first is revoked.
    const indirect = await smokeWith({ token: await issueToken({ sub: 'user-2' }) }, '--gateway-url', gatewayUrl);
    expect(indirect.lines).toContain(
      'FAIL maintenance: no call of it was tried: give --functions-url, or leave it out by --only',
    );
    expect(indirect.lines.at(-1)).toMatch(/ 0 failed, nothing tried of maintenance$/);
    expect(indirect.status).toBe(1);
  });

  test('one that not anybody may call directly is tried over the gateway, where no --outputs say otherwise', async () => {
    // A name of this machine that is not the emulator's, so that it counts as a deployment's.
    const there = 'http://127.0.0.2:1';

    const { text } = await smoke('--functions-url', there, '--gateway-url', there, '--only', 'external-provider-list');

    expect(text).toContain(`info trying the deployment at ${there} and ${there}`);
    expect(text).toMatch(/without a credential: not tried, the function is not public$/m);
    expect(text).toMatch(/^FAIL external-provider-list: GET .*got no answer/m);
  });
});

describe('the life of a token', () => {
  const LIFE = ['--only', 'smart-home-unlink', '--only', 'token-authorize', '--only', 'token-revoke'];

  test('is accepted, then unlinked, then refused, before anything else revokes it', async () => {
    const project = await start();

    const { status, lines } = await smokeWith(
      { token: await issueToken(), env: { SMOKE_CLIENT: 'skill:skill-secret' } },
      ...urlsOf(project),
      ...LIFE,
    );

    expect(lines).toContain('info the token was accepted, then unlinked, then refused');
    const places = [
      'with the token: expected 200',
      'raw unlink:',
      'now revoked: expected 403',
      '/oauth/revoke by the client',
    ].map((part) => lines.findIndex((line) => line.startsWith('ok') && line.includes(part)));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((one, other) => one - other));
    expect(status).toBe(0);
  });

  test.each([
    ['a revoked one', async () => await issueToken({ exp: 1 }), 'The token of --token-stdin is not accepted'],
    ['a random one', async () => undefined, 'A random token is accepted only where tokens are not verified.'],
  ])('does not begin with %s, and the run says so', async (_name, tokenOf, advice) => {
    const project = await start();
    const token = await tokenOf();

    const { status, lines, text } = await smokeWith(token === undefined ? {} : { token }, ...urlsOf(project), ...LIFE);

    expect(text).toMatch(/^FAIL token-authorize: GET \/whoami with the token: expected 200, got 403/m);
    expect(lines).toContainEqual(expect.stringContaining(`info ${advice}`));
    expect(lines).toContain('info smart-home-unlink: raw unlink: not tried, the token was not accepted');
    expect(text).toMatch(/with the token, now revoked: not tried/);
    expect(text).not.toContain('then refused');
    expect(status).toBe(1);
    expect(project.countRows()).toBe(0);
  });

  test('does not end where the gateway withholds the credential and no raw call is allowed: the run fails', async () => {
    const { functionsUrl, gatewayUrl } = await start({ stripCredentialHeaders: true });

    const { status, lines } = await smokeOutputs({
      functions_url: { value: functionsUrl },
      gateway_url: { value: gatewayUrl },
      function_ids: { value: { 'smart-home-unlink': 'smart-home-unlink', 'token-authorize': 'token-authorize' } },
      public_functions: { value: [] },
    });

    expect(lines).toContain('FAIL the token was not unlinked');
    expect(lines.at(-1)).toMatch(/ 0 failed, the token was not unlinked$/);
    expect(status).toBe(1);
  });

  test('needs two functions: where one is left out, the run says that it was not tried', async () => {
    const { status, lines } = await smoke(...urlsOf(await start()), '--only', 'token-authorize');

    expect(lines).toContain(
      'info the life of the token is not tried: one of the two functions that it takes is left out',
    );
    expect(status).toBe(0);
  });

  test.each(['', '  \n', 'two words'])('does not begin where standard input is %j', async (token) => {
    const { status, text } = await smokeWith({ token }, ...urlsOf(await start()));

    expect(text).toMatch(/^--token-stdin: standard input must hold a token/);
    expect(text).not.toContain('two words');
    expect(status).toBe(1);
  });
});

describe('maintenance of a deployment', () => {
  const REFUSAL = { errorCode: 403, errorMessage: 'Permission denied', errorType: 'ProxyIntegrationError' };

  const outputsAt = (url: string) => ({
    functions_url: { value: url },
    function_ids: { value: { maintenance: 'maintenance' } },
    public_functions: { value: [] },
  });

  const refusing =
    (status: number, body: object, headers: Record<string, string> = {}): RequestListener =>
    (_request, response) =>
      response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));

  test('passes where the platform refuses a raw POST, without and with a made-up token', async () => {
    const calls: unknown[] = [];
    const url = await startHttpServer((request, response) => {
      calls.push([request.method, request.url, request.headers.authorization]);
      refusing(403, REFUSAL)(request, response);
    });

    const { status, lines } = await smokeOutputs(outputsAt(url), '--request-id', 'smoke-1');

    expect(calls).toEqual([
      ['POST', '/maintenance?integration=raw', undefined],
      ['POST', '/maintenance?integration=raw', 'Bearer t1.smoke-1'],
    ]);
    expect(lines.at(-1)).toBe('2 passed, 0 failed');
    expect(status).toBe(0);
  });

  test('fails where anybody may call it', async () => {
    const { functionsUrl } = await start();

    const { status, lines } = await smokeOutputs(outputsAt(functionsUrl));

    expect(lines).toContainEqual(
      expect.stringMatching(
        /^FAIL maintenance: raw with no IAM token: expected a refusal by the platform: 4xx, not 404 or 429, got 200 \{\}$/,
      ),
    );
    expect(lines).toContainEqual(expect.stringContaining('info Nobody but its timer may call it.'));
    expect(lines.at(-1)).toBe('0 passed, 2 failed');
    expect(status).toBe(1);
  });

  test.each([
    ['there is no such function', 404, { errorCode: 404, errorMessage: 'Not Found' }],
    ['a quota is used up', 429, { errorCode: 429, errorMessage: 'Too Many Requests' }],
    ['it throws', 403, { errorMessage: 'misconfigured' }, new Map([['X-Function-Error', 'true']])],
    ['it answers itself', 403, { request_id: 'smoke-1' }],
    ['it answers as a timer does', 403, {}],
    ['it fails', 502, REFUSAL],
  ])(
    'fails where %s: that does not show who may call',
    async (_name, status, body, headers = new Map<string, string>()) => {
      const url = await startHttpServer(refusing(status, body, Object.fromEntries(headers)));
      const smoked = await smokeOutputs(outputsAt(url));

      expect(smoked.lines.at(-1)).toBe('0 passed, 2 failed');
      expect(smoked.status).toBe(1);
    },
  );
});

describe('external-provider-bind', () => {
  const ONLY = ['--only', 'external-provider-bind'];
  const BIND = ['--bind-provider', 'oidc:mock_1', '--bind-callback', CALLBACK];
  const env = { SMOKE_BIND_CLIENT: 'plain:plain-secret' };

  test('starts a bind at the provider, and answers a browser without a state or a cookie with a page', async () => {
    const { project, provider } = await startBindProject();

    const { status, text } = await smokeWith({ env }, ...urlsOf(project), ...ONLY, ...BIND);

    expect(text).toMatch(/^ok {3}external-provider-bind: POST …\/fa\/bind without a credential: .* got 401/m);
    expect(text).toContain(`got 200 {"redirectTo":"${provider.url}`);
    expect(text).not.toMatch(/state=\w/);
    expect(text).toMatch(/an unknown state: .* got 400 a page "/);
    expect(text).toMatch(/bind\/page without its cookie: .* got 400 a page "/);
    expect(text).toMatch(/^5 passed, 0 failed$/m);
    expect(status).toBe(0);
  });

  test('asks for a subject where the page does not confirm: that passes too', async () => {
    const { project } = await startBindProject({ local: { BIND_CONFIRMATION: 'bearer' } });

    const { status, text } = await smokeWith({ env }, ...urlsOf(project), ...ONLY, ...BIND);

    expect(text).toMatch(/by the application: .* got 400 .*/);
    expect(status).toBe(0);
  });

  test('fails with a provider that is not there, and is not started where the application is not given', async () => {
    const { project } = await startBindProject();
    const elsewhere = ['--bind-provider', 'oidc:nowhere', '--bind-callback', CALLBACK];

    const failing = await smokeWith({ env }, ...urlsOf(project), ...ONLY, ...elsewhere);
    expect(failing.text).toMatch(/^FAIL external-provider-bind: POST …\/fa\/bind by the application: .* got 400/m);
    expect(failing.status).toBe(1);

    const without = await smokeWith({}, ...urlsOf(project), ...ONLY, ...BIND);
    expect(without.text).toContain(
      'by the application: not tried, SMOKE_BIND_CLIENT, --bind-callback and --bind-provider not given',
    );
    expect(without.status).toBe(0);
  });

  test('is started at the first provider that the outputs name', async () => {
    const { project, provider } = await startBindProject();
    const folder = createTemporaryFolder();
    onTestFinished(folder.remove);
    const file = join(folder.path, 'outputs.json');
    writeFileSync(
      file,
      JSON.stringify({
        functions_url: { value: project.functionsUrl },
        gateway_url: { value: project.gatewayUrl },
        function_ids: { value: { 'external-provider-bind': 'external-provider-bind' } },
        public_functions: { value: [] },
        bind_providers: { value: ['oidc:mock_1', 'oidc:mock_2'] },
      }),
    );

    const { text } = await smokeWith({ env }, '--outputs', file, '--bind-callback', CALLBACK);

    expect(text).toContain(`got 200 {"redirectTo":"${provider.url}`);
  });
});

describe('social-unlink', () => {
  const SHOP = 'https://shop.example';
  const ONLY = ['--only', 'social-unlink'];

  test('lets a listed origin in and no other, serves its script, and finds nobody by an unknown address', async () => {
    const project = await start({ local: { ...ISSUER_SETTINGS, ISSUER, SHOP_ORIGINS: SHOP } });
    const token = await issueToken({ scope: 'blitz_api_ufa_chg' });

    const { status, text } = await smokeWith({ token }, ...urlsOf(project), ...ONLY, '--shop-origin', SHOP);

    expect(text).toMatch(/without a token: .* got 401 {"error":true/);
    expect(text).toContain('got 200 {"is_unlinked":false,"is_permissions_revoked":false}');
    expect(text).toMatch(/an origin that is listed: .* got 204/);
    expect(text).toMatch(/an origin that is not listed: .* got 204/);
    expect(text).toMatch(/GET \/ss_mi\.js: .* got 200 text\/javascript, \d+ bytes/);
    expect(text).toMatch(/^6 passed, 0 failed$/m);
    expect(status).toBe(0);
  });

  test('says that nothing was asked of it with a token that is not for it', async () => {
    const { status, text } = await smoke(...urlsOf(await start()), ...ONLY);

    expect(text).toMatch(/an address that nobody has: .* got 403 {"error":true/);
    expect(text).toContain('info the token may not unlink a social login: that takes a token of ISSUER');
    expect(text).toContain('an origin that is listed: not tried, --shop-origin not given');
    expect(status).toBe(0);
  });

  test('fails where an origin that is not listed may read the answer, or the script has another type', async () => {
    const url = await startHttpServer((_request, response) => {
      response.writeHead(204, { 'Access-Control-Allow-Origin': '*', 'Content-Type': 'text/html' }).end();
    });

    const { lines } = await smoke('--gateway-url', url, ...ONLY);

    expect(lines).toContainEqual(
      expect.stringMatching(/^FAIL social-unlink: .*an origin that is not listed: .* got 204$/),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^FAIL social-unlink: GET \/ss_mi\.js: .* got 204$/));
  });

  test('fails with an origin that should be listed, and takes it from the outputs', async () => {
    const { functionsUrl, gatewayUrl } = await start();

    const { status, lines } = await smokeOutputs({
      functions_url: { value: functionsUrl },
      gateway_url: { value: gatewayUrl },
      function_ids: { value: { 'social-unlink': 'social-unlink' } },
      public_functions: { value: [] },
      shop_origins: { value: [SHOP] },
    });

    expect(lines).toContainEqual(expect.stringMatching(/^FAIL social-unlink: .*an origin that is listed: .* got 204$/));
    expect(lines).toContain(`info SHOP_ORIGINS of the function must list ${SHOP}.`);
    expect(status).toBe(1);
  });
});

test('neither a token nor a secret that an answer repeats is printed', async () => {
  const url = await startHttpServer(async (request, response) => {
    response.writeHead(418, { 'Content-Type': 'text/plain' });
    response.end(`${request.headers.authorization} app-secret ${await textOf(request)}`);
  });
  const token = await issueToken();
  const env = { SMOKE_CLIENT: 'app:app-secret', SMOKE_BIND_CLIENT: 'app:app-secret' };
  const bind = ['--bind-provider', 'a:b', '--bind-callback', CALLBACK];

  const { text } = await smokeWith({ token, env }, '--functions-url', url, '--gateway-url', url, ...bind);

  expect(text).toContain('Bearer <token>');
  expect(text).toContain('Basic <secret>');
  expect(text).not.toContain(token);
  expect(text).not.toContain('app-secret');
  expect(text).not.toContain(Buffer.from('app:app-secret').toString('base64'));
});

test('of a secret that begins with another one, no part is printed', async () => {
  const url = await startHttpServer((_request, response) =>
    response.writeHead(418, { 'Content-Type': 'text/plain' }).end('app-secret-of-the-bind'),
  );
  const env = { SMOKE_CLIENT: 'app:app-secret', SMOKE_BIND_CLIENT: 'bind:app-secret-of-the-bind' };

  const { text } = await smokeWith({ env }, '--gateway-url', url, '--only', 'token-authorize');

  expect(text).toContain('got 418 <secret>');
  expect(text).not.toContain('of-the-bind');
});

test.each(['app', 'app:', ':app-secret'])('SMOKE_CLIENT that is %j is refused, and not repeated', async (client) => {
  const { status, text } = await smokeWith({ env: { SMOKE_CLIENT: client } }, '--gateway-url', 'http://127.0.0.1:1');

  expect(text).toMatch(/^SMOKE_CLIENT must be <id>:<secret>\.\n/);
  expect(text).not.toContain('app-secret');
  expect(status).toBe(1);
});

test('--help prints the usage to standard output and calls nothing', async () => {
  const script = startScript('smoke', ['--help']);

  expect(await script.ended).toBe(0);
  expect(script.printed.stdout).toMatch(/^npm run smoke -- .*--help +prints this.*\.\n$/s);
  expect(script.printed.stderr).toBe('');
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
  [['--functions-url', ''], '--functions-url must be an http or https URL.'],
  [['--functions-url', 'http://127.0.0.1:1', '--gateway-url', ''], '--gateway-url must be an http or https URL.'],
  [['--gateway-url', 'http://u:p@127.0.0.1:1'], '--gateway-url must be a URL without a user, a query and a fragment.'],
  [['--functions-url', 'http://127.0.0.1:1/?integration=raw'], '--functions-url must be a URL without a user'],
  [['--gateway-url', 'http://127.0.0.1:1', '--context-prefix', 'idp'], '--context-prefix must be empty, or segments'],
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
