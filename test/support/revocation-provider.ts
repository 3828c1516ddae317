import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { startHttpServer } from './http-server.ts';

/** A provider's revocation endpoint (RFC 7009), which a test may let misbehave. */
export interface RevocationProvider {
  readonly endpoint: string;
  /** The tokens that were revoked, in their order, each once for each time that it was sent. */
  readonly revoked: string[];
  /** In place of the answer, when the tokens are revoked that are to be; undefined: it behaves. */
  misbehave: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  /** Whether what is sent is revoked although it misbehaves. */
  revokesAnyway: boolean;
  /** Called first of all at each call: to change how it behaves. */
  onCall: () => void;
  /** How many calls there were. */
  calls: number;
}

/** Starts one for a test: 200 for a token that it has not seen, `invalid_token` for one that it has revoked. */
export async function startRevocationProvider(): Promise<RevocationProvider> {
  const endpoint = await startHttpServer(async (request, response) => {
    const token = new URLSearchParams(await text(request)).get('token') ?? '';
    provider.calls += 1;
    provider.onCall();
    const isDead = provider.revoked.includes(token);
    const { misbehave } = provider;
    if (misbehave === undefined || provider.revokesAnyway) provider.revoked.push(token);
    if (misbehave !== undefined) misbehave(request, response);
    else if (isDead) response.writeHead(400).end('{"error":"invalid_token"}');
    else response.writeHead(200).end();
  });
  const provider: RevocationProvider = {
    endpoint,
    revoked: [],
    misbehave: undefined,
    revokesAnyway: false,
    onCall: () => {},
    calls: 0,
  };
  return provider;
}
