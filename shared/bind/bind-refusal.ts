import type { BindErrorCode } from './bind.ts';

/** What may go wrong between us and the provider. */
export type ProviderErrorCode = Extract<
  BindErrorCode,
  'invalid_code' | 'issuer_mismatch' | 'nonce_mismatch' | 'profile_unavailable' | 'provider_unavailable'
>;

/** The provider's answer ends the bind. Thrown and caught within the provider's client. */
export class BindRefusal extends Error {
  readonly error: ProviderErrorCode;

  /** @param detail For the log: never a secret, never a text of the provider's. */
  constructor(error: ProviderErrorCode, detail: string) {
    super(detail);
    this.error = error;
  }
}
