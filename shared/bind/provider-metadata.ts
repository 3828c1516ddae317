import type { AuthorizationServer } from 'oauth4webapi';
import * as z from 'zod/mini';
import { checkIssuerEndpoints } from '../outgoing/issuer-endpoints.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure, type OutgoingResponse, type Send } from '../outgoing/send.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import type { ProviderClientSettings } from './provider-settings.ts';

/** What a provider says of itself. */
export interface FoundServer {
  /** As the OAuth library takes it. */
  readonly server: AuthorizationServer;
  /** Whether calls of its endpoints go to public addresses alone. */
  readonly isPublicOnly: boolean;
}

/**
 * Finds what a provider says of itself.
 *
 * @throws {OutgoingFailure} It cannot be asked, or what it says cannot be used; `forbidden`: it names a host that is not
 * public, and is public itself.
 */
export type FindServer = (timeoutMs: number) => Promise<FoundServer>;

/**
 * Makes what finds a provider's endpoints: in the settings, or by OpenID Connect Discovery at the issuer. Metadata is
 * kept between calls, a failure is not. Without the library, which would have to be loaded for each start of a bind.
 *
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html
 */
export function createServerFinder(
  { protocol, issuer = '', authorizationEndpoint = '', tokenEndpoint = '' }: ProviderClientSettings,
  { send, monotonic }: { readonly send: Send; readonly monotonic: () => number },
): FindServer {
  if (protocol === 'oauth2') {
    // The library wants an issuer; where none is known, none is ever compared with it.
    const name = issuer || new URL(tokenEndpoint).origin;
    const server = {
      issuer: name,
      authorization_endpoint: authorizationEndpoint,
      token_endpoint: tokenEndpoint,
    };
    return async () => ({ server, isPublicOnly: false });
  }
  let kept: { readonly found: FoundServer; readonly fetchedAt: number } | undefined;
  return async (timeoutMs) => {
    if (kept !== undefined && monotonic() - kept.fetchedAt < METADATA_MS) return kept.found;
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const response = await send({ method: 'GET', url, headers: { Accept: 'application/json' }, timeoutMs });
    if (response.status !== 200) throw new OutgoingFailure('malformed');
    const found = await readMetadata(response, issuer);
    kept = { found, fetchedAt: monotonic() };
    return found;
  };
}

/** How long a provider's metadata is believed, in milliseconds. */
const METADATA_MS = 3_600_000;

const ASYMMETRIC = new Set([
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]);

/** What is read of a provider's metadata (RFC 8414, RFC 9207). The rest cannot lead us anywhere. */
const Metadata = z.object({
  issuer: z.string(),
  authorization_endpoint: ServiceUrl,
  token_endpoint: ServiceUrl,
  jwks_uri: ServiceUrl,
  userinfo_endpoint: z.optional(ServiceUrl),
  id_token_signing_alg_values_supported: z.optional(z.array(z.string())),
  // One that names its methods and leaves out S256 would take a challenge that protects nothing, or none.
  code_challenge_methods_supported: z.optional(
    z.array(z.string()).check(z.refine((methods) => methods.includes('S256'))),
  ),
  authorization_response_iss_parameter_supported: z._default(z.boolean(), false),
});

/** @throws {OutgoingFailure} */
async function readMetadata(response: OutgoingResponse, issuer: string): Promise<FoundServer> {
  const { success, data } = Metadata.safeParse(jsonObjectOf(response));
  if (!success || data.issuer !== issuer) throw new OutgoingFailure('malformed');
  const { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint } = data;
  const endpoints = [authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint ?? jwks_uri];
  const isPublicOnly = await checkIssuerEndpoints(issuer, response, endpoints);
  const algorithms = data.id_token_signing_alg_values_supported ?? ['RS256'];
  const server = {
    ...{ issuer, authorization_endpoint, token_endpoint, jwks_uri },
    ...(userinfo_endpoint !== undefined && { userinfo_endpoint }),
    id_token_signing_alg_values_supported: algorithms.filter((algorithm) => ASYMMETRIC.has(algorithm)),
    authorization_response_iss_parameter_supported: data.authorization_response_iss_parameter_supported,
  };
  return { server, isPublicOnly };
}
