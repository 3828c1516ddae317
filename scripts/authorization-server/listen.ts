import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { StartError } from '../emulator/start-error.ts';

/**
 * Has a server listen on 127.0.0.1, and resolves to its port.
 *
 * @param port 0 takes a free one.
 * @throws {StartError}
 */
export async function listenOnLoopback(server: Server | TlsServer, port: number): Promise<number> {
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  } catch (error) {
    // What `listen` fails with is a system error.
    const { code, message } = error as NodeJS.ErrnoException;
    const fault = code === 'EADDRINUSE' ? 'is in use' : `cannot be used: ${message}`;
    throw new StartError(`Port ${port} ${fault}.`, { cause: error });
  }
  // It listens on a port, not on a pipe.
  return (server.address() as AddressInfo).port;
}

/** Closes a server at once, calls in flight with it. */
export async function closeServer(server: Server | TlsServer): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

/** Where no system takes the ports from that it gives to whoever asks for any, or to outgoing connections. */
const FIRST_PORT = 10_000;
const LAST_PORT = 32_767;
const MAX_ATTEMPTS = 50;

/**
 * A port that is free now, and given to nobody who does not name it: for what must be known before it listens.
 *
 * @throws {StartError}
 */
export async function findFreePort(): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    const server = createServer();
    try {
      const port = await listenOnLoopback(server, randomInt(FIRST_PORT, LAST_PORT + 1));
      await closeServer(server);
      return port;
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error;
    }
  }
}
