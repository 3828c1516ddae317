import { createInactiveLimit } from '#shared/access-token/inactive-tokens.ts';
import { openAuthorizePorts, VerifiedAuthorizeEnvironment } from '#shared/access-token/open-ports.ts';
import { RevokeTokenEnvironment, type RevokeTokenPorts, revokeToken } from '#shared/access-token/revoke-token.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';

const revoke: Operation<RevokeTokenPorts> = async (call, ports) => {
  await revokeToken({ ...call, fields: call.fields('form') }, ports);
  return { status: 200 };
};

/** The revocation endpoint of RFC 7009. */
export const handler = defineFunction({
  name: 'token-revoke',
  environment: { ...VerifiedAuthorizeEnvironment, ...RevokeTokenEnvironment },
  ports: (settings, platform) => ({
    ...openAuthorizePorts(settings, platform),
    settings,
    inactiveLimit: createInactiveLimit(),
  }),
  raw: { 'token.revoke': revoke },
  gateway: { 'token-revoke': revoke },
  errorBody: (error, error_description) => ({ error, error_description }),
});
