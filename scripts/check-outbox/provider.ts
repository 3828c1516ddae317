/** The provider of `npm run check:outbox`: a revocation endpoint (RFC 7009) that is down when it is told to be. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

/** By which header a runner says who it is, so that it can be killed while its call is here. */
export const RUNNER_HEADER = 'x-runner';

/** Tokens that begin so are refused for good. */
export const REFUSED_PREFIX = 'refused-';

/** What the provider has seen. */
export interface Provider {
  readonly endpoint: string;
  /** The tokens that it has revoked. */
  readonly revoked: ReadonlySet<string>;
  /** How often it was called. */
  readonly calls: number;
  /** How often it was sent a token that it had revoked before. */
  readonly duplicates: number;
  isDown: boolean;
  close(): void;
}

/** How it fails while it is down: the share of each kind of answer. */
const MANNERS: readonly {
  readonly share: number;
  readonly answer: (response: ServerResponse, random: () => number) => void;
}[] = [
  {
    share: 0.6,
    answer: (response, random) =>
      void response.writeHead(503, { 'Retry-After': `${Math.ceil((2 + 6 * random()) * 3600)}` }).end(),
  },
  { share: 0.2, answer: (response) => void response.writeHead(500).end('<html>') },
  { share: 0.2, answer: (response) => void response.destroy() },
];

/**
 * Starts it on a port of its own.
 *
 * @param onCall Called with the runner's name when a call is here, before and after it has done what it does.
 */
export async function startProvider(
  random: () => number,
  onCall: (runner: string, moment: 'arrived' | 'decided') => void,
): Promise<Provider> {
  const revoked = new Set<string>();
  const counts = { calls: 0, duplicates: 0 };

  function decide(token: string): [status: number, error?: string] {
    if (token.startsWith(REFUSED_PREFIX)) return [400, 'invalid_request'];
    if (revoked.has(token)) {
      counts.duplicates += 1;
      return [400, 'invalid_token'];
    }
    revoked.add(token);
    return [200];
  }

  const server = createServer(async (request, response) => {
    try {
      const token = new URLSearchParams(await text(request)).get('token') ?? '';
      const runner = String(request.headers[RUNNER_HEADER]);
      counts.calls += 1;
      onCall(runner, 'arrived');
      if (provider.isDown) {
        chooseManner(random)(response, random);
        return;
      }
      const [status, error] = decide(token);
      onCall(runner, 'decided');
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(error && JSON.stringify({ error }));
    } catch {
      response.destroy(); // who called was killed in the middle of its request
    }
  });
  const port = await listen(server);

  const provider: Provider = {
    endpoint: `http://127.0.0.1:${port}/revoke`,
    revoked,
    get calls() {
      return counts.calls;
    },
    get duplicates() {
      return counts.duplicates;
    },
    isDown: true,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
  return provider;
}

function chooseManner(random: () => number): (response: ServerResponse, random: () => number) => void {
  let left = random();
  for (const { share, answer } of MANNERS) {
    left -= share;
    if (left < 0) return answer;
  }
  return (response) => void response.writeHead(502).end();
}

async function listen(server: Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port; // never a path
}
