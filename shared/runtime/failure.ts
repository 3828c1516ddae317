import type { FailureCode } from '../errors.ts';

/** What is thrown to the platform: it sends message and stack to the caller, so they say no more than the code. */
export function createFailure(code: FailureCode): Error {
  const error = new Error(code);
  error.name = 'Failure';
  error.stack = '';
  return error;
}
