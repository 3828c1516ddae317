import type { IncomingMessage, Server } from 'node:http';
import {
  createReplyServer,
  encodeBody,
  errorReply,
  failureReply,
  type HttpReply,
  type HttpRequest,
  lastValues,
  malformedReply,
  readRequest,
  replyOf,
  requestContextOf,
  splitUrl,
  without,
} from './http-event.ts';
import type { InstancePool } from './instance-pool.ts';
import type { Timers } from './timers.ts';

/** The limit of a function's request JSON in bytes: 3.5 MB, as the platform's own error states it. */
const REQUEST_LIMIT = 3_670_016;

const REMOVED_REQUEST_HEADERS = new Set([
  'Expect',
  'Te',
  'Trailer',
  'Upgrade',
  'Proxy-Authenticate',
  'Authorization',
  'Connection',
  'Content-Md5',
  'Max-Forwards',
  'Server',
  'Transfer-Encoding',
  'Www-Authenticate',
  'Cookie',
]);
const REMOVED_RESPONSE_HEADERS = new Set([
  'Host',
  'Authorization',
  'User-Agent',
  'Connection',
  'Max-Forwards',
  'Cookie',
  'X-Request-Id',
  'X-Function-Id',
  'X-Function-Version-Id',
  'X-Content-Type-Options',
]);
const FORBIDDEN_RESPONSE_HEADERS = new Set(['Proxy-Authenticate', 'Transfer-Encoding', 'Via']);
const REMAPPED_RESPONSE_HEADERS = new Set(['Content-Md5', 'Date', 'Server', 'Www-Authenticate']);

export interface FunctionsListenerOptions {
  pools: Map<string, InstancePool>;
  timers: Timers;
  functionVersion: string;
  /** Whether `/healthz` says so. */
  isReady: () => boolean;
  now: () => Date;
}

/**
 * The host of direct calls: `/<function>?integration=raw`, `/<function>` as an HTTPS envelope. Two paths are the
 * emulator's own: `GET /healthz`, and `POST /_timers/<function>`, which fires a timer once (200 or 502).
 */
export function createFunctionsListener(options: FunctionsListenerOptions): Server {
  return createReplyServer((message) => answer(message, options));
}

async function answer(message: IncomingMessage, options: FunctionsListenerOptions): Promise<HttpReply> {
  const { path, search } = splitUrl(message.url ?? '/');
  const [first = '', ...rest] = path.slice(1).split('/');
  if (path === '/healthz') return health(options);
  if (first === '_timers' && rest.length === 1) return fireTimer(message, rest[0] ?? '', options);
  // Observed on the platform, where the path is the function's id.
  if (rest.length > 0) return errorReply(400, `Invalid functionID: ${path}`, 'ProxyIntegrationError');
  const pool = options.pools.get(first);
  if (pool === undefined) return errorReply(404, 'Not Found');

  const integration = new URLSearchParams(search).get('integration');
  if (integration !== null && integration !== 'raw') {
    return errorReply(400, `The emulator knows no integration=${integration}`);
  }
  const request = await readRequest(message, REQUEST_LIMIT);
  if (request === undefined) return tooLargeReply();
  const reply = await (integration === 'raw' ? callRaw(pool, request) : callEnvelope(pool, request, options.now()));
  Object.assign(reply.headers, {
    'X-Content-Type-Options': 'nosniff',
    'X-Function-Id': first,
    'X-Function-Version-Id': options.functionVersion,
    'X-Request-Id': request.requestId,
  });
  return reply;
}

/** Any method: the documentation restricts raw calls to none, and no 405 is among its status codes. */
async function callRaw(pool: InstancePool, request: HttpRequest): Promise<HttpReply> {
  const outcome = await pool.invoke(request.requestId, request.body.toString());
  if (outcome.status !== 'returned') return failureReply(outcome);
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body: outcome.body };
}

async function callEnvelope(pool: InstancePool, request: HttpRequest, now: Date): Promise<HttpReply> {
  const headers = without(request.headers, REMOVED_REQUEST_HEADERS);
  const event = JSON.stringify({
    httpMethod: request.method,
    headers: lastValues(headers),
    path: '',
    multiValueHeaders: headers,
    queryStringParameters: lastValues(request.query),
    multiValueQueryStringParameters: request.query,
    requestContext: requestContextOf(request, now),
    ...encodeBody(request),
  });
  if (Buffer.byteLength(event) > REQUEST_LIMIT) return tooLargeReply();
  const outcome = await pool.invoke(request.requestId, event);
  const reply = replyOf(outcome);
  const forbidden = Object.keys(reply.headers).find((name) => FORBIDDEN_RESPONSE_HEADERS.has(name));
  if (outcome.status === 'returned' && forbidden) {
    return malformedReply(`header ${forbidden} is not allowed`, outcome.body);
  }
  const allowed = Object.entries(reply.headers).filter(([name]) => !REMOVED_RESPONSE_HEADERS.has(name));
  reply.headers = Object.fromEntries(
    allowed.map(([name, value]) => [REMAPPED_RESPONSE_HEADERS.has(name) ? `X-Yf-Remapped-${name}` : name, value]),
  );
  return reply;
}

function health({ isReady }: FunctionsListenerOptions): HttpReply {
  const [status, text] = isReady() ? [200, 'ok'] : [503, 'starting'];
  return { status, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ status: text }) };
}

async function fireTimer(
  message: IncomingMessage,
  functionName: string,
  { timers }: FunctionsListenerOptions,
): Promise<HttpReply> {
  if (!timers.has(functionName)) return errorReply(404, `The function ${functionName} has no timer`);
  if (message.method !== 'POST') return errorReply(405, 'A timer is fired by POST');
  const outcome = await timers.fire(functionName);
  if (outcome.status !== 'returned') return { ...failureReply(outcome), status: 502 };
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body: outcome.body };
}

function tooLargeReply(): HttpReply {
  return errorReply(413, `request entity is larger than limits (${REQUEST_LIMIT})`, 'ProxyIntegrationError');
}
