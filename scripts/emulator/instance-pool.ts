import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { FunctionDefinition } from './functions-file.ts';
import type { InstanceCall, InstanceMessage, InstanceSettings } from './instance.ts';
import { StartError } from './start-error.ts';
import { keepStripped } from './stripped-program.ts';

/** How a call ended. `body` is the JSON of the result, empty for none; `error` the JSON that tells of the failure. */
export type Outcome =
  | { status: 'returned'; body: string }
  | { status: 'failed'; error: string }
  | { status: 'timed-out' }
  | { status: 'overloaded' };

/** The instances of one function. */
export interface InstancePool {
  /** Starts the first instance; rejects with a StartError when the bundle does not load. */
  start(): Promise<void>;
  /**
   * Runs one call in an instance that has room, or in a new one while the limit allows it; else the call waits for room.
   * Once as many calls run and wait as the limit of requests allows, a call more is `overloaded`.
   */
  invoke(requestId: string, body: string): Promise<Outcome>;
  /** Loads the bundle anew; calls in flight end in the old one. Rejects with a StartError, and keeps the old one, when the new one does not load. */
  reload(): Promise<void>;
  /** Kills every instance; calls in flight fail. */
  close(): Promise<void>;
}

export interface InstancePoolOptions {
  definition: FunctionDefinition;
  /** The folder that holds `<name>/index.js`. */
  bundles: string;
  functionVersion: string;
  accessToken: string;
  onOutput: (line: string) => void;
}

interface PendingCall {
  timer: NodeJS.Timeout;
  end: (outcome: Outcome) => void;
}

/** A call that has no instance yet. */
interface WaitingCall {
  requestId: string;
  body: string;
  end: (outcome: Outcome) => void;
}

interface Instance {
  child: ChildProcess;
  calls: Map<number, PendingCall>;
  /** Resolves to undefined once the bundle is loaded, to the error's JSON when it cannot be. */
  loaded: Promise<string | undefined>;
  /** Takes no more calls, and ends with its last one. */
  retired: boolean;
}

const INSTANCE_PROGRAM = await keepStripped(join(import.meta.dirname, 'instance.ts'));

