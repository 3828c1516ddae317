import type { LookupAddress } from 'node:dns';
import { createServiceSend, OutgoingFailure, type Send } from './send.ts';

/** Finds all addresses of a host. The signal is aborted at the call's deadline. */
export type ResolveHost = (hostname: string, signal: AbortSignal) => Promise<readonly LookupAddress[]>;

/**
 * Makes a {@link Send} to what settings name, and to what a remote document names: a request that is `isPublicOnly` goes
 * by `https:` to a public host at any port, and is connected to at just the addresses that were checked. `forbidden`: the
 * host is not public.
 *
 * @param resolve Finds the addresses for such a request: DNS if not given.
 */
export function createNamedSend(resolve?: ResolveHost): Send {
  return createServiceSend(async (url, signal) => {
    const { isPublicAddress, isPublicHostname, pinTo, queryAddresses } = await import('./public-address.ts');
    if (url.protocol !== 'https:' || !isPublicHostname(url.hostname)) throw new OutgoingFailure('forbidden');
    // An address needs no lookup, and node:net asks for none.
    if (isPublicAddress(url.hostname.replace(/^\[|\]$/g, ''))) return { url };
    const found = await (resolve ?? queryAddresses)(url.hostname, signal);
    if (found.length === 0) throw new OutgoingFailure('unreachable');
    // One is enough: it would be the one that is connected to next time.
    if (!found.every(({ address }) => isPublicAddress(address))) throw new OutgoingFailure('forbidden');
    return { url, connection: { lookup: pinTo(found) } };
  });
}

/** Sends a request to what settings name, or what a remote document names. See {@link createNamedSend}. */
export const sendToNamed: Send = createNamedSend();
