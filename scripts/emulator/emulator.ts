import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFunctionsFile } from './functions-file.ts';
import { createFunctionsListener } from './functions-listener.ts';
import { readGatewayFile } from './gateway-file.ts';
import { createGatewayListener } from './gateway-listener.ts';
import { createInstancePool, type Outcome } from './instance-pool.ts';
import { StartError } from './start-error.ts';
import { createTimers } from './timers.ts';

export interface EmulatorOptions {
  /** Path of `functions.yaml`. */
  functionsFile: string;
  /** Path of the gateway's OpenAPI document. */
  gatewayFile: string;
  /** The folder of the built functions, holding `<name>/index.js`. */
  bundles: string;
  /** Of the functions listener; 0 takes a free one. */
  port: number;
  /** Of the gateway listener; 0 takes a free one. */
  gatewayPort: number;
  /** Values of the `${NAME}` placeholders in `local:` blocks; paths must be absolute, a function's folder is its bundle's. */
  values: Record<string, string>;
  /** Stands in place of the `/blitz` that paths of the OpenAPI document begin with; that is the default. */
  contextPrefix?: string;
  /** Whether the gateway withholds Authorization and Cookie from integrated functions; by default it does not. */
  stripCredentialHeaders?: boolean;
  /** The IAM token that functions find in their context; by default a random one. */
  accessToken?: string;
  /** Gets each line that a function prints; by default they go to stdout. */
  onOutput?: (functionName: string, line: string) => void;
  /** Functions start with their first call: quicker, but a bundle that does not load is found only then. */
  lazy?: boolean;
  /** Whether timers fire by their schedules, which they do by default; {@link Emulator.fireTimer} works all the same. */
  hasSchedules?: boolean;
  /** The gateway's clock, for its authorizer cache and the times in events. */
  now?: () => Date;
}

export interface Emulator {
  functionsUrl: string;
  gatewayUrl: string;
  /** Sends the message of a function's timer once, now, without the retries of its schedule. */
  fireTimer(functionName: string): Promise<Outcome>;
  /** Loads the bundle of one function, or of all, anew; rejects with a StartError, and keeps the old, when one does not load. */
  reload(functionName?: string): Promise<void>;
  /** Ends both listeners and all instances at once; calls in flight fail. */
  close(): Promise<void>;
}

/**
 * Starts an emulator of Yandex Cloud Functions and Yandex API Gateway on 127.0.0.1. Resolves once every function has
 * loaded and both listeners answer; rejects with a StartError otherwise, with nothing left running.
 */
export async function startEmulator(options: EmulatorOptions): Promise<Emulator> {
  const { onOutput = (_, line) => process.stdout.write(`${line}\n`), now = () => new Date() } = options;
  const definitions = readFunctionsFile(options.functionsFile, options.values);
  const names = new Set(definitions.map(({ name }) => name));
  const paths = readGatewayFile(options.gatewayFile, names, options.contextPrefix);

  // Both look like the platform's: an id that says nothing, and a token that no one else has.
  const functionVersion = `d4e${randomBytes(8).toString('hex')}`;
  const { accessToken = `t1.${randomBytes(48).toString('base64url')}` } = options;
  const pools = new Map(
    definitions.map((definition) => {
      const { name } = definition;
      const output = (line: string) => onOutput(name, line);
      const { bundles } = options;
      return [name, createInstancePool({ definition, bundles, functionVersion, accessToken, onOutput: output })];
    }),
  );

  let isReady = false;
  const timers = createTimers({ definitions, pools, onOutput });
  const functions = createFunctionsListener({ pools, timers, functionVersion, isReady: () => isReady, now });
  const gateway = createGatewayListener({
    paths,
    pools,
    stripCredentialHeaders: options.stripCredentialHeaders ?? false,
    now,
  });

  async function close(): Promise<void> {
    timers.close();
    const pending = [...pools.values()].map((pool) => pool.close());
    await Promise.all([...pending, closeServer(functions), closeServer(gateway)]);
  }

  try {
    await Promise.all([
      listen(functions, options.port),
      listen(gateway, options.gatewayPort),
      ...(options.lazy ? [] : [...pools.values()].map((pool) => pool.start())),
    ]);
  } catch (error) {
    await close();
    throw error;
  }
  if (options.hasSchedules !== false) timers.start();
  isReady = true;

  return {
    functionsUrl: urlOf(functions),
    gatewayUrl: urlOf(gateway),
    fireTimer: timers.fire,
    async reload(functionName) {
      const chosen = [...pools].filter(([name]) => functionName === undefined || name === functionName);
      await Promise.all(chosen.map(([, pool]) => pool.reload()));
    },
    close,
  };
}

async function listen(server: Server, port: number): Promise<void> {
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch (error) {
    // What `listen` fails with is a system error.
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StartError(
      code === 'EADDRINUSE' ? `Port ${port} is in use.` : `Port ${port} cannot be used: ${message}.`,
    );
  }
}

function urlOf(server: Server): string {
  // It listens on a port, not on a pipe.
  const { port } = server.address() as AddressInfo;
  return `http://127.0.0.1:${port}`;
}

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}
