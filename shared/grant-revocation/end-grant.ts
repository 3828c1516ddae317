import * as z from 'zod/mini';
import { EndpointClient } from '../access-token/issuers.ts';
import { Misconfigured } from '../errors.ts';
import { readCertificates } from '../outgoing/certificates.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import { jsonText } from '../settings.ts';
import type { ApiCredential } from './api-credentials.ts';
import { type GrantApi, stepsOf, userOf } from './grant-api.ts';
import { GRANT_PRESET_NAMES, GRANT_PRESETS, type KnownCredentials } from './grant-presets.ts';
import type { RevocationAttempt } from './revoke-grant.ts';
import { fillTemplate, isTemplate, type Placeholder, placeholdersOf } from './url-template.ts';

const EndGrantRows = z.lazy(() => {
  const text = z.string().check(z.minLength(1));
  const optional = z.optional(text);
  const issuer = text;
  const reaches = z.enum(['grant', 'token', 'all_clients']);
  const status = z.int().check(z.gte(200), z.lte(299));
  /** A file of certificates that the server's may be signed by, besides the public ones. */
  const ca_file = optional;
  const authorization = z.union([
    /** The whole value of the header. */
    z.string().check(z.regex(/^[!-~]([ -~]*[!-~])?$/)),
    /** Our client, which asks for a token of its own (RFC 6749, section 4.4), and what it sends beside. */
    z.strictObject({
      ...{ client_id: text, client_secret: text, audience: optional, resource: optional, scope: optional },
      token_endpoint: z.optional(ServiceUrl),
      auth_method: z.optional(z.enum(['client_secret_basic', 'client_secret_post'])),
    }),
    /** An access key of AWS. */
    z.strictObject({ access_key_id: text, secret_access_key: text }),
  ]);
  const credential = { authorization: z.optional(authorization) };
  /** The claim of the id that the server's API knows the user by: the subject, if not given. */
  const user_claim = optional;
  const rfc7009 = z.strictObject({
    ...{ issuer, preset: z.literal('rfc7009'), endpoint: ServiceUrl, client_id: text, client_secret: text, ca_file },
    /** What ends with an access token there: the token, if not given. */
    reaches: z.optional(reaches),
  });
  const http = z.strictObject({
    ...{ issuer, preset: z.literal('http'), method: z.enum(['DELETE', 'POST']), ...credential, user_claim, ca_file },
    url: ServiceUrl.check(z.refine(isTemplate)),
    /** The statuses that say that it is done. */
    success: z.array(status).check(z.minLength(1)),
    reaches,
  });
  const named = z.strictObject({
    ...{ issuer, preset: z.enum(GRANT_PRESET_NAMES), ...credential, user_claim, ca_file },
    /** The base of its API, where that does not follow from the issuer. A brace would let the token say what it is. */
    api: z.optional(ServiceUrl.check(z.regex(/^[^?{}]+$/))),
    /** The row allows what ends the grants of every client of the user. */
    reaches: z.optional(z.literal('all_clients')),
  });
  return z.array(z.union([rfc7009, http, named])).check(
    z.minLength(1),
    z.refine((rows) => new Set(rows.map((row) => row.issuer)).size === rows.length),
  );
});
type EndGrantRow = z.output<typeof EndGrantRows>[number];
type ApiRow = Exclude<EndGrantRow, { preset: 'rfc7009' }>;

/** Where the grants of our own authorization servers are ended. */
export const EndGrantEnvironment = {
  /** The revocation endpoint (RFC 7009) of all issuers that have no row of `END_GRANT`. */
  REVOKE_UPSTREAM: z.optional(
    jsonText('must be JSON: {"endpoint", "client_id", "client_secret"}, the endpoint by https', EndpointClient),
  ),
  /** How each issuer ends a grant. */
  END_GRANT: z.optional(
    jsonText(
      `must be JSON: a list of {"issuer", "preset": "rfc7009", "endpoint", "client_id", "client_secret"}, {"issuer", "preset": "http", "method", "url", "success", "reaches"} or {"issuer", "preset"} of ${GRANT_PRESET_NAMES.join(', ')}, each issuer once, with the members of docs/smart-home.md, a URL by https with {grant}, {subject} or {jti} in its path or query`,
      EndGrantRows,
    ),
  ),
};

