import { readFileSync } from 'node:fs';
import { Misconfigured } from '../errors.ts';

/** The parameters that a store's URL may have: name → the values that are allowed, or `any`. */
type Allowed = Readonly<Record<string, readonly string[] | 'any'>>;

/**
 * Reads a store's URL. A parameter that is not known is refused: misspelt, it would silently not do what it says.
 *
 * @throws {Misconfigured} Says what is allowed, never what was given: a URL holds a password.
 */
export function readStoreUrl<Parameters extends Allowed>(
  text: string,
  allowed: Parameters,
): { url: URL; parameters: Partial<Record<keyof Parameters, string>> } {
  if (!URL.canParse(text)) throw new Misconfigured("the store's URL cannot be read: are all parts percent-encoded?");
  const url = new URL(text);
  const parameters: Partial<Record<keyof Parameters, string>> = {};
  for (const [name, value] of url.searchParams) {
    const values = allowed[name];
    if (values === undefined) {
      throw new Misconfigured(`the store's URL may have the parameters ${Object.keys(allowed).join(', ')} alone`);
    }
    if (values !== 'any' && !values.includes(value)) {
      throw new Misconfigured(`${name} in the store's URL must be ${values.join(' or ')}`);
    }
    parameters[name as keyof Parameters] = value; // one of its keys: `values` was found under it
  }
  return { url, parameters };
}

/** The host that a URL names, without the brackets of an IPv6 address. */
export function hostOf(url: URL): string {
  return decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1');
}

/** Whether a host is this machine, so that what is sent to it cannot be read on the way. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * The certificate of an authority, of the file that `sslrootcert` in a store's URL names.
 *
 * @throws {Misconfigured}
 */
export function readCertificate(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Misconfigured("sslrootcert in the store's URL must be a file that can be read", { cause: error });
  }
}
