import { send } from '../outgoing/send.ts';
import type { Platform } from '../platform.ts';
import type { Settings } from '../settings.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '../token-revocation/open-store.ts';
import { TokenPeppers } from '../token-revocation/token-id.ts';
import type { AuthorizePorts } from './authorize.ts';
import { AccessTokenEnvironment, VerifiedTokenEnvironment } from './issuers.ts';
import { createAccessTokenVerifier } from './verify.ts';

/** What every function that decides about tokens is told. */
export const AuthorizeEnvironment = {
  ...TokenRevocationStoreEnvironment,
  ...AccessTokenEnvironment,
  TOKEN_PEPPERS: TokenPeppers,
};

/** The same for a function that has no use for tokens that cannot be verified. */
export const VerifiedAuthorizeEnvironment = {
  ...TokenRevocationStoreEnvironment,
  ...VerifiedTokenEnvironment,
  TOKEN_PEPPERS: TokenPeppers,
};

/** @throws {Misconfigured} */
export function openAuthorizePorts(
  settings: Settings<typeof AuthorizeEnvironment> | Settings<typeof VerifiedAuthorizeEnvironment>,
  platform: Platform,
): AuthorizePorts {
  return {
    verify: createAccessTokenVerifier(settings, { send }),
    revocations: openTokenRevocationStore(settings, platform),
    peppers: settings.TOKEN_PEPPERS,
  };
}
