import * as z from 'zod/mini';
import { EndpointClient } from '../access-token/issuers.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import { jsonText } from '../settings.ts';
import { type RevocationAttempt, type RevocationClient, revocationClient } from './revoke-grant.ts';

/** What a placeholder of a URL may stand for: each is a value of the token. */
const PLACEHOLDER = /\{(subject|client|grant|jti)\}/g;
type Placeholder = 'subject' | 'client' | 'grant' | 'jti';

const EndGrantRows = z.lazy(() => {
  const text = z.string().check(z.minLength(1));
  const issuer = text;
  const reaches = z.enum(['grant', 'token', 'all_clients']);
  const status = z.int().check(z.gte(200), z.lte(299));
  const rfc7009 = z.strictObject({
    ...{ issuer, preset: z.literal('rfc7009'), endpoint: ServiceUrl, client_id: text, client_secret: text },
    /** What ends with an access token there: the token, if not given. */
    reaches: z.optional(reaches),
  });
  const http = z.strictObject({
    ...{ issuer, preset: z.literal('http'), method: z.enum(['DELETE', 'POST']) },
    url: ServiceUrl.check(z.refine(isTemplate)),
    /** The whole value of the header. */
    authorization: z.optional(z.string().check(z.regex(/^[!-~]([ -~]*[!-~])?$/))),
    /** The statuses that say that it is done. */
    success: z.array(status).check(z.minLength(1)),
    /** The claim of the id that the server's API knows the user by: the subject, if not given. */
    user_claim: z.optional(text),
    reaches,
  });
  return z.array(z.union([rfc7009, http])).check(
    z.minLength(1),
    z.refine((rows) => new Set(rows.map((row) => row.issuer)).size === rows.length),
  );
});
type EndGrantRow = z.output<typeof EndGrantRows>[number];

/** Where the grants of our own authorization servers are ended. */
export const EndGrantEnvironment = {
  /** The revocation endpoint (RFC 7009) of all issuers that have no row of `END_GRANT`. */
  REVOKE_UPSTREAM: z.optional(
    jsonText('must be JSON: {"endpoint", "client_id", "client_secret"}, the endpoint by https', EndpointClient),
  ),
  /** How each issuer ends a grant. */
  END_GRANT: z.optional(
    jsonText(
      'must be JSON: a list of {"issuer", "preset": "rfc7009", "endpoint", "client_id", "client_secret"} or {"issuer", "preset": "http", "method", "url", "success", "reaches"}, each issuer once, a URL by https with {grant}, {subject} or {jti} in its path or query',
      EndGrantRows,
    ),
  ),
};

/** How the grants of an issuer are ended; without `issuer`, those of every issuer that has no such row. */
export type GrantEnding =
  | EndGrantRow
  | (Omit<Extract<EndGrantRow, { preset: 'rfc7009' }>, 'issuer'> & { readonly issuer?: undefined });

/** All that the settings say: `REVOKE_UPSTREAM` is the preset `rfc7009` of whoever has no row. */
export function grantEndingsOf({
  REVOKE_UPSTREAM: upstream,
  END_GRANT: rows = [],
}: {
  readonly REVOKE_UPSTREAM?: EndpointClient | undefined;
  readonly END_GRANT?: readonly EndGrantRow[] | undefined;
}): readonly GrantEnding[] {
  return upstream === undefined ? rows : [...rows, { preset: 'rfc7009', ...upstream }];
}

/** How the grants of an issuer are ended. @param issuer undefined: of a token that nobody vouched for. */
export function findGrantEnding(endings: readonly GrantEnding[], issuer: string | undefined): GrantEnding | undefined {
  return endings.find((ending) => ending.issuer === issuer) ?? endings.find(({ issuer: named }) => named === undefined);
}

/** Whether a late call would also end what was linked anew: its URL names neither the grant nor the token. */
export function mayEndNewer(ending: GrantEnding): boolean {
  return ending.preset === 'http' && !/\{(grant|jti)\}/.test(ending.url);
}

