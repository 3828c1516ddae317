import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { unzipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest';
import { bundleFunction, functionNames } from '#scripts/build.ts';
import { readFunctionsFile } from '#scripts/emulator/functions-file.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { startProject, TEST_KEYS, TEST_PEPPERS, UNUSED_URLS } from '#test/support/emulated-project.ts';
import { startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const folder = createTemporaryFolder();
afterAll(folder.remove);

const forSqlite = join(folder.path, 'sqlite');
const everyDriver = inject('bundles');
const names = functionNames();

beforeAll(async () => {
  await buildByCommand('--store', 'sqlite', '--out-dir', forSqlite);
});

async function buildByCommand(...args: string[]): Promise<{ status: unknown; stderr: string }> {
  const script = startScript('build', args);
  return { status: await script.ended, stderr: script.printed.stderr };
}

const NOTICES = ['LICENSE', 'NOTICE'];

/** The code in a zip, without the licences: path → content. */
function unzipCode(zip: string): Record<string, Uint8Array> {
  return Object.fromEntries(Object.entries(unzip(zip)).filter(([path]) => !NOTICES.includes(path)));
}

/** All files below a folder but source maps, which are not deployed and say where the sources lie. */
function filesOf(path: string): Map<string, Buffer> {
  const files = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.map'))
    .map(({ parentPath, name }) => join(parentPath, name));
  return new Map(files.map((file) => [relative(path, file), readFileSync(file)]));
}

function unzip(zip: string): Record<string, Uint8Array> {
  return unzipSync(readFileSync(zip));
}

/** What every function that answers requests contains: the parts that the commission names. */
const PARTS = {
  "Powertools' Logger": 'node_modules/@aws-lambda-powertools/logger/',
  'the shared validators': 'node_modules/zod/',
  'the port of the token revocation store': 'shared/token-revocation/open-store.ts',
};

/** Which functions do without a part, and why: none does. */
const EXCEPTIONS: readonly { readonly name: string; readonly part: keyof typeof PARTS; readonly why: string }[] = [];

test.each(names)('%s contains every part, but for what is listed with its reason', async (name) => {
  const { path: outDir, remove } = createTemporaryFolder();
  onTestFinished(remove);
  const { entrySources } = await bundleFunction(name, { stores: ['sqlite'], outDir });

  const isMissing = (path: string) => !entrySources.some((source) => source.startsWith(resolve(path)));
  const missing = Object.entries(PARTS).flatMap(([part, path]) => (isMissing(path) ? [part] : []));
  expect(missing).toEqual(EXCEPTIONS.flatMap((exception) => (exception.name === name ? [exception.part] : [])));
});

describe('two builds of the same sources', () => {
  test.each([
    ['one driver', forSqlite, ['--store', 'sqlite']],
    ['every driver', everyDriver, []],
  ])('with %s are equal to the byte, zips and manifest included', async (_, first, args) => {
    const second = createTemporaryFolder();
    onTestFinished(second.remove);
    await buildByCommand(...args, '--out-dir', second.path);

    const [before, after] = [filesOf(first), filesOf(second.path)];

    expect([...after.keys()]).toEqual([...before.keys()]);
    expect([...after.keys()].filter((file) => !before.get(file)?.equals(after.get(file) ?? Buffer.alloc(0)))).toEqual(
      [],
    );
    expect(after.has('manifest.json')).toBe(true);
  });
});

describe.each([
  ['one driver', forSqlite],
  ['every driver', everyDriver],
])('what is built with %s', (_, dist) => {
  test('the manifest lists SHA-256 and bytes of each zip and of each file for browsers, and no other', () => {
    const manifest = JSON.parse(readFileSync(join(dist, 'manifest.json'), 'utf8'));

    const zips = readdirSync(dist).filter((file) => file.endsWith('.zip'));
    const browserFiles = readdirSync(join(dist, 'static')).map((file) => `static/${file}`);

    expect(zips.sort()).toEqual(names.map((name) => `${name}.zip`));
    expect(browserFiles.sort()).toEqual(['static/ss_mi.d.ts', 'static/ss_mi.js']);
    expect(Object.keys(manifest).sort()).toEqual([...zips, ...browserFiles].sort());
    for (const file of Object.keys(manifest)) {
      const content = readFileSync(join(dist, file));
      const sha256 = createHash('sha256').update(content).digest('hex');
      expect(manifest[file]).toMatchObject({ sha256, bytes: content.length });
    }
  });

  test.each(names)('%s.zip holds the licences of what is in it', (name) => {
    const files = unzip(join(dist, `${name}.zip`));

    expect(NOTICES.map((file) => readFileSync(file).equals(files[file] ?? Buffer.alloc(0)))).toEqual([true, true]);
  });

  test.each(names)('%s.zip holds the code and nothing else but those, and no dot in a path', (name) => {
    const paths = Object.keys(unzipCode(join(dist, `${name}.zip`)));

    expect(paths).toContain('index.js');
    // The platform's loader cuts the path of the entry point at its first dot.
    expect(paths.filter((path) => !/^(index|(drivers|packages)\/[a-z0-9]+(-[a-z]+)*)\.js$/.test(path))).toEqual([]);
  });

  test.each(names)('%s.zip is what runs in the emulator', (name) => {
    for (const [path, content] of Object.entries(unzipCode(join(dist, `${name}.zip`)))) {
      expect(Buffer.from(content).equals(readFileSync(join(dist, name, path)))).toBe(true);
    }
  });
});

describe('--store sqlite', () => {
  test.each(names)(
    '%s.zip is one file of code and the packages that few calls need, with no other driver in it',
    (name) => {
      const manifest = JSON.parse(readFileSync(join(forSqlite, 'manifest.json'), 'utf8'));
      const files = unzipCode(join(forSqlite, `${name}.zip`));

      expect(Object.keys(files)[0]).toBe('index.js');
      expect(Object.keys(files).slice(1)).toEqual([
        // Of those that end grants at Cognito.
        ...(['maintenance', 'smart-home-unlink'].includes(name) ? ['packages/aws4.js'] : []),
        ...(name.startsWith('threepid-') ? [] : ['packages/jose.js']),
        'packages/p-retry.js',
      ]);
      expect(['sqlite', undefined]).toContain(manifest[`${name}.zip`].drivers[0]);
      expect(manifest[`${name}.zip`].drivers.length).toBeLessThan(2);
    },
  );

  test('the driver is in the functions that use it, its statements included; the others leave only a refusal', () => {
    const manifest = JSON.parse(readFileSync(join(forSqlite, 'manifest.json'), 'utf8'));
    const code = Buffer.from(unzip(join(forSqlite, 'smart-home-unlink.zip'))['index.js'] ?? []).toString();

    expect(manifest['smart-home-unlink.zip'].drivers).toEqual(['sqlite']);
    // Not toContain: it would print the whole bundle.
    expect(code.includes('INSERT INTO revoked_id')).toBe(true);
    expect(code.includes('this build leaves out the driver memory')).toBe(true);
  });

  test('what verifies JWTs is loaded for the first JWT, and not by a first call without one', () => {
    const loaded = (authorization: string) => {
      const source = `
        const { handler } = require(${JSON.stringify(join(forSqlite, 'token-authorize', 'index.js'))});
        const context = { requestId: 'a', functionName: 'a', getRemainingTimeInMillis: () => 5000 };
        const event = { headers: { Authorization: ${JSON.stringify(authorization)} }, requestContext: {} };
        handler(event, context).then(({ isAuthorized }) => {
          const paths = Object.keys(require.cache).map((path) => path.slice(path.indexOf('token-authorize')));
          require('node:fs').writeSync(3, JSON.stringify({ isAuthorized, paths }));
        });`;
      const secret = 'obviously-fake-secret-of-an-issuer';
      const env = {
        TOKEN_PEPPERS: `k1:${Buffer.alloc(32, 'p').toString('base64')}`,
        STORE_URL: 'sqlite:/nowhere',
        ISSUERS: JSON.stringify([{ issuer: 'https://auth.example', audience: 'a', secret }]),
      };
      const { output } = spawnSync(process.execPath, ['-e', source], {
        env,
        stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      });
      return JSON.parse(String(output[3]));
    };
    const jwt = ['{"alg":"HS256"}', '{"iss":"https://auth.example"}', 'a'].map((part) =>
      Buffer.from(part).toString('base64url'),
    );

    expect(loaded('Bearer opaque')).toEqual({ isAuthorized: false, paths: ['token-authorize/index.js'] });
    expect(loaded(`Bearer ${jwt.join('.')}`)).toEqual({
      isAuthorized: false,
      paths: ['token-authorize/index.js', 'token-authorize/packages/jose.js'],
    });
  });

  test('a function that uses the outbox alone has nothing else of the directory', () => {
    const codeOf = (name: string) => readFileSync(join(forSqlite, name, 'index.js'), 'utf8');
    const ofOutbox = 'INSERT INTO outbox_job';
    // What the rules of account links decide, and their audit record; then the tables of the other ports.
    const ofTheRest = ['last_link', 'account_link.', 'unlinked_identity', 'bind_transaction', 'threepid_binding'];
    const held = (name: string) => [ofOutbox, ...ofTheRest].filter((text) => codeOf(name).includes(text));

    expect(held('smart-home-unlink')).toEqual([ofOutbox]);
    expect(held('external-provider-delete')).toEqual([ofOutbox, ...ofTheRest]);
  });

  test('it revokes as deployed; a URL of another driver stops the first call, by the name of the variable', async () => {
    const call = { headers: { request_id: 'x', authorization: 'Bearer x' }, request_type: 'unlink', api_version: 1 };
    const deployed = await startProject({ bundles: forSqlite });
    onTestFinished(() => deployed.close());
    expect((await deployed.raw('smart-home-unlink', call)).body).toBe('{"request_id":"x"}');
    expect((await deployed.gateway('GET', '/whoami', { Authorization: 'Bearer x' })).status).toBe(403);

    const wrong = await startProject({ bundles: forSqlite, local: { STORE_URL: 'postgres://127.0.0.1/unlink' } });
    onTestFinished(() => wrong.close());
    expect(JSON.parse((await wrong.raw('smart-home-unlink', call)).body)).toMatchObject({
      errorMessage: 'misconfigured',
    });
    expect(wrong.takeLogLine()).toMatchObject({
      error: { message: 'STORE_URL: this build leaves out the driver postgres' },
    });
  });
});

/** A project with one function, and what else is given: path → content. */
function project(handler: string, others: Readonly<Record<string, string>> = {}): string {
  const { path, remove } = createTemporaryFolder();
  onTestFinished(remove);
  for (const [file, content] of Object.entries({ 'functions/heavy/handler.ts': handler, ...others })) {
    mkdirSync(dirname(join(path, file)), { recursive: true });
    writeFileSync(join(path, file), content);
  }
  return path;
}

describe('ss_mi.js', () => {
  const built = readFileSync(join(everyDriver, 'static/ss_mi.js'));

  test('is at most 2,000 bytes, gzipped', () => {
    expect(gzipSync(built, { level: 9 }).length).toBeLessThanOrEqual(2_000);
  });

  test('above them the build fails, naming it', async () => {
    const buildOf = (bytes: number) =>
      buildByCommand(
        '--root',
        project('export const handler = 0;', {
          // Nothing in it is there twice: hexadecimal digits of digests are half their size, gzipped.
          'functions/social-unlink/handler.ts': 'export const handler = 0;',
          'functions/social-unlink/ss-mi.ts': `document.title = '${digestsOf(bytes)}';`,
          'functions/social-unlink/ss-mi-globals.d.ts': '',
        }),
      );

    expect(await buildOf(3_000)).toMatchObject({ status: 0 });
    expect(await buildOf(4_000)).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^static\/ss_mi\.js is above its budget of 2000 bytes, gzipped$/m),
    });
  });

  test('a function serves what it imports as a script, and its sources are sources of the function', async () => {
    const root = project(
      "import { script } from './page.ts?script'; export const handler = async () => ({ body: script });",
      {
        'functions/heavy/page.ts': "import { title } from './title.ts'; document.title = title ?? location.href;",
        'functions/heavy/title.ts': "export const title: string | undefined = ['<shop>'][0];",
      },
    );

    const { sources } = await bundleFunction('heavy', { root });

    // It is what has just been built: its handler answers with the script.
    const { handler } = createRequire(import.meta.url)(join(root, 'dist/heavy/index.js'));
    const { body } = await handler();
    const document: { title?: string } = {};
    runInNewContext(body, { document });
    expect(document.title).toBe('<shop>');
    expect(body).not.toContain('??');
    const paths = ['handler', 'page', 'title'].map((name) => join(root, `functions/heavy/${name}.ts`));
    expect(sources).toEqual(expect.arrayContaining(paths));
  });

  test("its declarations are TypeScript's for a shop's page, in which anything else is an error", () => {
    const { path, remove } = createTemporaryFolder();
    onTestFinished(remove);
    copyFileSync(join(everyDriver, 'static/ss_mi.d.ts'), join(path, 'ss_mi.d.ts'));
    writeFileSync(join(path, 'shop.ts'), SHOP);
    const options = ['--noEmit', '--strict', '--target', 'es2019', '--lib', 'es2019,dom', '--types', ''];

    const { stdout } = spawnSync(
      process.execPath,
      [resolve('node_modules/typescript/bin/tsc'), ...options, 'shop.ts'],
      {
        cwd: path,
        encoding: 'utf8',
      },
    );

    expect(stdout).toBe('');
  });
});

