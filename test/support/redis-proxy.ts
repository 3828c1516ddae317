import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A command and its arguments. */
type Command = readonly string[];

/**
 * Starts a proxy in front of a Redis server for one test. It changes what the server is asked, so that the server itself
 * answers as another one would: what a hosted Redis answers is not to be had otherwise.
 *
 * @param change Returns the command to send in place of the one that came.
 * @returns The URL of the proxy: the server's, with another port.
 */
export async function startRedisProxy(serverUrl: string, change: (command: Command) => Command): Promise<string> {
  const { hostname, port: serverPort } = new URL(serverUrl);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(serverPort), hostname);
    let unread = '';
    client.setEncoding('latin1').on('data', (data) => {
      unread += data;
      for (;;) {
        const read = readCommand(unread);
        if (read === undefined) return;
        unread = unread.slice(read.length);
        upstream.write(writeCommand(change(read.command)), 'latin1');
      }
    });
    upstream.pipe(client);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {}); // its end is what counts
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // never a path
  return Object.assign(new URL(serverUrl), { port: String(port) }).href;
}

/** A command that the server answers with this error. */
export function failWith(message: string): Command {
  return ['EVAL', 'return redis.error_reply(ARGV[1])', '0', message];
}

/** The first command of a stream of arrays of bulk strings (RESP2), and its length; none, if it is not all there. */
function readCommand(text: string): { command: Command; length: number } | undefined {
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return undefined;
  const command: string[] = [];
  let at = head[0].length;
  for (let index = 0; index < Number(head[1]); index += 1) {
    const size = /^\$(\d+)\r\n/.exec(text.slice(at, at + 16));
    if (size === null) return undefined;
    const from = at + size[0].length;
    at = from + Number(size[1]) + 2;
    if (text.length < at) return undefined;
    command.push(text.slice(from, at - 2));
  }
  return { command, length: at };
}

function writeCommand(command: Command): string {
  return [`*${command.length}`, ...command.flatMap((part) => [`$${part.length}`, part]), ''].join('\r\n');
}
