import type { ClientRequest, IncomingMessage } from 'node:http';
import type { RequestOptions } from 'node:https';
import { decodeContent } from '../content-coding.ts';
import { Failure } from '../errors.ts';

/** A call of another service. */
export interface OutgoingRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `https:`; `http:` to a loopback host only. */
  readonly url: string;
  /** The URL is of a remote document, not of settings: the call goes by `https:` to public addresses alone. */
  readonly isPublicOnly?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
  /** The trace that the call is a part of: only for our own services, never for a provider or a host that a user names. */
  readonly traceparent?: string | undefined;
  /** How long the whole call may take: to find the host, connect, send, and read all of the answer. 0: nothing is sent. */
  readonly timeoutMs: number;
  /** Ends the call when it is aborted, for a caller that no longer needs the answer. The fault is `timed_out`. */
  readonly signal?: AbortSignal | undefined;
  /** Authorities, in PEM, that the other side's certificate may be of besides those that Node trusts. */
  readonly certificates?: string | undefined;
  /** The most bytes of the answer's body, decoded: 64 KB if not given. */
  readonly maxBytes?: number;
  /** Leaves the answer's body as it is coded, to be passed on with its `Content-Encoding`. */
  readonly keepsCodings?: boolean;
}

/**
 * What the other service answered, whatever its status but a redirect. The body is decoded, and there is no
 * `content-encoding` among the headers, unless {@link OutgoingRequest.keepsCodings} is set.
 */
export interface OutgoingResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** The address that it came from, if that is known. */
  readonly address?: string | undefined;
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
/** What may come over a connection beside a body: headers, and what frames chunks, which may hold text of no use. */
const MAX_OVERHEAD_BYTES = 1024 * 1024;
/** Answers before the answer, such as 103: a few are usual, a flood of them is not. */
const MAX_INTERIM_ANSWERS = 16;

/** Where a call may go, and what its connection is told beside. */
export interface Route {
  readonly url: URL;
  readonly connection?: RequestOptions;
}

/**
 * Says where a call may go. The time that it takes is the call's.
 *
 * @param signal Aborted at the call's deadline, or with the request.
 * @param isPublicOnly See {@link OutgoingRequest.isPublicOnly}.
 * @throws {OutgoingFailure} `forbidden`: nowhere.
 */
export type FindRoute = (url: string, signal: AbortSignal, isPublicOnly: boolean) => Route | Promise<Route>;

/** How long a call may take to get somewhere, from when its socket is asked for. */
export interface StageLimits {
  /** To find the host's end and agree on TLS with it. */
  readonly connectMs: number;
  /** To get the status and the headers of the answer. */
  readonly headMs: number;
}

/**
 * A {@link Send} over `node:https`: verified TLS, one deadline, an answer of bounded size, decoded, no redirects, no
 * proxy of the environment, no connection kept – an instance that is frozen would wake with dead ones. It rejects with
 * an {@link OutgoingFailure}.
 */
export function createSend(findRoute: FindRoute, limits?: StageLimits): Send {
  return async (request) => {
    const signal = deadlineOf(request);
    try {
      const route = await Promise.race([
        findRoute(request.url, signal, request.isPublicOnly ?? false),
        abortion(signal),
      ]);
      const response = await answerOf(open(request, route, signal), request.body, limits);
      // Before the body is read: a socket that has ended does not know it any more.
      const { remoteAddress: address } = response.socket;
      const status = response.statusCode ?? 0;
      if (status >= 300 && status < 400) {
        response.destroy();
        throw new OutgoingFailure('redirected');
      }
      const answer = await readAnswer(response, request);
      // What the deadline cuts off is whole where only the end of the connection tells the end.
      signal.throwIfAborted();
      return { status, ...answer, address };
    } catch (error) {
      // An answer that the deadline cuts off looks like one that the other side cut off.
      if (signal.aborted) throw new OutgoingFailure('timed_out', { cause: error });
      throw error instanceof Failure ? error : new OutgoingFailure(outgoingFault(error), { cause: error });
    }
  };
}

/**
 * Makes a {@link Send} to what settings name: `https:`, or `http:` to this machine. See {@link createSend}.
 *
 * @param findPublicRoute Says where a request that is `isPublicOnly` may go: nowhere if not given.
 */
export function createServiceSend(findPublicRoute?: (url: URL, signal: AbortSignal) => Promise<Route>): Send {
  return createSend((text, signal, isPublicOnly) => {
    const url = URL.parse(text);
    if (url !== null && isPublicOnly && findPublicRoute !== undefined) return findPublicRoute(url, signal);
    const isAllowed = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
    if (url === null || isPublicOnly || !isAllowed) throw new OutgoingFailure('forbidden');
    return { url };
  });
}

