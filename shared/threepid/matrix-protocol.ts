import type { CallerErrorCode, FailureCode } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { MatrixError } from './matrix-error.ts';

/** What the native protocol answers, and what is logged of a failure. */
interface MatrixAnswer {
  readonly status: number;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly failure?: FailureCode;
  readonly cause?: unknown;
}

/** Answers what `work` resolves to, or the error that it throws. */
export async function answerMatrix(work: () => Promise<object>): Promise<MatrixAnswer> {
  try {
    return { status: 200, body: await work() };
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    const { status, errcode, message, retryAfter, softLogout, cause } = error;
    return {
      status,
      body: { errcode, error: message, ...(softLogout !== undefined && { soft_logout: softLogout }) },
      ...(retryAfter !== undefined && { headers: { 'Retry-After': retryAfter } }),
      ...(status >= 500 && { failure: 'temporarily_unavailable' as const, cause }),
    };
  }
}

const ERRCODES: Readonly<Partial<Record<CallerErrorCode | FailureCode, string>>> = {
  invalid_request: 'M_BAD_JSON',
  invalid_token: 'M_MISSING_TOKEN',
  not_found: 'M_UNRECOGNIZED',
  payload_too_large: 'M_TOO_LARGE',
};

/** An error that the function meets outside of its operations. */
export function matrixErrorBody(code: CallerErrorCode | FailureCode, description: string): object {
  return { errcode: ERRCODES[code] ?? 'M_UNKNOWN', error: description };
}

/**
 * What every answer has, so that a client in a browser may read it.
 *
 * @see https://spec.matrix.org/v1.15/client-server-api/#web-browser-clients
 */
export const CORS_HEADERS: Readonly<Record<string, string>> = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'Access-Control-Allow-Headers': 'X-Requested-With, Content-Type, Authorization',
  // Not in the specification: without it a page cannot read how long to wait.
  'Access-Control-Expose-Headers': 'Retry-After',
};

/** The versions of the client-server API that there are the paths of. */
const VERSIONS: readonly unknown[] = ['r0', 'v3', 'unstable'];

/**
 * The operations of a function over the gateway, by their `operationId`s: its own, which is `name`, and what there is
 * beside it at its path.
 */
export function matrixOperations<Call extends { readonly path: () => JsonObject }, Ports, Answer>(
  name: string,
  operation: (call: Call, ports: Ports) => Promise<Answer>,
): Readonly<Record<string, (call: Call, ports: Ports) => Promise<Answer | MatrixAnswer>>> {
  const notFound = () => answerError(404, 'There is no such path.');
  return {
    [name]: (call, ports) => (VERSIONS.includes(call.path().version) ? operation(call, ports) : notFound()),
    [`${name}.preflight`]: async () => ({ status: 204 }),
    [`${name}.other-method`]: () => answerError(405, 'The path has no such method.'),
    [`${name}.other-path`]: notFound,
  };
}

function answerError(status: number, message: string): Promise<MatrixAnswer> {
  return answerMatrix(async () => {
    throw new MatrixError(status, 'M_UNRECOGNIZED', message);
  });
}
