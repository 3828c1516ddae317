import { isJsonObject, type JsonObject } from '../json.ts';
import { OutgoingFailure, type OutgoingResponse } from './send.ts';

/**
 * The JSON value of an answer.
 *
 * @throws {OutgoingFailure} `malformed`
 */
export function jsonOf({ body }: OutgoingResponse): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    // Without the cause: what a parser says quotes the text.
    throw new OutgoingFailure('malformed');
  }
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
