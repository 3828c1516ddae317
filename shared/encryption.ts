/** Sealing: what is kept only to be used once more is unreadable in the store, and of no use in another place. */
import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { StoreUnavailable } from './errors.ts';
import { parsedText, parseEach } from './settings.ts';

/** A key of AES-256 and the name that stands in front of what is sealed with it. */
export interface EncryptionKey {
  readonly name: string;
  readonly key: KeyObject;
}

const RULE = 'must be name:base64 of 32 random bytes, the newest first, separated by commas, each name once';

/** `ENCRYPTION_KEYS`: `k2:<base64>,k1:<base64>`. The newest, which is the first, seals; all of them open. */
export const EncryptionKeys = parsedText(RULE, (text) => {
  const keys = parseEach(text.split(','), parseKey);
  return new Set(keys?.map(({ name }) => name)).size === keys?.length ? keys : undefined;
});

function parseKey(text: string): EncryptionKey | undefined {
  const [, name, base64] = /^([A-Za-z0-9]{1,16}):([A-Za-z0-9+/_-]{43}=?)$/.exec(text.trim()) ?? [];
  if (name === undefined || base64 === undefined) return undefined;
  const bytes = Buffer.from(base64, 'base64');
  return bytes.length === 32 ? { name, key: createSecretKey(bytes) } : undefined;
}

const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals a text with the newest key: AES-256-GCM under a random nonce, as `<key name>.<base64url>`.
 *
 * @param boundTo The associated data: where the text belongs. It opens nowhere else.
 */
export function seal(text: string, boundTo: string, keys: readonly EncryptionKey[]): string {
  const [newest] = keys;
  if (newest === undefined) throw new RangeError('there is no key to seal with');
  const iv = randomBytes(IV_BYTES);
  const cipher = createCipheriv('aes-256-gcm', newest.key, iv).setAAD(Buffer.from(boundTo));
  const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${newest.name}.${sealed.toString('base64url')}`;
}

/**
 * Opens what {@link seal} has made.
 *
 * @throws {StoreUnavailable} `corrupt`: it is not ours, was changed or moved, or its key is not among these.
 */
export function unseal(sealed: string, boundTo: string, keys: readonly EncryptionKey[]): string {
  const name = sealed.slice(0, sealed.indexOf('.'));
  const key = keys.find((known) => known.name === name)?.key;
  const bytes = Buffer.from(sealed.slice(name.length + 1), 'base64url');
  if (key === undefined || bytes.length < IV_BYTES + TAG_BYTES) throw new StoreUnavailable('corrupt');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(boundTo))
      .setAuthTag(bytes.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES)), decipher.final()]).toString();
  } catch (error) {
    throw new StoreUnavailable('corrupt', { cause: error });
  }
}
