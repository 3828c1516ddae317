import { readFileSync } from 'node:fs';
import { Misconfigured } from '../errors.ts';

/** The parameters that a store's URL may have: name → the values that are allowed, or `any`. */
type Allowed = Readonly<Record<string, readonly string[] | 'any'>>;

/** What a store's URL says, decoded. What it does not say is an empty string. */
export interface StoreUrl<Name extends string> {
  readonly scheme: string;
  readonly host: string;
  readonly port: string;
  readonly user: string;
  readonly password: string;
  /** Without the slash at its start. */
  readonly path: string;
  readonly parameters: Readonly<Partial<Record<Name, string>>>;
}

/**
 * Reads a store's URL. A parameter that is not known is refused: misspelt, it would silently not do what it says.
 *
 * @throws {Misconfigured} Says what is allowed, never what was given: a URL holds a password.
 */
export function readStoreUrl<Parameters extends Allowed>(
  text: string,
  allowed: Parameters,
): StoreUrl<Extract<keyof Parameters, string>> {
  const [, authority = ''] = /^[^/?#]*:\/\/([^/?#]*)/.exec(text) ?? [];
  assertOneHost(authority.slice(authority.lastIndexOf('@') + 1));
  try {
    const url = new URL(text);
    return {
      scheme: url.protocol.slice(0, -1),
      host: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1'),
      port: url.port,
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      path: decodeURIComponent(url.pathname.slice(1)),
      parameters: readParameters(url.searchParams, allowed),
    };
  } catch (error) {
    if (error instanceof Misconfigured) throw error;
    // Without the cause: it quotes the URL.
    throw new Misconfigured(
      "the store's URL cannot be read: it must be scheme://user:password@host:port/path?name=value, with each part percent-encoded",
    );
  }
}

/**
 * Refuses a list of hosts, as libpq takes it: none of our clients can choose among them.
 *
 * @throws {Misconfigured}
 */
export function assertOneHost(hosts: string): void {
  if (!hosts.includes(',')) return;
  throw new Misconfigured("the store's URL names several hosts: it must name one, the address of the primary");
}

function readParameters<Parameters extends Allowed>(given: URLSearchParams, allowed: Parameters) {
  const parameters: Partial<Record<keyof Parameters, string>> = {};
  for (const [name, value] of given) {
    const values = allowed[name];
    if (name === 'target_session_attrs') {
      throw new Misconfigured(
        `${name} in the store's URL is not supported: the URL must name one host, the address of the primary`,
      );
    }
    if (values === undefined) {
      throw new Misconfigured(`the store's URL may have the parameters ${Object.keys(allowed).join(', ')} alone`);
    }
    if (values !== 'any' && !values.includes(value)) {
      throw new Misconfigured(`${name} in the store's URL must be ${values.join(' or ')}`);
    }
    parameters[name as keyof Parameters] = value; // one of its keys: `values` was found under it
  }
  return parameters;
}

/** Whether a host is this machine, so that what is sent to it cannot be read on the way. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/**
 * What TLS to a host is made with. Who answers must prove to be that host, by an authority that Node trusts or one in
 * the file `rootCertificate`.
 *
 * @throws {Misconfigured} There is no such file.
 */
export function tlsOptions(host: string, rootCertificate: string | undefined) {
  const isAddress = /^[\d.]+$|:/.test(host);
  return {
    host, // what the certificate must name; without it an address would be compared with `localhost`
    rejectUnauthorized: true, // whatever NODE_TLS_REJECT_UNAUTHORIZED says
    ...(!isAddress && { servername: host }),
    ...(rootCertificate !== undefined && { ca: readCertificate(rootCertificate) }),
  };
}

function readCertificate(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Misconfigured("sslrootcert in the store's URL must be a file that can be read", { cause: error });
  }
}
