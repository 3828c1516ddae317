import * as z from 'zod/mini';
import { isJsonObject, type JsonObject } from '../json.ts';
import { matchOf } from './claim-pattern.ts';
import type { Issuer } from './issuers.ts';
import type { RefusalReason, Verification, VerifiedToken } from './verify.ts';

/** Clocks differ: how much, in seconds, is let pass in `exp` and `nbf`. */
export const CLOCK_SKEW_S = 60;

const MAX_TEXT = 1024;

/** What is read of a token: RFC 7519, section 4.1, RFC 9068, section 2.2, RFC 7662, section 2.2. */
const Claims = z.lazy(() => {
  const seconds = z.number().check(z.nonnegative(), z.lte(Number.MAX_SAFE_INTEGER));
  const text = z.string().check(z.minLength(1), z.maxLength(MAX_TEXT));
  const words = z.union([z.string(), z.array(z.string())]);
  return z.object({
    client_id: z.optional(text),
    azp: z.optional(text),
    cid: z.optional(text),
    appid: z.optional(text),
    scope: z.optional(words),
    scp: z.optional(words),
    iat: z.optional(seconds),
    nbf: z.optional(seconds),
    exp: z.optional(seconds),
    jti: z.optional(text),
  });
});
type Claims = z.output<typeof Claims>;

/** Whether a member says something: servers write `null`, `""` and `[]` for what they have nothing to say about. */
export function isPresent(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && !(Array.isArray(value) && value.length === 0);
}

/** The members that say something. */
export function presentMembers(members: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => isPresent(value)));
}

/** The value at a path such as `ext.grant_id`; a member of that whole name, as `https://as.example/grant`, goes first. */
export function valueAt(claims: JsonObject, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  let value: unknown = claims;
  for (const name of path.split('.')) {
    if (!isJsonObject(value) || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}

/** A token that is refused, and why. */
export function refused(reason: RefusalReason): Extract<Verification, { status: 'refused' }> {
  return { status: 'refused', reason };
}

/** What is known of an access token by its claims, or why it is refused. */
export function readAccessToken(claims: JsonObject, row: Issuer): Verification {
  if (!isMeantFor(row.audience, claims.aud)) return refused('wrong_audience');
  const token = readClaims(claims, row);
  if (token === undefined) return refused('bad_claims');
  const isOfClients = row.clients === undefined || (token.client !== undefined && row.clients.includes(token.client));
  return isOfClients ? { status: 'verified', token } : refused('wrong_client');
}

/** What is known of a refresh token: it is for the server itself, and names no audience of ours. */
export function readRefreshToken(claims: JsonObject, row: Issuer): Verification {
  const token = readClaims(claims, row);
  return token === undefined ? refused('bad_claims') : { status: 'refresh', token };
}

/** Whether a token is for us (RFC 7519, section 4.1.3); any is where `ISSUERS` names no audience. */
function isMeantFor(audience: Issuer['audience'], claimed: unknown): boolean {
  if (audience === undefined || audience === 'none') return true;
  const ours = [audience].flat();
  return [claimed].flat().some((one) => typeof one === 'string' && ours.includes(one));
}

/**
 * A token's claims in our words, or undefined when one of them has no meaning.
 *
 * @param claims Those that say something ({@link presentMembers}).
 */
export function readClaims(claims: JsonObject, row: Issuer): VerifiedToken | undefined {
  const { success, data } = Claims.safeParse(claims);
  if (!success) return undefined;
  const sub = idText(valueAt(claims, row.subject_claim ?? 'sub'));
  const client = clientOf(claims, data, row);
  const grant = grantOf(claims, row);
  if (sub === NOT_TEXT || client === NOT_TEXT || grant === NOT_TEXT) return undefined;
  const isClientsName = (name: unknown) => name === undefined || clientNames(claims, client).includes(name);
  const isClients = isClientsName(sub) || isClientsOwn(claims);
  // A user's token that lacks the row's `subject_claim` names its user in `sub` all the same.
  const isOfUser = !isClientsName(idText(claims.sub)) && !isClientsOwn(claims);
  const isApplication = isClients && !isOfUser && client !== undefined && row.client_tokens?.includes(client) === true;
  return {
    issuer: row.issuer,
    subject: isClients ? undefined : sub,
    isApplication,
    client,
    // A scope is a word between single spaces (RFC 6749, section 3.3); of a list, each entry is one.
    scopes: [data.scope ?? data.scp ?? []].flat().flatMap((scope) => scope.split(' ')),
    issuedAt: wholeSeconds(data.iat),
    expiresAt: wholeSeconds(data.exp),
    grant,
    grantLifetimeS: row.grant_lifetime_s,
    iatOffsetS: row.iat_offset_s,
    jwtId: row.jti === false ? undefined : data.jti,
    claims,
  };
}

/** What no rule allows where a text, or a number that stands for one, is due. */
const NOT_TEXT = Symbol();

/** The text of an id; a number is its decimal text, as VK's and Yandex' subjects are. */
function idText(value: unknown): string | undefined | typeof NOT_TEXT {
  if (!isPresent(value)) return undefined;
  const text = Number.isSafeInteger(value) ? String(value) : value;
  return typeof text === 'string' && text.length <= MAX_TEXT ? text : NOT_TEXT;
}

/** The text at a path, or undefined where there is none that could be an id. */
export function idAt(claims: JsonObject, path: string): string | undefined {
  const text = idText(valueAt(claims, path));
  return text === NOT_TEXT ? undefined : text;
}

/** The client that a token was issued to. */
function clientOf(claims: JsonObject, data: Claims, { client_claim, clients }: Issuer): ReturnType<typeof idText> {
  const value = client_claim === undefined ? undefined : valueAt(claims, client_claim);
  if (!isPresent(value)) {
    // The introspection of a token may name its client elsewhere than the token does, as those of Casdoor and Dex do.
    // Not where the client decides whether the token is accepted: a claim that is missing must not let one in.
    const isNamed = client_claim === undefined || clients === undefined;
    return isNamed ? (data.client_id ?? data.azp ?? data.cid ?? data.appid) : undefined;
  }
  if (!Array.isArray(value)) return idText(value);
  // Of several audiences the one to which it was issued (OpenID Connect Core, section 2).
  const [only, ...others] = value;
  return idText(others.length === 0 ? only : value.find((one) => one === data.azp));
}

/** All names that a token has for its client; of one that names none, its audience, which is the client in some servers. */
function clientNames({ client_id, azp, cid, appid, aud }: JsonObject, client: string | undefined): unknown[] {
  return client === undefined ? [aud].flat() : [client, client_id, azp, cid, appid];
}

/** Whether a token that has a subject is all the same a client's own: as Auth0, FusionAuth and Entra ID tell it. */
function isClientsOwn({ sub, gty, oid, scp, scope }: JsonObject): boolean {
  if (typeof sub === 'string' && sub.endsWith('@clients')) return true;
  if ([gty].flat().some((grant) => grant === 'client-credentials' || grant === 'client_credentials')) return true;
  return sub !== undefined && sub === oid && scp === undefined && scope === undefined;
}

function grantOf(claims: JsonObject, { grant }: Issuer): VerifiedToken['grant'] | typeof NOT_TEXT {
  if (grant === undefined) return undefined;
  const text = idText(valueAt(claims, grant.claim));
  if (text === undefined || text === NOT_TEXT) return text;
  const value = grant.match === undefined ? text : matchOf(grant.match, text);
  return value === undefined ? undefined : { claim: grant.claim, value };
}

function wholeSeconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.floor(seconds);
}
