import { domainToASCII } from 'node:url';
import { canonicalEmailIds, type KeyedIds, type Pepper } from '../token-revocation/token-id.ts';

/** The most characters of an address in this form (RFC 3696, erratum 1690). */
const MAX_LENGTH = 254;

/**
 * The one form of an e-mail address that its digest is made of: the local part in lower case and NFC, the domain as the
 * DNS has it (RFC 5891). Nothing is trimmed. Undefined: it is no address.
 */
export function canonicalEmail(address: string): string | undefined {
  const [, local = '', domain = ''] = /^([^\p{Cc}\s@]+)@([^\p{Cc}\s@]+)$/u.exec(address) ?? [];
  const ascii = canonicalDomain(domain);
  if (ascii === undefined || !address.isWellFormed()) return undefined;
  const canonical = `${foldCase(local)}@${ascii}`;
  return canonical.length > MAX_LENGTH ? undefined : canonical;
}

/** The keyed digests of an address, as which alone it is kept and looked up. Undefined: it is no address. */
export function emailIds(address: string, peppers: readonly Pepper[]): KeyedIds | undefined {
  const canonical = canonicalEmail(address);
  return canonical === undefined ? undefined : canonicalEmailIds(canonical, peppers);
}

/** Lower case is not always normal, and what is normal may have another lower case. */
function foldCase(text: string): string {
  return text.normalize('NFC').toLowerCase().normalize('NFC');
}

function canonicalDomain(domain: string): string | undefined {
  // What delimits or escapes in a URL would be cut off or read as another domain.
  if (/[/\\:?#%[\]]/.test(domain)) return undefined;
  const ascii = domainToASCII(domain.normalize('NFC').toLowerCase());
  return /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(ascii) ? ascii : undefined;
}
