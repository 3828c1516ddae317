import * as z from 'zod/mini';
import { Misconfigured } from '../errors.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import { AnyText, jsonText } from '../settings.ts';
import { ClaimPattern } from './claim-pattern.ts';

/** Signatures that a public key verifies. `none` is in no list. */
const ASYMMETRIC = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];
const SYMMETRIC = ['HS256', 'HS384', 'HS512'];

/** An hour: more is a wrong clock, and no offset. */
const MAX_IAT_OFFSET_S = 3600;

const Text = z.lazy(() => z.string().check(z.minLength(1)));

// Here and elsewhere z.lazy is for what a first call may do without: zod takes up to a millisecond to make a schema.

/** An OAuth client at an authorization server, and the endpoint it calls there. */
export const EndpointClient = z.lazy(() =>
  z.strictObject({ endpoint: ServiceUrl, client_id: Text, client_secret: Text }),
);
export type EndpointClient = z.output<typeof EndpointClient>;

/** A claim by its name, or by a path such as `ext.grant_id`. */
const ClaimPath = z.lazy(() => z.string().check(z.minLength(1), z.maxLength(255)));

/** Claims that in nearly every server name the SSO session: other clients' tokens share it, and so does the next link. */
const SESSION_CLAIMS = ['sid', 'session_state'];

/** Claims that say who or for whom, and are the same in every link of a user: to revoke one would be for good. */
const PARTY_CLAIMS = ['iss', 'sub', 'aud', 'azp', 'client_id', 'cid', 'appid'];

const IssuerRows = z.lazy(() => {
  const texts = z.array(Text).check(z.minLength(1));
  const paths = z.array(ClaimPath).check(z.minLength(1));
  const row = z
    .strictObject({
      /** As in `iss`, byte for byte. */
      issuer: Text,
      /** Of which audiences one must be in the token; `none`: its tokens name none, and `clients` says whose are meant. */
      audience: z.optional(z.union([Text, texts])),
      /** Of which clients one must have been issued the token. */
      clients: z.optional(texts),
      jwks_uri: z.optional(ServiceUrl),
      jwks: z.optional(z.object({ keys: z.array(z.looseObject({ kty: Text })) })),
      /** The secret that the issuer signs with by HMAC, at least 32 characters. */
      secret: z.optional(z.string().check(z.minLength(32))),
      introspection: z.optional(EndpointClient),
      /** Which signature algorithms are accepted; all that fit the keys if not given. */
      algorithms: z.optional(texts),
      /** Where the user is named, and where the client; `sub`, and `client_id`, `azp`, `cid` or `appid`, if not given. */
      subject_claim: z.optional(ClaimPath),
      client_claim: z.optional(ClaimPath),
      /** Applications: a token of theirs that names no user is their own. */
      client_tokens: z.optional(texts),
      /** What names the grant in a token: all of a claim, or what the pattern's group takes of it. */
      grant: z.optional(z.strictObject({ claim: ClaimPath, match: z.optional(ClaimPattern) })),
      /** How long a grant can live, its refreshes included, in seconds; for good if not given. */
      grant_lifetime_s: z.optional(z.int().check(z.positive())),
      /** `sid` or `session_state` names a grant at this issuer, and no session. */
      session_names_grant: z.optional(z.boolean()),
      /** Claims that an access token has, and that it has not. */
      require: z.optional(paths),
      forbid: z.optional(paths),
      /** What the `jti` of an access token looks like; false: it does not name one token alone. */
      jti: z.optional(z.union([z.literal(false), ClaimPattern])),
      /** What an opaque access token begins with. */
      prefix: z.optional(Text),
      /** `optional`: the introspection of an access token need not say what it is. */
      token_type: z.optional(z.literal('optional')),
      /** Its access tokens are ID tokens. */
      id_tokens_too: z.optional(z.boolean()),
      /** How far its clock is ahead of the store's, in seconds, or behind it (negative): of its `iat`, in cut-offs. */
      iat_offset_s: z.optional(z.int().check(z.gte(-MAX_IAT_OFFSET_S), z.lte(MAX_IAT_OFFSET_S))),
    })
    .check(
      z.refine(({ jwks_uri, jwks, secret }) => [jwks_uri, jwks, secret].filter(Boolean).length <= 1),
      z.refine((issuer) => issuer.introspection !== undefined || hasKeys(issuer)),
      z.refine((issuer) => !hasKeys(issuer) || issuer.audience !== undefined),
      z.refine(({ audience, clients }) => audience !== 'none' || clients !== undefined),
      z.refine(({ algorithms, secret }) =>
        (algorithms ?? []).every((name) => (secret === undefined ? ASYMMETRIC : SYMMETRIC).includes(name)),
      ),
    );
  return z.array(row).check(
    z.minLength(1),
    z.refine((rows) => new Set(rows.map(({ issuer }) => issuer)).size === rows.length),
  );
});
export type Issuer = z.output<typeof IssuerRows>[number];

/** What an issuer may have as keys: not taken from its schema, which asks {@link hasKeys} itself. */
interface Keys {
  readonly jwks_uri?: unknown;
  readonly jwks?: unknown;
  readonly secret?: unknown;
}

/** Whether the JWTs of an issuer are verified by its keys; else it is asked about them as about any token. */
export function hasKeys({ jwks_uri, jwks, secret }: Keys): boolean {
  return jwks_uri !== undefined || jwks !== undefined || secret !== undefined;
}

/** The signature algorithms that are accepted of an issuer. */
export function algorithmsOf({ algorithms, secret }: Issuer): string[] {
  return algorithms ?? (secret === undefined ? ASYMMETRIC : SYMMETRIC);
}

/**
 * The rows of `ISSUERS` with the claim of `GRANT_CLAIM` where a row has none of its own.
 *
 * @throws {Misconfigured} A session would be taken for a grant.
 */
export function withGrantClaim(rows: readonly Issuer[], grantClaim: string | undefined): Issuer[] {
  return rows.map((row, index) => {
    const grant = row.grant ?? (grantClaim ? { claim: grantClaim } : undefined);
    if (grant === undefined) return row;
    const name = grant.claim.split('.').at(-1) ?? '';
    const where = row.grant === undefined ? 'GRANT_CLAIM' : `ISSUERS[${index}].grant.claim`;
    if (PARTY_CLAIMS.includes(grant.claim)) {
      throw new Misconfigured(`${where} must name a grant: ${grant.claim} is the same in the next link`);
    }
    if (SESSION_CLAIMS.includes(name) && row.session_names_grant !== true) {
      throw new Misconfigured(
        `${where} must name a grant: ${name} names a session, which the next link shares, unless ISSUERS[${index}] has "session_names_grant": true`,
      );
    }
    return { ...row, grant };
  });
}

const Issuers = jsonText(
  'must be JSON: a list of {"issuer", "audience", one of "jwks_uri", "jwks" and "secret", and/or "introspection"}, each issuer once',
  IssuerRows,
);

/** Whose access tokens are known and how they are verified. */
export const VerifiedTokenEnvironment = {
  ISSUERS: Issuers,
  /** The claim that names the grant and survives a refresh, such as `grant_id`, where a row names none. */
  GRANT_CLAIM: AnyText,
};

/** The same for a function that also serves providers whose tokens nobody can verify. */
export const AccessTokenEnvironment = {
  ...VerifiedTokenEnvironment,
  ISSUERS: z.optional(Issuers),
  /** `1`: tokens cannot be verified; any string is taken for one. */
  UNVERIFIED_TOKENS: z.optional(z.literal('1', 'must be 1 or unset')),
};
