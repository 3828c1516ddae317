import * as z from 'zod/mini';
import { type AuthorizePorts, isAuthorized } from '../access-token/authorize.ts';
import { CallerError } from '../errors.ts';
import { jsonOf } from '../outgoing/json.ts';
import { OutgoingFailure, type OutgoingRequest, type OutgoingResponse, type Send } from '../outgoing/send.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import type { Settings } from '../settings.ts';

/** The provider's own service, which answers what is not `unlink`. */
export const FulfilmentEnvironment = {
  /** Of raw calls: called with the same JSON. */
  FULFILMENT_URL: z.optional(ServiceUrl),
  /** Of REST calls: the base in front of `/v1.0/user/devices…`. */
  FULFILMENT_REST_URL: z.optional(ServiceUrl),
};

/** What passing a call on needs. */
export interface ForwardPorts extends AuthorizePorts {
  readonly send: Send;
  readonly fulfilment: Settings<typeof FulfilmentEnvironment>;
}

/** A call to be passed on. */
export interface ForwardRequest {
  readonly requestId: string;
  readonly authorization: string | undefined;
  /** The trace of the call, for our own services. */
  readonly traceparent?: string | undefined;
  readonly remainingMs: () => number;
  readonly note: (fields: Record<string, unknown>) => void;
  readonly sent: () => {
    readonly contentType: string | undefined;
    readonly contentEncoding?: string | undefined;
    readonly body: string | Buffer;
  };
}

/** The most bytes that the platform lets an answer have. */
const MAX_RAW_BYTES = 3_670_016;
const MAX_REST_BYTES = 2_621_440;

/**
 * Passes a raw call (`discovery`, `query`, `action`) on to the provider's function, once its token verifies and is not
 * revoked, and returns the JSON that it answers.
 *
 * @throws {CallerError} `unsupported_request_type` where there is no such function, `invalid_token`
 * @throws {OutgoingFailure} The provider's function did not answer with a success.
 */
export async function forwardRaw(request: ForwardRequest, ports: ForwardPorts): Promise<unknown> {
  const url = ports.fulfilment.FULFILMENT_URL;
  if (url === undefined) {
    throw new CallerError('unsupported_request_type', 'This function does not answer that request_type.');
  }
  const response = await forward({ method: 'POST', url, maxBytes: MAX_RAW_BYTES }, request, ports);
  if (response.status < 200 || response.status > 299) throw new OutgoingFailure('malformed');
  return jsonOf(response);
}

/** The REST operations that are passed on, by name. Not the path of the event: whoever writes the event writes it. */
const REST_OPERATIONS = {
  devices: { method: 'GET', path: '/v1.0/user/devices' },
  query: { method: 'POST', path: '/v1.0/user/devices/query' },
  action: { method: 'POST', path: '/v1.0/user/devices/action' },
} as const;

/**
 * Passes a REST call on to the provider's server, once its token verifies and is not revoked. The answer's body is as
 * the server has coded it (`content-encoding`).
 *
 * @throws {CallerError} `not_found` where there is no such server, `invalid_token`
 * @throws {OutgoingFailure} The provider's server did not answer.
 */
export async function forwardRest(
  operation: keyof typeof REST_OPERATIONS,
  request: ForwardRequest,
  ports: ForwardPorts,
): Promise<OutgoingResponse> {
  const base = ports.fulfilment.FULFILMENT_REST_URL;
  if (base === undefined) throw new CallerError('not_found', 'There is no such operation.');
  const { method, path } = REST_OPERATIONS[operation];
  const url = base.replace(/\/$/, '') + path;
  return await forward({ method, url, maxBytes: MAX_REST_BYTES, keepsCodings: true }, request, ports);
}

async function forward(
  to: Pick<OutgoingRequest, 'method' | 'url' | 'maxBytes' | 'keepsCodings'>,
  request: ForwardRequest,
  ports: ForwardPorts,
): Promise<OutgoingResponse> {
  if (!(await isAuthorized(request, ports))) {
    throw new CallerError('invalid_token', 'The token is not valid, or it is revoked.');
  }
  const { contentType, contentEncoding, body } = request.sent();
  return await ports.send({
    ...to,
    headers: {
      Authorization: request.authorization ?? '',
      // A header cannot carry every id that a body can.
      'X-Request-Id': /^[\x20-\x7e]+$/.test(request.requestId) ? request.requestId : encodeURI(request.requestId),
      ...(contentType !== undefined && { 'Content-Type': contentType }),
      ...(contentEncoding !== undefined && { 'Content-Encoding': contentEncoding }),
    },
    ...(to.method === 'POST' && { body }),
    traceparent: request.traceparent,
    timeoutMs: request.remainingMs(),
  });
}
