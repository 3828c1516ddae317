import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { inject } from 'vitest';

/** The emulator as a user starts it, in a process of its own. */
export interface EmulatorProcess {
  readonly child: ChildProcess;
  readonly functionsUrl: string;
  readonly gatewayUrl: string;
}

/** Starts it on free ports with the built functions, and waits until it says where it runs. */
export async function startEmulatorProcess(dataDir: string): Promise<EmulatorProcess> {
  const child = spawn(
    process.execPath,
    ['scripts/emulate.ts', '--port=0', '--gateway-port=0', `--data-dir=${dataDir}`, `--bundles=${inject('bundles')}`],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let functionsUrl: string | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    functionsUrl ??= /^ {2}functions +(http:\/\/[^/\s]+)/.exec(line)?.[1];
    const gatewayUrl = /^ {2}gateway +(http:\S+)/.exec(line)?.[1];
    if (functionsUrl === undefined || gatewayUrl === undefined) continue;
    child.stdout.resume();
    return { child, functionsUrl, gatewayUrl };
  }
  throw new Error('the emulator ended before it said where it runs');
}

/** Kills it as a power cut would, and waits until it is gone. */
export async function killEmulator({ child }: EmulatorProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
