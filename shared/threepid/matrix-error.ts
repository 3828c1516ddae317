/**
 * What a client is told in place of a success: a standard error response with its status.
 *
 * @see https://spec.matrix.org/v1.15/client-server-api/#standard-error-response
 */
export class MatrixError extends Error {
  readonly status: number;
  readonly errcode: string;
  /** The value of `Retry-After`. */
  readonly retryAfter: string | undefined;
  /** Of a token that was refused: whether the client may keep what it has stored. */
  readonly softLogout: boolean | undefined;

  /** @param message Shown to the client: a fixed text, or another server's own. */
  constructor(
    status: number,
    errcode: string,
    message: string,
    { retryAfter, softLogout, cause }: { retryAfter?: string | undefined; softLogout?: boolean; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.status = status;
    this.errcode = errcode;
    this.retryAfter = retryAfter;
    this.softLogout = softLogout;
  }
}
