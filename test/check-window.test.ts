import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startScript } from './support/script-process.ts';

async function checkWindow(...args: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  const script = startScript('check-window', args);
  const status = await script.ended;
  return { status, ...script.printed };
}

const brokenStore = (url: string) => ['--store-module', fileURLToPath(url)];

test('no check that begins after an acknowledged revocation says "not revoked"', async () => {
  const { status, stdout, stderr } = await checkWindow('--checks', '20000');
  expect(stderr).toBe('');
  expect(stdout).toMatch(/, 2 processes revoke, 2 check\n/);
  expect(stdout).toMatch(/ 20,00\d {2}checks begun after the acknowledgement\n/);
  expect(stdout).toMatch(/ 0 {2}begun after it said "not revoked"\n$/);
  expect(status).toBe(0);
});

test.each([
  ['acknowledges before it writes', import.meta.resolve('./support/broken-stores/acknowledges-early.ts')],
  ['believes its own last answer', import.meta.resolve('./support/broken-stores/remembers-answers.ts')],
])('a store that %s is found', async (_fault, url) => {
  const { status, stdout, stderr } = await checkWindow('--checks', '20000', ...brokenStore(url));
  expect(stdout).toMatch(/ [1-9][\d,]* {2}begun after it said "not revoked"\n$/);
  expect(stderr).toMatch(/^Not revoked although acknowledged: check-window\./);
  expect(status).toBe(1);
});

test('a store that calls everything revoked shows nothing', async () => {
  const { status, stderr } = await checkWindow(
    '--checks',
    '1000',
    ...brokenStore(import.meta.resolve('./support/broken-stores/revokes-all.ts')),
  );
  expect(stderr).toBe('The store never said "not revoked", not even where it was true: nothing is shown.\n');
  expect(status).toBe(3);
});

test('a store that is not there is told', async () => {
  const ended = await checkWindow('--store', 'sqlite:no-such-file');
  expect(ended).toEqual({ status: 3, stdout: '', stderr: 'store: unreachable\n' });
});

test('a process that fails ends them all', async () => {
  const script = startScript(
    'check-window',
    brokenStore(import.meta.resolve('./support/broken-stores/revokes-nothing.ts')),
  );
  expect(await script.ended).toBe(3);
  expect(script.printed.stderr).toContain('nothing is revoked here');
  expect(script.printed.stderr).toMatch(/^A process .*\.$/m);
  await script.nothingLeft();
});

test.each([
  ['--checks=0', '--checks must be a whole number from 1 to 1000000000.'],
  ['--processes=1', '--processes must be a whole number from 2 to 64.'],
  ['--store=memory:', 'The store is memory: it belongs to one process, and this command cannot reach it.'],
  ['--sotre=x', "Unknown option '--sotre'"],
])('%s is a mistake', async (option, sentence) => {
  const { status, stderr } = await checkWindow(option);
  expect(status).toBe(2);
  expect(stderr).toContain(`${sentence}\n\nnpm run check:window`);
});
