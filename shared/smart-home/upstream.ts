import { randomUUID } from 'node:crypto';
import * as z from 'zod/mini';
import { idAt } from '../access-token/claims.ts';
import type { Issuer } from '../access-token/issuers.ts';
import type { Verification, VerifiedToken } from '../access-token/verify.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import { DirectoryEnvironment } from '../directory/locate-directory.ts';
import { type EncryptionKey, EncryptionKeys, seal } from '../encryption.ts';
import { Misconfigured } from '../errors.ts';
import {
  type EndedToken,
  EndGrantEnvironment,
  endsOwnGrantAlone,
  faultOfEnding,
  findGrantEnding,
  type GrantEnding,
  grantEndingsOf,
  mayEndNewer,
} from '../grant-revocation/end-grant.ts';
import { BY_ROW, createUpstreamJobs, textOfEndedToken } from '../grant-revocation/upstream-jobs.ts';
import { type AlertOfJob, type AttemptPorts, attemptJob } from '../outbox/attempt-job.ts';
import { openOutbox } from '../outbox/open-store.ts';
import { type Job, type JobKind, type NewJob, type Outbox, type OwnedJob, UNVERIFIED_KIND } from '../outbox/outbox.ts';
import { send } from '../outgoing/send.ts';
import type { Platform } from '../platform.ts';
import type { Settings } from '../settings.ts';
import { canonicalSpelling } from '../token-revocation/token-id.ts';

/** What ending a grant upstream is told. */
export const UpstreamRevocationEnvironment = {
  ...EndGrantEnvironment,
  ...DirectoryEnvironment,
  ENCRYPTION_KEYS: z.optional(EncryptionKeys),
};

/**
 * Where grants are ended upstream, or undefined where that is not set.
 *
 * @throws {Misconfigured}
 */
export function openUpstream(
  settings: Settings<typeof UpstreamRevocationEnvironment> & { readonly ISSUERS?: readonly Issuer[] | undefined },
  platform: Platform,
): UpstreamPorts | undefined {
  const { REVOKE_UPSTREAM, END_GRANT = [], ENCRYPTION_KEYS: encryptionKeys, ISSUERS = [] } = settings;
  const endings = grantEndingsOf(settings);
  if (endings.length === 0) return undefined;
  const issuers = ISSUERS.map(({ issuer }) => issuer);
  const stranger = END_GRANT.findIndex(({ issuer }) => !issuers.includes(issuer));
  if (stranger !== -1) throw new Misconfigured(`END_GRANT[${stranger}].issuer must be an issuer of ISSUERS`);
  if (REVOKE_UPSTREAM !== undefined && END_GRANT.length > 0 && END_GRANT.length === issuers.length) {
    throw new Misconfigured(
      'REVOKE_UPSTREAM must not be set where each issuer of ISSUERS has a row of END_GRANT: it is for issuers without one',
    );
  }
  if (encryptionKeys === undefined) {
    const name = REVOKE_UPSTREAM === undefined ? 'END_GRANT' : 'REVOKE_UPSTREAM';
    throw new Misconfigured(`ENCRYPTION_KEYS must be set with ${name}: tokens are kept until they are revoked`);
  }
  return {
    ...{ encryptionKeys, endings, issuers },
    outbox: openOutbox(settings, platform),
    doJob: createUpstreamJobs({ encryptionKeys, send, endings }),
  };
}

/** What ending a grant upstream needs. */
export interface UpstreamPorts extends AttemptPorts {
  readonly outbox: Outbox;
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly endings: readonly GrantEnding[];
  /** All that there are. */
  readonly issuers: readonly string[];
}

