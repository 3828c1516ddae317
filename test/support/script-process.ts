import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, vi } from 'vitest';

/** A script of the project, run as a user runs it, in a process group of its own. */
export interface ScriptProcess {
  /** What it has printed so far. */
  readonly printed: { stdout: string; stderr: string };
  /** Resolves to its exit status, or to the signal that ended it, once all that it printed is here. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Resolves to the first match in what it prints, on stdout or stderr, after the match before; rejects when it ends without. */
  next(pattern: RegExp): Promise<RegExpExecArray>;
  /** Resolves once none of the processes that it started is left; rejects when one is there three seconds later. */
  nothingLeft(): Promise<void>;
  /** Sends a signal to it and to the processes that it started, as a terminal does. Returns whether any is there. */
  signal(name: NodeJS.Signals): boolean;
}

/**
 * Starts `scripts/<script>.ts` with arguments.
 *
 * @param input All of its standard input; none, if not given.
 */
export function startScript(
  script: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  input?: string,
): ScriptProcess {
  const { NODE_OPTIONS = '' } = process.env;
  const child = spawn(process.execPath, [`scripts/${script}.ts`, ...args], {
    detached: true,
    env: { ...process.env, NODE_OPTIONS: `${NODE_OPTIONS} --disable-warning=ExperimentalWarning`, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // It may end before it has read its input.
  child.stdin.on('error', () => {}).end(input);
  const printed = { stdout: '', stderr: '' };
  let unread = '';
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      printed[stream] += text;
      unread += text;
      child.emit('printed');
    });
  }
  let hasEnded = false;
  const ended = once(child, 'close').then(([status, signal]) => {
    hasEnded = true;
    child.emit('printed');
    return status ?? signal;
  });
  function signal(name: NodeJS.Signals | 0): boolean {
    try {
      return process.kill(-Number(child.pid), name);
    } catch {
      return false;
    }
  }
  return {
    printed,
    ended,
    signal,
    async nothingLeft() {
      // What it started learns of its end from a pipe that closes (esbuild), and is there until the system has buried it.
      await vi.waitFor(() => expect(signal(0)).toBe(false), { timeout: 3000, interval: 5 });
    },
    async next(pattern) {
      for (;;) {
        const match = pattern.exec(unread);
        if (match !== null) {
          unread = unread.slice(match.index + match[0].length);
          return match;
        }
        if (hasEnded) throw new Error(`it ended without ${pattern}: ${printed.stdout}${printed.stderr}`);
        await once(child, 'printed');
      }
    },
  };
}
