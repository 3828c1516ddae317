import * as z from 'zod/mini';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';
import { MaxTokenLifetime, type UnlinkPorts, unlink } from '#shared/smart-home/unlink.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '#shared/token-revocation/open-store.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';

const unlinkAccount: Operation<UnlinkPorts> = async (call, ports) => {
  await unlink(call, ports);
  return { status: 200, body: { request_id: call.requestId } };
};

/** Yandex Smart Home `unlink`: raw, and behind the gateway `POST /v1.0/user/unlink` and `HEAD /v1.0/`. */
export const handler = defineFunction({
  name: 'smart-home-unlink',
  environment: z.extend(TokenRevocationStoreEnvironment, {
    TOKEN_PEPPERS: TokenPeppers,
    MAX_TOKEN_LIFETIME_S: MaxTokenLifetime,
  }),
  ports: (settings, isDeployed) => ({
    revocations: openTokenRevocationStore(settings, isDeployed),
    peppers: settings.TOKEN_PEPPERS,
    maxTokenLifetimeS: settings.MAX_TOKEN_LIFETIME_S,
  }),
  raw: { unlink: unlinkAccount },
  unsupported: ['discovery', 'query', 'action'],
  gateway: {
    'smart-home-unlink': unlinkAccount,
    'smart-home-unlink.check': async () => ({ status: 200 }),
  },
  errorBody: (error, error_description) => ({ error, error_description }),
  bareRawSuccess: true,
});
