import type { ExternalIdentity } from '../account-link/account-link.ts';
import { findProvider } from '../account-link/provider.ts';
import { unsealTokens } from '../account-link/provider-tokens.ts';
import { monotonicMs } from '../clock.ts';
import { type EncryptionKey, unseal } from '../encryption.ts';
import { isFailure } from '../errors.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import { isUnverified, type OwnedJob } from '../outbox/outbox.ts';
import type { Send } from '../outgoing/send.ts';
import { createApiCredentials } from './api-credentials.ts';
import {
  type EndedToken,
  findGrantEnding,
  type GrantEnding,
  outcomeOfEndpoint,
  type UpstreamResult,
} from './end-grant.ts';
import { endGrant } from './grant-api.ts';
import { type RevocationAttempt, type RevocationClient, revocationClient, revokeGrant } from './revoke-grant.ts';

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
  const endUpstream = createUpstreamEnd(ports);
  return async (job, timeoutMs) => (isUpstream(job) ? endUpstream(job, timeoutMs) : revokeLink(job, timeoutMs, ports));
}

/** Withdraws the grant of a link at its provider. */
async function revokeLink(job: OwnedJob, timeoutMs: number, ports: RevocationJobPorts): Promise<RevocationAttempt> {
  const endsAt = monotonicMs() + timeoutMs;
  const { fpType, fpName, sid } = job.details;
  const client = findProvider(ports.providers, fpType, fpName)?.revocation;
  if (client === undefined) return NO_ENDPOINT;
  if (client === 'unsupported') return { status: 'done', result: 'unsupported' };
  const tokens = open(() => unsealTokens(job.secret ?? '', job.boundTo, ports.encryptionKeys));
  if ('status' in tokens) return tokens;
  const shared = await findSharing(job, timeoutMs, ports);
  if (shared !== undefined) return shared;
  const { send, now = Date.now } = ports;
  return revokeGrant(tokens, client, {
    ...{ send, now, isRepeated: job.attemptsStarted > 1, timeoutMs: endsAt - monotonicMs() },
    ...(sid !== undefined && { sid }),
  });
}

/** Ends the grant of a token at the authorization server that issued it. It keeps the credentials of the servers' APIs. */
function createUpstreamEnd(ports: RevocationJobPorts) {
  const { send, now = Date.now, encryptionKeys } = ports;
  const credentials = createApiCredentials({ now });
  return async (job: OwnedJob, timeoutMs: number): Promise<RevocationAttempt<UpstreamResult> | RevocationAttempt> => {
    const ending = endingOf(job, ports);
    if (ending === undefined) return NO_ENDPOINT;
    const token = open(() => openEndedToken(unseal(job.secret ?? '', job.boundTo, encryptionKeys), job));
    if ('status' in token) return token;
    const { traceparent } = job.details;
    if (ending.preset !== 'rfc7009') {
      return endGrant(ending, token, { send, credentials, timeoutMs, now, traceparent });
    }
    const wasLive = isLive(job, token, now());
    const attempt = await revokeGrant({ accessToken: token.token }, revocationClient(ending), {
      ...{
        send: (request) => send({ ...request, traceparent, certificates: ending.certificates }),
        now,
        timeoutMs,
        isRepeated: job.attemptsStarted > 1,
      },
    });
    return outcomeOfEndpoint(ending, attempt, wasLive);
  };
}

/** The settings have lost it; an operator may bring it back while the job lives. */
const NO_ENDPOINT = { status: 'retry', error: 'no revocation endpoint is set', isOurFault: true } as const;

/** Opens what is sealed, or says what is in the way. */
function open<Opened extends object>(unsealed: () => Opened): Opened | RevocationAttempt {
  try {
    return unsealed();
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { status: 'retry', error: 'the tokens cannot be opened: is their key gone?', isOurFault: true };
  }
}

/** Whether a token of ours is good now. One that does not say when it expires was so when its job was written down. */
function isLive(job: OwnedJob, { expiresAt }: EndedToken, nowMs: number): boolean {
  if (isUnverified(job)) return false;
  return expiresAt === undefined ? job.attemptsStarted === 1 : expiresAt * 1000 > nowMs;
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
  const ending = findGrantEnding(endings, job.details.issuer);
  // What a row was to do, no other server can: its answer would be taken for a success.
  if (job.details.by === BY_ROW && ending?.issuer === undefined) return undefined;
  return isUnverified(job) && ending?.preset !== 'rfc7009' ? undefined : ending;
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
