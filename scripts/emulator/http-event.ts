/** HTTP requests as events, and a function's results as HTTP responses: what both listeners have in common. */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, validateHeaderName, validateHeaderValue } from 'node:http';
import * as z from 'zod';
import type { Outcome } from './instance-pool.ts';

/** One value a name: the last. */
export type SingleValues = Record<string, string>;
export type MultiValues = Record<string, string[]>;

/** An incoming request, read as far as an event needs it. */
export interface HttpRequest {
  method: string;
  /** As sent: still percent-encoded, without the query. */
  path: string;
  requestId: string;
  headers: MultiValues;
  query: MultiValues;
  body: Buffer;
  sourceIp: string;
}

/** A response as it goes out; repeated headers are arrays. */
export interface HttpReply {
  status: number;
  headers: Record<string, string | string[]>;
  body: string | Buffer;
}

/** The part of an event that tells of the call rather than of the request. */
export interface RequestContext {
  identity: { sourceIp: string; userAgent: string };
  httpMethod: string;
  requestId: string;
  requestTime: string;
  requestTimeEpoch: number;
  authorizer?: Record<string, unknown>;
  apiGateway?: { operationContext: unknown };
}

/** Reads a request; undefined when the body is larger than `limit` bytes – the rest of it is then dropped unread. */
export async function readRequest(message: IncomingMessage, limit: number): Promise<HttpRequest | undefined> {
  const body = await readBody(message, limit);
  if (body === undefined) return undefined;
  const { path, search } = splitUrl(message.url ?? '/');
  const requestId = randomUUID();
  const address = message.socket.remoteAddress ?? '127.0.0.1';
  const headers = headersOf(message);
  headers['X-Forwarded-For'] = [[...(headers['X-Forwarded-For'] ?? []), address].join(', ')];
  headers['X-Request-Id'] ??= [requestId];
  return {
    method: message.method ?? 'GET',
    path,
    requestId,
    headers,
    query: queryOf(search),
    body,
    sourceIp: address,
  };
}

/** The path of a request's target as it was sent, and its query. */
export function splitUrl(url: string): { path: string; search: string } {
  const mark = url.indexOf('?');
  return mark === -1 ? { path: url, search: '' } : { path: url.slice(0, mark), search: url.slice(mark + 1) };
}

/** Only application/json stays text, as on the platform; all else is Base64, an empty body included. */
export function encodeBody(request: HttpRequest): { body: string; isBase64Encoded: boolean } {
  const mediaType = lastValue(request.headers, 'Content-Type')?.split(';')[0]?.trim().toLowerCase();
  const isBase64Encoded = mediaType !== 'application/json';
  return { body: request.body.toString(isBase64Encoded ? 'base64' : 'utf8'), isBase64Encoded };
}

export function requestContextOf(request: HttpRequest, now: Date): RequestContext {
  return {
    identity: { sourceIp: request.sourceIp, userAgent: lastValue(request.headers, 'User-Agent') ?? '' },
    httpMethod: request.method,
    requestId: request.requestId,
    requestTime: commonLogTime(now),
    requestTimeEpoch: Math.floor(now.getTime() / 1000),
  };
}

export function lastValues(values: MultiValues): SingleValues {
  // A name is only there with at least one value.
  return Object.fromEntries(Object.entries(values).map(([name, list]) => [name, list.at(-1) ?? '']));
}

/** The last value of a header, whose name is given in its canonical form. */
export function lastValue(headers: MultiValues, name: string): string | undefined {
  return headers[name]?.at(-1);
}

/** The cookies of a request by name. */
export function cookiesOf({ headers }: Pick<HttpRequest, 'headers'>): SingleValues {
  const pairs = (headers.Cookie ?? []).flatMap((header) => header.split(';'));
  return Object.fromEntries(
    pairs
      .map((pair) => pair.trim())
      .filter((pair) => pair.includes('='))
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

/** `values` without some names, which are compared as they are. */
export function without(values: MultiValues, names: ReadonlySet<string>): MultiValues {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !names.has(name)));
}

/** `x-request-id` as the platform spells it: `X-Request-Id`. */
export function canonicalHeaderName(name: string): string {
  return name.toLowerCase().replace(/(^|-)([a-z])/g, (letter) => letter.toUpperCase());
}

const headerValue = z.nullish(z.string());
const FunctionResponse = z.object({
  statusCode: z.nullish(z.int().min(200).max(599)),
  headers: z.nullish(z.record(z.string(), headerValue)),
  multiValueHeaders: z.nullish(z.record(z.string(), z.nullish(z.array(z.string())))),
  body: z.nullish(z.string()),
  isBase64Encoded: z.nullish(z.boolean()),
});

