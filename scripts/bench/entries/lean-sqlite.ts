/**
 * What the work itself costs, written as tersely as it can be: validation with zod/mini, an HMAC, the same statement on
 * the same database. No logger, no retries, no transports.
 */
import { createHmac } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import * as z from 'zod/mini';

const Envelope = z.object({
  headers: z.object({ request_id: z.string(), authorization: z.string().check(z.regex(/^bearer +[\x21-\x7e]+$/i)) }),
  request_type: z.literal('unlink'),
  api_version: z.number(),
});

export const handler = async (event: unknown): Promise<unknown> => {
  const { headers } = Envelope.parse(event);
  const [, pepper = ''] = process.env.TOKEN_PEPPERS?.split(':') ?? [];
  const token = headers.authorization.replace(/^bearer +/i, '');
  const id = createHmac('sha256', Buffer.from(pepper, 'base64')).update(`v1|token|${token}`).digest('base64url');
  const now = Math.floor(Date.now() / 1000);
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
  const database = new DatabaseSync(pathToFileURL(process.env.STORE_URL?.slice('sqlite:'.length) ?? ''));
  database.exec('PRAGMA busy_timeout=200; PRAGMA synchronous=FULL');
  database
    .prepare(`INSERT INTO revoked_id (id, revoked_at, expires_at) VALUES (?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, expires_at = max(expires_at, excluded.expires_at)`)
    .run(`k1.${id}`, now, now + 34_560_000);
  return { request_id: headers.request_id };
};
