import { Clients } from '#shared/access-token/clients.ts';
import { openAuthorizePorts, VerifiedAuthorizeEnvironment } from '#shared/access-token/open-ports.ts';
import { type RevokeTokenPorts, revokeToken } from '#shared/access-token/revoke-token.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';
import { MaxTokenLifetime } from '#shared/token-revocation/lifetime.ts';

const revoke: Operation<RevokeTokenPorts> = async (call, ports) => {
  await revokeToken({ ...call, fields: call.fields('form') }, ports);
  return { status: 200 };
};

/** The revocation endpoint of RFC 7009. */
export const handler = defineFunction({
  name: 'token-revoke',
  environment: {
    ...VerifiedAuthorizeEnvironment,
    CLIENTS: Clients,
    MAX_TOKEN_LIFETIME_S: MaxTokenLifetime,
  },
  ports: (settings, platform) => ({
    ...openAuthorizePorts(settings, platform),
    clients: settings.CLIENTS,
    maxTokenLifetimeS: settings.MAX_TOKEN_LIFETIME_S,
  }),
  raw: { 'token.revoke': revoke },
  gateway: { 'token-revoke': revoke },
  errorBody: (error, error_description) => ({ error, error_description }),
});
