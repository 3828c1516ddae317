import { createPublicKey, verify } from 'node:crypto';
import { isJsonObject } from '#shared/json.ts';
import type { JsonCall } from './json-call.ts';

/** The homeserver has not signed the request, or not so that it can be verified. */
export class SignatureError extends Error {
  override readonly name = 'SignatureError';
}

/** What a homeserver says of itself at `/_matrix/key/v2/server/`, parsed; rejects if it cannot be had, or is no JSON. */
export type FetchKeyDocument = (serverName: string) => Promise<unknown>;

/**
 * Verifies who signed a request to an identity server, step by step as Sydent 2.6 does, its strictness about spaces
 * with it. The key document's own signature is not verified: neither does Sydent.
 *
 * @param name What the identity server calls itself.
 * @returns The homeserver's name.
 * @throws {SignatureError}
 */
export async function verifyRequest(call: JsonCall, name: string, fetchKeys: FetchKeyDocument): Promise<string> {
  const { origin, key, sig } = readHeader(call);
  const document = await fetchKeys(origin);
  const keys = isJsonObject(document) ? document.verify_keys : undefined;
  if (!isJsonObject(keys)) throw new SignatureError('No key found in response');
  const published = keys[key];
  const base64 = isJsonObject(published) ? published.key : undefined;
  if (typeof base64 !== 'string') throw new SignatureError('No matching signature found');
  // No `signatures` in it: what signs is not signed.
  const signed = { method: call.method, uri: call.target, origin, destination_is: name, content: call.body };
  if (!isSignedBy(base64, signed, sig)) {
    throw new SignatureError(`Unable to verify signature for ${origin}`);
  }
  return origin;
}

function isSignedBy(publicKey: string, value: unknown, signature: string): boolean {
  try {
    const x = Buffer.from(publicKey, 'base64').toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return verify(null, Buffer.from(encodeCanonical(value)), key, Buffer.from(signature, 'base64'));
  } catch {
    // No such key, or nothing that can be signed.
    return false;
  }
}

interface MatrixAuthorization {
  readonly origin: string;
  readonly key: string;
  readonly sig: string;
}

function readHeader({ headers }: JsonCall): MatrixAuthorization {
  const header = headers.authorization?.find((value) => value.startsWith('X-Matrix'));
  if (header === undefined) throw new SignatureError('Missing X-Matrix Authorization header');
  // One space, then no other: what follows a second one is not read, and a parameter without "=" is a fault.
  const parameters = (header.split(' ')[1] ?? '').split(',').map((parameter) => /^(.*?)=(.*)$/.exec(parameter));
  const values = new Map(parameters.map((match) => [match?.[1], match?.[2]?.replace(/^"(.*).$/, '$1')]));
  const [origin, key, sig] = [values.get('origin'), values.get('key'), values.get('sig')];
  if (parameters.includes(null) || origin === undefined || key === undefined || sig === undefined) {
    throw new SignatureError('Malformed Authorization header');
  }
  return { origin, key, sig };
}

/**
 * Canonical JSON, a second time: an identity server that encoded by the very code that signs would find good whatever
 * that gets wrong, and the libraries there are get control characters or the order of keys wrong themselves.
 */
function encodeCanonical(value: unknown): string {
  if (isJsonObject(value)) {
    // The bytes of UTF-8 sort as code points do, and `latin1` keeps each byte as one unit.
    const bytes = (key: string) => Buffer.from(key, 'utf8').toString('latin1');
    const keys = Object.keys(value).sort((a, b) => (bytes(a) < bytes(b) ? -1 : 1));
    return `{${keys.map((key) => `${encodeCanonical(key)}:${encodeCanonical(value[key])}`).join()}}`;
  }
  if (Array.isArray(value)) return `[${value.map(encodeCanonical).join()}]`;
  if (typeof value === 'number' && !Number.isSafeInteger(value)) throw new RangeError('a number of no canonical form');
  if (typeof value === 'string' && !value.isWellFormed()) throw new RangeError('a text that UTF-8 cannot hold');
  return JSON.stringify(value);
}
