import { isUtf8 } from 'node:buffer';
import type { CustomFetchOptions } from 'oauth4webapi';
import { isDeeperThan, MAX_FOREIGN_DEPTH } from '../json.ts';
import { OutgoingFailure, type Send } from '../outgoing/send.ts';

/** The `fetch` that the OAuth library is given. */
export type LibraryFetch = (url: string, options: CustomFetchOptions<string, unknown>) => Promise<Response>;

/** A response of such a status has no body. */
const WITHOUT_BODY = new Set([204, 205]);

/**
 * What lets the OAuth library out by our own way: no redirects, a bounded answer, one deadline.
 *
 * @param options `remainingMs`: how long a call may still take. `isPublicOnly`: calls go to public addresses alone.
 */
export function createLibraryFetch(
  send: Send,
  { remainingMs, isPublicOnly }: { readonly remainingMs: () => number; readonly isPublicOnly: boolean },
): LibraryFetch {
  return async (url, { method, headers, body }) => {
    const response = await send({
      method: method === 'POST' ? 'POST' : 'GET',
      url,
      isPublicOnly,
      headers,
      ...(body instanceof URLSearchParams && { body: body.toString() }),
      timeoutMs: remainingMs(),
      maxBytes: MAX_BYTES,
    });
    const type = response.headers['content-type'];
    // No other header: the library would read challenges out of them, which change nothing for us.
    return new Response(WITHOUT_BODY.has(response.status) ? null : readText(response.body), {
      status: readStatus(response.status),
      headers: typeof type === 'string' ? { 'content-type': type } : {},
    });
  };
}

/** Of metadata, keys and tokens alike. */
const MAX_BYTES = 256 * 1024;

function readStatus(status: number): number {
  if (status < 200 || status > 599) throw new OutgoingFailure('malformed');
  return status;
}

/**
 * The text of an answer for the library, which parses it, and clones keys by recursion. Bytes that are no UTF-8 would
 * all become the same character, and two accounts one.
 *
 * @throws {OutgoingFailure} `malformed`: it is not UTF-8, or is JSON of more than {@link MAX_FOREIGN_DEPTH} levels.
 */
function readText(body: Buffer): string {
  // As the decoder of a Response does, without the byte order mark.
  const text = new TextDecoder().decode(body);
  if (!isUtf8(body) || isDeeperThan(parseJson(text), MAX_FOREIGN_DEPTH)) throw new OutgoingFailure('malformed');
  return text;
}

/** Undefined: it is not JSON, which the library says with the status at hand. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
