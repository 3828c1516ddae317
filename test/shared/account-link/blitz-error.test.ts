import { expect, test } from 'vitest';
import { blitzError } from '#shared/account-link/blitz-error.ts';

test.each([
  ['already_linked_other_user', 'process_error', 'already_linked_other_user'],
  ['insufficient_scope', 'security_error', 'insufficient_scope'],
  ['invalid_client', 'security_error', 'invalid_client'],
  ['invalid_grant', 'input_error', 'wrong_values'],
  ['invalid_request', 'input_error', 'wrong_values'],
  ['invalid_token', 'security_error', 'invalid_token'],
  ['last_login_method', 'process_error', 'last_login_method'],
  ['limit_reached', 'process_error', 'limit_reached'],
  ['misconfigured', 'system_error', 'misconfigured'],
  ['not_found', 'not_found', 'not_found'],
  ['payload_too_large', 'input_error', 'payload_too_large'],
  ['server_error', 'system_error', 'server_error'],
  ['temporarily_unavailable', 'system_error', 'temporarily_unavailable'],
  ['unsupported_request_type', 'not_found', 'not_found'],
  ['unsupported_token_type', 'input_error', 'wrong_values'],
] as const)('%s is %s/%s, with its sentence', (code, type, error) => {
  expect(blitzError(code, 'What is wrong.')).toEqual({ type, error, desc: 'What is wrong.' });
});
