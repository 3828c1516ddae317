/** Last labels of names that mean something else in every network, or a service that is nobody's public one. */
const SPECIAL_SUFFIXES: ReadonlySet<string> = new Set([
  ...['arpa', 'corp', 'home', 'internal', 'invalid', 'lan', 'local', 'localdomain', 'localhost', 'onion', 'svc'],
]);

/** Returns whether a hostname, in lower case and without a port, can be of a public host. An address is no name. */
export function isPublicName(hostname: string): boolean {
  const labels = /^[a-z0-9.-]+$/.test(hostname) ? hostname.split('.') : [];
  const last = labels.at(-1) ?? '';
  // A last label that is a number makes an IPv4 address of all of them.
  return labels.length >= 2 && !labels.includes('') && !/^(\d+|0x[0-9a-f]*)$/.test(last) && !SPECIAL_SUFFIXES.has(last);
}
