/**
 * What kind of token a token is, by its own words: an access token, or another that is none of our business. The rules
 * follow what some twenty servers put into their tokens; docs/authorization-server.md lists them.
 *
 * Terms. *Positive mark*: a member that says "access token", such as the header `typ: at+jwt` or the claim
 * `token_use: access`. *Negative mark*: one that stands in ID tokens, such as `nonce`; some servers put it into access
 * tokens too, so it counts only where there is no positive mark.
 */

import { isJsonObject, type JsonObject } from '../json.ts';
import { jwtSigningInput } from '../token-revocation/token-id.ts';
import { isPresent, valueAt } from './claims.ts';
import type { Issuer } from './issuers.ts';

/** Why a token is refused for its kind. */
export type KindRefusal = 'id_token' | 'refresh_token' | 'row_rule' | 'unmarked' | 'wrong_type';

/** What a token is: of a `refresh` token the server said so. */
export type TokenKind = 'access' | 'refresh';

/**
 * What an opaque token is besides that its server calls active: `unsaid` if nobody named its kind, `unfit` if it lacks what
 * the row of `ISSUERS` asks of access tokens. A refresh token may be either.
 */
export type UnknownKind = 'unsaid' | 'unfit';

/** What a row of `ISSUERS` says of the kind of its tokens. */
export type KindRules = Pick<Issuer, 'require' | 'forbid' | 'jti' | 'prefix' | 'token_type' | 'id_tokens_too'>;

type Word = 'access' | 'refresh' | 'other';

/** A member that names the kind of a token, and its words for two of them, in lower case; any other is another kind. */
interface Mark {
  readonly claim: string;
  readonly access: readonly unknown[];
  readonly refresh: readonly unknown[];
}

const MARKS: readonly Mark[] = [
  // Keycloak.
  { claim: 'typ', access: ['bearer', 'dpop', 'at+jwt'], refresh: ['refresh', 'offline'] },
  // Cognito, Hydra, Dex.
  { claim: 'token_use', access: ['access', 'access_token'], refresh: ['refresh', 'refresh_token'] },
  // RFC 7662, section 2.2; Keycloak and Duende give the kind in its place.
  { claim: 'token_type', access: ['bearer', 'dpop', 'access_token'], refresh: ['refresh', 'refresh_token', 'offline'] },
  // Casdoor, in one spelling or in both.
  {
    claim: 'tokenType',
    access: ['access-token', 'access_token', 'bearer'],
    refresh: ['refresh-token', 'refresh_token'],
  },
  {
    claim: 'TokenType',
    access: ['access-token', 'access_token', 'bearer'],
    refresh: ['refresh-token', 'refresh_token'],
  },
  // SuperTokens.
  { claim: 'stt', access: [1], refresh: [] },
  // Gitea.
  { claim: 'tt', access: [0], refresh: [1] },
];

/** What stands in ID tokens (OpenID Connect Core, sections 2 and 3.3.2.11). */
const ID_TOKEN_CLAIMS = ['at_hash', 'c_hash', 's_hash', 'nonce'];

/** What stands in access tokens, and seldom in others. */
const ACCESS_TOKEN_CLAIMS = ['scope', 'scp', 'client_id', 'cid', 'appid'];

/**
 * The kind of a JWT that verified, or why it is refused.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9068#section-4
 */
export function kindOfJwt(header: JsonObject, claims: JsonObject, rules: KindRules): TokenKind | KindRefusal {
  const own = kindByWords(header, claims);
  if (own !== 'access' && own !== 'nothing') return own;
  if (hasForbidden(claims, rules) || lacksRequired(claims, rules)) return 'row_rule';
  if (own === 'access' || rules.id_tokens_too === true) return 'access';
  if (has(claims, ID_TOKEN_CLAIMS)) return 'id_token';
  const isMarked =
    has(claims, ACCESS_TOKEN_CLAIMS) || (isPresent(claims.azp) && has(claims, ['roles', 'gty'])) || hasRule(rules);
  return isMarked ? 'access' : 'unmarked';
}

/**
 * The kind of a token that its server calls active, by the answer of the introspection (RFC 7662) and, of a JWT, by what
 * is in it: the server has vouched for its text.
 */
