import * as z from 'zod/mini';
import type { EndpointClient } from '../access-token/issuers.ts';
import { type Provider, ProviderEnvironment, readProviders } from '../account-link/provider.ts';
import { EncryptionKeys } from '../encryption.ts';
import { Misconfigured } from '../errors.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import { send } from '../outgoing/send.ts';
import { createRevocationJobs, revocationClient } from './revocation-jobs.ts';
import type { RevocationClient, RevocationEndpoint } from './revoke-grant.ts';

/** What whoever withdraws grants is told. */
export const RevocationJobEnvironment = z.object({
  ...ProviderEnvironment.shape,
  ENCRYPTION_KEYS: z.optional(EncryptionKeys),
});

/**
 * What does the outbox's jobs, and the providers that they are about.
 *
 * @param bundled What `providers.json` holds.
 * @param upstream Our own authorization server's endpoint, of a function that uses it.
 * @throws {Misconfigured}
 */
export function openRevocationJobs(
  bundled: unknown,
  settings: z.output<typeof RevocationJobEnvironment> & Readonly<Record<string, unknown>>,
  upstream?: EndpointClient,
): { readonly providers: readonly Provider[]; readonly doJob: DoJob } {
  const providers = readProviders(bundled, settings);
  const isNeeded = upstream !== undefined || providers.some(({ revocation }) => revocation !== undefined);
  if (isNeeded && settings.ENCRYPTION_KEYS === undefined) {
    throw new Misconfigured('ENCRYPTION_KEYS must be set: tokens are kept until they are revoked');
  }
  const doJob = createRevocationJobs({
    providers: providers.map(({ type, name, revocation }) => ({
      ...{ type, name },
      revocation: revocation && endpointClient(revocation, settings),
    })),
    encryptionKeys: settings.ENCRYPTION_KEYS ?? [],
    send,
    upstream: upstream && revocationClient(upstream),
  });
  return { providers, doJob };
}

function endpointClient(
  { endpoint, client_id: clientId, client_secret_env: variable, auth_method: authMethod }: RevocationEndpoint,
  settings: Readonly<Record<string, unknown>>,
): RevocationClient {
  const clientSecret = variable === undefined ? undefined : settings[variable];
  if (variable !== undefined && typeof clientSecret !== 'string') {
    throw new Misconfigured(`${variable} must be set: providers.json names it`);
  }
  return { endpoint, clientId, authMethod, ...(typeof clientSecret === 'string' && { clientSecret }) };
}