/** A shop's code in TypeScript. */
const SHOP = `/// <reference path="ss_mi.d.ts" />
(window._ssq = window._ssq || []).push(['init', { token: async () => 'token-1', timeout_ms: 5000 }]);
window._ssq.push(['ssmi_unlink_user', 'ssuser@gmail.com']);
// @ts-expect-error: no such setting
window._ssq.push(['init', { tokens: 'token-1' }]);
// @ts-expect-error: no such command
window._ssq.push(['unlink', 'ssuser@gmail.com']);
var ssmi_user_unlink_success = function (response: ss_mi.Unlinked) {
  const isRevoked: boolean = response.is_permissions_revoked;
};
window.ssmi_user_unlink_failure = ({ reason }) => console.log(reason.length);
ss_mi.ssmi_unlink_user('ssuser@gmail.com').then((answer) => {
  const text: string = 'error' in answer ? answer.reason : String(answer.is_unlinked);
});
// @ts-expect-error: no e-mail address
ss_mi.ssmi_unlink_user();
`;

/** That many hexadecimal digits, in which nothing is there twice. */
function digestsOf(length: number): string {
  const digests = Array.from({ length: length / 64 + 1 }, (_, index) =>
    createHash('sha256').update(`${index}`).digest('hex'),
  );
  return digests.join('').slice(0, length);
}

