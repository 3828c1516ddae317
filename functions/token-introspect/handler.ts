import { Clients } from '#shared/access-token/clients.ts';
import { type IntrospectTokenPorts, introspectToken } from '#shared/access-token/introspect-token.ts';
import { openAuthorizePorts, VerifiedAuthorizeEnvironment } from '#shared/access-token/open-ports.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';

const introspect: Operation<IntrospectTokenPorts> = async (call, ports) => ({
  status: 200,
  body: await introspectToken({ ...call, fields: call.fields('form') }, ports),
});

/** The introspection endpoint of RFC 7662. */
export const handler = defineFunction({
  name: 'token-introspect',
  environment: { ...VerifiedAuthorizeEnvironment, CLIENTS: Clients },
  ports: (settings, platform) => ({ ...openAuthorizePorts(settings, platform), clients: settings.CLIENTS }),
  raw: { 'token.introspect': introspect },
  gateway: { 'token-introspect': introspect },
  errorBody: (error, error_description) => ({ error, error_description }),
});
