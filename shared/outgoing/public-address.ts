import type { LookupAddress } from 'node:dns';
import { BlockList, isIP, isIPv4, isIPv6, type LookupFunction } from 'node:net';
import { isPublicName } from './public-name.ts';

/** Not public, of all IPv4: the special-purpose registries (RFC 6890), and what a cloud keeps for itself. */
const SPECIAL_IPV4 = blockList('ipv4', [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10', // shared by the customers of a carrier; metadata of Alibaba Cloud
  '127.0.0.0/8',
  '168.63.129.16/32', // Azure's host
  '169.254.0.0/16', // metadata of most clouds
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24', // AS112
  '192.52.193.0/24', // AMT
  '192.88.99.0/24', // relays of 6to4
  '192.168.0.0/16',
  '192.175.48.0/24', // AS112
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]);

/** All of IPv6 that is routed in public. Mapped, compatible and NAT64 forms of an IPv4 address are outside of it. */
const GLOBAL_IPV6 = blockList('ipv6', ['2000::/3']);

/** Not public, of {@link GLOBAL_IPV6}. */
const SPECIAL_IPV6 = blockList('ipv6', [
  '2001::/23', // Teredo among others
  '2001:db8::/32',
  '2002::/16', // 6to4: holds an IPv4 address
  '2620:4f:8000::/48', // AS112
  '3fff::/20',
]);

/** Where no public service is reached: this machine, private networks, and links. */
const LOCAL_IPV4 = blockList('ipv4', [
  ...['127.0.0.0/8', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
  '100.64.0.0/10', // shared by the customers of a carrier; private networks of some clouds
  '169.254.0.0/16',
]);
const LOCAL_IPV6 = blockList('ipv6', ['::1/128', 'fc00::/7', 'fe80::/10']);

/** How long the addresses of one family are waited for when those of the other are known, in milliseconds. */
const SECOND_FAMILY_MS = 500;

/** Whether a resolved address is public. What is no address is not, nor is one with a zone. */
export function isPublicAddress(address: string): boolean {
  // Each family has lists of its own: a list that is asked about the other family answers no.
  if (isIPv4(address)) return !SPECIAL_IPV4.check(address, 'ipv4');
  if (!isIPv6(address) || address.includes('%')) return false;
  return GLOBAL_IPV6.check(address, 'ipv6') && !SPECIAL_IPV6.check(address, 'ipv6');
}

/**
 * Returns whether an address is loopback, private or link-local. Forms that hold an IPv4 address are not: whoever owns a
 * name can have them in DNS, and some lead to a public host.
 */
export function isLocalAddress(address: string): boolean {
  if (isIPv4(address)) return LOCAL_IPV4.check(address, 'ipv4');
  return isIPv6(address) && LOCAL_IPV6.check(address, 'ipv6');
}

/** Returns whether the host of a URL, as `URL` writes it, is a public address or can be a public name. */
export function isPublicHostname(hostname: string): boolean {
  const address = hostname.replace(/^\[|\]$/g, '');
  return isIP(address) === 0 ? isPublicName(hostname) : isPublicAddress(address);
}

/** Returns a `lookup` that knows these addresses alone, so that they are all that is connected to. */
export function pinTo(found: readonly LookupAddress[]): LookupFunction {
  const addresses = found.map(({ address }) => ({ address, family: isIP(address) }));
  return (_hostname, { all }, callback) => {
    const [first] = addresses;
    // As dns.lookup does, never before it has returned.
    if (all) process.nextTick(callback, null, addresses);
    else process.nextTick(callback, null, first?.address, first?.family);
  };
}

/** All addresses of a host that settings name: from the hosts file, DNS, or wherever this machine looks. */
export async function lookUpAddresses(hostname: string): Promise<readonly LookupAddress[]> {
  const { lookup } = await import('node:dns/promises');
  return lookup(hostname, { all: true });
}

/**
 * All addresses of a host that a user names, from DNS alone. `dns.lookup` would hold one of the few threads of the
 * process until a name server of an attacker's answers, and with two such names nobody else finds a host meanwhile;
 * it would also try the name under this machine's search domains.
 *
 * @param signal Ends the queries.
 * @param servers Name servers, as `address:port`: those of this machine if not given.
 */
export async function queryAddresses(
  hostname: string,
  signal: AbortSignal,
  servers?: readonly string[],
): Promise<readonly LookupAddress[]> {
  const { Resolver } = await import('node:dns/promises');
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  signal.addEventListener('abort', () => resolver.cancel(), { once: true });
  const queries = [resolver.resolve4(hostname), resolver.resolve6(hostname)] as const;
  // Some name servers drop the question for one family. What is found is all that is connected to: nothing is missed.
  const endsSecond = Promise.any(queries).then(
    () => setTimeout(() => resolver.cancel(), SECOND_FAMILY_MS),
    () => undefined,
  );
  const [ipv4, ipv6] = await Promise.allSettled(queries);
  clearTimeout(await endsSecond);
  if (ipv4.status === 'rejected' && ipv6.status === 'rejected') throw ipv4.reason;
  return [
    ...(ipv4.status === 'fulfilled' ? ipv4.value : []).map((address) => ({ address, family: 4 })),
    ...(ipv6.status === 'fulfilled' ? ipv6.value : []).map((address) => ({ address, family: 6 })),
  ];
}

function blockList(family: 'ipv4' | 'ipv6', ranges: readonly string[]): BlockList {
  const list = new BlockList();
  for (const range of ranges) {
    const [network = '', prefix] = range.split('/');
    list.addSubnet(network, Number(prefix), family);
  }
  return list;
}