describe('a build fails', () => {
  const handlerOf = (bytes: number) => `export const handler = async () => '${'x'.repeat(bytes)}';`;

  test('above the budget, naming the function, and not below it', async () => {
    const buildOf = (bytes: number) => buildByCommand('--store', 'sqlite', '--root', project(handlerOf(bytes)));

    const { status, stderr } = await buildOf(500_000);

    expect(status).toBe(1);
    const [, budget] = /^heavy is above its budget of (\d+) bytes$/m.exec(stderr) ?? [];
    expect(await buildOf(Number(budget))).toMatchObject({ status: 1 });
    expect(await buildOf(Number(budget) - 10_000)).toMatchObject({ status: 0 });
  });

  test('where a source does not compile, naming the place', async () => {
    const { status, stderr } = await buildByCommand('--root', project('export const handler = ;'));

    expect(status).toBe(1);
    expect(stderr).toMatch(/functions\/heavy\/handler\.ts:1:23.*Unexpected ";"/);
  });

  test('for a store that it does not know, naming those that it does', async () => {
    const { status, stderr } = await buildByCommand('--store', 'floppy', '--root', project(handlerOf(1)));

    expect(status).toBe(1);
    expect(stderr).toMatch(/^--store must be one of .*sqlite/);
  });
});

/** What the platform does with a zip, with nothing of this project near: load it, call it, tell of what is thrown. */
const BARE_PROCESS = `
  const { handler } = require('./index');
  for (const file of process.argv.slice(1)) require('./' + file);
  const context = { requestId: 'request-1', functionName: 'f', getRemainingTimeInMillis: () => 3000 };
  const tell = (outcome) => process.send(outcome, () => process.exit());
  handler(null, context).then(
    (answer) => tell({ answer }),
    ({ name, message, stack }) => tell({ error: { name, message, stack } }),
  );`;

