// The library below takes its metadata from this, and needs it loaded first.
import 'reflect-metadata';
import { KeyObject, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';

/** What a server over TLS shows and what its clients trust, in PEM. */
export interface Certificates {
  /** The certificate that clients trust. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

/** A certificate authority of our own. Its key is in no file: it ends with the process. */
export interface CertificateAuthority {
  /** Its own certificate, in PEM. */
  readonly ca: string;
  /**
   * Makes a certificate for a server.
   *
   * @param hosts The names and addresses that it is good for.
   * @param flaw What a client must refuse it for: it has expired, or the authority did not sign it.
   */
  issue(hosts: readonly string[], flaw?: 'expired' | 'self-signed'): Promise<Certificates>;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const HOUR_MS = 3_600_000;
/** Longer than anybody leaves a development server running, shorter than what clients still accept of a server. */
const LIFETIME_MS = 90 * 24 * HOUR_MS;

/**
 * Makes a certificate authority for development servers and tests.
 *
 * @param now The moment from which its certificates are good.
 */
export async function createCertificateAuthority(now: () => number = Date.now): Promise<CertificateAuthority> {
  const authorityKeys = await createKeys();
  const authority = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=Development certificate authority',
    ...validity(now()),
    signingAlgorithm: ALGORITHM,
    keys: authorityKeys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      await SubjectKeyIdentifierExtension.create(authorityKeys.publicKey),
    ],
  });
  const ca = authority.toString('pem');
  return {
    ca,
    async issue(hosts, flaw) {
      const keys = await createKeys();
      const signer = flaw === 'self-signed' ? keys : authorityKeys;
      const subject = `CN=${hosts[0]}`;
      const certificate = await X509CertificateGenerator.create({
        subject,
        issuer: flaw === 'self-signed' ? subject : authority.subject,
        ...validity(flaw === 'expired' ? now() - LIFETIME_MS - 2 * HOUR_MS : now()),
        signingAlgorithm: ALGORITHM,
        publicKey: keys.publicKey,
        signingKey: signer.privateKey,
        extensions: await serverExtensions(hosts, keys, signer),
      });
      return { ca, certificate: certificate.toString('pem'), key: pemOf(keys.privateKey) };
    },
  };
}

async function serverExtensions(
  hosts: readonly string[],
  keys: webcrypto.CryptoKeyPair,
  signer: webcrypto.CryptoKeyPair,
): Promise<Extension[]> {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
    new SubjectAlternativeNameExtension(
      hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
    ),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
    // Python's verifier, strict since 3.13, asks for it.
    await AuthorityKeyIdentifierExtension.create(signer.publicKey),
  ];
}

/** From an hour before: the clocks of two machines differ. */
function validity(fromMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(fromMs - HOUR_MS), notAfter: new Date(fromMs + LIFETIME_MS) };
}

async function createKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

function pemOf(key: webcrypto.CryptoKey): string {
  // Of PEM it is always a string.
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }) as string;
}
