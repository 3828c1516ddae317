import type { CallerErrorCode, FailureCode } from '../errors.ts';

/** An error of the Blitz API: its class, its code, a sentence. Only `input_error`/`wrong_values` is documented there. */
export interface BlitzError {
  readonly type: 'input_error' | 'process_error' | 'security_error' | 'not_found' | 'system_error';
  readonly error: string;
  readonly desc: string;
}

/**
 * An error in the form of the Blitz API.
 *
 * @see https://docs.identityblitz.com/latest/integration-guide/rest-api-user-attribute.html
 */
export function blitzError(code: CallerErrorCode | FailureCode, desc: string): BlitzError {
  return { ...CLASSES[code], desc };
}

const CLASSES: Readonly<Record<CallerErrorCode | FailureCode, Omit<BlitzError, 'desc'>>> = {
  already_linked_other_user: { type: 'process_error', error: 'already_linked_other_user' },
  insufficient_scope: { type: 'security_error', error: 'insufficient_scope' },
  invalid_client: { type: 'security_error', error: 'invalid_client' },
  invalid_grant: { type: 'input_error', error: 'wrong_values' },
  invalid_request: { type: 'input_error', error: 'wrong_values' },
  invalid_token: { type: 'security_error', error: 'invalid_token' },
  last_login_method: { type: 'process_error', error: 'last_login_method' },
  limit_reached: { type: 'process_error', error: 'limit_reached' },
  misconfigured: { type: 'system_error', error: 'misconfigured' },
  not_found: { type: 'not_found', error: 'not_found' },
  payload_too_large: { type: 'input_error', error: 'payload_too_large' },
  server_error: { type: 'system_error', error: 'server_error' },
  temporarily_unavailable: { type: 'system_error', error: 'temporarily_unavailable' },
  unsupported_request_type: { type: 'not_found', error: 'not_found' },
  unsupported_token_type: { type: 'input_error', error: 'wrong_values' },
};