export function kindOfActive(
  token: string,
  answer: JsonObject,
  rules: KindRules,
): TokenKind | UnknownKind | KindRefusal {
  const jwt = readJwt(token);
  const own = jwt === undefined ? 'nothing' : kindByWords(jwt.header, jwt.claims);
  const said = kindByWords({}, answer);
  const other = [own, said].find((kind) => kind !== 'access' && kind !== 'nothing');
  if (other === 'wrong_type' || other === 'refresh') return other;
  const isOpaque = jwt === undefined;
  const brokenRule = hasForbidden(answer, rules) ? 'row_rule' : unfitness(isOpaque ? token : undefined, answer, rules);
  if (brokenRule !== undefined) return brokenRule;
  if (said === 'access' || own === 'access') return 'access';
  // An answer need not repeat what is in the token (RFC 7662, section 2.2).
  const isIdToken = has(answer, ID_TOKEN_CLAIMS) || has(jwt?.claims ?? {}, ID_TOKEN_CLAIMS);
  if (rules.token_type === 'optional' && !isIdToken) return 'access';
  // An ID token is always a JWT, and a refresh token that is one says so.
  if (isOpaque) return 'unsaid';
  return isIdToken ? 'id_token' : 'unmarked';
}

/** What a token that its server calls active is by what it lacks; an opaque one may be a refresh token. */
function unfitness(opaque: string | undefined, answer: JsonObject, rules: KindRules): 'row_rule' | 'unfit' | undefined {
  if (opaque === undefined) return lacksRequired(answer, rules) ? 'row_rule' : undefined;
  const beginsRight = rules.prefix === undefined || opaque.startsWith(rules.prefix);
  return lacksRequired(answer, rules) || !beginsRight ? 'unfit' : undefined;
}

/** By its header, by `events`, and by the members that name a kind. */
function kindByWords(header: JsonObject, claims: JsonObject): 'access' | 'nothing' | 'refresh' | 'wrong_type' {
  const typ = isPresent(header.typ) ? header.typ : 'jwt';
  const type = typeof typ === 'string' ? typ.toLowerCase().replace(/^application\//, '') : undefined;
  // OpenIddict's refresh token.
  if (type === 'oi_reft+jwt') return 'refresh';
  if ((type !== 'at+jwt' && type !== 'jwt') || isPresent(claims.events)) return 'wrong_type';
  const word = wordOf(claims);
  if (word === 'other') return 'wrong_type';
  if (word === 'refresh') return 'refresh';
  return word === 'access' || type === 'at+jwt' ? 'access' : 'nothing';
}

/** What the members of a token that name its kind say together: "access" only if none of them says something else. */
function wordOf(claims: JsonObject): Word | undefined {
  const words = [...MARKS.map((mark) => wordIn(claims, mark)), wordOfId(claims)];
  return (['other', 'refresh', 'access'] as const).find((word) => words.includes(word));
}

function wordIn(claims: JsonObject, { claim, access, refresh }: Mark): Word | undefined {
  const value = claims[claim];
  if (!isPresent(value)) return undefined;
  const word = typeof value === 'string' ? value.toLowerCase() : value;
  if (access.includes(word)) return 'access';
  return refresh.includes(word) ? 'refresh' : 'other';
}

/** Okta's ids begin with the kind. */
function wordOfId({ jti }: JsonObject): Word | undefined {
  const kind = typeof jti === 'string' ? /^(AT|ID|RT)\./i.exec(jti)?.[1]?.toUpperCase() : undefined;
  if (kind === undefined) return undefined;
  return kind === 'AT' ? 'access' : kind === 'RT' ? 'refresh' : 'other';
}

function hasForbidden(claims: JsonObject, { forbid = [] }: KindRules): boolean {
  return forbid.some((path) => isPresent(valueAt(claims, path)));
}

function lacksRequired(claims: JsonObject, { require = [], jti }: KindRules): boolean {
  if (!require.every((path) => isPresent(valueAt(claims, path)))) return true;
  return jti instanceof RegExp && !(typeof claims.jti === 'string' && jti.test(claims.jti));
}

function hasRule({ require = [], forbid = [] }: KindRules): boolean {
  return require.length + forbid.length > 0;
}

function has(claims: JsonObject, names: readonly string[]): boolean {
  return names.some((name) => isPresent(claims[name]));
}

/** The header and the claims of a JWT that nobody verified here, or undefined when the token is none. */
function readJwt(token: string): { header: JsonObject; claims: JsonObject } | undefined {
  const parts = jwtSigningInput(token)?.split('.');
  if (parts === undefined) return undefined;
  try {
    const [header, claims] = parts.map((part): unknown => JSON.parse(Buffer.from(part, 'base64url').toString()));
    return isJsonObject(header) && isJsonObject(claims) ? { header, claims } : undefined;
  } catch {
    return undefined;
  }
}
