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

/** A port that is free now: for what must be known by its URL before it listens. */
export async function findFreePort(): Promise<number> {
  const server = createServer();
  const port = await listenOnLoopback(server, 0);
  await closeServer(server);
  return port;
}
