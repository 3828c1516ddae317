import type * as z from 'zod/mini';
import type { CallerErrorCode, FailureCode } from '../errors.ts';
import type { Invocation } from './invocation.ts';

/** A function as its handler declares it. */
export interface FunctionDefinition<Schema extends z.ZodMiniObject, Ports> {
  readonly name: string;
  /** The settings that it needs. A bad one stops the first call. */
  readonly environment: Schema;
  /** What its operations work with, made once. */
  readonly ports: (settings: z.output<Schema>, isDeployed: boolean) => Ports;
  /** The operations by the `request_type` of a raw call. */
  readonly raw: Readonly<Record<string, Operation<Ports>>>;
  /** Request types that exist, but that this function does not answer: `unsupported_request_type`. */
  readonly unsupported?: readonly string[];
  /** The operations by the `operationId` of the gateway. */
  readonly gateway: Readonly<Record<string, Operation<Ports>>>;
  /** An error in the protocol's own form. */
  readonly errorBody: (code: ErrorCode, description: string) => object;
  /** A raw caller gets a success as its body alone, and not as `{request_id, status, payload}`. */
  readonly bareRawSuccess?: boolean;
}

/** One operation of a function: what a `request_type` or an `operationId` names. */
export type Operation<Ports> = (call: Call, ports: Ports) => Promise<Answer>;

/** A call of an operation, the same however it came. */
export interface Call {
  readonly requestId: string;
  /** The `Authorization` value: a claim, which the use case verifies. */
  readonly authorization: string | undefined;
  /** How long the operation may take, in milliseconds. */
  readonly remainingMs: number;
  /** Adds to the log line of this call. */
  readonly note: (fields: Record<string, unknown>) => void;
}

/** What the native protocol answers: its status, its body (a JSON value) if there is one. */
export interface Answer {
  readonly status: number;
  readonly body?: unknown;
}

/** How calls of one kind are read and answered. */
export interface Transport<Ports> {
  /** What stands where the caller's request id belongs. */
  readonly requestIds: readonly unknown[];
  /** @throws {CallerError} */
  read(invocation: Invocation): {
    readonly operation: Operation<Ports>;
    readonly authorization: string | undefined;
  };
  encode(requestId: string, answer: Answer): unknown;
  /** Answers a failure, or throws where only that shows as one. */
  fail(requestId: string, code: FailureCode): unknown;
}

/** Everything that may be answered in place of a success. */
export type ErrorCode = CallerErrorCode | FailureCode;

/** The status of each error. */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 400,
  invalid_token: 401,
  method_not_allowed: 405,
  not_found: 404,
  payload_too_large: 413,
  unsupported_request_type: 404,
  misconfigured: 500,
  server_error: 500,
  temporarily_unavailable: 503,
};
