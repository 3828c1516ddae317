import * as z from 'zod/mini';
import { authorize } from '#shared/access-token/authorize.ts';
import { defineAuthorizer } from '#shared/runtime/define-authorizer.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '#shared/token-revocation/open-store.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';

/** The function authorizer of API Gateway: lets a token in that is not revoked, and knows no more of it. */
export const handler = defineAuthorizer({
  name: 'token-authorize',
  environment: z.extend(TokenRevocationStoreEnvironment, {
    TOKEN_PEPPERS: TokenPeppers,
    UNVERIFIED_TOKENS: z.literal(
      '1',
      'must be 1: tokens are not verified yet, any string that is not revoked is let in',
    ),
  }),
  ports: (settings, isDeployed) => ({
    revocations: openTokenRevocationStore(settings, isDeployed),
    peppers: settings.TOKEN_PEPPERS,
  }),
  authorize,
});
