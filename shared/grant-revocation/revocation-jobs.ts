import type { ExternalIdentity } from '../account-link/account-link.ts';
import { findProvider } from '../account-link/provider.ts';
import { unsealTokens } from '../account-link/provider-tokens.ts';
import { monotonicMs } from '../clock.ts';
import { type EncryptionKey, unseal } from '../encryption.ts';
import { isFailure } from '../errors.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import { isUnverified, type OwnedJob } from '../outbox/outbox.ts';
import type { Send } from '../outgoing/send.ts';
import { clientOfEnding, type EndedToken, findGrantEnding, type GrantEnding, outcomeOfEnding } from './end-grant.ts';
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
  /** How our own authorization servers end a grant. */
  readonly endings?: readonly GrantEnding[] | undefined;
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
    const prepared = prepare(job, ports);
    if ('status' in prepared) return prepared;
    const { tokens, client, ending } = prepared;
    const wasLive = isLive(job, prepared, ports);
    const shared = await findSharing(job, timeoutMs, ports);
    if (shared !== undefined) return shared;
    const { send, now = Date.now } = ports;
    const { sid, traceparent } = job.details;
    const isRepeated = job.attemptsStarted > 1;
    const attempt = await revokeGrant(tokens, client, {
      ...{ now, isRepeated, timeoutMs: endsAt - monotonicMs() },
      // No provider is told of our traces.
      send: isUpstream(job) ? (request) => send({ ...request, traceparent }) : send,
      ...(sid !== undefined && { sid }),
    });
    return ending === undefined ? attempt : outcomeOfEnding(ending, attempt, wasLive);
  };
}

/** What a job is done with. */
interface PreparedJob {
  readonly tokens: GrantTokens;
  readonly client: RevocationClient;
  /** Of our own authorization server. */
  readonly ending: GrantEnding | undefined;
  /** Of a token of ours, when it expires, in seconds since the epoch, if it says so. */
  readonly expiresAt?: number | undefined;
}

/** Whether a token of ours is good now. One that does not say when it expires was so when its job was written down. */
function isLive(job: OwnedJob, { expiresAt }: PreparedJob, { now = Date.now }: RevocationJobPorts): boolean {
  if (isUnverified(job)) return false;
  return expiresAt === undefined ? job.attemptsStarted === 1 : expiresAt * 1000 > now();
}

/** What a job is done with, or what stands in its way. */
function prepare(job: OwnedJob, ports: RevocationJobPorts): PreparedJob | RevocationAttempt {
  const ending = endingOf(job, ports);
  const way = ending ?? providerClientOf(job, ports);
  // The settings have lost it; an operator may bring it back while the job lives.
  if (way === undefined) return { status: 'retry', error: 'no revocation endpoint is set', isOurFault: true };
  if (way === 'unsupported') return { status: 'done', result: 'unsupported' };
  try {
    const { tokens, client, expiresAt } = openJob(job, way, ports.encryptionKeys);
    if ('fault' in client) return { status: 'failed', error: `nothing was sent: ${client.fault}` };
    return { tokens, client, ending, expiresAt };
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

/** How a job of our own authorization server is done. A call that names a user is made only for a verified token. */
function endingOf(job: OwnedJob, { endings = [] }: RevocationJobPorts): GrantEnding | undefined {
  if (!isUpstream(job)) return undefined;
  const ending = findGrantEnding(endings, job.details.issuer);
  // What a row was to do, no other server can: its answer would be taken for a success.
  if (job.details.by === BY_ROW && ending?.issuer === undefined) return undefined;
  return isUnverified(job) && ending?.preset === 'http' ? undefined : ending;
}

function providerClientOf(job: OwnedJob, { providers }: RevocationJobPorts) {
  if (isUpstream(job)) return undefined;
  return findProvider(providers, job.details.fpType, job.details.fpName)?.revocation;
}

function openJob(job: OwnedJob, way: GrantEnding | RevocationClient, keys: readonly EncryptionKey[]) {
  const { secret = '', boundTo } = job;
  if (!('preset' in way)) return { tokens: unsealTokens(secret, boundTo, keys), client: way, expiresAt: undefined };
  const ended = openEndedToken(unseal(secret, boundTo, keys), job);
  return { tokens: { accessToken: ended.token }, client: clientOfEnding(way, ended), expiresAt: ended.expiresAt };
}

/** What the details of a job name as `by` that a row of `END_GRANT` is to do. */
export const BY_ROW = 'END_GRANT';

/** The secret of a job of our own authorization server; {@link openEndedToken} reads it. */
export function textOfEndedToken(ended: EndedToken, details: OwnedJob['details']): string {
  return details.issuer === undefined ? ended.token : JSON.stringify(ended);
}

/** Of a token whose issuer is not known, the text is the token. */
function openEndedToken(text: string, { details }: OwnedJob): EndedToken {
  // It was sealed by us, and opens nowhere else.
  return details.issuer === undefined ? { token: text } : (JSON.parse(text) as EndedToken);
}

/** Whether a job is done at our own authorization server: its secret is one token, and what is known of it. */
function isUpstream(job: OwnedJob): boolean {
  return job.kind === 'upstream-revocation' || isUnverified(job);
}
