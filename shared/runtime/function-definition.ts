import type { CallerError, CallerErrorCode, FailureCode } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import type { Platform } from '../platform.ts';
import type { Settings, Variables } from '../settings.ts';
import type { Invocation } from './invocation.ts';

/** A function as its handler declares it. */
export interface FunctionDefinition<Asked extends Variables, Ports> {
  readonly name: string;
  /** The settings that it needs. A bad one stops the first call. */
  readonly environment: Asked;
  /** What its operations work with, made once. */
  readonly ports: (settings: Settings<Asked>, platform: Platform) => Ports;
  /** The operations by the `request_type` of a raw call. */
  readonly raw: Readonly<Record<string, Operation<Ports>>>;
  /** The operations by the `operationId` of the gateway. */
  readonly gateway: Readonly<Record<string, Operation<Ports>>>;
  /** An error in the protocol's own form. */
  readonly errorBody: (code: ErrorCode, description: string) => object;
  /** What every answer over HTTP has besides, an error too. `ports` are missing where the settings are wrong. */
  readonly headers?: (
    header: (name: string) => string | undefined,
    ports: Ports | undefined,
  ) => Readonly<Record<string, string>>;
  /** The request types and `operationId`s whose body may be as large as the platform lets through. */
  readonly large?: readonly string[];
  /** A raw caller gets a success as its body alone, and not as `{request_id, status, payload}`. */
  readonly bareRawSuccess?: boolean;
}

/** One operation of a function: what a `request_type` or an `operationId` names. */
export type Operation<Ports> = (call: Call, ports: Ports) => Promise<Answer>;

/** A call of an operation, the same however it came. */
export interface Call {
  readonly requestId: string;
  /** What tells our own services whose call theirs is a part of; it is for no other's. */
  readonly traceparent: string;
  /** The `Authorization` value: a claim, which the use case verifies. */
  readonly authorization: string | undefined;
  /** How long the operation may still take, in milliseconds. */
  readonly remainingMs: () => number;
  /** Adds to the log line of this call. */
  readonly note: (fields: Record<string, unknown>) => void;
  /** Makes the log line a warning. */
  readonly warn: (fields: Record<string, unknown>) => void;
  /** Writes a line to the audit log, at once: what was changed, by whom. */
  readonly audit: (event: string, fields: Record<string, unknown>) => void;
  /** Writes an error line at once, for what an operator has to look at though the call succeeds. */
  readonly alert: (message: string, fields: Record<string, unknown>) => void;
  /** The value of a request header that came once; in raw there are none. */
  readonly header: (name: string) => string | undefined;
  /** The parameters of the path; in raw, the `payload`. */
  readonly path: () => JsonObject;
  /** The parameters of the query, repeated ones too; in raw there are none. */
  readonly query: () => URLSearchParams;
  /**
   * The parameters of the native protocol's path and query: of the `payload` in raw, where they stand beside the body's.
   *
   * @throws {CallerError} `invalid_request`: one is given twice.
   */
  readonly parameters: () => JsonObject;
  /**
   * The fields of the native protocol's body: of the `payload` in raw, of a body of this kind over the gateway. A
   * JSON body that is absent has none.
   *
   * @throws {CallerError} `invalid_request`: the body is of another kind or cannot be read.
   */
  readonly fields: (kind: BodyKind) => JsonObject;
  /**
   * The body of the native protocol as text, of whatever kind it says it is; of a raw call, the `payload` as JSON.
   *
   * @throws {CallerError} `invalid_request`: it is not UTF-8.
   */
  readonly text: () => string;
  /** The body as it came, to be passed on. Of a raw call, what the platform's parser left of it. */
  readonly sent: () => SentBody;
}

/** How the body of a native protocol is written. */
export type BodyKind = 'form' | 'json';

/** A body as its sender wrote it: the bytes, or the text that the platform has made of them. */
export interface SentBody {
  readonly contentType: string | undefined;
  readonly contentEncoding?: string | undefined;
  readonly body: string | Buffer;
}

/**
 * What the native protocol answers: its status, its body if there is one: a JSON value, or bytes of a type and coding that
 * the headers name.
 */
export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  /** Of the native protocol; in raw there are none. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Of a failure, what is thrown in raw. */
  readonly failure?: FailureCode;
  /** Of a failure that the operation has answered itself, what is logged of it. */
  readonly cause?: unknown;
}

/** How calls of one kind are read and answered. */
export interface Transport<Ports> {
  /** What stands where the caller's request id belongs. */
  readonly requestIds: readonly unknown[];
  /** The value of a request header that came once; in raw there are none. */
  header(name: string): string | undefined;
  /** @throws {CallerError} */
  read(invocation: Invocation): Pick<
    Call,
    'authorization' | 'path' | 'query' | 'parameters' | 'fields' | 'text' | 'sent'
  > & {
    readonly operation: Operation<Ports>;
  };
  /** Answers; where only what is thrown shows as a failure, throws a status of 500 and above. */
  encode(requestId: string, answer: Answer): unknown;
}

/** Everything that may be answered in place of a success. */
export type ErrorCode = CallerErrorCode | FailureCode;

/** The status of each error. */
const STATUS: Readonly<Record<ErrorCode, number>> = {
  already_linked_other_user: 409,
  insufficient_scope: 403,
  invalid_client: 401,
  invalid_grant: 400,
  invalid_request: 400,
  invalid_token: 401,
  last_login_method: 409,
  limit_reached: 409,
  not_found: 404,
  payload_too_large: 413,
  unsupported_request_type: 404,
  unsupported_token_type: 400,
  misconfigured: 500,
  server_error: 500,
  temporarily_unavailable: 503,
};

const HEADERS: Readonly<Partial<Record<ErrorCode, Record<string, string>>>> = {
  insufficient_scope: { 'WWW-Authenticate': 'Bearer error="insufficient_scope"' },
  invalid_client: { 'WWW-Authenticate': 'Basic realm="unlink-functions", charset="UTF-8"' },
  invalid_token: { 'WWW-Authenticate': 'Bearer' },
  temporarily_unavailable: { 'Retry-After': '1' },
};

const FAILURE_DESCRIPTION: Readonly<Record<FailureCode, string>> = {
  misconfigured: 'The function is not configured.',
  server_error: 'The call failed.',
  temporarily_unavailable: 'The call could not be completed. Try again.',
};

/** An error in the protocol's own form: the caller's mistake with its description, our failure with a fixed one. */
export function errorAnswer(
  error: CallerError | FailureCode,
  { errorBody }: Pick<FunctionDefinition<Variables, never>, 'errorBody'>,
): Answer {
  const code = typeof error === 'string' ? error : error.code;
  const description = typeof error === 'string' ? FAILURE_DESCRIPTION[error] : error.message;
  const answer = { status: STATUS[code], body: errorBody(code, description), headers: HEADERS[code] ?? {} };
  return typeof error === 'string' ? { ...answer, failure: error } : answer;
}
