import type { EndpointClient } from '../access-token/issuers.ts';
import { findProvider } from '../account-link/provider.ts';
import { unsealTokens } from '../account-link/provider-tokens.ts';
import { type EncryptionKey, unseal } from '../encryption.ts';
import { isFailure } from '../errors.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import type { OwnedJob } from '../outbox/outbox.ts';
import type { Send } from '../outgoing/send.ts';
import { type GrantTokens, type RevocationClient, revokeGrant } from './revoke-grant.ts';

/** A provider and our client at its revocation endpoint. */
export interface RevocableProvider {
  readonly type: string;
  readonly name: string;
  readonly revocation?: RevocationClient | undefined;
}

/** What doing the outbox's jobs needs. */
export interface RevocationJobPorts {
  /** Those whose grants can be withdrawn. */
  readonly providers: readonly RevocableProvider[];
  /** Our own authorization server's endpoint. */
  readonly upstream?: RevocationClient | undefined;
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly send: Send;
  readonly now?: (() => number) | undefined;
}

/** Makes what does the jobs of both kinds: each revokes tokens where they were issued. */
export function createRevocationJobs(ports: RevocationJobPorts): DoJob {
  return async (job, timeoutMs) => {
    const client = clientOf(job, ports);
    // The settings have lost it; an operator may bring it back while the job lives.
    if (client === undefined) return { status: 'retry', error: 'no revocation endpoint is set', isOurFault: true };
    let tokens: GrantTokens;
    try {
      tokens = tokensOf(job, ports.encryptionKeys);
    } catch (error) {
      if (!isFailure(error)) throw error;
      return { status: 'retry', error: 'the tokens cannot be opened: is their key gone?', isOurFault: true };
    }
    const { send, now = Date.now } = ports;
    return await revokeGrant(tokens, client, { send, timeoutMs, now });
  };
}

function clientOf(
  { kind, details }: OwnedJob,
  { providers, upstream }: RevocationJobPorts,
): RevocationClient | undefined {
  if (kind === 'upstream-revocation') return upstream;
  return findProvider(providers, details.fpType, details.fpName)?.revocation;
}

function tokensOf({ kind, secret = '', boundTo }: OwnedJob, keys: readonly EncryptionKey[]): GrantTokens {
  if (kind === 'upstream-revocation') return { accessToken: unseal(secret, boundTo, keys) };
  return unsealTokens(secret, boundTo, keys);
}

/** Our client at an authorization server, as its settings name it. */
export function revocationClient({ endpoint, client_id, client_secret }: EndpointClient): RevocationClient {
  return { endpoint, clientId: client_id, clientSecret: client_secret, authMethod: 'client_secret_basic' };
}