export function createInstancePool(options: InstancePoolOptions): InstancePool {
  const { definition, onOutput } = options;
  const { name } = definition;
  const bundle = join(options.bundles, name, 'index.js');
  const instances = new Set<Instance>();
  const waiting: WaitingCall[] = [];
  const settings: InstanceSettings = {
    bundle,
    functionName: name,
    functionVersion: options.functionVersion,
    memoryLimitInMB: String(definition.memoryMb),
    token: { access_token: options.accessToken, expires_in: 43_200, token_type: 'Bearer' },
  };
  let lastId = 0;
  let isClosed = false;

  function startInstance(): Instance {
    const child = fork(INSTANCE_PROGRAM, [JSON.stringify(settings)], {
      cwd: dirname(bundle),
      env: definition.environment,
      execArgv: [`--max-old-space-size=${Math.ceil(definition.memoryMb)}`, '--enable-source-maps'],
      // The fifth is the thaw pipe; a function sees no input of ours.
      stdio: ['ignore', 'pipe', 'pipe', 'ipc', 'pipe'],
    });
    const loaded = new Promise<string | undefined>((resolve) => {
      child.on('message', (message: InstanceMessage) => {
        if (message.type === 'loaded') resolve(undefined);
        if (message.type === 'load-failed') {
          resolve(message.error);
          abandon(instance, { status: 'failed', error: message.error });
        }
      });
      child.on('close', () => resolve(instanceError(`The instance of ${name} ended before its bundle was loaded`)));
    });
    const instance: Instance = { child, calls: new Map(), loaded, retired: false };
    instances.add(instance);
    child.on('message', (message: InstanceMessage) => {
      if ('id' in message) endCall(instance, message.id, outcomeOf(message));
    });
    // Writing to an instance that has just died is no news: 'close' tells what became of its calls.
    child.on('error', () => {});
    thawPipe(child).on('error', () => {});
    child.on('exit', () => {
      instance.retired = true;
    });
    // Unlike 'exit', this one comes after the last message and the last line of output.
    child.on('close', (code, signal) => {
      const error = instanceError(`The instance of ${name} ended with ${signal ?? `exit code ${code}`}`);
      abandon(instance, { status: 'failed', error });
    });
    // Both are there: the two are piped.
    for (const stream of [child.stdout, child.stderr]) if (stream) readLines(stream, onOutput);
    return instance;
  }

  function endCall(instance: Instance, id: number, outcome: Outcome): void {
    const call = instance.calls.get(id);
    if (call === undefined) return;
    instance.calls.delete(id);
    clearTimeout(call.timer);
    call.end(outcome);
    if (instance.retired && instance.calls.size === 0) instance.child.kill('SIGKILL');
    runWaiting();
  }

  function abandon(instance: Instance, outcome: Outcome): void {
    instance.retired = true;
    instances.delete(instance);
    for (const id of instance.calls.keys()) endCall(instance, id, outcome);
    instance.child.kill('SIGKILL');
    runWaiting();
  }

  function timeOut(instance: Instance, id: number): void {
    // First, or a call that waits would get its place.
    instance.retired = true;
    endCall(instance, id, { status: 'timed-out' });
    abandon(instance, {
      status: 'failed',
      error: instanceError(`Aborted: another call of the same instance of ${name} timed out`),
    });
  }

  function instanceForCall(): Instance | undefined {
    if (isClosed) return undefined;
    for (const instance of instances) {
      if (!instance.retired && instance.calls.size < definition.concurrency) return instance;
    }
    return instances.size < definition.instances ? startInstance() : undefined;
  }

  function runWaiting(): void {
    for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
      const instance = instanceForCall();
      if (instance === undefined) return;
      waiting.shift();
      run(next, instance);
    }
  }

  function run({ requestId, body, end }: WaitingCall, instance: Instance): void {
    lastId += 1;
    const call: InstanceCall = { id: lastId, requestId, deadlineMs: Date.now() + definition.timeoutMs, body };
    const timer = setTimeout(timeOut, definition.timeoutMs, instance, call.id);
    instance.calls.set(call.id, { timer, end });
    thawPipe(instance.child).write('.');
    instance.child.send(call, () => {});
  }

  function countRequests(): number {
    return [...instances].reduce((sum, { calls }) => sum + calls.size, waiting.length);
  }

  function invoke(requestId: string, body: string): Promise<Outcome> {
    return new Promise((resolve) => {
      if (isClosed || countRequests() >= definition.requests) return resolve({ status: 'overloaded' });
      waiting.push({ requestId, body, end: resolve });
      runWaiting();
    });
  }

  async function startLoaded(): Promise<void> {
    if (!existsSync(bundle))
      throw new StartError(
        `The bundle of the function ${name} is missing: ${bundle}. npm run build writes bundles to dist.`,
      );
    const instance = startInstance();
    const error = await instance.loaded;
    if (error === undefined) return;
    const { errorType, errorMessage } = JSON.parse(error);
    throw new StartError(`The bundle of the function ${name} does not load: ${errorType}: ${errorMessage}`);
  }

  return {
    start: startLoaded,
    invoke,
    async reload() {
      const old = [...instances];
      await startLoaded();
      for (const instance of old) {
        instance.retired = true;
        if (instance.calls.size === 0) abandon(instance, { status: 'overloaded' });
      }
    },
    async close() {
      isClosed = true;
      const closed: Outcome = { status: 'failed', error: instanceError('The emulator was closed') };
      for (const { end } of waiting.splice(0)) end(closed);
      const ends = [...instances].map(async (instance) => {
        if (instance.child.exitCode === null && instance.child.signalCode === null) {
          const end = once(instance.child, 'close');
          abandon(instance, closed);
          await end;
        }
      });
      await Promise.all(ends);
    },
  };
}

function thawPipe(child: ChildProcess): Writable {
  // Opened above as a pipe, which is a duplex stream.
  return child.stdio[4] as Writable;
}

function outcomeOf(message: Extract<InstanceMessage, { id: number }>): Outcome {
  return message.type === 'returned'
    ? { status: 'returned', body: message.body ?? '' }
    : { status: 'failed', error: message.error };
}

function instanceError(errorMessage: string): string {
  return JSON.stringify({ errorMessage, errorType: 'InstanceError' });
}

/** Not node:readline: it ends lines at a carriage return, with which the platform joins the rows of a stack. */
function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
  });
  stream.on('end', () => {
    if (rest !== '') onLine(rest);
  });
}
