import * as z from 'zod/mini';
import { CallerError } from '../errors.ts';
import { assertBodySize, assertJsonShape, isJsonObject } from '../json.ts';
import { parseInput, refuse } from '../schema.ts';
import type { Variables } from '../settings.ts';
import { createFailure } from './failure.ts';
import type { FunctionDefinition, Transport } from './function-definition.ts';

/** A finite number, or the same written out, from 1 upwards. */
const ApiVersion = z.transform((version: unknown, context): number => {
  const number = typeof version === 'string' && /^\d{1,9}(\.\d{1,9})?$/.test(version) ? Number(version) : version;
  if (typeof number === 'number' && number >= 1 && number < Number.POSITIVE_INFINITY) return number;
  return refuse(context, 'must be a number of at least 1, or the same as text');
});

const Anything = z.optional(z.unknown());

/**
 * The envelope that every function takes in a raw call: the smart home platform's own.
 *
 * @see https://yandex.ru/dev/dialogs/smart-home/doc/en/reference/unlink-jrpc
 */
const Envelope = z.object(
  {
    headers: z.object({ authorization: Anything }, 'must be an object'),
    request_type: z.string('must be a string'),
    api_version: ApiVersion,
    payload: Anything,
  },
  'must be an object',
);

/** A raw call (`?integration=raw`): the event is what the platform made of the body; headers and status are out of reach. */
export function rawTransport<Ports>(
  event: unknown,
  definition: Pick<FunctionDefinition<Variables, Ports>, 'raw' | 'large' | 'bareRawSuccess'>,
): Transport<Ports> {
  const headers = isJsonObject(event) && isJsonObject(event.headers) ? event.headers : {};
  return {
    requestIds: 'request_id' in headers ? [headers.request_id] : [],
    header: () => undefined,

    read({ note, warn }) {
      note({ transport: 'raw' });
      const envelope = readEnvelope(event);
      const { request_type, api_version, payload } = envelope;
      const { authorization } = envelope.headers;
      // A bump of the protocol must not keep tokens alive: served, and made visible.
      if (api_version !== 1) warn({ api_version });
      const operation = Object.hasOwn(definition.raw, request_type) ? definition.raw[request_type] : undefined;
      if (operation === undefined) {
        throw new CallerError('invalid_request', 'The field request_type is not a known one.');
      }
      note({ operation: request_type });
      if (!definition.large?.includes(request_type)) assertBodySize(JSON.stringify(event));
      const fields = () => {
        if (payload === undefined) return {};
        if (isJsonObject(payload)) return payload;
        throw new CallerError('invalid_request', 'The field payload must be an object.');
      };
      return {
        operation,
        // What is neither absent nor a string is malformed, as the empty string is.
        authorization: authorization === undefined || typeof authorization === 'string' ? authorization : '',
        path: fields,
        query: () => new URLSearchParams(),
        parameters: fields,
        fields,
        text: () => JSON.stringify(payload ?? {}),
        sent: () => ({ contentType: 'application/json', body: JSON.stringify(event) }),
      };
    },

    // A raw answer is always 200: only what is thrown shows as a failure.
    encode(requestId, { status, body, failure = 'server_error' }) {
      if (status >= 500) throw createFailure(failure);
      if (definition.bareRawSuccess && status < 400) return body;
      return { request_id: requestId, status, ...(body !== undefined && { payload: body }) };
    },
  };
}

function readEnvelope(event: unknown): z.output<typeof Envelope> {
  if (!isJsonObject(event)) throw new CallerError('invalid_request', 'The body is not a JSON object.');
  // What the platform makes of a body that is empty or is not JSON.
  if (typeof event.payload === 'string' && Object.keys(event).length === 1) {
    throw new CallerError('invalid_request', 'The body is empty or is not JSON.');
  }
  assertJsonShape(event);
  return parseInput(Envelope, event);
}