/** Sends a request to what settings name. See {@link createServiceSend}. */
export const send: Send = createServiceSend();

function isLoopback(hostname: string): boolean {
  return /^(localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
}

/** @throws {OutgoingFailure} `timed_out`: no time is left. What is sent so late may be done, and nobody would hear of it. */
function deadlineOf({ timeoutMs, signal }: OutgoingRequest): AbortSignal {
  if (timeoutMs <= 0) throw new OutgoingFailure('timed_out');
  const deadline = AbortSignal.timeout(Math.ceil(timeoutMs));
  return signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
}

function abortion(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function open(
  { method, headers = {}, body, traceparent, certificates }: OutgoingRequest,
  { url, connection }: Route,
  signal: AbortSignal,
): ClientRequest {
  // On demand and not imported: a function that asks nobody must not pay for loading it.
  const { request }: Pick<typeof import('node:https'), 'request'> = process.getBuiltinModule(
    url.protocol === 'https:' ? 'node:https' : 'node:http',
  );
  const ca = certificates && [...process.getBuiltinModule('node:tls').rootCertificates, certificates];
  return request(url, {
    ...connection,
    method,
    agent: false,
    // Whatever the environment says.
    rejectUnauthorized: true,
    ...(ca && { ca }),
    maxHeaderSize: 32 * 1024,
    headers: {
      'Accept-Encoding': 'identity',
      ...(body !== undefined && { 'Content-Length': Buffer.byteLength(body) }),
      ...(traceparent !== undefined && { traceparent }),
      ...headers,
    },
    signal,
  });
}

function answerOf(call: ClientRequest, body?: string | Buffer, limits?: StageLimits): Promise<IncomingMessage> {
  let interimAnswers = 0;
  if (limits !== undefined) limitStages(call, limits);
  return new Promise((resolve, reject) => {
    call
      .on('response', resolve)
      .on('error', reject)
      // Without any of the two, after 101.
      .on('close', () => reject(new OutgoingFailure('unreachable')))
      .on('information', () => {
        interimAnswers += 1;
        if (interimAnswers > MAX_INTERIM_ANSWERS) call.destroy(new OutgoingFailure('too_large'));
      })
      .end(body);
  });
}

/** By timers: what counts from the last byte, as a socket's own timeout does, is put off by every byte. */
function limitStages(call: ClientRequest, { connectMs, headMs }: StageLimits): void {
  const expire = () => call.destroy(new OutgoingFailure('timed_out'));
  const connecting = setTimeout(expire, connectMs);
  const waiting = setTimeout(expire, headMs);
  call.on('socket', (socket) => socket.on('secureConnect', () => clearTimeout(connecting)));
  call.on('response', () => clearTimeout(waiting));
  call.on('close', () => {
    clearTimeout(connecting);
    clearTimeout(waiting);
  });
}

/** The headers and the body of an answer, decoded unless the request wants it as it is. */
async function readAnswer(
  response: IncomingMessage,
  { maxBytes = DEFAULT_MAX_BYTES, keepsCodings }: OutgoingRequest,
): Promise<Pick<OutgoingResponse, 'headers' | 'body'>> {
  const { 'content-encoding': coding, ...headers } = response.headers;
  if (!coding || keepsCodings) {
    return { headers: response.headers, body: await readBody(response, maxBytes) };
  }
  // The limit is for what is decoded. Coded, that may be larger by a little.
  const body = await readBody(response, maxBytes + MAX_OVERHEAD_BYTES);
  try {
    return { headers, body: decodeContent(body, coding, maxBytes) };
  } catch (cause) {
    throw new OutgoingFailure(cause instanceof RangeError ? 'too_large' : 'malformed', { cause });
  }
}

async function readBody(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  // A response without an encoding set yields buffers.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes || response.socket.bytesRead > maxBytes + MAX_OVERHEAD_BYTES)
      throw new OutgoingFailure('too_large');
    chunks.push(chunk);
  }
  if (!response.complete) throw new OutgoingFailure('unreachable');
  return Buffer.concat(chunks);
}

function outgoingFault(error: unknown): OutgoingFault {
  if (!(error instanceof Error)) return 'unreachable';
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code.startsWith('HPE_')) return 'malformed';
  // Of a name server, and of a host: as slow as one that the deadline ends.
  if (code === 'ETIMEOUT' || code === 'ETIMEDOUT') return 'timed_out';
  return /CERT|TLS|SSL|EPROTO|UNABLE_TO_VERIFY/.test(code) ? 'tls' : 'unreachable';
}
