import { isUtf8 } from 'node:buffer';
import { CallerError } from '../errors.ts';
import { assertBodySize, assertJsonShape, isJsonObject, type JsonObject, MAX_KEYS, parseJsonObject } from '../json.ts';
import type { Variables } from '../settings.ts';
import type { BodyKind, FunctionDefinition, Transport } from './function-definition.ts';

/** Whether an event is an HTTP request, by the gateway or direct; a raw caller can write one too. */
export function isHttpEvent(event: unknown): event is JsonObject {
  if (!isJsonObject(event) || typeof event.request_type === 'string') return false;
  return typeof event.httpMethod === 'string' && isJsonObject(event.requestContext);
}

/** A call through API Gateway (payload format 1.0), or by HTTPS without it, which is refused. */
export function httpTransport<Ports>(
  event: JsonObject,
  { gateway, large }: Pick<FunctionDefinition<Variables, Ports>, 'gateway' | 'large'>,
): Transport<Ports> {
  return {
    requestIds: requestIdsOf(event),

    header: (name) => headerOf(event, name),

    read({ note }) {
      const isGateway = event.version === '1.0';
      note({ transport: isGateway ? 'gateway' : 'https' });
      assertEventShape(event);
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
      const body = readBody(event, large?.includes(operationId) ?? false);
      const contentType = headerValues(event, 'content-type').find((value) => typeof value === 'string');
      return {
        operation,
        authorization: httpCredential(event),
        path: () => (isJsonObject(event.pathParameters) ? event.pathParameters : {}),
        query: () => readQuery(event),
        parameters: () => readParameters(event),
        fields: (kind) => readFields(body, contentType, kind),
        text: () => readText(body),
        sent: () => ({ contentType, contentEncoding: headerOf(event, 'content-encoding'), body }),
      };
    },

    encode(requestId, { status, body, headers }) {
      return {
        statusCode: status,
        headers: {
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
          'Cache-Control': 'no-store',
          // A header cannot carry every id that a body can.
          ...(/^[\x20-\x7e]+$/.test(requestId) && { 'X-Request-Id': requestId }),
          ...headers,
        },
        ...encodeBody(body),
      };
    },
  };
}

/** Bytes that text would not bring over, such as those of a compressed body, are Base64. */
function encodeBody(body: unknown): { readonly body: string; readonly isBase64Encoded: boolean } {
  if (!(body instanceof Buffer)) {
    return { body: body === undefined ? '' : JSON.stringify(body), isBase64Encoded: false };
  }
  const isBase64Encoded = !isUtf8(body);
  return { body: body.toString(isBase64Encoded ? 'base64' : 'utf8'), isBase64Encoded };
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
  const claimed = headerValues(event, 'authorization');
  const [credential, ...others] = new Set(handedOn === undefined ? claimed : [...claimed, handedOn]);
  if (others.length > 0) throw new CallerError('invalid_token', 'The call carries credentials that differ.');
  if (credential !== undefined && typeof credential !== 'string') {
    throw new CallerError('invalid_token', 'The credential is not a string.');
  }
  return credential;
}

/** What stands where a caller's request id belongs. */
export function requestIdsOf(event: JsonObject): unknown[] {
  return headerValues(event, 'x-request-id');
}

/** The value of a request header that came once. */
export function headerOf(event: JsonObject, name: string): string | undefined {
  const [value, ...others] = headerValues(event, name);
  return typeof value === 'string' && others.length === 0 ? value : undefined;
}

/**
 * Holds an event that a raw caller may have written to the limits of a body, its own body aside.
 *
 * @throws {CallerError} `invalid_request`
 */
export function assertEventShape(event: JsonObject): void {
  assertJsonShape({ ...event, body: undefined });
}

/** The values of a header in all its spellings and repetitions, each value once. */
function headerValues({ headers, multiValueHeaders }: JsonObject, name: string): unknown[] {
  const repeated = valuesByName(multiValueHeaders, name).flatMap((values) =>
    Array.isArray(values) ? values : [values],
  );
  return [...new Set([...valuesByName(headers, name), ...repeated])];
}

