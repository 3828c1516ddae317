import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Misconfigured } from '../errors.ts';

/**
 * The certificates of authorities in a file, in PEM.
 *
 * @param setting What names the file, for the sentence.
 * @throws {Misconfigured} There is no such file, or it has something else in it.
 */
export function readCertificates(file: string | undefined, setting: string): string | undefined {
  if (file === undefined) return undefined;
  let certificates: string;
  try {
    certificates = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Misconfigured(`${setting} must be a file that can be read`, { cause: error });
  }
  assertCertificates(certificates, `the file of ${setting}`);
  return certificates;
}

/**
 * Refuses what is no certificate: TLS would take no notice of it, and trust nobody new.
 *
 * @param source What holds it, for the sentence.
 * @throws {Misconfigured}
 */
export function assertCertificates(text: string, source: string): void {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/gs) ?? [];
  try {
    if (blocks.length === 0) throw new RangeError('there is no certificate');
    for (const block of blocks) new X509Certificate(block);
  } catch (error) {
    throw new Misconfigured(`${source} must be certificates in PEM`, { cause: error });
  }
}
