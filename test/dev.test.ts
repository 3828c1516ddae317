import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { type ScriptProcess, startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

/** A project of two functions that share a source; one of them answers an environment variable too. */
const FILES = {
  'functions/greet/handler.ts': `import { word } from '../../shared/word.ts';
    export const handler = async () => [word, process.env.GREETING];`,
  'functions/alone/handler.ts': `export const handler = async () => 'alone';`,
  'shared/word.ts': `export const word = 'one';`,
  'infra/functions.yaml': 'functions: { greet: { environment: { GREETING: hello } }, alone: {} }',
  'infra/openapi.yaml': 'paths: {}',
};

let root: string;
let dev: ScriptProcess;
let functionsUrl: string;

beforeEach(async () => {
  const folder = createTemporaryFolder();
  root = folder.path;
  for (const [path, text] of Object.entries(FILES)) save(path, text);
  dev = startScript('dev', ['--root', root, '--data-dir', join(root, 'data'), '--port=0', '--gateway-port=0']);
  onTestFinished(async () => {
    dev.signal('SIGKILL');
    await dev.ended;
    folder.remove();
  });
  [, functionsUrl = ''] = await dev.next(/functions {2}(http:\/\/[^/]+)/);
  await dev.next(/Ctrl-C/);
});

function save(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

async function call(name: string): Promise<unknown> {
  const response = await fetch(`${functionsUrl}/${name}?integration=raw`, { method: 'POST', body: 'null' });
  return await response.json();
}

test('a change of a source is run by the functions that are made of it, and by no other', async () => {
  expect(await call('greet')).toEqual(['one', 'hello']);

  save('shared/word.ts', `export const word = 'two';`);
  const [, names] = await dev.next(/reloaded (.+) in \d+ ms/);

  expect(names).toBe('greet');
  expect(await call('greet')).toEqual(['two', 'hello']);
});

test('a source that does not compile is told with its place, and the old code goes on until it is mended', async () => {
  save('shared/word.ts', `export const word = 'two`);
  await dev.next(/the old code goes on:\n.*Unterminated string literal[\s\S]*shared\/word\.ts:1:/);
  expect(await call('greet')).toEqual(['one', 'hello']);

  save('shared/word.ts', `export const word = 'three';`);
  await dev.next(/reloaded greet/);
  expect(await call('greet')).toEqual(['three', 'hello']);
});

test('code that throws when it is loaded is told, and the old code goes on', async () => {
  save('shared/word.ts', `export const word = 'two'; throw new Error('not so')`);
  await dev.next(/the old code goes on:\n.*greet does not load: Error: not so/);
  expect(await call('greet')).toEqual(['one', 'hello']);
});

test('a change of functions.yaml is run; a broken one is told, and the old one goes on', async () => {
  save('infra/functions.yaml', 'functions: { greet: { timeout: soon } }');
  await dev.next(/the old code goes on:\n.*functions\.greet\.timeout/);
  expect(await call('greet')).toEqual(['one', 'hello']);

  save('infra/functions.yaml', 'functions: { greet: { environment: { GREETING: welcome } } }');
  await dev.next(/restarted the emulator in \d+ ms/);
  expect(await call('greet')).toEqual(['one', 'welcome']);
});

test('a function that is added runs as soon as both its code and its row are there', async () => {
  save('infra/functions.yaml', 'functions: { greet: {}, more: {} }');
  await dev.next(/the old code goes on:\n.*functions\.yaml names more/);

  cpSync(join(root, 'functions/alone'), join(root, 'functions/more'), { recursive: true });
  save('infra/functions.yaml', 'functions: { greet: {}, more: {} }\n');
  await dev.next(/restarted the emulator/);
  expect(await call('more')).toBe('alone');
});

test('Ctrl-C ends it with status 0 and nothing left', async () => {
  dev.signal('SIGINT');

  expect(await dev.ended).toBe(0);
  await dev.nothingLeft();
});

test('log lines are JSON where stdout is no terminal', async () => {
  save(
    'functions/alone/handler.ts',
    `export const handler = async () => console.log('{"level":"INFO","message":"m"}');`,
  );
  await dev.next(/reloaded alone/);
  await call('alone').catch(() => {});

  await dev.next(/^\{"level":"INFO","message":"m"\}$/m);
});
