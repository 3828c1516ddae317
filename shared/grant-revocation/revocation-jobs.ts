import type { EndpointClient } from '../access-token/issuers.ts';
import type { ExternalIdentity } from '../account-link/account-link.ts';
import { findProvider } from '../account-link/provider.ts';
import { unsealTokens } from '../account-link/provider-tokens.ts';
import { monotonicMs } from '../clock.ts';
import { type EncryptionKey, unseal } from '../encryption.ts';
import { isFailure } from '../errors.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import { isUnverified, type OwnedJob } from '../outbox/outbox.ts';
import type { Send } from '../outgoing/send.ts';
import { type GrantTokens, type RevocationAttempt, type RevocationClient, revokeGrant } from './revoke-grant.ts';

/** A provider and our client at its revocation endpoint. */
export interface RevocableProvider {
  readonly type: string;
  readonly name: string;
  /** Absent: the settings do not say; `unsupported`: there is no such endpoint. */
  readonly revocation?: RevocationClient | 'unsupported' | undefined;
  /** The same at all providers whose grants end together: the links there that are of one account share a grant. */
  readonly grantFamily?: string | undefined;
}

/**
 * Whether one of these is linked now, whoever the subject is.
 *
 * @throws {StoreUnavailable}
 */
export type IsStillLinked = (identities: readonly ExternalIdentity[], timeoutMs: number) => Promise<boolean>;

/** What doing the outbox's jobs needs. */
export interface RevocationJobPorts {
  /** Those whose grants can be withdrawn. */
  readonly providers: readonly RevocableProvider[];
  /** Our own authorization server's endpoint. */
  readonly upstream?: RevocationClient | undefined;
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly send: Send;
  readonly now?: (() => number) | undefined;
  /** Needed for providers that have a grant family: without it their grants stay. */
  readonly isStillLinked?: IsStillLinked | undefined;
}

/** Makes what does the jobs of all kinds: each revokes tokens where they were issued. */
export function createRevocationJobs(ports: RevocationJobPorts): DoJob {
  return async (job, timeoutMs) => {
    const endsAt = monotonicMs() + timeoutMs;
    const client = clientOf(job, ports);
    // The settings have lost it; an operator may bring it back while the job lives.
    if (client === undefined) return { status: 'retry', error: 'no revocation endpoint is set', isOurFault: true };
    if (client === 'unsupported') return { status: 'done', result: 'unsupported' };
    let tokens: GrantTokens;
    try {
      tokens = tokensOf(job, ports.encryptionKeys);
    } catch (error) {
      if (!isFailure(error)) throw error;
      return { status: 'retry', error: 'the tokens cannot be opened: is their key gone?', isOurFault: true };
    }
    const shared = await findSharing(job, timeoutMs, ports);
    if (shared !== undefined) return shared;
    const { send, now = Date.now } = ports;
    const { sid, traceparent } = job.details;
    const isRepeated = job.attemptsStarted > 1;
    return await revokeGrant(tokens, client, {
      ...{ now, isRepeated, timeoutMs: endsAt - monotonicMs() },
      // No provider is told of our traces.
      send: isUpstream(job) ? (request) => send({ ...request, traceparent }) : send,
      ...(sid !== undefined && { sid }),
    });
  };
}

/** Why a grant must not be withdrawn now: a link that lives has it too. Undefined: none has. */
async function findSharing(
  job: OwnedJob,
  timeoutMs: number,
  { providers, isStillLinked }: RevocationJobPorts,
): Promise<RevocationAttempt | undefined> {
  const { fpType, fpName, sid } = job.details;
  const family = findProvider(providers, fpType, fpName)?.grantFamily;
  if (family === undefined || sid === undefined) return undefined;
  if (isStillLinked === undefined) {
    return { status: 'retry', error: 'nobody can say whether another link has the grant', isOurFault: true };
  }
  // The job's own identity is among them: it may have been linked again.
  const sharing = providers.filter(({ grantFamily }) => grantFamily === family);
  const identities = sharing.map(({ type, name }) => ({ fpType: type, fpName: name, sid }));
  try {
    const isShared = await isStillLinked(identities, timeoutMs);
    return isShared ? { status: 'done', result: 'skipped_shared_grant' } : undefined;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { status: 'retry', error: error.message };
  }
}

function clientOf(job: OwnedJob, { providers, upstream }: RevocationJobPorts) {
  if (isUpstream(job)) return upstream;
  return findProvider(providers, job.details.fpType, job.details.fpName)?.revocation;
}

function tokensOf(job: OwnedJob, keys: readonly EncryptionKey[]): GrantTokens {
  const { secret = '', boundTo } = job;
  if (isUpstream(job)) return { accessToken: unseal(secret, boundTo, keys) };
  return unsealTokens(secret, boundTo, keys);
}

/** Whether a job is done at our own authorization server: its secret is one token. */
function isUpstream(job: OwnedJob): boolean {
  return job.kind === 'upstream-revocation' || isUnverified(job);
}

/** Our client at an authorization server, as its settings name it. */
export function revocationClient({ endpoint, client_id, client_secret }: EndpointClient): RevocationClient {
  return { endpoint, clientId: client_id, clientSecret: client_secret, authMethod: 'client_secret_basic' };
}