/** An API of a server that ends a grant, and our credential there. */
export interface ApiEnding {
  readonly preset: ApiRow['preset'];
  readonly issuer: string;
  /** What the paths of the API follow; of the preset `http`, all of its URL. */
  readonly base: string;
  readonly api: GrantApi;
  readonly credential: ApiCredential;
  readonly reaches: 'grant' | 'token' | 'all_clients';
  /** The claim of the id that the API knows the user by; the subject if not given. */
  readonly userClaim?: string | undefined;
  /** Authorities that the server's certificate may be of, in PEM, besides the public ones. */
  readonly certificates?: string | undefined;
}

/** The revocation endpoint of a server, and our client there; without `issuer`, of every issuer that has no row. */
export interface EndpointEnding extends EndpointClient {
  readonly preset: 'rfc7009';
  readonly issuer?: string | undefined;
  readonly reaches?: 'grant' | 'token' | 'all_clients' | undefined;
  /** Authorities that the server's certificate may be of, in PEM, besides the public ones. */
  readonly certificates?: string | undefined;
}

/** How the grants of an issuer are ended. */
export type GrantEnding = EndpointEnding | ApiEnding;

/**
 * All that the settings say: `REVOKE_UPSTREAM` is the preset `rfc7009` of whoever has no row.
 *
 * @throws {Misconfigured} Names the row, and what it must have.
 */
export function grantEndingsOf({
  REVOKE_UPSTREAM: upstream,
  END_GRANT: rows = [],
}: {
  readonly REVOKE_UPSTREAM?: EndpointClient | undefined;
  readonly END_GRANT?: readonly EndGrantRow[] | undefined;
}): readonly GrantEnding[] {
  const endings = rows.map((row, index) => endingOf(row, `END_GRANT[${index}]`));
  return upstream === undefined ? endings : [...endings, { preset: 'rfc7009', ...upstream }];
}

function endingOf(row: EndGrantRow, name: string): GrantEnding {
  const certificates = readCertificates(row.ca_file, `${name}.ca_file`);
  if (row.preset === 'rfc7009') {
    const { ca_file: _file, ...rest } = row;
    return { ...rest, certificates };
  }
  const { issuer, preset } = row;
  const given = { issuer, preset, certificates, userClaim: row.user_claim };
  if (row.preset === 'http') {
    const { method, url: base, success: successStatuses, reaches } = row;
    const verdicts = { already_revoked: ['status 404'] };
    const api: GrantApi = {
      steps: [{ method, path: '', reading: { successStatuses, verdicts } }],
      right: 'the right to make this call',
    };
    return { ...given, base, api, reaches, credential: credentialOf(row, name, {}) };
  }
  const { reaches, ...known } = GRANT_PRESETS[row.preset];
  if (reaches !== 'grant_or_all_clients' && (reaches === 'all_clients') !== (row.reaches === 'all_clients')) {
    const rule = reaches === 'grant' ? 'is not for' : 'must be given with';
    throw new Misconfigured(`${name}: "reaches": "all_clients" ${rule} preset ${preset}`);
  }
  const base = (row.api ?? known.baseOf?.(issuer))?.replace(/\/+$/, '');
  if (base === undefined) throw new Misconfigured(`${name}: "api" must be given: it does not follow from the issuer`);
  return {
    ...given,
    ...{ base, api: known.apiOf(issuer), reaches: row.reaches ?? 'grant' },
    userClaim: row.user_claim ?? known.userClaim,
    credential: credentialOf(row, name, known.credentialOf(issuer, base)),
  };
}

/** @param known What a preset says of its credentials. */
function credentialOf({ authorization }: ApiRow, name: string, known: KnownCredentials): ApiCredential {
  const credential = readCredential(authorization, known);
  const taken = known.kinds ?? ['none', 'header', 'client'];
  if (credential !== undefined && taken.includes(credential.kind)) return credential;
  throw new Misconfigured(`${name}: "authorization" must be ${taken.map((kind) => FORMS[kind]).join(', or ')}`);
}

/** What a row says of its credential; undefined: not enough. */
function readCredential(given: ApiRow['authorization'], known: KnownCredentials): ApiCredential | undefined {
  if (given === undefined) return { kind: 'none' };
  if (typeof given === 'string') return { kind: 'header', authorization: given };
  if ('access_key_id' in given) {
    const { access_key_id: accessKeyId, secret_access_key: secretAccessKey } = given;
    return known.signed && { kind: 'sigv4', ...known.signed, accessKeyId, secretAccessKey };
  }
  const { client_id: clientId, client_secret: clientSecret, token_endpoint, auth_method } = given;
  const endpoint = token_endpoint ?? known.token?.endpoint;
  if (endpoint === undefined) return undefined;
  const { audience, resource, scope } = given;
  const own = { ...(audience && { audience }), ...(resource && { resource }), ...(scope && { scope }) };
  return {
    ...{ kind: 'client', endpoint, clientId, clientSecret, fields: { ...known.token?.fields, ...own } },
    authMethod: auth_method ?? known.token?.authMethod ?? 'client_secret_basic',
  };
}

