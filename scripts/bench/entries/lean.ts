/**
 * What the work itself costs, written as tersely as it can be: validation with zod/mini, an HMAC, one statement on the
 * same database by the same client. No logger, no retries, no transports.
 */
import { createHmac } from 'node:crypto';
import * as z from 'zod/mini';

const Envelope = z.object({
  headers: z.object({ request_id: z.string(), authorization: z.string().check(z.regex(/^bearer +[\x21-\x7e]+$/i)) }),
  request_type: z.literal('unlink'),
  api_version: z.number(),
});

/** Until when what is revoked now is kept, in seconds since the epoch. */
export const LIFETIME_S = 34_560_000;

/** The handler, around the one statement that records an id. */
export function leanHandler(
  record: (id: string, now: number, url: string) => unknown,
): (event: unknown) => Promise<unknown> {
  return async (event) => {
    const { headers } = Envelope.parse(event);
    const [, pepper = ''] = process.env.TOKEN_PEPPERS?.split(':') ?? [];
    const token = headers.authorization.replace(/^bearer +/i, '');
    const id = createHmac('sha256', Buffer.from(pepper, 'base64')).update(`v1|token|${token}`).digest('base64url');
    await record(`k1.${id}`, Math.floor(Date.now() / 1000), process.env.STORE_URL ?? '');
    return { request_id: headers.request_id };
  };
}
