import { isDeeperThan, isJsonObject, type JsonObject, MAX_FOREIGN_DEPTH } from '../json.ts';
import { OutgoingFailure, type OutgoingResponse } from './send.ts';

/**
 * The JSON value of an answer. A byte order mark before it is skipped, as RFC 8259, section 8.1, lets a reader do.
 *
 * @throws {OutgoingFailure} `malformed`: it is not JSON in UTF-8, or has more than {@link MAX_FOREIGN_DEPTH} levels.
 */
export function jsonOf({ body }: OutgoingResponse): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
    if (!isDeeperThan(value, MAX_FOREIGN_DEPTH)) return value;
  } catch {
    // Without the cause: what a parser says quotes the text.
  }
  throw new OutgoingFailure('malformed');
}

/**
 * The JSON object of an answer.
 *
 * @throws {OutgoingFailure} `malformed`
 */
export function jsonObjectOf(response: OutgoingResponse): JsonObject {
  const value = jsonOf(response);
  if (!isJsonObject(value)) throw new OutgoingFailure('malformed');
  return value;
}

/** `Authorization: Basic` of a client (RFC 6749, section 2.3.1). */
export function basicAuthorization(clientId: string, clientSecret: string): string {
  const encode = (text: string) => new URLSearchParams([['', text]]).toString().slice(1);
  return `Basic ${Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString('base64')}`;
}
