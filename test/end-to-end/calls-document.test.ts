import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { FREE_PORTS } from '#scripts/emulator-process.ts';
import { functionsNamedBy } from '#test/infra/reachability.ts';
import { readOpenApi, readRows } from '#test/infra/terraform-files.ts';
import { type ScriptProcess, startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

/** Values that differ from call to call: of these alone the shape is compared. */
const VARYING: readonly RegExp[] = [
  /(?<="(?:grant_id|jti)":")[\w-]{43}(?=")/g,
  /(?<="(?:iat|exp)":)\d{10}(?=,)/g,
  /(?<=[?&](?:state|code_challenge)=)[\w-]{43}(?=&)/g,
];

/** Commands of the document, and the answer that it shows for them; without one they print nothing. */
interface Step {
  readonly commands: string;
  readonly answer: string;
}

const STEPS: readonly Step[] = [
  ...readFileSync('docs/calls.md', 'utf8').matchAll(/^```sh\n(.*?)^```\n(?:\n```json\n(.*?)\n```\n)?/gms),
].map(([, commands = '', answer = '']) => ({ commands, answer }));

/** The function that a step calls last, whose answer is shown. */
const calledBy = ({ commands }: Step): string =>
  [...commands.matchAll(/\/([\w-]+)\?integration=raw'/g)].at(-1)?.[1] ?? '';

const CALLS = STEPS.flatMap((step, index): [string, number][] => (step.answer === '' ? [] : [[calledBy(step), index]]));

let folder: ReturnType<typeof createTemporaryFolder>;
let emulator: ScriptProcess;
/** What the shell printed, step by step. */
let printed: readonly string[];
/** The HTTP statuses of all calls. */
let statuses: readonly string[];
/** The document's text with the ports of this emulator in place of those of `npm start`. */
let withPorts: (text: string) => string;

beforeAll(async () => {
  folder = createTemporaryFolder();
  const dataDir = join(folder.path, '.data');
  emulator = startScript('emulate', [...FREE_PORTS, `--bundles=${inject('bundles')}`, `--data-dir=${dataDir}`]);
  withPorts = await readPorts();
  // The document's lines stay as they are: what curl does besides is said in a file.
  writeFileSync(
    join(folder.path, '.curlrc'),
    'silent\nshow-error\nnoproxy = "*"\nwrite-out = "%{stderr}%{http_code}\\n"\n',
  );
  const mark = '\n-- next step\n';
  const script = STEPS.map(({ commands }) => `${withPorts(commands)}printf '${mark.replaceAll('\n', '\\n')}'`).join(
    '\n',
  );
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', script], {
    cwd: folder.path,
    env: { ...process.env, CURL_HOME: folder.path },
  });
  printed = stdout.split(mark);
  statuses = stderr.trimEnd().split('\n');
}, 30_000);

afterAll(async () => {
  emulator.signal('SIGKILL');
  await emulator.ended;
  folder.remove();
});

/** Where the emulator listens, and where it would by default, by the options' names. */
async function readPorts(): Promise<(text: string) => string> {
  const help = startScript('emulate', ['--help']);
  await help.ended;
  await emulator.next(/Ctrl-C ends it\./);
  const defaults = [...help.printed.stdout.matchAll(/\[--(?:(\w+)-)?port (\d+)\]/g)];
  const ports = new Map(
    defaults.map(([, name = 'functions', port = '']): [string, string] => {
      const listening = new RegExp(`^ {2}${name} +https?://[\\w.]+:(\\d+)`, 'm').exec(emulator.printed.stdout);
      return [port, listening?.[1] ?? `no port of ${name}`];
    }),
  );
  return (text) =>
    text.replace(/(?<=localhost:|127\.0\.0\.1:)\d+/g, (port) => ports.get(port) ?? `${port} is no port of npm start`);
}

const shapeOf = (answer: string): string => VARYING.reduce((text, value) => text.replace(value, '…'), answer);

test.each(CALLS)('%s answers what docs/calls.md shows (step %i)', (_name, index) => {
  expect(shapeOf(printed[index] ?? '')).toBe(shapeOf(withPorts(STEPS[index]?.answer ?? '')));
});

test('every call of the document has the HTTP status 200, and what prepares them prints nothing', () => {
  expect(new Set(statuses)).toEqual(new Set(['200']));
  expect(STEPS.flatMap(({ answer }, index) => (answer === '' ? [printed[index]] : [])).join('')).toBe('');
});

test('the document shows a call of each function that answers callers, and of no other', async () => {
  const { components = {} } = await readOpenApi();
  const authorizers = functionsNamedBy(components);
  const answering = Object.entries(await readRows()).filter(
    ([name, { timer }]) => timer === undefined && !authorizers.includes(name),
  );

  expect([...new Set(CALLS.map(([name]) => name))].sort()).toEqual(answering.map(([name]) => name).sort());
});
