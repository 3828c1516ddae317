import type { SecureContext } from 'node:tls';
import { once } from '../once.ts';
import { parsedText, parseEach } from '../settings.ts';
import { assertCertificates } from './certificates.ts';
import type { ResolveHost } from './named-host.ts';
import { isPublicName } from './public-name.ts';
import { createSend, OutgoingFailure, type Send } from './send.ts';

/** More than `https://`, the longest name, a port and a few slashes. */
const MAX_TEXT_LENGTH = 512;
/** RFC 1035, section 2.3.4, without the dot of the root. */
const MAX_NAME_LENGTH = 253;
const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
const HOST = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[0-9a-f:.]+\\])(?::[1-9]\\d{0,4})?$`);
const NAME_AND_PUBLIC_PORT = /^([a-z0-9.-]+)(?::(?:443|8448))?$/;

/**
 * `host[:port]` of a server that a user may name, in the form in which it is signed to and connected to: `https://` and
 * trailing slashes stripped, in lower case, the port kept as it was given. Undefined: refused, without DNS.
 *
 * @param allowed Of {@link AllowedHosts}: may be any host and port, spelled just so.
 */
export function parsePublicHost(text: unknown, allowed: readonly string[]): string | undefined {
  const host = normaliseHost(text);
  return host !== undefined && (allowed.includes(host) || isPublicHost(host)) ? host : undefined;
}

function normaliseHost(text: unknown): string | undefined {
  // ASCII before anything else: the Kelvin sign, for one, is a k in lower case.
  if (typeof text !== 'string' || text.length > MAX_TEXT_LENGTH || !/^[!-~]+$/.test(text)) return undefined;
  const host = text
    .toLowerCase()
    .replace(/^https:\/\//, '')
    .replace(/\/+$/, '');
  const nameLength = host.replace(/:\d+$/, '').length;
  return HOST.test(host) && nameLength <= MAX_NAME_LENGTH && isReadAsWritten(host) ? host : undefined;
}

/** Whether a URL's parser takes a host as it is written: it reads many a spelling, such as `0x7f.1`, as 127.0.0.1. */
function isReadAsWritten(host: string): boolean {
  const path = '/path';
  const url = `https://${host}${path}`;
  return URL.canParse(url) && new URL(url).href === `https://${withoutDefaultPort(host)}${path}`;
}

function withoutDefaultPort(host: string): string {
  return host.replace(/:443$/, '');
}

function isPublicHost(host: string): boolean {
  return isPublicName(NAME_AND_PUBLIC_PORT.exec(host)?.[1] ?? '');
}

/** `ID_SERVER_ALLOW`: hosts, with or without a port, that a user may name though they are not public. */
export const AllowedHosts = parsedText(
  'must be hosts such as is.internal:8443, separated by commas',
  (text): readonly string[] | undefined => {
    const hosts = text.split(',').flatMap((host) => host.trim() || []);
    return parseEach(hosts, normaliseHost);
  },
  { text: '' },
);

/** What a {@link Send} to hosts that a user names goes by. */
export interface PublicSendOptions {
  /** Of {@link AllowedHosts}: go wherever they resolve to, over verified TLS like all others. */
  readonly allowed: readonly string[];
  /** Further certificate authorities, in PEM, trusted beside those that Node comes with. */
  readonly certificates?: string | undefined;
  /** DNS, and for an allowed host the machine's own lookup, if not given. */
  readonly resolve?: ResolveHost;
}

/**
 * A {@link Send} to hosts that a user names: to those that {@link parsePublicHost} accepts, found once, at none but
 * public addresses, and connected to at just the addresses that were checked. `forbidden`: not there.
 */
export function createPublicSend({ allowed, certificates, resolve }: PublicSendOptions): Send {
  const trust = once(() => createTrust(certificates));
  return createSend(
    async (text, signal) => {
      const host = parsePublicHost(/^https:\/\/([^/?#\\]*)/.exec(text)?.[1], allowed);
      if (host === undefined) throw new OutgoingFailure('forbidden');
      const url = new URL(text);
      // What is connected to is what was checked, however a URL may be read.
      if (url.host !== withoutDefaultPort(host)) throw new OutgoingFailure('forbidden');
      const { isIP } = await import('node:net');
      const secureContext = await trust();
      // An address needs no lookup, and node:net asks for none: only an allowed one gets here.
      if (isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0) return { url, connection: { secureContext } };
      const isAllowed = allowed.includes(host);
      const { isPublicAddress, lookUpAddresses, pinTo, queryAddresses } = await import('./public-address.ts');
      const found = await (resolve ?? (isAllowed ? lookUpAddresses : queryAddresses))(url.hostname, signal);
      if (found.length === 0) throw new OutgoingFailure('unreachable');
      // One is enough: it would be the one that is connected to next time.
      const areUsable = isAllowed || found.every(({ address }) => isPublicAddress(address));
      if (!areUsable) throw new OutgoingFailure('forbidden');
      return { url, connection: { secureContext, lookup: pinTo(found) } };
    },
    { connectMs: 2000, headMs: 5000 },
  );
}

async function createTrust(certificates: string | undefined): Promise<SecureContext> {
  const { createSecureContext, rootCertificates } = await import('node:tls');
  if (certificates !== undefined) assertCertificates(certificates, 'the further certificate authorities');
  // Without any further one, those that Node comes with.
  const ca = certificates === undefined ? undefined : [...rootCertificates, certificates];
  return createSecureContext({ ca, minVersion: 'TLSv1.2' });
}
