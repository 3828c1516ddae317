import * as z from 'zod/mini';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import type { Ask } from './revoke-grant.ts';

const Metadata = z.lazy(() => z.object({ issuer: z.string(), revocation_endpoint: z.optional(ServiceUrl) }));

/**
 * The revocation endpoint that an issuer names; undefined: it has none. Asked anew each time: a grant is withdrawn once.
 *
 * @throws {OutgoingFailure}
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html and RFC 8414
 */
export async function discoverEndpoint(issuer: string, ask: Ask): Promise<string | undefined> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const response = await ask({ method: 'GET', url, headers: { Accept: 'application/json' } });
  if (response.status !== 200) throw new OutgoingFailure('malformed');
  const { success, data } = Metadata.safeParse(jsonObjectOf(response));
  if (!success || data.issuer !== issuer) throw new OutgoingFailure('malformed');
  const { revocation_endpoint: endpoint } = data;
  // An issuer on the net does not lead to this machine.
  if (issuer.startsWith('https:') && endpoint?.startsWith('http:')) throw new OutgoingFailure('malformed');
  return endpoint;
}
