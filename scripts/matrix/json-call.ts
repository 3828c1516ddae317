import type { IncomingMessage, RequestListener } from 'node:http';
import { text } from 'node:stream/consumers';
import { isJsonObject, type JsonObject } from '#shared/json.ts';

/** A call of a Matrix API, read whole. */
export interface JsonCall {
  readonly method: string;
  /** As it stands in the request line, the query with it. */
  readonly target: string;
  /** The target without its query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Each value of each header, by its name in lower case. */
  readonly headers: Readonly<Record<string, readonly string[] | undefined>>;
  /** The JSON of its body; undefined if that is none. */
  readonly body: unknown;
}

/** What a call is answered: JSON unless it says otherwise. */
export interface JsonAnswer {
  readonly status: number;
  /** A text is sent as it is. */
  readonly body: unknown;
  readonly type?: string;
}

/** Reads a call. */
export async function readCall(request: IncomingMessage): Promise<JsonCall> {
  const { method = '', url: target = '/', headersDistinct: headers } = request;
  const [path = '', query] = target.split('?', 2);
  return { method, target, path, query: new URLSearchParams(query), headers, body: parse(await text(request)) };
}

/** The fields of the body, none if it is no object. */
export function fieldsOf({ body }: JsonCall): JsonObject {
  return isJsonObject(body) ? body : {};
}

/** The access token of the `Authorization` header. */
export function bearerOf({ headers }: JsonCall): string | undefined {
  return /^Bearer (\S+)$/.exec(headers.authorization?.[0] ?? '')?.[1];
}

/** An error as all Matrix APIs write it. */
export function matrixError(status: number, errcode: string, error: string, more: object = {}): JsonAnswer {
  return { status, body: { errcode, error, ...more } };
}

/**
 * What serves calls.
 *
 * @param answer Undefined: the call is never answered.
 */
export function createListener(answer: (call: JsonCall) => Promise<JsonAnswer | undefined>): RequestListener {
  return (request, response) => {
    readCall(request)
      .then(answer)
      .then((answered) => {
        if (answered === undefined) return;
        const { status, body, type = 'application/json' } = answered;
        response
          .writeHead(status, { 'Content-Type': type })
          .end(typeof body === 'string' ? body : JSON.stringify(body));
      })
      // The other side has gone, or a fault of ours: no answer tells either from a crash.
      .catch(() => response.destroy());
  };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
