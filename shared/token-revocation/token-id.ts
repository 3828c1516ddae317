import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { isJsonObject } from '../json.ts';
import { parsedText, parseEach } from '../settings.ts';

/** A token goes by up to seven keys a pepper, and one transaction of the DynamoDB API takes 24. */
const MAX_PEPPERS = 3;

/**
 * `TOKEN_PEPPERS`: `k2:<base64>,k1:<base64>`, the newest first. Each has at least 32 bytes; its name, up to 16 letters
 * and digits, stands in front of every id made with it.
 */
export const TokenPeppers = parsedText(
  'must be name:base64,…, at most 3, with names of 1 to 16 letters and digits, all different, and at least 32 bytes each',
  (text) => {
    const peppers = parseEach(text.split(','), parsePepper);
    if (peppers === undefined || peppers.length > MAX_PEPPERS) return undefined;
    return new Set(peppers.map(({ name }) => name)).size === peppers.length ? peppers : undefined;
  },
  { rule: 'must be set: name:base64 of 32 random bytes, the newest first, separated by commas' },
);

/** The key of a keyed digest, and the name that stands in front of what is made with it. */
export interface Pepper {
  readonly name: string;
  readonly key: KeyObject;
}

/** One thing's ids: the one to record, made with the newest pepper, and all it may have been recorded under. */
export interface KeyedIds {
  readonly current: string;
  readonly all: readonly string[];
}

function parsePepper(text: string): Pepper | undefined {
  const [, name, base64] = /^([A-Za-z0-9]{1,16}):([A-Za-z0-9+/_-]{43,1024}={0,2})$/.exec(text.trim()) ?? [];
  if (name === undefined || base64 === undefined) return undefined;
  // 43 characters are 32 bytes.
  return { name, key: createSecretKey(Buffer.from(base64, 'base64')) };
}

/**
 * The ids of a token whose signature nobody verified: an HMAC-SHA-256 of the whole token, or, when it is a JWT, of its
 * signing input – one valid JWT has several spellings, and they differ in the last part alone.
 */
export function tokenIds(token: string, peppers: readonly Pepper[]): KeyedIds {
  const signingInput = jwtSigningInput(token);
  return signingInput === undefined ? keyedIds('token', token, peppers) : keyedIds('jwt', signingInput, peppers);
}

/** A verified JWT by its `jti` (RFC 7519, section 4.1.7), and whose it is, where it names a user. */
export interface JwtName {
  readonly issuer: string;
  readonly jwtId: string;
  readonly subject: string | undefined;
}

/**
 * The ids of a JWT by its name. With its subject: an issuer should give a `jti` once, but one that counts for each user
 * would let one user revoke another's.
 */
export function jwtIds({ issuer, jwtId, subject }: JwtName, peppers: readonly Pepper[]): KeyedIds {
  return keyedIds('jti', JSON.stringify([issuer, jwtId, subject ?? null]), peppers);
}

/** What names a grant at an issuer: the claim, its value, and whose grant it is, where a token names a user. */
export interface GrantName {
  readonly issuer: string;
  readonly claim: string;
  readonly value: string;
  readonly subject: string | undefined;
}

/**
 * The ids of a grant. With its subject: what one user revokes is no other's, should two have one value. Without its
 * client, which an opaque token may not name.
 */
export function grantIds({ issuer, claim, value, subject }: GrantName, peppers: readonly Pepper[]): KeyedIds {
  return keyedIds('grant', JSON.stringify([issuer, claim, value, subject ?? null]), peppers);
}

/** What a cut-off can be of, always at one issuer. A link is a subject at a client, or at one that is not named. */
export type CutOffScope =
  | { readonly issuer: string; readonly subject: string }
  | { readonly issuer: string; readonly client: string }
  | { readonly issuer: string; readonly link: readonly [subject: string, client: string | null] };

/** The keys of a cut-off. */
export function cutOffKeys(scope: CutOffScope, peppers: readonly Pepper[]): KeyedIds {
  const { issuer } = scope;
  const of =
    'link' in scope
      ? ['link', ...scope.link]
      : 'client' in scope
        ? ['client', scope.client]
        : ['subject', scope.subject];
  return keyedIds('cut-off', JSON.stringify([issuer, ...of]), peppers);
}

/**
 * The ids of a token by all of its text, JWT or not. For one whose issuer would not vouch for it: whoever knows a JWT but
 * for its signature must not be able to revoke it. All spellings of one signature have the same ids: whoever has a revoked
 * JWT must not be able to spell it as one that is not revoked.
 */
export function textIds(token: string, peppers: readonly Pepper[]): KeyedIds {
  return keyedIds('token', canonicalSpelling(token), peppers);
}

/** The ids of an e-mail address in its canonical form: another spelling has other ids. */
export function canonicalEmailIds(address: string, peppers: readonly Pepper[]): KeyedIds {
  return keyedIds('email', address, peppers);
}

/** An HMAC-SHA-256 of `text` under each pepper; `kind` keeps what is named by equal texts apart. */
function keyedIds(
  kind: 'cut-off' | 'email' | 'grant' | 'jti' | 'jwt' | 'token',
  text: string,
  peppers: readonly Pepper[],
): KeyedIds {
  const all = peppers.map(
    ({ name, key }) => `${name}.${createHmac('sha256', key).update(`v1|${kind}|${text}`).digest('base64url')}`,
  );
  // A list of peppers is never empty (TokenPeppers).
  return { current: all[0] as string, all };
}

/**
 * A token as its server wrote it: the signature of a JWT can be spelled in more than one way, all of which verify
 * (base64url with bits that do not count).
 */
export function canonicalSpelling(token: string): string {
  const signingInput = jwtSigningInput(token);
  if (signingInput === undefined) return token;
  const signature = Buffer.from(token.slice(signingInput.length + 1), 'base64url').toString('base64url');
  return `${signingInput}.${signature}`;
}

/** What a JWT's signature covers (RFC 7515, section 5.2), or undefined when the token is not one. */
export function jwtSigningInput(token: string): string | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    const header: unknown = JSON.parse(Buffer.from(parts[0] ?? '', 'base64url').toString());
    const isJwt = isJsonObject(header) && typeof header.alg === 'string';
    return isJwt ? `${parts[0]}.${parts[1]}` : undefined;
  } catch {
    return undefined;
  }
}