describe.each([
  ['one driver', forSqlite],
  ['every driver', everyDriver],
])('a zip with %s, unpacked where nothing else is', (_, dist) => {
  test.each(names)('%s loads in a bare Node and answers, or fails with a code and nothing else', async (name) => {
    const place = createTemporaryFolder();
    onTestFinished(place.remove);
    const files = unzipCode(join(dist, `${name}.zip`));
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(place.path, path)), { recursive: true });
      writeFileSync(join(place.path, path), content);
    }
    migrateSqlite(join(place.path, 'unlink.sqlite'));
    const keys = { DEVELOPMENT_PEPPERS: TEST_PEPPERS, DEVELOPMENT_KEYS: TEST_KEYS };
    const values = { DATA_DIR: place.path, ...keys, ...UNUSED_URLS, AUTH_URL: 'http://127.0.0.1:1' };
    const row = readFunctionsFile('infra/functions.yaml', values).find((definition) => definition.name === name);

    const { outcome, stderr } = await runBare(place.path, Object.keys(files), row?.environment ?? {});

    expect(stderr).toBe('');
    if (outcome.error !== undefined) {
      expect(outcome.error).toMatchObject({ name: 'Failure', stack: '' });
      expect(outcome.error.message).toMatch(/^[a-z_]+$/);
    } else {
      expect(outcome.answer).toBeTypeOf('object');
    }
  });
});

interface BareOutcome {
  readonly answer?: unknown;
  readonly error?: { readonly name: string; readonly message: string; readonly stack: string };
}

/** Runs the code in `cwd` with the environment of the function alone; the outcome comes over a channel of its own. */
async function runBare(
  cwd: string,
  files: readonly string[],
  env: Record<string, string>,
): Promise<{ outcome: BareOutcome; stderr: string }> {
  const child = spawn(process.execPath, ['-e', BARE_PROCESS, ...files], {
    cwd,
    env,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let outcome: BareOutcome | undefined;
  child.on('message', (message: BareOutcome) => {
    outcome = message;
  });
  // It is there: stderr is piped.
  const [stderr] = await Promise.all([text(child.stderr as Readable), once(child, 'close')]);
  if (outcome === undefined) throw new Error(`it ended without an outcome: ${stderr}`);
  return { outcome, stderr };
}
