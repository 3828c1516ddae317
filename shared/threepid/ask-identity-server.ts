import { isJsonObject, type JsonObject } from '../json.ts';
import { jsonOf } from '../outgoing/json.ts';
import {
  OutgoingFailure,
  type OutgoingFault,
  type OutgoingRequest,
  type OutgoingResponse,
  type Send,
} from '../outgoing/send.ts';
import { foreignErrorOf } from './foreign-error.ts';
import { MatrixError } from './matrix-error.ts';

/** What came of a request to an identity server. */
export type IdentityServerAnswer =
  | { readonly status: 'done'; readonly body: JsonObject }
  /** It does not know such requests: 400, 404 or 501 without a Matrix error. */
  | { readonly status: 'unsupported' }
  /** It has said no, in a Matrix error that is the client's to see: it did nothing. */
  | { readonly status: 'refused'; readonly error: MatrixError }
  /** It has failed, and said so in such an error: what it did is not known. */
  | { readonly status: 'failed'; readonly error: MatrixError }
  /** It gave no answer that can be read: what it did is not known, unless nothing was sent, for it is `forbidden`. */
  | { readonly status: 'unanswered'; readonly fault: OutgoingFault; readonly error: MatrixError };

/** Of another server's, these would log the user out of the homeserver. */
const LOGS_OUT = new Set(['M_UNKNOWN_TOKEN', 'M_MISSING_TOKEN', 'M_USER_LOCKED']);

/** Sends a request to an identity server, and reads its answer. Rejects with nothing that is about the server. */
export async function askIdentityServer(request: OutgoingRequest, send: Send): Promise<IdentityServerAnswer> {
  try {
    return readAnswer(await send(request));
  } catch (error) {
    if (!(error instanceof OutgoingFailure)) throw error;
    return { status: 'unanswered', fault: error.fault, error: noAnswer(error) };
  }
}

/** @throws {OutgoingFailure} It cannot be read. */
function readAnswer(response: OutgoingResponse): IdentityServerAnswer {
  const { status } = response;
  const given = foreignErrorOf(response);
  // HTTP has no status above 599; a server may send one, and a gateway could not pass it on.
  if (given !== undefined && status >= 400 && status < 600) {
    const { errcode, error: message, retryAfter, body } = given;
    const logsOut = LOGS_OUT.has(errcode) || 'soft_logout' in body;
    const error = logsOut
      ? new MatrixError(403, 'M_FORBIDDEN', 'The identity server did not accept the credential of this request.')
      : new MatrixError(status, errcode, message, { retryAfter });
    return { status: status < 500 ? 'refused' : 'failed', error };
  }
  if (status === 400 || status === 404 || status === 501) return { status: 'unsupported' };
  if (status !== 200 || given !== undefined) throw new OutgoingFailure('malformed');
  const body = jsonOf(response);
  return { status: 'done', body: isJsonObject(body) ? body : {} };
}

/** An answer that is none to what was asked. */
export function unreadable(): MatrixError {
  return noAnswer(new OutgoingFailure('malformed'));
}

/** One and the same for whatever is wrong, so that nobody maps a network by it. */
function noAnswer(cause: OutgoingFailure): MatrixError {
  return cause.fault === 'timed_out'
    ? new MatrixError(504, 'M_UNKNOWN', 'The identity server did not answer in time.', { cause })
    : new MatrixError(502, 'M_UNKNOWN', 'The identity server could not be reached, or its answer could not be read.', {
        cause,
      });
}
