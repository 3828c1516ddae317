import { createHash } from 'node:crypto';
import { CLOCK_SKEW_S } from '../access-token/claims.ts';
import { findSignedJsonFault, isJsonObject, type JsonObject } from '../json.ts';

const MAX_LENGTH = 16 * 1024;
/** It answers a code that was used just now: an old one is somebody else's, or kept by the provider. */
const MAX_AGE_S = 3600;

/** What an ID token came with. */
export interface IdTokenContext {
  readonly accessToken: string;
  readonly code: string;
  /** Seconds since the epoch. */
  readonly nowS: number;
}

/**
 * What is wrong with an ID token that the library lets pass, in words for the log; undefined: nothing is.
 *
 * @param claims As the library has validated them.
 */
export function findIdTokenFault(
  idToken: string,
  claims: JsonObject,
  { accessToken, code, nowS }: IdTokenContext,
): string | undefined {
  if (idToken.length > MAX_LENGTH) return 'too long';
  const [header = '', payload = ''] = idToken.split('.', 2).map(decodePart);
  const jsonFault = findSignedJsonFault(header) ?? findSignedJsonFault(payload);
  if (jsonFault !== undefined) return jsonFault;
  const { typ, alg } = parseObject(header);
  if (typ !== undefined && !(typeof typ === 'string' && /^(application\/)?jwt$/i.test(typ))) return 'typ';
  const { sub, iat, exp, at_hash: atHash, c_hash: codeHash } = claims;
  if (sub === '') return 'sub';
  if (!Number.isFinite(exp)) return 'exp';
  if (typeof iat !== 'number' || iat > nowS + CLOCK_SKEW_S || iat < nowS - MAX_AGE_S) return 'iat';
  if (atHash !== undefined && atHash !== halfHash(accessToken, String(alg))) return 'at_hash';
  if (codeHash !== undefined && codeHash !== halfHash(code, String(alg))) return 'c_hash';
  return undefined;
}

/** @throws {TypeError} It is no UTF-8. */
function decodePart(part: string): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(part, 'base64url'));
}

function parseObject(json: string): JsonObject {
  const value: unknown = JSON.parse(json);
  return isJsonObject(value) ? value : {};
}

/** OpenID Connect Core, section 3.1.3.6: the left half of the hash that the signature is made with. */
function halfHash(text: string, algorithm: string): string {
  const bits = /(256|384|512)$/.exec(algorithm)?.[0] ?? '512';
  const hash = createHash(`sha${bits}`).update(text).digest();
  return hash.subarray(0, hash.length / 2).toString('base64url');
}
