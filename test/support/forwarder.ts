import { request } from 'node:http';
import { startHttpServer } from './http-server.ts';

/** Stands between us and another server for one test: while it is down, it ends each connection at once. */
export interface Forwarder {
  readonly url: string;
  isDown: boolean;
}

/** @param target The base URL of the other server, known at the first call at the latest. */
export async function startForwarder(target: () => string): Promise<Forwarder> {
  let isDown = false;
  const url = await startHttpServer((incoming, answer) => {
    if (isDown) {
      incoming.socket.destroy();
      return;
    }
    const { host: _host, ...headers } = incoming.headers;
    const outgoing = request(`${target()}${incoming.url}`, { method: incoming.method ?? 'GET', headers });
    outgoing.on('response', (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    outgoing.on('error', () => answer.destroy());
    incoming.pipe(outgoing);
  });
  return {
    url,
    get isDown() {
      return isDown;
    },
    set isDown(value) {
      isDown = value;
    },
  };
}
