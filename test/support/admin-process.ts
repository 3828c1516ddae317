import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/** How the operator's command ended and what it printed. */
export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The whole environment of the command, but for the PATH and how the tests have Node started. */
export type Settings = Readonly<Record<string, string>>;

const PROGRAM = 'scripts/admin.ts';

/** What the command prints before it waits for something to be typed. */
const PROMPT = /Token: |\[y\/N\] /;

/** Runs the command as an operator does, with nothing but these settings and this standard input. */
export function runAdmin(args: readonly string[], settings: Settings, input = ''): Promise<Ended> {
  return run(process.execPath, [PROGRAM, ...args], settings, input);
}

/** The same at a terminal; what is typed is typed when the command asks. All that it prints is on `stdout`. */
export function runAdminAtTerminal(args: readonly string[], settings: Settings, typed: string): Promise<Ended> {
  const command = [process.execPath, PROGRAM, ...args];
  return process.platform === 'darwin'
    ? run('script', ['-q', '/dev/null', ...command], settings, typed, PROMPT)
    : run('script', ['-qec', command.map((word) => `'${word}'`).join(' '), '/dev/null'], settings, typed, PROMPT);
}

/** @param prompt What is waited for before the input is given; else it is given at once, and ends. */
async function run(
  program: string,
  args: readonly string[],
  settings: Settings,
  input: string,
  prompt?: RegExp,
): Promise<Ended> {
  const { PATH, NODE_OPTIONS, NODE_COMPILE_CACHE } = process.env;
  const child = spawn(program, args, { env: { PATH, NODE_OPTIONS, NODE_COMPILE_CACHE, ...settings } });
  if (prompt === undefined) child.stdin.end(input);
  else {
    let printed = '';
    child.stdout.on('data', function answer(chunk) {
      printed += chunk;
      if (!prompt.test(printed)) return;
      child.stdout.off('data', answer);
      child.stdin.write(input);
    });
  }
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { status, stdout, stderr };
}
