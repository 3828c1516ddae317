import type { ClientRequest, IncomingMessage } from 'node:http';
import type { RequestOptions } from 'node:https';
import { Failure } from '../errors.ts';

/** A call of another service. */
export interface OutgoingRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `https:`; `http:` to a loopback host only. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** How long the whole call may take: to find the host, connect, send, and read all of the answer. */
  readonly timeoutMs: number;
  /** The most bytes of the answer's body: 64 KB if not given. */
  readonly maxBytes?: number;
}

/** What the other service answered, whatever its status but a redirect. */
export interface OutgoingResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** The one way out: a parameter of whatever calls another service. */
export type Send = (request: OutgoingRequest) => Promise<OutgoingResponse>;

/** What went wrong on the way out: a closed list. */
export type OutgoingFault =
  | 'forbidden'
  | 'malformed'
  | 'redirected'
  | 'timed_out'
  | 'tls'
  | 'too_large'
  | 'unreachable';

/** The other service gave no answer that can be used. What it did is not known. */
export class OutgoingFailure extends Failure {
  readonly source = 'outgoing';
  readonly fault: OutgoingFault;

  constructor(fault: OutgoingFault, options?: ErrorOptions) {
    super('temporarily_unavailable', `outgoing: ${fault}`, options);
    this.fault = fault;
  }
}

const DEFAULT_MAX_BYTES = 64 * 1024;

/**
 * Sends a request over `node:https`: verified TLS, one deadline, an answer of bounded size, no redirects, no proxy of
 * the environment, no connection kept – an instance that is frozen would wake with dead ones.
 *
 * @throws {OutgoingFailure}
 */
export const send: Send = async ({ method, url, headers = {}, body, timeoutMs, maxBytes = DEFAULT_MAX_BYTES }) => {
  const { protocol, hostname } = parseUrl(url);
  const isAllowed = protocol === 'https:' || (protocol === 'http:' && isLoopback(hostname));
  if (!isAllowed) throw new OutgoingFailure('forbidden');
  const { request } = protocol === 'https:' ? await import('node:https') : await import('node:http');
  const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
  try {
    const response = await open(request, url, body, {
      method,
      agent: false,
      // Whatever the environment says.
      rejectUnauthorized: true,
      maxHeaderSize: 32 * 1024,
      headers: {
        'Accept-Encoding': 'identity',
        ...(body !== undefined && { 'Content-Length': Buffer.byteLength(body) }),
        ...headers,
      },
      signal,
    });
    const status = response.statusCode ?? 0;
    if (status >= 300 && status < 400) {
      response.destroy();
      throw new OutgoingFailure('redirected');
    }
    return { status, headers: response.headers, body: await readBody(response, maxBytes) };
  } catch (error) {
    if (error instanceof OutgoingFailure) throw error;
    // An answer that the deadline cuts off looks like one that the other side cut off.
    throw new OutgoingFailure(signal.aborted ? 'timed_out' : outgoingFault(error), { cause: error });
  }
};

function parseUrl(url: string): URL {
  try {
    return new URL(url);
  } catch (error) {
    throw new OutgoingFailure('forbidden', { cause: error });
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
}

function open(
  request: (url: string, options: RequestOptions) => ClientRequest,
  url: string,
  body: string | undefined,
  options: RequestOptions,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request(url, options).on('response', resolve).on('error', reject).end(body);
  });
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // A response without an encoding set yields buffers.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new OutgoingFailure('too_large');
    chunks.push(chunk);
  }
  if (!response.complete) throw new OutgoingFailure('unreachable');
  return Buffer.concat(chunks);
}

function outgoingFault(error: unknown): OutgoingFault {
  if (!(error instanceof Error)) return 'unreachable';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code.startsWith('HPE_')) return 'malformed';
  return /CERT|TLS|SSL|EPROTO/.test(code) ? 'tls' : 'unreachable';
}
