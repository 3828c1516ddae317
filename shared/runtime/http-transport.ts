import type * as z from 'zod/mini';
import { CallerError, type FailureCode } from '../errors.ts';
import { type Answer, type FunctionDefinition, STATUS, type Transport } from './function-definition.ts';
import { isJsonObject, type JsonObject, MAX_BODY_BYTES } from './json-limits.ts';

const FAILURE_DESCRIPTION: Readonly<Record<FailureCode, string>> = {
  misconfigured: 'The function is not configured.',
  server_error: 'The call failed.',
  temporarily_unavailable: 'The call could not be completed. Try again.',
};

/** Whether an event is an HTTP request, by the gateway or direct; a raw caller can write one too. */
export function isHttpEvent(event: unknown): event is JsonObject {
  return isJsonObject(event) && typeof event.httpMethod === 'string' && isJsonObject(event.requestContext);
}

/** A call through API Gateway (payload format 1.0), or by HTTPS without it, which is refused. */
export function httpTransport<Ports>(
  event: JsonObject,
  { gateway, errorBody }: Pick<FunctionDefinition<z.ZodMiniObject, Ports>, 'gateway' | 'errorBody'>,
): Transport<Ports> {
  const requestIds = headerValues(event, 'x-request-id');
  return {
    requestIds,

    read({ note }) {
      const isGateway = event.version === '1.0';
      note({ transport: isGateway ? 'gateway' : 'https' });
      if (!isGateway) {
        throw new CallerError(
          'invalid_token',
          'A direct HTTPS call loses its credential on the way: call with ?integration=raw or through the API Gateway.',
        );
      }
      const operationId = typeof event.operationId === 'string' ? event.operationId : '';
      const operation = Object.hasOwn(gateway, operationId) ? gateway[operationId] : undefined;
      if (operation === undefined) throw new CallerError('not_found', 'There is no such operation.');
      note({ operation: operationId });
      assertBodySize(event);
      return { operation, authorization: httpCredential(event) };
    },

    encode: encodeHttpAnswer,

    fail(requestId, code) {
      const answer = { status: STATUS[code], body: errorBody(code, FAILURE_DESCRIPTION[code]) };
      return encodeHttpAnswer(requestId, answer, code === 'temporarily_unavailable' ? { 'Retry-After': '1' } : {});
    },
  };
}

function assertBodySize({ body, isBase64Encoded }: JsonObject): void {
  const encoding = isBase64Encoded === true ? 'base64' : 'utf8';
  if (typeof body === 'string' && Buffer.byteLength(body, encoding) > MAX_BODY_BYTES) {
    throw new CallerError('payload_too_large', 'The body is larger than 256 KB.');
  }
}

/**
 * The credential of an HTTP event: its `Authorization` header, or what an authorizer handed on. Whoever writes the
 * event writes both: it is a claim to be verified, wherever it stands.
 *
 * @throws {CallerError} `invalid_token` when there are two that differ, or one that is not a string.
 */
export function httpCredential(event: JsonObject): string | undefined {
  const { authorizer } = isJsonObject(event.requestContext) ? event.requestContext : {};
  const handedOn = isJsonObject(authorizer) ? authorizer.authorization : undefined;
  const [credential, ...others] = new Set(headerValues(event, 'authorization').concat(handedOn ?? []));
  if (others.length > 0) throw new CallerError('invalid_token', 'The call carries credentials that differ.');
  if (credential !== undefined && typeof credential !== 'string') {
    throw new CallerError('invalid_token', 'The credential is not a string.');
  }
  return credential;
}

/** The values of a header in all its spellings and repetitions, each value once. */
function headerValues(event: JsonObject, name: string): unknown[] {
  const values = new Set<unknown>();
  for (const headers of [event.headers, event.multiValueHeaders]) {
    if (!isJsonObject(headers)) continue;
    for (const [key, value] of Object.entries(headers)) {
      if (key.toLowerCase() === name) for (const one of [value].flat()) values.add(one);
    }
  }
  return [...values];
}

function encodeHttpAnswer(requestId: string, { status, body }: Answer, headers: Record<string, string> = {}): object {
  return {
    statusCode: status,
    headers: {
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      'Cache-Control': 'no-store',
      // A header cannot carry every id that a body can.
      ...(/^[\x20-\x7e]+$/.test(requestId) && { 'X-Request-Id': requestId }),
      ...(status === 401 && { 'WWW-Authenticate': 'Bearer' }),
      ...headers,
    },
    body: body === undefined ? '' : JSON.stringify(body),
    isBase64Encoded: false,
  };
}
