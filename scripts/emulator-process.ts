import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The emulator as a user starts it, in a process of its own. */
export interface EmulatorProcess {
  readonly child: ChildProcess;
  readonly functionsUrl: string;
  readonly gatewayUrl: string;
  /** Undefined in a project without an authorization server. */
  readonly authUrl: string | undefined;
  /** Of the demo application; undefined in a project without one. */
  readonly demoUrl: string | undefined;
}

/** The options of what listens. */
export const PORT_OPTIONS = [
  'port',
  'gateway-port',
  'auth-port',
  'provider-port',
  'demo-port',
  'homeserver-port',
  'identity-port',
] as const;

/** The arguments that have everything listen on a free port. */
export const FREE_PORTS = PORT_OPTIONS.map((name) => `--${name}=0`);

const PROGRAM = fileURLToPath(new URL('./emulate.ts', import.meta.url));

/**
 * Starts it on free ports, and resolves when it has said where it runs; rejects when it ends without. Its log goes
 * nowhere.
 */
export async function startEmulatorProcess(dataDir: string, ...options: readonly string[]): Promise<EmulatorProcess> {
  const child = spawn(process.execPath, [PROGRAM, ...FREE_PORTS, `--data-dir=${dataDir}`, ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const urls = new Map<string, string>();
  for await (const line of createInterface({ input: child.stdout })) {
    const [, name, url] = /^ {2}(functions|gateway|auth|demo) +(http:\/\/[^/\s]+)/.exec(line) ?? [];
    if (name !== undefined && url !== undefined) urls.set(name, url);
    const [functionsUrl, gatewayUrl] = [urls.get('functions'), urls.get('gateway')];
    if (functionsUrl === undefined || gatewayUrl === undefined || !line.includes('Ctrl-C')) continue;
    child.stdout.resume();
    return { child, functionsUrl, gatewayUrl, authUrl: urls.get('auth'), demoUrl: urls.get('demo') };
  }
  throw new Error('the emulator ended before it said where it runs');
}

/** Ends it and waits until it is gone: by SIGINT as Ctrl-C does, by SIGKILL as a power cut would. */
export async function endEmulator({ child }: EmulatorProcess, signal: 'SIGINT' | 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}
