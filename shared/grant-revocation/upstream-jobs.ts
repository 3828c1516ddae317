import { type EncryptionKey, unseal } from '../encryption.ts';
import { Misconfigured } from '../errors.ts';
import type { DoJob } from '../outbox/attempt-job.ts';
import { isUnverified, type OwnedJob } from '../outbox/outbox.ts';
import { type Send, send } from '../outgoing/send.ts';
import { createApiCredentials } from './api-credentials.ts';
import {
  type EndedToken,
  faultOfEnding,
  findGrantEnding,
  type GrantEnding,
  grantEndingsOf,
  outcomeOfEndpoint,
} from './end-grant.ts';
import { endGrant } from './grant-api.ts';
import { NO_ENDPOINT, openSealed } from './revocation-jobs.ts';
import { revocationClient, revokeGrant } from './revoke-grant.ts';

/**
 * What does the jobs of our own authorization servers; undefined where the settings name no way.
 *
 * @throws {Misconfigured}
 */
export function openUpstreamJobs(
  settings: Parameters<typeof grantEndingsOf>[0] & { readonly ENCRYPTION_KEYS?: readonly EncryptionKey[] | undefined },
): DoJob | undefined {
  const endings = grantEndingsOf(settings);
  if (endings.length === 0) return undefined;
  if (settings.ENCRYPTION_KEYS === undefined) {
    throw new Misconfigured('ENCRYPTION_KEYS must be set: tokens are kept until they are revoked');
  }
  return createUpstreamJobs({ endings, encryptionKeys: settings.ENCRYPTION_KEYS, send });
}

/** What ending grants at our own authorization servers needs. */
export interface UpstreamJobPorts {
  readonly endings: readonly GrantEnding[];
  readonly encryptionKeys: readonly EncryptionKey[];
  readonly send: Send;
  readonly now?: (() => number) | undefined;
}

/** Makes what ends the grant of a token at the server that issued it. It keeps the credentials of the servers' APIs. */
export function createUpstreamJobs({ endings, encryptionKeys, send, now = Date.now }: UpstreamJobPorts): DoJob {
  const credentials = createApiCredentials({ now });
  return async (job, timeoutMs) => {
    const ending = endingOf(job, endings);
    if (ending === undefined) return NO_ENDPOINT;
    const token = openSealed(() => openEndedToken(unseal(job.secret ?? '', job.boundTo, encryptionKeys), job));
    if ('status' in token) return token;
    const { traceparent } = job.details;
    if (ending.preset !== 'rfc7009') {
      // The settings may be others than those that the job was written down for.
      const fault = faultOfEnding(ending, token);
      if (fault !== undefined) return { status: 'failed', error: `nothing was sent: ${fault}` };
      return endGrant(ending, token, { send, credentials, timeoutMs, now, traceparent });
    }
    const wasLive = isLive(job, token, now());
    const attempt = await revokeGrant({ accessToken: token.token }, revocationClient(ending), {
      send: (request) => send({ ...request, traceparent, certificates: ending.certificates }),
      ...{ now, timeoutMs, isRepeated: job.attemptsStarted > 1 },
    });
    return outcomeOfEndpoint(ending, attempt, wasLive);
  };
}

/** Whether a token of ours is good now. One that does not say when it expires was so when its job was written down. */
function isLive(job: OwnedJob, { expiresAt }: EndedToken, nowMs: number): boolean {
  if (isUnverified(job)) return false;
  return expiresAt === undefined ? job.attemptsStarted === 1 : expiresAt * 1000 > nowMs;
}

/** How a job of our own authorization server is done. A call that names a user is made only for a verified token. */
function endingOf(job: OwnedJob, endings: readonly GrantEnding[]): GrantEnding | undefined {
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
