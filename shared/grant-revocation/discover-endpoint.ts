import * as z from 'zod/mini';
import { checkIssuerEndpoints } from '../outgoing/issuer-endpoints.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import type { Ask } from './revoke-grant.ts';

const Metadata = z.lazy(() => z.object({ issuer: z.string(), revocation_endpoint: z.optional(ServiceUrl) }));

/** A revocation endpoint that an issuer names. */
export interface DiscoveredEndpoint {
  readonly url: string;
  /** Whether calls of it go to public addresses alone. */
  readonly isPublicOnly: boolean;
}

/**
 * The revocation endpoint that an issuer names; undefined: it has none. Asked anew each time: a grant is withdrawn once.
 *
 * @throws {OutgoingFailure} The issuer cannot be asked, or what it says cannot be used; `forbidden`: the endpoint is not
 * public, and the issuer is.
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html and RFC 8414
 */
export async function discoverEndpoint(issuer: string, ask: Ask): Promise<DiscoveredEndpoint | undefined> {
  const metadataUrl = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await ask({ method: 'GET', url: metadataUrl, headers: { Accept: 'application/json' } });
  if (response.status !== 200) throw new OutgoingFailure('malformed');
  const { success, data } = Metadata.safeParse(jsonObjectOf(response));
  if (!success || data.issuer !== issuer) throw new OutgoingFailure('malformed');
  const { revocation_endpoint: url } = data;
  if (url === undefined) return undefined;
  return { url, isPublicOnly: await checkIssuerEndpoints(issuer, response, [url]) };
}
