import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';

/** An answer over TLS. */
export interface HttpsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A call over TLS; rejects when the certificate is not good, or the answer is not whole. */
export async function callHttps(
  url: string,
  ca: string,
  init: {
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    readonly signal?: AbortSignal;
  } = {},
): Promise<HttpsAnswer> {
  const { body, ...options } = init;
  return await new Promise((resolve, reject) => {
    const sent = request(url, { ...options, ca, agent: false }, (response) => {
      // A response always has them.
      const { statusCode: status = 0, headers } = response;
      text(response).then((received) => resolve({ status, headers, body: received }), reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
