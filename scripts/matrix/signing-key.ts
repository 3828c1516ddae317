import { generateKeyPairSync, randomBytes } from 'node:crypto';

/** Makes a homeserver's signing key: the line of Synapse's file `signing.key`. */
export function createSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ed25519');
  const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  return `ed25519 a_${randomBytes(2).toString('hex')} ${withoutPadding(seed.toString('base64'))}`;
}

/** Base64 as Matrix writes it. */
export function withoutPadding(base64: string): string {
  return base64.replace(/=+$/, '');
}