function valuesByName(headers: unknown, name: string): unknown[] {
  if (!isJsonObject(headers)) return [];
  const names = Object.keys(headers);
  // More than any call has: it is refused (assertEventShape), and not searched.
  if (names.length > MAX_KEYS) return [];
  return names.filter((key) => key.toLowerCase() === name).map((key) => headers[key]);
}

/** The bytes of a body, or the text that the platform has made of them. */
function readBody({ body, isBase64Encoded }: JsonObject, isLarge: boolean): Buffer | string {
  if (typeof body !== 'string') return '';
  const encoding = isBase64Encoded === true ? 'base64' : 'utf8';
  if (!isLarge) assertBodySize(body, encoding);
  if (encoding === 'utf8') return body;
  const bytes = Buffer.from(body, encoding);
  // Node skips what is not base64; only what encodes to the same again was. Missing padding is fine.
  if (!bytes.toString('base64').startsWith(body)) throw new CallerError('invalid_request', 'The body is not base64.');
  return bytes;
}

/**
 * The text of a body, with a byte order mark if it has one: neither JSON nor a form may begin so (RFC 8259, section 8.1), and
 * the platform's parser does not take it in a raw call either. Of bytes that are not UTF-8 the platform has made U+FFFD
 * where it has made text of them: there the character itself is refused too, for nobody can tell whether the caller wrote it.
 *
 * @throws {CallerError} `invalid_request`
 */
function readText(body: Buffer | string): string {
  const isText = typeof body === 'string';
  if (isText ? body.includes('\ufffd') || !body.isWellFormed() : !isUtf8(body)) {
    const hint = isText ? ', or holds U+FFFD, which must be escaped: in JSON as \\ufffd' : '';
    throw new CallerError('invalid_request', `The body is not UTF-8${hint}.`);
  }
  return body.toString();
}

function readQuery({ multiValueQueryStringParameters }: JsonObject): URLSearchParams {
  const query = new URLSearchParams();
  if (!isJsonObject(multiValueQueryStringParameters)) return query;
  for (const [name, values] of Object.entries(multiValueQueryStringParameters)) {
    for (const value of [values].flat()) {
      // Only a raw caller can have written anything else, such as an object that cannot be made text.
      if (typeof value !== 'string') throw new CallerError('invalid_request', 'The query is not text.');
      query.append(name, value);
    }
  }
  return query;
}

/** Those of the path win: they say what the call is about. */
function readParameters(event: JsonObject): JsonObject {
  const query = readQuery(event);
  const single = Object.fromEntries(query);
  // Which of two was meant is not for us to say.
  if (Object.keys(single).length !== query.size) {
    throw new CallerError('invalid_request', 'The query names a parameter twice.');
  }
  return { ...single, ...(isJsonObject(event.pathParameters) && event.pathParameters) };
}

const MEDIA_TYPE: Readonly<Record<BodyKind, string>> = {
  form: 'application/x-www-form-urlencoded',
  json: 'application/json',
};

function readFields(body: Buffer | string, contentType: string | undefined, kind: BodyKind): JsonObject {
  if (kind === 'json' && body.length === 0) return {};
  if (contentType?.split(';')[0]?.trim().toLowerCase() !== MEDIA_TYPE[kind]) {
    throw new CallerError('invalid_request', `The body is not ${MEDIA_TYPE[kind]}.`);
  }
  const text = readText(body);
  if (kind === 'json') return parseJsonObject(text);
  const pairs = [...new URLSearchParams(text)];
  const fields = new Map(pairs);
  // RFC 6749, section 3.2: a parameter must not be repeated.
  if (fields.size !== pairs.length) throw new CallerError('invalid_request', 'The body names a parameter twice.');
  return Object.fromEntries(fields);
}
