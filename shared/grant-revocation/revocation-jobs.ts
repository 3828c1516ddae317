import type { ExternalIdentity } from '../account-link/account-link.ts';
import { findProvider } from '../account-link/provider.ts';
import { unsealTokens } from '../account-link/provider-tokens.ts';
import { monotonicMs } from '../clock.ts';
import type { EncryptionKey } from '../encryption.ts';
import { isFailure } from '../errors.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import { isUnverified, type OwnedJob } from '../outbox/outbox.ts';
import type { Send } from '../outgoing/send.ts';
import { type RevocationAttempt, type RevocationClient, revokeGrant } from './revoke-grant.ts';

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
  /** Does the jobs of our own authorization servers, of a function that does them. */
  readonly doUpstream?: DoJob | undefined;
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly send: Send;
  readonly now?: (() => number) | undefined;
  /** Needed for providers that have a grant family: without it their grants stay. */
  readonly isStillLinked?: IsStillLinked | undefined;
}

/** Makes what does the jobs of all kinds: each revokes tokens where they were issued. */
export function createRevocationJobs(ports: RevocationJobPorts): DoJob {
  const { doUpstream = async () => NO_ENDPOINT } = ports;
  return async (job, timeoutMs) => (isUpstream(job) ? doUpstream(job, timeoutMs) : revokeLink(job, timeoutMs, ports));
}

/** Withdraws the grant of a link at its provider. */
async function revokeLink(job: OwnedJob, timeoutMs: number, ports: RevocationJobPorts): Promise<RevocationAttempt> {
  const endsAt = monotonicMs() + timeoutMs;
  const { fpType, fpName, sid } = job.details;
  const client = findProvider(ports.providers, fpType, fpName)?.revocation;
  if (client === undefined) return NO_ENDPOINT;
  if (client === 'unsupported') return { status: 'done', result: 'unsupported' };
  const tokens = openSealed(() => unsealTokens(job.secret ?? '', job.boundTo, ports.encryptionKeys));
  if ('status' in tokens) return tokens;
  const shared = await findSharing(job, timeoutMs, ports);
  if (shared !== undefined) return shared;
  const { send, now = Date.now } = ports;
  return revokeGrant(tokens, client, {
    ...{ send, now, isRepeated: job.attemptsStarted > 1, timeoutMs: endsAt - monotonicMs() },
    ...(sid !== undefined && { sid }),
  });
}

/** The settings have lost it; an operator may bring it back while the job lives. */
export const NO_ENDPOINT = { status: 'retry', error: 'no revocation endpoint is set', isOurFault: true } as const;

/** Opens what is sealed for a job, or says what is in the way. */
export function openSealed<Opened extends object>(unsealed: () => Opened): Opened | RevocationAttempt {
  try {
    return unsealed();
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { status: 'retry', error: 'the tokens cannot be opened: is their key gone?', isOurFault: true };
  }
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

/** Whether a job is done at our own authorization server: its secret is one token, and what is known of it. */
function isUpstream(job: OwnedJob): boolean {
  return job.kind === 'upstream-revocation' || isUnverified(job);
}
