import { isAuthorized } from '#shared/access-token/authorize.ts';
import { AuthorizeEnvironment, openAuthorizePorts } from '#shared/access-token/open-ports.ts';
import { defineAuthorizer } from '#shared/runtime/define-authorizer.ts';

/** The function authorizer of API Gateway: lets a token in that verifies and is not revoked. */
export const handler = defineAuthorizer({
  name: 'token-authorize',
  environment: AuthorizeEnvironment,
  ports: openAuthorizePorts,
  isAuthorized,
});
