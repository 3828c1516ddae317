import type { Threepid } from './threepid-binding.ts';

/** The most characters of an e-mail address: what Synapse takes. */
const MAX_EMAIL = 500;

/** The most bytes of a user id (https://spec.matrix.org/v1.15/appendices/#user-identifiers). */
const MAX_MXID_BYTES = 255;

const SERVER_NAME = /^(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,230})(?::[0-9]{1,5})?$/i;

/**
 * The one form of an identifier in which identity servers keep it: of an e-mail address with its case folded, of a phone
 * number its digits.
 *
 * @returns Undefined: it is none, or of another medium than `email` and `msisdn`.
 * @see https://spec.matrix.org/v1.15/appendices/#3pid-types
 */
export function canonicalThreepid(medium: string, address: string): Threepid | undefined {
  if (medium === 'msisdn') {
    const digits = /^\+?([0-9]{1,15})$/.exec(address)?.[1];
    return digits === undefined ? undefined : { medium, address: digits };
  }
  if (medium !== 'email' || address.length > MAX_EMAIL || !address.isWellFormed()) return undefined;
  const folded = foldCase(address);
  const isAddress = /^[^\p{Cc}\s]+@[^\p{Cc}\s@]+$/u.test(folded) && folded.length <= MAX_EMAIL;
  return isAddress ? { medium, address: folded } : undefined;
}

/**
 * Full case folding (Unicode 16, section 5.18.4), character by character: `ß` is `ss`, `ς` is `σ`. JavaScript has none,
 * and its lower case is not it; the lower case of the upper case is, but for what is named here.
 */
export function foldCase(text: string): string {
  return Array.from(text, (character) =>
    CHEROKEE.test(character)
      ? character.toUpperCase()
      : (FOLDED.get(character) ?? character.toUpperCase().toLowerCase()),
  ).join('');
}

/** Folds to its capital letters, which are older. */
const CHEROKEE = /[\u13a0-\u13f5\u13f8-\u13fd\uab70-\uabbf]/;

const FOLDED: ReadonlyMap<string, string> = new Map([
  ['ẞ', 'ss'],
  ['ı', 'ı'],
]);

/**
 * The name of the homeserver of a user.
 *
 * @returns Undefined: it is no user's id. Of a localpart all is let pass that ever was allowed.
 * @see https://spec.matrix.org/v1.15/appendices/#user-identifiers
 */
export function serverNameOf(mxid: string): string | undefined {
  if (Buffer.byteLength(mxid) > MAX_MXID_BYTES || !mxid.isWellFormed()) return undefined;
  const serverName = /^@[^:\p{Cc}\s]*:(.+)$/u.exec(mxid)?.[1];
  return serverName !== undefined && isServerName(serverName) ? serverName : undefined;
}

/** Whether a text is a user's id. */
export function isMxid(text: string): boolean {
  return serverNameOf(text) !== undefined;
}

/** Whether a text is the name of a homeserver (https://spec.matrix.org/v1.15/appendices/#server-name). */
export function isServerName(text: string): boolean {
  return SERVER_NAME.test(text);
}
