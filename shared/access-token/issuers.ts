import * as z from 'zod/mini';
import { ServiceUrl } from '../outgoing/service-url.ts';
import { AnyText, jsonText } from '../settings.ts';

/** Signatures that a public key verifies. `none` is in no list. */
const ASYMMETRIC = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];
const SYMMETRIC = ['HS256', 'HS384', 'HS512'];

const Text = z.lazy(() => z.string().check(z.minLength(1)));

// Here and elsewhere z.lazy is for what a first call may do without: zod takes up to a millisecond to make a schema.

/** An OAuth client at an authorization server, and the endpoint it calls there. */
export const EndpointClient = z.lazy(() =>
  z.strictObject({ endpoint: ServiceUrl, client_id: Text, client_secret: Text }),
);
export type EndpointClient = z.output<typeof EndpointClient>;

const IssuerRows = z.lazy(() => {
  const row = z
    .strictObject({
      /** As in `iss`, byte for byte. */
      issuer: Text,
      /** Of which audiences one must be in the token. */
      audience: z.optional(z.union([Text, z.array(Text).check(z.minLength(1))])),
      jwks_uri: z.optional(ServiceUrl),
      jwks: z.optional(z.object({ keys: z.array(z.looseObject({ kty: Text })) })),
      /** The secret that the issuer signs with by HMAC, at least 32 characters. */
      secret: z.optional(z.string().check(z.minLength(32))),
      introspection: z.optional(EndpointClient),
      /** Which signature algorithms are accepted; all that fit the keys if not given. */
      algorithms: z.optional(z.array(Text).check(z.minLength(1))),
    })
    .check(
      z.refine(({ jwks_uri, jwks, secret }) => [jwks_uri, jwks, secret].filter(Boolean).length <= 1),
      z.refine((issuer) => issuer.introspection !== undefined || hasKeys(issuer)),
      z.refine((issuer) => !hasKeys(issuer) || issuer.audience !== undefined),
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

const Issuers = jsonText(
  'must be JSON: a list of {"issuer", "audience", one of "jwks_uri", "jwks" and "secret", and/or "introspection"}, each issuer once',
  IssuerRows,
);

/** Whose access tokens are known and how they are verified. */
export const VerifiedTokenEnvironment = {
  ISSUERS: Issuers,
  /** The claim that names the grant and survives a refresh, such as `grant_id` or `sid`. */
  GRANT_CLAIM: AnyText,
};

/** The same for a function that also serves providers whose tokens nobody can verify. */
export const AccessTokenEnvironment = {
  ...VerifiedTokenEnvironment,
  ISSUERS: z.optional(Issuers),
  /** `1`: tokens cannot be verified; any string is taken for one. */
  UNVERIFIED_TOKENS: z.optional(z.literal('1', 'must be 1 or unset')),
};
