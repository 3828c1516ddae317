import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/**
 * What happens to a connection. *Requests* are bytes from the store, *answers* bytes from the server:
 * - `pass`: nothing.
 * - `swallow-requests`: they go nowhere, and nobody is told. A new connection is accepted.
 * - `reset-on-request`: the next one is not passed on, the connection is reset instead.
 * - `swallow-answers`: the server does what it is asked, and nobody is told.
 * - `reset-on-answer`: the server does what it is asked, and then the connection is reset.
 * - `{ delayMs }`: each answer is late.
 * - `{ from, treatment }`: nothing before a request that matches, and from then on the treatment.
 */
export type Treatment =
  | 'pass'
  | 'swallow-requests'
  | 'reset-on-request'
  | 'swallow-answers'
  | 'reset-on-answer'
  | { readonly delayMs: number }
  | { readonly from: RegExp; readonly treatment: 'swallow-answers' | 'reset-on-answer' };

/** A TCP proxy on loopback between a store and its server. */
export interface FaultProxy {
  readonly port: number;
  /** Treats every connection, open or new, in this way from now on. */
  treat(treatment: Treatment): void;
  /** Treats the connections that are open now in this way, and no new ones. */
  treatOpen(treatment: Treatment): void;
  /** Leads new connections to another server, and resets those that are open. Returns the port of the server before. */
  leadTo(port: number): number;
  /** Resets all connections, as seen by the store before this returns. */
  cut(): void;
  /** Stops listening: whoever connects is refused. */
  refuse(): Promise<void>;
  /** Listens again, on the same port. */
  accept(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a proxy that leads to a server on loopback. */
export async function startFaultProxy(serverPort: number): Promise<FaultProxy> {
  let target = serverPort;
  let treatmentOfNew: Treatment = 'pass';
  /** By the store's end of each open connection. */
  const connections = new Map<Socket, Treatment>();

  const server = createServer((client) => {
    connections.set(client, treatmentOfNew);
    const upstream = connect(target, '127.0.0.1');
    const treatment = () => connections.get(client) ?? 'pass';
    client.on('data', (request) => {
      const how = treatment();
      if (typeof how === 'object' && 'from' in how && how.from.test(request.toString('latin1')))
        connections.set(client, how.treatment);
      if (treatment() === 'reset-on-request') client.resetAndDestroy();
      else if (treatment() !== 'swallow-requests') upstream.write(request);
    });
    upstream.on('data', (answer) => {
      const how = treatment();
      if (how === 'reset-on-answer') client.resetAndDestroy();
      else if (typeof how === 'object' && 'delayMs' in how)
        setTimeout(() => client.writable && client.write(answer), how.delayMs);
      else if (how !== 'swallow-answers') client.write(answer);
    });
    upstream.on('end', () => client.end());
    upstream.on('error', () => client.resetAndDestroy());
    client.on('error', () => {}); // `close` follows
    client.on('close', () => {
      connections.delete(client);
      upstream.destroy();
    });
  });

  async function listen(port: number): Promise<number> {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port; // a TCP server's address is never a path
  }
  function treatOpen(treatment: Treatment): void {
    for (const client of connections.keys()) connections.set(client, treatment);
  }
  function cut(): void {
    for (const client of connections.keys()) client.resetAndDestroy();
  }
  async function refuse(): Promise<void> {
    const closed = once(server, 'close');
    server.close();
    cut();
    await closed;
  }

  const port = await listen(0);
  return {
    port,
    treat(treatment) {
      treatmentOfNew = treatment;
      treatOpen(treatment);
    },
    treatOpen,
    leadTo(other) {
      const before = target;
      target = other;
      cut();
      return before;
    },
    cut,
    refuse,
    accept: async () => void (await listen(port)),
    stop: async () => {
      if (server.listening) await refuse();
    },
  };
}