/** The token whose grant is to be ended upstream. */
interface PresentedUpstream {
  readonly token: string;
  /** The id of the token here: of one that nobody vouched for, of its very text, so that it is in no other's way. */
  readonly tokenId: string;
  readonly verification: Exclude<Verification, { status: 'refused' }>;
  /** Asks the store whether the token is revoked already. */
  readonly isRevoked: () => Promise<boolean>;
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

/** What came of writing a job down. */
export type PlannedRevocation =
  /** It is to be tried at once. */
  | { readonly job: OwnedJob; readonly mayEndNewer: boolean }
  /** It waits its turn. */
  | 'queued'
  /** It was written down before. */
  | 'known'
  /** Nobody is to be told. */
  | 'not_set'
  /** None was written: its issuer can be told of a verified token only. */
  | 'not_verified'
  /** None was written: the link ended before, and what the call would end may have been linked anew. */
  | 'revoked_before'
  /** None was written: one was given up, and what the call would end now may have been linked anew. */
  | 'given_up'
  /** None was written: the token lacks what the call must name. */
  | { readonly fault: string };

/**
 * Writes down that a grant is to be ended upstream, before it is revoked here: from then on it will be, whatever
 * happens to this call. What its issuer calls inactive may be any text: it waits, behind all others.
 *
 * @throws {StoreUnavailable}
 */
export async function planUpstreamRevocation(
  { token, tokenId, verification, isRevoked }: PresentedUpstream,
  { requestId, traceparent, remainingMs }: UpstreamRequest,
  ports: UpstreamPorts,
): Promise<PlannedRevocation> {
  const { outbox, encryptionKeys, now = Date.now } = ports;
  const verified = verification.status === 'verified' ? verification.token : undefined;
  const ending = verified === undefined ? unverifiedEnding(ports) : findGrantEnding(ports.endings, verified.issuer);
  if (ending === undefined) return verified === undefined ? 'not_verified' : 'not_set';
  const ended = verified === undefined ? { token } : endedToken(token, verified, ending, now());
  const fault = faultOfEnding(ending, ended);
  if (fault !== undefined) return { fault };
  const wasRevoked = !endsOwnGrantAlone(ending, ended) && (await isRevoked());
  const meant = wasRevoked ? withoutNewer(ended, ending, verified) : ended;
  if (meant === undefined) {
    const known = await retryWhileUnavailable(remainingMs(), () => outbox.find(jobId(tokenId, verified)));
    return reasonNotToRepeat(known);
  }
  const job = newJob({ tokenId, verified, ending, ended: meant }, { requestId, traceparent }, encryptionKeys);
  const claim = verification.status === 'inactive' ? undefined : { name: randomUUID(), leaseMs: INLINE_LEASE_MS };
  const isNew = await retryWhileUnavailable(remainingMs(), (timeoutMs) => outbox.add({ ...job, claim }, timeoutMs));
  if (!isNew) return 'known';
  if (claim === undefined) return 'queued';
  const giveUpAt = Number.POSITIVE_INFINITY; // of the first try: not yet
  const owned = { ...job, claim: claim.name, attemptsStarted: 1, attemptsFinished: 0, createdAt: now(), giveUpAt };
  return { job: owned, mayEndNewer: mayEndNewer(ending, ended) };
}

/** Why a call that may end a newer link is not made for a token that was revoked before. */
function reasonNotToRepeat(job: Job | undefined): PlannedRevocation {
  if (job === undefined) return 'revoked_before';
  return job.state === 'dead' ? 'given_up' : 'known';
}

/** The job of a token. */
function newJob(
  {
    tokenId,
    verified,
    ending,
    ended,
  }: { tokenId: string; verified: VerifiedToken | undefined; ending: GrantEnding; ended: EndedToken },
  { requestId, traceparent }: Pick<UpstreamRequest, 'requestId' | 'traceparent'>,
  keys: readonly EncryptionKey[],
): NewJob {
  const id = jobId(tokenId, verified);
  const kind: JobKind = verified === undefined ? UNVERIFIED_KIND : 'upstream-revocation';
  const issuer = verified?.issuer ?? ending.issuer;
  const details = {
    ...(issuer !== undefined && { issuer }),
    ...(ending.issuer !== undefined && { by: BY_ROW }),
    ...(traceparent !== undefined && { traceparent }),
  };
  return { id, kind, details, secret: seal(textOfEndedToken(ended, details), id, keys), boundTo: id, requestId };
}

function jobId(tokenId: string, verified: VerifiedToken | undefined): string {
  // Apart, so that a text that nobody vouched for is not in the way of the token should its issuer vouch for it later.
  return verified === undefined ? `upstream.unverified.${tokenId}` : `upstream.${tokenId}`;
}

/** Who is told of a token that nobody vouched for: RFC 7009 alone, and no issuer that the token may be none of. */
function unverifiedEnding({ endings, issuers }: UpstreamPorts): GrantEnding | undefined {
  const [only, ...others] = issuers;
  const ending = findGrantEnding(endings, others.length === 0 ? only : undefined);
  return ending?.preset === 'rfc7009' ? ending : undefined;
}

/** What is kept of a verified token until its grant is ended. */
function endedToken(
  token: string,
  { subject, client, grant, jwtId, expiresAt, issuedAt = 0, claims }: VerifiedToken,
  ending: GrantEnding,
  nowMs: number,
): EndedToken {
  const claim = ending.preset === 'rfc7009' ? undefined : ending.userClaim;
  // A token that names no user names none elsewhere.
  const value = claim === undefined || subject === undefined ? undefined : idAt(claims, claim);
  return {
    // As the server wrote it: which of the spellings that verify came first must not decide what the server is told.
    token: canonicalSpelling(token),
    ...{ subject, client, grant: grant?.value, jti: jwtId, expiresAt },
    // As the cut-off: what the server's clock says of the token counts, too.
    until: Math.max(nowMs, issuedAt * 1000 + 999),
    ...(claim !== undefined && value !== undefined && { user: { claim, value } }),
  };
}

/**
 * A token that was revoked before: the user may have linked again since, so nothing ends that is newer than the token.
 * Undefined: the server does not show what is newer, or the token does not say how old it is.
 */
function withoutNewer(
  ended: EndedToken,
  ending: GrantEnding,
  verified: VerifiedToken | undefined,
): EndedToken | undefined {
  if (mayEndNewer(ending, ended) || verified?.issuedAt === undefined) return undefined;
  const { issuedAt, iatOffsetS = 0 } = verified;
  // A server that backdates `iat` has made the grant later than `iat`; one whose clock is ahead dates both alike.
  return { ...ended, until: Math.max(issuedAt, issuedAt - iatOffsetS) * 1000 + 999 };
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
