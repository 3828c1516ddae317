import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificates } from './certificates.ts';

const FILES = {
  ca: 'identity-ca.pem',
  certificate: 'identity-certificate.pem',
  key: 'identity-key.pem',
} as const;
const DAY_MS = 86_400_000;

/** The file of the certificate that clients of the identity server trust. */
export function identityCaFile(dataDir: string): string {
  return join(dataDir, FILES.ca);
}

/** The certificates of `localhost` that a data folder keeps; made where it has none that are good for a day yet. */
export async function keepCertificates(dataDir: string, now: () => number = Date.now): Promise<Certificates> {
  const kept = readCertificates(dataDir);
  if (kept !== undefined && areGood(kept, now() + DAY_MS)) return kept;
  // Loaded on demand: its library takes 100 ms.
  const { createCertificateAuthority } = await import('./certificates.ts');
  const authority = await createCertificateAuthority(now);
  const certificates = await authority.issue(['localhost']);
  for (const part of ['key', 'certificate', 'ca'] as const) {
    writeFileSync(join(dataDir, FILES[part]), certificates[part], { mode: 0o600 });
  }
  return certificates;
}

function readCertificates(dataDir: string): Certificates | undefined {
  const read = (part: keyof Certificates) => readFileSync(join(dataDir, FILES[part]), 'utf8');
  try {
    return { ca: read('ca'), certificate: read('certificate'), key: read('key') };
  } catch {
    // New ones do as well.
    return undefined;
  }
}

/** Whether they belong together, and do not expire before a moment. */
function areGood({ ca, certificate, key }: Certificates, untilMs: number): boolean {
  try {
    const [authority, server] = [new X509Certificate(ca), new X509Certificate(certificate)];
    return (
      server.verify(authority.publicKey) &&
      server.checkPrivateKey(createPrivateKey(key)) &&
      [authority, server].every(({ validTo }) => Date.parse(validTo) > untilMs)
    );
  } catch {
    return false;
  }
}