/** How a row says each kind of credential, for a sentence. */
const FORMS: Readonly<Record<ApiCredential['kind'], string>> = {
  none: 'left out',
  header: 'the value of the header',
  client: '{"client_id", "client_secret"}, with "token_endpoint" where that does not follow from the issuer',
  sigv4: '{"access_key_id", "secret_access_key"}',
};

/** How the grants of an issuer are ended. @param issuer undefined: of a token that nobody vouched for. */
export function findGrantEnding(endings: readonly GrantEnding[], issuer: string | undefined): GrantEnding | undefined {
  return endings.find((ending) => ending.issuer === issuer) ?? endings.find(({ issuer: named }) => named === undefined);
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
  /** What was made later belongs to the next link, in milliseconds since the epoch; not given: all that is there ends. */
  readonly until?: number | undefined;
  /** The claim of `user_claim`, and its value. */
  readonly user?: { readonly claim: string; readonly value: string } | undefined;
}

/** Whether a call ends nothing but what the token hung on, however late it is: it names the token or its grant. */
export function endsOwnGrantAlone(ending: GrantEnding, { grant }: Pick<EndedToken, 'grant'>): boolean {
  if (ending.preset === 'rfc7009') return true;
  if (ending.preset === 'http') return /\{(grant|jti)\}/.test(ending.base);
  return ending.api.namesGrant === true && grant !== undefined;
}

/** Whether a late call would also end what was linked anew: nothing tells it from what the token hung on. */
export function mayEndNewer(ending: GrantEnding, token: Pick<EndedToken, 'grant'>): boolean {
  const showsAge = ending.preset !== 'rfc7009' && ending.api.showsAge === true;
  return !showsAge && !endsOwnGrantAlone(ending, token);
}

/** What a token lacks that ending its grant takes; undefined: nothing. */
export function faultOfEnding(ending: GrantEnding, token: EndedToken): string | undefined {
  if (ending.preset === 'rfc7009') return undefined;
  const filled = fillTemplate(templateOf(ending, token), { ...token, subject: userOf(ending, token) });
  return 'fault' in filled ? filled.fault : undefined;
}

/** What of a token its calls name. @param token Whether it names its grant decides which calls are made. */
export function placeholdersOfEnding(ending: ApiEnding, token: Pick<EndedToken, 'grant'>): ReadonlySet<Placeholder> {
  return placeholdersOf(templateOf(ending, token));
}

/** All that the calls of an API name, in one text. */
function templateOf(ending: ApiEnding, token: Pick<EndedToken, 'grant'>): string {
  const templates = stepsOf(ending.api, token).map((step) => {
    if (!('list' in step)) return JSON.stringify([step.path, step.body]);
    // Of a list of all that the user has, the client's is meant.
    return step.isOfUser ? `${step.list}{client}` : step.list;
  });
  return [ending.base, ...templates].join('');
}

/** What the server has confirmed to have ended. */
export type UpstreamReach = 'upstream_token' | 'upstream_grant' | 'upstream_all_clients';

/** What is known of a grant that was to be ended by an API. */
export type UpstreamResult =
  | UpstreamReach
  /** The server has nothing of the user at the client, as far as its API tells. */
  | 'nothing_found'
  /** Something of it may go on: what other clients have too and the row does not allow to end, or what the API does not list. */
  | 'ended_in_part';

/**
 * What a try at a revocation endpoint comes to, in the words of our own servers' grants.
 *
 * @param wasLive Whether the token was good when the try began: of one that is not, a revocation endpoint answers 200
 *   too (RFC 7009, section 2.2), and ends nothing with it.
 */
export function outcomeOfEndpoint(
  { reaches = 'token' }: EndpointEnding,
  attempt: RevocationAttempt,
  wasLive: boolean,
): RevocationAttempt<UpstreamReach> | RevocationAttempt {
  if (attempt.status !== 'done' || attempt.result !== 'revoked') return attempt;
  return { status: 'done', result: `upstream_${wasLive ? reaches : 'token'}` };
}