/** The reply to the client of a function that answered, or did not answer, an HTTP event. */
export function replyOf(outcome: Outcome): HttpReply {
  if (outcome.status !== 'returned') return failureReply(outcome);
  const response = FunctionResponse.safeParse(parseJson(outcome.body));
  if (!response.success) return malformedReply('not a valid json', outcome.body);
  const { statusCode, body, isBase64Encoded } = response.data;
  const headers = emptyValues();
  for (const [name, value] of Object.entries(response.data.headers ?? {})) {
    if (value != null) headers[canonicalHeaderName(name)] = [value];
  }
  for (const [name, list] of Object.entries(response.data.multiValueHeaders ?? {})) {
    if (list != null) headers[canonicalHeaderName(name)] = list;
  }
  const badHeader = Object.entries(headers).find(([name, list]) => !isSendable(name, list));
  if (badHeader) return malformedReply(`header ${JSON.stringify(badHeader[0])} cannot be sent`, outcome.body);
  // What is sent decides its length.
  delete headers['Content-Length'];
  return {
    status: statusCode ?? 200,
    headers,
    body: isBase64Encoded ? Buffer.from(body ?? '', 'base64') : (body ?? ''),
  };
}

/** The reply of the platform when a function did not return. */
export function failureReply(outcome: Exclude<Outcome, { status: 'returned' }>): HttpReply {
  switch (outcome.status) {
    case 'failed':
      return {
        status: 502,
        headers: { 'Content-Type': 'application/json', 'X-Function-Error': 'true' },
        body: outcome.error,
      };
    case 'timed-out':
      return errorReply(504, 'Execution timeout exceeded', 'TimeoutError');
    case 'overloaded':
      return errorReply(429, 'No node can serve the request (concurrent requests exceeded)');
  }
}

/** A function's answer that is no HTTP response; the platform echoes it. */
export function malformedReply(reason: string, payload: string): HttpReply {
  const errorMessage = `Malformed serverless function response: ${reason}`;
  return {
    status: 502,
    headers: { 'Content-Type': 'application/json', 'X-Function-Error': 'true' },
    body: JSON.stringify({ errorMessage, errorType: 'ProxyIntegrationError', payload }),
  };
}

/** An error that the platform itself makes. */
export function errorReply(status: number, errorMessage: string, errorType = 'ClientError'): HttpReply {
  return {
    status,
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ errorCode: status, errorMessage, errorType }),
  };
}

/** A server that sends what `answer` resolves to; 500 when it rejects, which is a mistake of the emulator's own. */
export function createReplyServer(answer: (message: IncomingMessage) => Promise<HttpReply>): Server {
  return createServer((message, response) => {
    const send = ({ status, headers, body }: HttpReply) => response.writeHead(status, headers).end(body);
    answer(message)
      .then(send)
      .catch((error: unknown) => send(errorReply(500, `The emulator failed: ${error}`, 'InternalError')));
  });
}

/** The value of a JSON text; undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readBody(message: IncomingMessage, limit: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    if (Number(message.headers['content-length']) > limit) resolve(undefined);
    message.on('data', (chunk: Buffer) => {
      length += chunk.length;
      // Read on without keeping anything, so that the client can read the answer.
      if (length <= limit) chunks.push(chunk);
      else resolve(undefined);
    });
    message.on('end', () => resolve(Buffer.concat(chunks)));
    message.on('error', reject);
  });
}

function headersOf(message: IncomingMessage): MultiValues {
  const headers = emptyValues();
  for (let at = 0; at < message.rawHeaders.length; at += 2) {
    const name = canonicalHeaderName(message.rawHeaders[at] ?? '');
    headers[name] ??= [];
    headers[name].push(message.rawHeaders[at + 1] ?? '');
  }
  return headers;
}

function queryOf(search: string): MultiValues {
  const query = emptyValues();
  for (const [name, value] of new URLSearchParams(search)) {
    query[name] ??= [];
    query[name].push(value);
  }
  return query;
}

/** Without a prototype: the names in it are a client's choice. */
function emptyValues(): MultiValues {
  return Object.create(null);
}

/** 26/Dec/2019:14:22:07 +0000 */
function commonLogTime(date: Date): string {
  const [, day, month, year, time] = date.toUTCString().split(' ');
  return `${day}/${month}/${year}:${time} +0000`;
}

function isSendable(name: string, values: string[]): boolean {
  try {
    validateHeaderName(name);
    for (const value of values) validateHeaderValue(name, value);
    return true;
  } catch {
    return false;
  }
}
