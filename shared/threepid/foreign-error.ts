import { isJsonObject, type JsonObject } from '../json.ts';
import { jsonOf } from '../outgoing/json.ts';
import type { OutgoingResponse } from '../outgoing/send.ts';

/** The most characters of a text of another server that is passed on. */
const MAX_TEXT = 500;

/** A Matrix error of another server, as much of it as is passed on. */
export interface ForeignError {
  /** `M_UNKNOWN` in place of what is no errcode. */
  readonly errcode: string;
  readonly error: string;
  readonly retryAfter: string | undefined;
  /** All of it, of which nothing else is passed on. */
  readonly body: JsonObject;
}

/**
 * The standard error of an answer.
 *
 * @returns Undefined: it is none.
 */
export function foreignErrorOf(response: OutgoingResponse): ForeignError | undefined {
  let body: unknown;
  try {
    body = jsonOf(response);
  } catch {
    return undefined;
  }
  if (!isJsonObject(body) || typeof body.errcode !== 'string' || typeof body.error !== 'string') return undefined;
  const { error } = body;
  // It has said no, whatever it calls it.
  const errcode = /^[A-Za-z][A-Za-z0-9_.]{0,127}$/.test(body.errcode) ? body.errcode : 'M_UNKNOWN';
  return { errcode, error: error.slice(0, MAX_TEXT).toWellFormed(), retryAfter: retryAfterOf(response), body };
}

/** What clients can read: whole seconds or a date (RFC 9110, section 10.2.3). */
function retryAfterOf({ headers }: OutgoingResponse): string | undefined {
  const value = headers['retry-after'];
  if (typeof value !== 'string') return undefined;
  const isReadable =
    /^\d{1,9}$/.test(value) || /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(value);
  return isReadable ? value : undefined;
}