/** A token of a grant that is to be ended, and what was verified of it. All of it is kept sealed. */
export interface EndedToken {
  readonly token: string;
  readonly subject?: string | undefined;
  readonly client?: string | undefined;
  readonly grant?: string | undefined;
  readonly jti?: string | undefined;
  /** Whole seconds since the epoch. */
  readonly expiresAt?: number | undefined;
  /** The claim of `user_claim`, and its value. */
  readonly user?: { readonly claim: string; readonly value: string } | undefined;
}

/** What the server has confirmed to have ended. */
export type UpstreamReach = 'upstream_token' | 'upstream_grant' | 'upstream_all_clients';

/** Our client at the server, for one token; or why nothing can be sent. */
export function clientOfEnding(ending: GrantEnding, token: EndedToken): RevocationClient | { readonly fault: string } {
  if (ending.preset === 'rfc7009') return revocationClient(ending);
  const { method, url: template, authorization, success, user_claim: userClaim } = ending;
  const user = token.user?.claim === userClaim ? token.user?.value : undefined;
  const filled = fillTemplate(template, { ...token, subject: userClaim === undefined ? token.subject : user });
  if ('fault' in filled) return filled;
  const headers = { Accept: 'application/json', ...(authorization !== undefined && { Authorization: authorization }) };
  return {
    ...{ endpoint: template, clientId: '', authMethod: 'none' },
    protocol: {
      effect: 'grant',
      requestOf: () => ({ method, url: filled.url, headers }),
      successStatuses: success,
      // What OAuth calls an invalid token is our own credential here.
      errorOf: () => undefined,
      verdicts: { already_revoked: ['status 404'] },
    },
  };
}

/**
 * What a try at the server comes to, in the words of our own servers' grants.
 *
 * @param wasLive Whether the token was good when the try began: of one that is not, a revocation endpoint answers 200
 *   too (RFC 7009, section 2.2), and ends nothing with it.
 */
export function outcomeOfEnding(
  ending: GrantEnding,
  attempt: RevocationAttempt,
  wasLive: boolean,
): RevocationAttempt<UpstreamReach> | RevocationAttempt {
  if (attempt.status === 'done' && attempt.result === 'revoked') {
    const reaches = ending.preset === 'rfc7009' && !wasLive ? 'token' : ending.reaches;
    return { status: 'done', result: `upstream_${reaches ?? 'token'}` };
  }
  if (attempt.status !== 'retry' || attempt.isOurFault !== true || ending.preset !== 'http') return attempt;
  // Without the query, in which there may be a key.
  const [path] = ending.url.split('?');
  return {
    ...attempt,
    error: `${attempt.error}: "authorization" in END_GRANT must have the right to ${ending.method} ${path}`,
  };
}

/** A URL with the values of a token, each percent-encoded as strictly as can be; or why there is none. */
export function fillTemplate(
  template: string,
  values: Readonly<Partial<Record<Placeholder, string | undefined>>>,
): { readonly url: string } | { readonly fault: string } {
  let fault: string | undefined;
  const url = template.replace(PLACEHOLDER, (_placeholder, name: Placeholder) => {
    const { [name]: value = '' } = values;
    if (value === '') fault ??= `the token has no {${name}}`;
    else if (!isSafe(value)) fault ??= `{${name}} of the token cannot be in a URL`;
    else return encodeStrictly(value);
    return '';
  });
  return fault === undefined ? { url } : { fault };
}

/** Whether a value stays what it is in a path: some servers decode it first and take out its dots then. */
function isSafe(value: string): boolean {
  return value.isWellFormed() && !value.split(/[/\\]/).some((part) => part === '.' || part === '..');
}

/** RFC 3986, section 2.3: only what is unreserved stays. */
function encodeStrictly(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** Whether a URL has placeholders in its path or query alone, one of which tells the user's grant from others'. */
function isTemplate(url: string): boolean {
  const [, host = '', rest = ''] = /^(https?:\/\/[^/?\\]*)([^\\]*)$/.exec(url) ?? [];
  const names = [...rest.matchAll(PLACEHOLDER)].map(([, name]) => name);
  const [path = ''] = rest.split('?');
  const hasDots = path.split('/').some((part) => /^(\.|%2e){1,2}$/i.test(part));
  return names.some((name) => name !== 'client') && !/[{}]/.test(host + rest.replace(PLACEHOLDER, '')) && !hasDots;
}
