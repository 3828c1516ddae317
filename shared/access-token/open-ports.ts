import * as z from 'zod/mini';
import { send } from '../outgoing/send.ts';
import type { Platform } from '../platform.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '../token-revocation/open-store.ts';
import { TokenPeppers } from '../token-revocation/token-id.ts';
import type { AuthorizePorts } from './authorize.ts';
import { AccessTokenEnvironment, VerifiedTokenEnvironment } from './issuers.ts';
import { createAccessTokenVerifier } from './verify.ts';

/** What every function that decides about tokens is told. */
export const AuthorizeEnvironment = z.object({
  ...TokenRevocationStoreEnvironment.shape,
  ...AccessTokenEnvironment.shape,
  TOKEN_PEPPERS: TokenPeppers,
});

/** The same for a function that has no use for tokens that cannot be verified. */
export const VerifiedAuthorizeEnvironment = z.object({
  ...TokenRevocationStoreEnvironment.shape,
  ...VerifiedTokenEnvironment.shape,
  TOKEN_PEPPERS: TokenPeppers,
});

/** @throws {Misconfigured} */
export function openAuthorizePorts(
  settings: z.output<typeof AuthorizeEnvironment> | z.output<typeof VerifiedAuthorizeEnvironment>,
  platform: Platform,
): AuthorizePorts {
  return {
    verify: createAccessTokenVerifier(settings, { send }),
    revocations: openTokenRevocationStore(settings, platform),
    peppers: settings.TOKEN_PEPPERS,
  };
}
