import { randomUUID } from 'node:crypto';
import * as z from 'zod/mini';
import type { Verification } from '../access-token/verify.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import { DirectoryEnvironment } from '../directory/locate-directory.ts';
import { type EncryptionKey, EncryptionKeys, seal } from '../encryption.ts';
import { Misconfigured } from '../errors.ts';
import { createRevocationJobs, revocationClient } from '../grant-revocation/revocation-jobs.ts';
import { type AlertOfJob, type AttemptPorts, attemptJob } from '../outbox/attempt-job.ts';
import { openOutbox } from '../outbox/open-store.ts';
import { type JobKind, type Outbox, type OwnedJob, UNVERIFIED_KIND } from '../outbox/outbox.ts';
import { send } from '../outgoing/send.ts';
import type { Platform } from '../platform.ts';
import type { Settings } from '../settings.ts';
import { canonicalSpelling } from '../token-revocation/token-id.ts';
import { UpstreamEnvironment } from './upstream-environment.ts';

/** What revoking a token upstream is told. */
export const UpstreamRevocationEnvironment = {
  ...UpstreamEnvironment,
  ...DirectoryEnvironment,
  ENCRYPTION_KEYS: z.optional(EncryptionKeys),
};

/**
 * Where tokens are revoked upstream, or undefined where that is not set.
 *
 * @throws {Misconfigured}
 */
export function openUpstream(
  settings: Settings<typeof UpstreamRevocationEnvironment>,
  platform: Platform,
): UpstreamPorts | undefined {
  const { REVOKE_UPSTREAM: upstream, ENCRYPTION_KEYS: encryptionKeys } = settings;
  if (upstream === undefined) return undefined;
  if (encryptionKeys === undefined) {
    throw new Misconfigured('ENCRYPTION_KEYS must be set with REVOKE_UPSTREAM: tokens are kept until they are revoked');
  }
  return {
    encryptionKeys,
    outbox: openOutbox(settings, platform),
    doJob: createRevocationJobs({ providers: [], encryptionKeys, send, upstream: revocationClient(upstream) }),
  };
}

/** What revoking a token upstream needs. */
export interface UpstreamPorts extends AttemptPorts {
  readonly outbox: Outbox;
  readonly encryptionKeys: readonly EncryptionKey[];
}

/** The token that is to be revoked upstream. */
interface PresentedUpstream {
  readonly token: string;
  /** The id of the token here: of one that nobody vouched for, of its very text, so that it is in no other's way. */
  readonly tokenId: string;
  readonly status: Exclude<Verification['status'], 'refused'>;
}

/** How long a try in the call may take, in milliseconds: who called us does not wait long. */
const INLINE_ATTEMPT_MS = 1500;
/** How long such a try has the job to itself, in milliseconds. */
const INLINE_LEASE_MS = 30_000;

interface UpstreamRequest {
  readonly requestId: string;
  /** The trace of the call, which the authorization server may go on with however late it is told. */
  readonly traceparent?: string | undefined;
  readonly remainingMs: () => number;
  /** Tells an operator of a job that needs one. */
  readonly alert: AlertOfJob;
}

/** What came of writing a job down: it is to be tried at once, or waits its turn, or was written down before. */
export type PlannedRevocation = { readonly job: OwnedJob } | 'queued' | 'known';

/**
 * Writes down that a token is to be revoked upstream, before it is revoked here: from then on it will be, whatever
 * happens to this call. What its issuer calls inactive may be any text: it waits, behind all others.
 *
 * @throws {StoreUnavailable}
 */
export async function planUpstreamRevocation(
  { token, tokenId, status }: PresentedUpstream,
  { requestId, traceparent, remainingMs }: UpstreamRequest,
  { outbox, encryptionKeys, now = Date.now }: UpstreamPorts,
): Promise<PlannedRevocation> {
  const isVerified = status === 'verified';
  // Apart, so that a text that nobody vouched for is not in the way of the token should its issuer vouch for it later.
  const id = isVerified ? `upstream.${tokenId}` : `upstream.unverified.${tokenId}`;
  const kind: JobKind = isVerified ? 'upstream-revocation' : UNVERIFIED_KIND;
  const job = {
    id,
    kind,
    details: traceparent === undefined ? {} : { traceparent },
    // As the server wrote it: which of the spellings that verify came first must not decide what the server is told.
    secret: seal(isVerified ? canonicalSpelling(token) : token, id, encryptionKeys),
    boundTo: id,
    requestId,
  };
  const claim = status === 'inactive' ? undefined : { name: randomUUID(), leaseMs: INLINE_LEASE_MS };
  const isNew = await retryWhileUnavailable(remainingMs(), (timeoutMs) => outbox.add({ ...job, claim }, timeoutMs));
  if (!isNew) return 'known';
  if (claim === undefined) return 'queued';
  const giveUpAt = Number.POSITIVE_INFINITY; // of the first try: not yet
  const owned = { ...job, claim: claim.name, attemptsStarted: 1, attemptsFinished: 0, createdAt: now(), giveUpAt };
  return { job: owned };
}

/** Tries what was written down, and returns its result, or what stands in its way; the outbox keeps it then. */
export async function tryUpstreamRevocation(
  job: OwnedJob,
  { remainingMs, alert }: UpstreamRequest,
  ports: UpstreamPorts,
): Promise<string> {
  const leftMs = remainingMs();
  if (leftMs < INLINE_ATTEMPT_MS) return 'pending';
  try {
    const { settlement } = await attemptJob(job, Math.min(leftMs / 2, INLINE_ATTEMPT_MS), { ...ports, alert });
    return 'error' in settlement ? `${settlement.state}: ${settlement.error}` : settlement.result;
  } catch {
    return 'pending';
  }
}
