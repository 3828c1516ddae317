import type { KeyObject } from 'node:crypto';
import * as z from 'zod/mini';
import type { AccountLinks } from '../account-link/account-link.ts';
import { ProviderEnvironment, readProviders } from '../account-link/provider.ts';
import { type ProviderSecrets, readKey, readVariable } from '../account-link/provider-secrets.ts';
import { clientAuthOf } from '../bind/client-authentication.ts';
import { EncryptionKeys } from '../encryption.ts';
import { Misconfigured } from '../errors.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import { sendToNamed as send } from '../outgoing/named-host.ts';
import type { Settings } from '../settings.ts';
import { findCatalogueRow } from './catalogue.ts';
import { createRevocationJobs, type IsStillLinked, type RevocableProvider } from './revocation-jobs.ts';
import { grantFamilyOf, type ReadProvider, type RevocationSettings, readRevocations } from './revocation-settings.ts';
import type { RevocationClient } from './revoke-grant.ts';

/** What whoever withdraws grants is told. */
export const RevocationJobEnvironment = {
  ...ProviderEnvironment,
  ENCRYPTION_KEYS: z.optional(EncryptionKeys),
};

/**
 * What does the outbox's jobs, and the providers that they are about.
 *
 * @param bundled What `providers.json` holds.
 * @param given `secrets` are the variables that providers' rows name; `links` tell whether another link shares a grant;
 *   `doUpstream` does the jobs of our own authorization servers, of a function that does them.
 * @throws {Misconfigured}
 */
export function openRevocationJobs(
  bundled: unknown,
  settings: Settings<typeof RevocationJobEnvironment>,
  {
    secrets,
    links,
    doUpstream,
  }: {
    readonly secrets: ProviderSecrets;
    readonly links: Pick<AccountLinks, 'find'>;
    readonly doUpstream?: DoJob | undefined;
  },
): { readonly providers: readonly ReadProvider[]; readonly doJob: DoJob } {
  const providers = readRevocations(readProviders(bundled, settings));
  const isNeeded = providers.some(({ revocation }) => revocation !== undefined);
  if (isNeeded && settings.ENCRYPTION_KEYS === undefined) {
    throw new Misconfigured('ENCRYPTION_KEYS must be set: tokens are kept until they are revoked');
  }
  const doJob = createRevocationJobs({
    providers: openRevocableProviders(providers, secrets),
    encryptionKeys: settings.ENCRYPTION_KEYS ?? [],
    send,
    doUpstream,
    isStillLinked: provedAmong(links),
  });
  return { providers, doJob };
}

/** Looks for proved links. Asserted ones have no grant: who claims one must not keep another's grant alive by it. */
export function provedAmong(links: Pick<AccountLinks, 'find'>): IsStillLinked {
  return async (identities, timeoutMs) =>
    (await links.find({ identities }, timeoutMs)).some(({ evidence }) => evidence === 'proved');
}

/**
 * Our clients at the providers.
 *
 * @param environment Holds the secrets that the providers' rows name.
 * @throws {Misconfigured} A secret is missing.
 */
export function openRevocableProviders(
  providers: readonly ReadProvider[],
  environment: ProviderSecrets,
): readonly RevocableProvider[] {
  return providers.map(({ type, name, revocation, isIrrevocable, bind }) => ({
    ...{ type, name },
    revocation: isIrrevocable ? 'unsupported' : revocation && openClient(revocation, environment),
    // A row that only binds has grants as well.
    grantFamily: grantFamilyOf(revocation) ?? grantFamilyOf(bind),
  }));
}

function openClient(settings: RevocationSettings, environment: ProviderSecrets): RevocationClient | undefined {
  const { client_id: clientId = '', client_secret_env: variable } = settings;
  const clientSecret = variable === undefined ? undefined : readVariable(variable, environment);
  if (!('preset' in settings)) {
    return { endpoint: settings.endpoint, clientId, clientSecret, authMethod: settings.auth_method };
  }
  const row = findCatalogueRow(settings.preset)?.revocation;
  if (row === undefined) return undefined;
  const { issuer = row.issuer ?? '', client_secret_key: key } = settings;
  const authMethod = settings.auth_method ?? row.authMethod;
  const isPublic = row.needs === 'nothing' && clientSecret === undefined;
  return {
    endpoint: row.issuer === undefined && !row.isDiscovered ? row.endpoint : issuer.replace(/\/$/, '') + row.endpoint,
    isDiscovered: row.isDiscovered,
    ...{ clientId, clientSecret },
    authMethod: isPublic ? 'none' : authMethod,
    protocol: row.protocol,
    ...(key && { signSecret: createSecretSigner(readKey(key.env, environment), key.key_id, key.team_id, clientId) }),
  };
}

/** The secret that Apple takes, signed as for the token endpoint. */
function createSecretSigner(
  key: KeyObject,
  keyId: string,
  teamId: string,
  clientId: string,
): NonNullable<RevocationClient['signSecret']> {
  return async (now) => {
    const body = new URLSearchParams();
    const authenticate = clientAuthOf({ method: 'signed_secret', key, keyId, teamId }, now);
    await authenticate({ issuer: '' }, { client_id: clientId }, body, new Headers());
    return body.get('client_secret') ?? '';
  };
}
