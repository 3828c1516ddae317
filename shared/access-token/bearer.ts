import { CallerError } from '../errors.ts';

/** RFC 6750 with the token's characters of RFC 6749, appendix A.12: providers issue `1|abc…` and short tokens too. */
const BEARER = /^bearer +([\x21-\x7e]{1,8192})$/i;

/**
 * The token of an `Authorization` value: the scheme `Bearer` in any case, then 1 to 8192 visible ASCII characters.
 *
 * @throws {CallerError} `invalid_token`
 */
export function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) {
    throw new CallerError(
      'invalid_token',
      'No credential arrived: the call carries none, or the gateway withholds it.',
    );
  }
  const token = BEARER.exec(authorization)?.[1];
  if (token === undefined) {
    throw new CallerError(
      'invalid_token',
      'The credential is not "Bearer" and a token of 1 to 8192 visible characters.',
    );
  }
  return token;
}
