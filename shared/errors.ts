/**
 * What a caller may be told went wrong: the closed list. Words of OAuth (RFC 6749, 6750, 7009) where it has one.
 * A protocol's own form of each is made where the protocol is answered.
 */
export type CallerErrorCode =
  | 'already_linked_other_user'
  | 'insufficient_scope'
  | 'invalid_client'
  | 'invalid_grant'
  | 'invalid_request'
  | 'invalid_token'
  | 'last_login_method'
  | 'limit_reached'
  | 'not_found'
  | 'payload_too_large'
  | 'unsupported_request_type'
  | 'unsupported_token_type';

/** What may fail on our side. The caller learns the code alone. */
export type FailureCode = 'misconfigured' | 'server_error' | 'temporarily_unavailable';

/** The caller's mistake. Nothing was stored or changed. */
export class CallerError extends Error {
  readonly code: CallerErrorCode;

  /** @param description Shown to the caller: a fixed text, never made of their input. */
  constructor(code: CallerErrorCode, description: string) {
    super(description);
    this.code = code;
  }
}

/** Our failure. The message is for operators and reaches the log only. */
export class Failure extends Error {
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A setting is missing or wrong. The message names the variable and what is allowed, never its value. */
export class Misconfigured extends Failure {
  constructor(message: string, options?: ErrorOptions) {
    super('misconfigured', message, options);
  }
}

/** More is asked for than a caller whom nobody knows may have. The caller is told to come again; it is no fault of ours. */
export class LimitReached extends Failure {
  readonly isLimit = true;

  /** @param what Of what there is too much, and how much is allowed. */
  constructor(what: string) {
    super('temporarily_unavailable', `limit: ${what}`);
  }
}

/** What is wrong with a store: the closed list that tells an operator where to look. */
export type StoreFault =
  | 'busy' // locked by another writer, throttled, too many connections, a transaction that lost a race
  | 'closed'
  | 'corrupt'
  | 'full' // of disk or memory
  | 'not_migrated' // its schema or schema marker is missing or older than this code
  | 'pooled' // a pooler in transaction mode gives a connection's prepared statements to others
  | 'read_only' // or a replica
  | 'refused' // the credentials, or the rights that they give
  | 'timed_out'
  | 'unreachable'
  | 'unsafe'; // its settings could lose what was acknowledged

/** The store did not do what was asked. Trying again is safe. */
export class StoreUnavailable extends Failure {
  readonly source = 'store';
  readonly fault: StoreFault;
  /** Whether another attempt within the same call may help: not where the driver has made all that are worth it. */
  readonly isRetryable: boolean;

  constructor(
    fault: StoreFault,
    { isRetryable = true, ...options }: ErrorOptions & { readonly isRetryable?: boolean } = {},
  ) {
    super('temporarily_unavailable', `store: ${fault}`, options);
    this.fault = fault;
    this.isRetryable = isRetryable;
  }
}

/** Whether an error is a {@link Failure}. A driver in a file of its own has its own copy of the class: not `instanceof`. */
export function isFailure(error: unknown): error is Failure {
  return error instanceof Error && 'code' in error && FAILURE_CODES.has(error.code);
}

/** Whether an error is a {@link StoreUnavailable}, of whatever copy of the class. */
export function isStoreUnavailable(error: unknown): error is StoreUnavailable {
  return isFailure(error) && 'source' in error && error.source === 'store';
}

const FAILURE_CODES: ReadonlySet<unknown> = new Set<FailureCode>([
  'misconfigured',
  'server_error',
  'temporarily_unavailable',
]);
