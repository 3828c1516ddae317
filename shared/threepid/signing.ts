import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { MAX_FOREIGN_DEPTH } from '../json.ts';
import { parsedText } from '../settings.ts';

/** A homeserver's key. */
export interface SigningKey {
  /** Its name, such as `ed25519:a_Cyso`. */
  readonly id: string;
  readonly privateKey: KeyObject;
}

/** What stands before the seed of an Ed25519 key in PKCS #8 (RFC 8410, section 7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

/** The signing key of a homeserver, as Synapse keeps it in its file `signing.key`. */
export const MatrixSigningKey = parsedText(
  'must be the line of a signing.key: ed25519, its version, and 32 bytes in base64',
  (line): SigningKey | undefined => {
    const [, version, seed] = /^\s*ed25519 ([a-zA-Z0-9_]+) ([A-Za-z0-9+/]{43})=?\s*$/.exec(line) ?? [];
    if (version === undefined || seed === undefined) return undefined;
    const key = Buffer.concat([PKCS8_PREFIX, Buffer.from(seed, 'base64')]);
    return { id: `ed25519:${version}`, privateKey: createPrivateKey({ key, format: 'der', type: 'pkcs8' }) };
  },
);

/**
 * Canonical JSON: the shortest, its keys in the order of their code points.
 *
 * @param value Of JSON alone: whatever is not in it, such as `undefined`, is refused.
 * @param levels How many levels it may have.
 * @throws {RangeError} It holds a number that is not whole or too large, or a text that is not well-formed Unicode, or
 *   has more levels.
 * @see https://spec.matrix.org/v1.15/appendices/#canonical-json
 */
export function canonicalJson(value: unknown, levels = MAX_FOREIGN_DEPTH): string {
  if (typeof value === 'object' && value !== null) {
    if (levels === 0) throw new RangeError('not canonical JSON: nested too deep');
    const write = (part: unknown) => canonicalJson(part, levels - 1);
    if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
    const members = Object.entries(value).sort(([a], [b]) => compareCodePoints(a, b));
    return `{${members.map(([key, member]) => `${write(key)}:${write(member)}`).join(',')}}`;
  }
  const isEncodable =
    typeof value === 'string' ? value.isWellFormed() : typeof value === 'number' ? Number.isSafeInteger(value) : true;
  if (!isEncodable || value === undefined || typeof value === 'bigint') throw new RangeError('not canonical JSON');
  // Of -0 too the shortest.
  return JSON.stringify(value);
}

/** A request between servers, as it is signed. */
export interface SignedRequest {
  readonly method: 'POST';
  /** The path that the other server itself sees. */
  readonly uri: string;
  /** The name of the homeserver that signs. */
  readonly origin: string;
  /** The name of the identity server that it is for, and for no other. */
  readonly destination: string;
  readonly content: object;
}

/**
 * The `Authorization` value of a request to an identity server. It is signed as identity servers verify it: over
 * `destination_is`, and with the parameter `sig` (the specification says neither).
 *
 * @see https://spec.matrix.org/v1.15/server-server-api/#request-authentication
 */
export function signRequest({ method, uri, origin, destination, content }: SignedRequest, key: SigningKey): string {
  const signed = canonicalJson({ method, uri, origin, destination_is: destination, content });
  return `X-Matrix origin="${origin}",key="${key.id}",sig="${signText(signed, key)}",destination="${destination}"`;
}

/** A signature in unpadded base64. */
export function signText(text: string, { privateKey }: SigningKey): string {
  return sign(null, Buffer.from(text), privateKey).toString('base64').replaceAll('=', '');
}

const SURROGATE = /[\uD800-\uDFFF]/;

/** UTF-16 sorts what is above U+FFFF before what is above U+DFFF; UTF-8 sorts as code points do, and takes longer. */
function compareCodePoints(a: string, b: string): number {
  if (!SURROGATE.test(a) && !SURROGATE.test(b)) return a < b ? -1 : 1; // no object has a key twice
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
