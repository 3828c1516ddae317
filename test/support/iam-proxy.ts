import { once } from 'node:events';
import { Agent, createServer, type IncomingHttpHeaders, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import aws4 from 'aws4';
import { DYNAMODB_CREDENTIALS } from './dynamodb-server.ts';
import { inYdbDialect } from './ydb-dialect.ts';

/** A request of the DynamoDB API on its way to the server. */
export interface ApiRequest {
  readonly action: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: IncomingHttpHeaders;
}

/** An answer on its way back. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  /** The content coding that the body is sent in: what the header says, and what makes it. */
  readonly coding?: readonly [name: string, encode: (body: Buffer) => Buffer];
}

/** What a proxy does with a request. Without an answer the connection is reset. */
export type Handle = (
  request: ApiRequest,
  forward: (body?: object) => Promise<ApiAnswer>,
) => Promise<ApiAnswer | undefined>;

/** A proxy in front of the server: `url` is a store URL that names no table yet. */
export interface DynamodbProxy {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Stands in for YDB in front of a server that knows signatures only: a request passes with `Authorization: Bearer <token>`
 * and goes on signed, and both speak YDB's dialect ({@link inYdbDialect}).
 *
 * @param handle Comes between behind the dialect: what it answers is translated.
 */
export function startIamProxy(
  serverUrl: string,
  token: string,
  handle: Handle = (_request, forward) => forward(),
): Promise<DynamodbProxy> {
  return startDynamodbProxy(serverUrl, 'auth=iam', inYdbDialect(token, handle));
}

/** A proxy that signs each request anew, for a test to come between. */
export async function startDynamodbProxy(serverUrl: string, auth: string, handle: Handle): Promise<DynamodbProxy> {
  const server = new URL(serverUrl.replace('dynamodb+', ''));
  const agent = new Agent({ keepAlive: true });

  async function forward(action: string, content: object): Promise<ApiAnswer> {
    const body = JSON.stringify(content);
    const target = {
      host: server.hostname,
      port: server.port,
      path: server.pathname,
      method: 'POST',
      service: 'dynamodb',
      region: server.searchParams.get('region') ?? 'local',
      headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `DynamoDB_20120810.${action}` },
      body,
    };
    const { headers } = aws4.sign(target, DYNAMODB_CREDENTIALS);
    const outgoing = request({ ...target, headers: headers ?? {}, agent }).end(body);
    const [answer] = await once(outgoing, 'response');
    return { status: answer.statusCode, body: JSON.parse(await text(answer)) };
  }

  const proxy = createServer(async (incoming, outgoing) => {
    const action = String(incoming.headers['x-amz-target']).replace('DynamoDB_20120810.', '');
    const body = JSON.parse(await text(incoming));
    const answer = await handle({ action, body, headers: incoming.headers }, (other) => forward(action, other ?? body));
    if (answer === undefined) incoming.socket.resetAndDestroy();
    else {
      const [name, encode] = answer.coding ?? [undefined, (bytes: Buffer) => bytes];
      outgoing
        .writeHead(answer.status, {
          'content-type': 'application/x-amz-json-1.0',
          ...(name !== undefined && { 'content-encoding': name }),
        })
        .end(encode(Buffer.from(JSON.stringify(answer.body))));
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  // A TCP server's address is never a path.
  const { port } = proxy.address() as AddressInfo;
  return {
    url: `dynamodb+http://127.0.0.1:${port}/?region=local&${auth}`,
    stop: async () => {
      const closed = once(proxy, 'close');
      proxy.close();
      proxy.closeAllConnections();
      await closed;
      agent.destroy();
    },
  };
}

/** An error as the API answers it. */
export function apiError(status: number, type: string, more: Readonly<Record<string, unknown>> = {}): ApiAnswer {
  return { status, body: { __type: `com.amazonaws.dynamodb.v20120810#${type}`, message: 'no', ...more } };
}
