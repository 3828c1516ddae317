import { createHash, timingSafeEqual } from 'node:crypto';
import * as z from 'zod/mini';
import { CallerError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { jsonText } from '../settings.ts';

const Hash = z.string().check(z.regex(/^[0-9a-f]{64}$/));

const Client = z.strictObject({
  id: z.string().check(z.minLength(1), z.maxLength(255)),
  /**
   * SHA-256 of the secret in hexadecimal; of two while the secret is changed. A secret is random, of at least 32
   * characters: no slow hash is needed.
   */
  secret_sha256: z.union([Hash, z.array(Hash).check(z.minLength(1), z.maxLength(2))]),
  scopes: z._default(z.array(z.string()), []),
  callbacks: z._default(z.array(z.string()), []),
  /** As people know it. */
  title: z.optional(z.string().check(z.minLength(1), z.maxLength(64))),
});

/** An application that calls us with credentials of its own. */
export type Client = z.output<typeof Client>;

/** `CLIENTS`: the applications that are known. */
export const Clients = jsonText(
  'must be JSON: a list of {"id", "secret_sha256", "scopes", "callbacks", "title"}, the hash in hexadecimal or a list of two of them, each id once',
  z.array(Client).check(z.refine((clients) => new Set(clients.map(({ id }) => id)).size === clients.length)),
);

/**
 * The client that a call authenticates as: by HTTP Basic, or by `client_id` and `client_secret` among the fields, never
 * both (RFC 6749, section 2.3).
 *
 * @throws {CallerError} `invalid_client`, `invalid_request`
 */
export function authenticateClient(
  authorization: string | undefined,
  fields: JsonObject,
  clients: readonly Client[],
): Client {
  // A parameter without a value counts as omitted (RFC 6749, section 3.1).
  const id = fields.client_id === '' ? undefined : fields.client_id;
  const secret = fields.client_secret === '' ? undefined : fields.client_secret;
  const inBody = typeof id === 'string' && typeof secret === 'string' ? [{ id, secret }] : [];
  if (authorization !== undefined && secret !== undefined) {
    throw new CallerError('invalid_request', 'The client authenticates in more than one way.');
  }
  const candidates = authorization === undefined ? inBody : basicCredentials(authorization);
  for (const candidate of candidates) {
    const client = clients.find((known) => known.id === candidate.id);
    // Compared also when the client is unknown, so that the time does not tell which are known.
    const hash = createHash('sha256').update(candidate.secret).digest();
    const expected = [client?.secret_sha256 ?? '0'.repeat(64)].flat();
    const isRight = expected.filter((hex) => timingSafeEqual(hash, Buffer.from(hex, 'hex'))).length > 0;
    if (isRight && client !== undefined) return client;
  }
  throw new CallerError('invalid_client', 'The client is unknown or its credentials are wrong.');
}

/** What HTTP Basic says: as it stands (RFC 7617), and form-decoded (RFC 6749, section 2.3.1): clients do either. */
function basicCredentials(authorization: string): { id: string; secret: string }[] {
  const base64 = /^basic +([A-Za-z0-9+/]{1,4096})={0,2}$/i.exec(authorization)?.[1] ?? '';
  const text = Buffer.from(base64, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon === -1) return [];
  const [id, secret] = [text.slice(0, colon), text.slice(colon + 1)];
  return [
    { id, secret },
    { id: formDecode(id), secret: formDecode(secret) },
  ];
}

function formDecode(text: string): string {
  return new URLSearchParams(`x=${text.replaceAll('&', '%26')}`).get('x') ?? '';
}
