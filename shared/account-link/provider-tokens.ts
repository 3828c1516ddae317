import * as z from 'zod/mini';
import { type EncryptionKey, seal, unseal } from '../encryption.ts';
import { StoreUnavailable } from '../errors.ts';
import type { ExternalIdentity } from './account-link.ts';

const TOKEN = /^[\x21-\x7e]{1,8192}$/;
const DEVICE_ID = /^[\x21-\x7e]{1,255}$/;

/** The fields of {@link ProviderTokens}. */
export function providerTokenFields() {
  const token = z.optional(z.string().check(z.regex(TOKEN)));
  return {
    accessToken: token,
    refreshToken: token,
    /** The device that they were issued to, at a provider whose calls name it. */
    deviceId: z.optional(z.string().check(z.regex(DEVICE_ID))),
    /** Milliseconds since the epoch; absent: as long as the provider likes. */
    accessTokenExpiresAt: z.optional(z.int()),
  };
}

/** What a provider issued for a link, kept only to be revoked. */
export const ProviderTokens = z.lazy(() => z.object(providerTokenFields()));
export type ProviderTokens = z.output<typeof ProviderTokens>;

/** What the sealed tokens of a link are bound to: moved to another row, they do not open. */
export function boundToLink({ subject, fpType, fpName, sid }: ExternalIdentity & { readonly subject: string }): string {
  return JSON.stringify([subject, fpType, fpName, sid]);
}

/** Seals the tokens of a link, of which there is at least one. */
export function sealTokens(tokens: ProviderTokens, boundTo: string, keys: readonly EncryptionKey[]): string {
  return seal(JSON.stringify(tokens), boundTo, keys);
}

/** @throws {StoreUnavailable} `corrupt` */
export function unsealTokens(sealed: string, boundTo: string, keys: readonly EncryptionKey[]): ProviderTokens {
  const { success, data } = ProviderTokens.safeParse(JSON.parse(unseal(sealed, boundTo, keys)));
  if (!success) throw new StoreUnavailable('corrupt');
  return data;
}
