import type { ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { Socket } from 'node:net';
import { closeServer, listenOnLoopback } from '#scripts/authorization-server/listen.ts';
import type { Certificates } from '#scripts/matrix/certificates.ts';
import { fieldsOf, type JsonCall, readCall } from '#scripts/matrix/json-call.ts';

/** An answer of a test's own: an object is sent as JSON, a text or bytes as they are; without one the body is empty. */
export interface OwnAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object | string | null;
}

/** What an identity server does with a call, besides answering it properly. */
export type Misbehaviour = OwnAnswer | keyof typeof MISBEHAVIOURS;

/** What a test may have answered as it likes. */
export type Operation = 'unbind' | 'bind' | 'getValidated3pid';

/** A running server. */
export interface MisbehavingIdentityServer {
  readonly url: string;
  /** As `id_server` names it. */
  readonly name: string;
  /** What has arrived. */
  readonly requests: JsonCall[];
  /** How many connections have been opened. */
  readonly connections: number;
  /** From now on this is answered. */
  answer(misbehaviour: Misbehaviour, operation?: Operation): void;
  /** From now on all is answered properly. */
  behave(): void;
  close(): Promise<void>;
}

/** The address whose session everything is about, as the server proves it. */
export const PROVED_THREEPID = { medium: 'email', address: 'ann@example.test' } as const;

const DRIP_MS = 20;
const GIGABYTE = 2 ** 30;
const CHUNK = Buffer.alloc(65_536, 'x');
const JSON_TYPE = 'Content-Type: application/json';

const MISBEHAVIOURS = {
  /** Ends the connection in place of an answer. */
  reset: (socket) => void socket.destroy(),
  /** Ends it after the head and half of the body. */
  'reset in body': (socket) => void socket.write(`${head('Content-Length: 100')}{"half":`, () => socket.destroy()),
  /** Never answers. */
  hang() {},
  /** Ends the answer, with all that TLS has to say, before it has as many bytes as it said. */
  truncate: (socket) => void socket.end(`${head('Content-Length: 100')}{}`),
  /** A byte of the body now and then, for ever. */
  drip(socket) {
    socket.write(`${head(JSON_TYPE)}{`);
    drip(socket, ' ');
  },
  /** A byte of the head now and then, for ever. */
  'drip headers'(socket) {
    socket.write('HTTP/1.1 200 OK\r\nX-Drip: ');
    drip(socket, 'x');
  },
  /** A gigabyte of JSON. */
  endless(socket) {
    socket.write(`${head(JSON_TYPE)}{"x":"`);
    pour(socket, GIGABYTE);
  },
  /** Ten thousand interim answers, then a proper one. */
  'interim answers': (socket) =>
    void socket.end(`${'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(10_000)}${head(JSON_TYPE)}{}`),
  /** A head of 64 KB, then a proper body. */
  'large head': (socket) => void socket.end(`${head(`${JSON_TYPE}\r\nX-Large: ${'x'.repeat(65_536)}`)}{}`),
} satisfies Record<string, (socket: Socket) => void>;

/**
 * Starts an identity server for tests: it verifies nothing, says yes to everything, and misbehaves on demand.
 *
 * @param tls Settings of TLS beside the certificates, such as a version that nobody should speak.
 */
export async function startMisbehavingIdentityServer(
  certificates: Certificates,
  tls: { readonly minVersion?: 'TLSv1'; readonly maxVersion?: 'TLSv1'; readonly ciphers?: string } = {},
): Promise<MisbehavingIdentityServer> {
  const requests: JsonCall[] = [];
  const misbehaviours = new Map<string, Misbehaviour>();
  let connections = 0;

  const http = createServer({ cert: certificates.certificate, key: certificates.key, ...tls }, (request, response) => {
    readCall(request)
      .then((call) => {
        requests.push(call);
        const operation = call.path.split('/').at(-1) ?? '';
        misbehave(response, misbehaviours.get(operation) ?? properAnswer(call));
      })
      // The client has gone before its request was whole.
      .catch(() => response.destroy());
  });
  http.on('connection', () => {
    connections += 1;
  });
  const port = await listenOnLoopback(http, 0);
  return {
    url: `https://localhost:${port}`,
    name: `localhost:${port}`,
    requests,
    get connections() {
      return connections;
    },
    answer: (misbehaviour, operation = 'unbind') => void misbehaviours.set(operation, misbehaviour),
    behave: () => misbehaviours.clear(),
    close: () => closeServer(http),
  };
}

function properAnswer(call: JsonCall): Misbehaviour {
  const { mxid } = fieldsOf(call);
  if (call.path.endsWith('/3pid/bind')) {
    return { status: 200, body: { ...PROVED_THREEPID, mxid, ts: 0, not_before: 0, not_after: 1, signatures: {} } };
  }
  if (call.path.endsWith('/3pid/getValidated3pid')) {
    return { status: 200, body: { ...PROVED_THREEPID, validated_at: 0 } };
  }
  return { status: 200, body: {} };
}

function misbehave(response: ServerResponse, misbehaviour: Misbehaviour): void {
  if (typeof misbehaviour === 'object') send(response, misbehaviour);
  // It is there until the answer has ended.
  else if (response.socket !== null) MISBEHAVIOURS[misbehaviour](response.socket);
}

function send(response: ServerResponse, { status, headers = {}, body }: OwnAnswer): void {
  const isSentAsItIs = body === undefined || typeof body === 'string' || Buffer.isBuffer(body);
  response.writeHead(status, { ...(!isSentAsItIs && { 'Content-Type': 'application/json' }), ...headers });
  response.end(isSentAsItIs ? body : JSON.stringify(body));
}

function head(header: string): string {
  return `HTTP/1.1 200 OK\r\n${header}\r\nConnection: close\r\n\r\n`;
}

function drip(socket: Socket, byte: string): void {
  const timer = setInterval(() => socket.write(byte), DRIP_MS);
  socket.on('close', () => clearInterval(timer));
}

/** Writes so many bytes, as fast as they are read. */
function pour(socket: Socket, bytes: number): void {
  if (bytes <= 0) return void socket.end('"}');
  if (socket.destroyed) return;
  socket.write(CHUNK, () => pour(socket, bytes - CHUNK.length));
}
