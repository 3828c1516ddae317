import { OutgoingFailure, type OutgoingResponse } from './send.ts';

/**
 * Checks the URLs that the metadata of an issuer names. Metadata of an https issuer leads to https alone, and to public
 * hosts alone unless the issuer itself answered from a loopback, private or link-local address.
 *
 * @param response The answer that brought the metadata. Its address is not the issuer's to choose: TLS is verified, and
 * nobody answers from a local address but who is there. DNS of the issuer's could name one later.
 * @returns Whether calls of these URLs must be `isPublicOnly`.
 * @throws {OutgoingFailure} `malformed`: a URL is not https; `forbidden`: its host is not public.
 */
export async function checkIssuerEndpoints(
  issuer: string,
  { address }: Pick<OutgoingResponse, 'address'>,
  endpoints: readonly string[],
): Promise<boolean> {
  // By http it is on this machine, as ServiceUrl has it.
  if (!issuer.startsWith('https:')) return false;
  if (!endpoints.every((endpoint) => endpoint.startsWith('https:'))) throw new OutgoingFailure('malformed');
  const { isLocalAddress, isPublicHostname } = await import('./public-address.ts');
  if (address !== undefined && isLocalAddress(address)) return false;
  const arePublic = endpoints.every((endpoint) => isPublicHostname(URL.parse(endpoint)?.hostname ?? ''));
  if (!arePublic) throw new OutgoingFailure('forbidden');
  return true;
}
