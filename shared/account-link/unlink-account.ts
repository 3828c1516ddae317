import { randomUUID } from 'node:crypto';
import * as z from 'zod/mini';
import { retryWhileUnavailable } from '../databases/retry.ts';
import type { Directory } from '../directory/directory.ts';
import { CallerError } from '../errors.ts';
import type { GrantRevocationResult } from '../grant-revocation/revoke-grant.ts';
import { type AlertOfJob, type AttemptPorts, attemptJob } from '../outbox/attempt-job.ts';
import type { NewJob, OwnedJob, Settlement } from '../outbox/outbox.ts';
import { parseInput } from '../schema.ts';
import type { ExternalIdentity, KnownRevocation } from './account-link.ts';
import { type CallerPorts, identifyCaller, permittedSubject } from './caller.ts';
import type { LinkRequest } from './link-account.ts';
import { findProvider, type Provider } from './provider.ts';
import { boundToLink } from './provider-tokens.ts';
import { LinkParameters } from './request.ts';

/** Whether a subject's last link may be deleted. */
export const ProtectLastLinkEnvironment = {
  PROTECT_LAST_LINK: z._default(z.enum(['true', 'false'], 'must be true or false'), 'false'),
};

/** What deleting a link needs. */
export interface UnlinkAccountPorts extends CallerPorts, Omit<AttemptPorts, 'outbox' | 'alert'> {
  readonly directory: Pick<Directory, 'links' | 'outbox'>;
  /** Whether there is a way to withdraw a grant is all that counts here of `revocation`. */
  readonly providers: readonly (Pick<Provider, 'type' | 'name' | 'manageUrl'> & { readonly revocation?: unknown })[];
  readonly protectLastLink: boolean;
}

/** A call to delete a link. */
export interface UnlinkRequest extends LinkRequest {
  /** Tells an operator of a job that needs one. */
  readonly alert: AlertOfJob;
}

/** What became of a link that was deleted. */
export interface Unlinked {
  readonly revocation: GrantRevocationResult;
  /** The page of the provider where the user sees what is still connected. */
  readonly manageUrl?: string;
}

/** With less left of a call, in milliseconds, the grant is left to `maintenance`. */
const MIN_INLINE_MS = 1500;
/** How long a try in the call may take, in milliseconds: who called does not wait long. */
const INLINE_ATTEMPT_MS = 2000;
/** How long such a try has the job to itself, in milliseconds. */
const INLINE_LEASE_MS = 30_000;

const Parameters = z.object({
  ...LinkParameters.shape,
  force: z.optional(z.enum(['true', 'false'], 'must be true or false')),
});

/**
 * Deletes a link, and with it withdraws the grant at the provider: at once when there is time, else from the outbox.
 * Resolves when the deletion is durable; the provider's trouble is none of the caller's. A repetition within a day
 * succeeds too, for an answer may have been lost.
 *
 * @throws {CallerError} `invalid_token`, `invalid_client`, `invalid_request`, `insufficient_scope`, `not_found`,
 *   `last_login_method`
 * @throws {Failure} Nothing is known to be deleted.
 */
export async function unlinkAccount(request: UnlinkRequest, ports: UnlinkAccountPorts): Promise<Unlinked> {
  const caller = await identifyCaller(request, ports);
  const { subjectId, force, ...identity } = parseInput(Parameters, request.parameters(), 'parameter');
  const subject = permittedSubject(caller, 'change', subjectId, request, ports);
  if (force === 'true' && caller.subject !== undefined) {
    throw new CallerError('insufficient_scope', 'Only an application may force a deletion.');
  }
  const ended = await endLink({ ...identity, subject, actor: caller.actor, force: force === 'true' }, request, ports);
  switch (ended.status) {
    case 'unlinked':
      return ended.unlinked;
    case 'last_link':
      throw new CallerError('last_login_method', "The subject's last link cannot be deleted.");
    case 'not_linked':
      if (findProvider(ports.providers, identity.fpType, identity.fpName) === undefined) {
        throw new CallerError('invalid_request', 'There is no such provider: fpType and fpName name none.');
      }
      throw new CallerError('not_found', 'There is no such link.');
  }
}

/** A link to be ended, by whom. */
export interface LinkToEnd extends ExternalIdentity {
  readonly subject: string;
  readonly actor: string;
  readonly force: boolean;
}

/** What came of it. */
export type EndedLink =
  | { readonly status: 'unlinked'; readonly unlinked: Unlinked }
  | { readonly status: 'not_linked' }
  | { readonly status: 'last_link' };

/** What ending a link needs of its call. */
export type EndLinkRequest = Pick<UnlinkRequest, 'requestId' | 'remainingMs' | 'note' | 'audit' | 'alert'>;

/** What ending a link needs. */
export type EndLinkPorts = Omit<UnlinkAccountPorts, keyof CallerPorts>;

/**
 * Ends a link for a caller who may: deletes it and withdraws its grant, as {@link unlinkAccount} says.
 *
 * @throws {Failure} Nothing is known to be deleted.
 */
export async function endLink(
  { subject, actor, force, fpType, fpName, sid }: LinkToEnd,
  request: EndLinkRequest,
  ports: EndLinkPorts,
): Promise<EndedLink> {
  const identity = { fpType, fpName, sid };
  const provider = findProvider(ports.providers, fpType, fpName);
  // Of those that are listed alone: a caller may name any.
  if (provider !== undefined) request.note({ provider: `${fpType}:${fpName}` });
  const manageUrl = provider?.manageUrl === undefined ? {} : { manageUrl: provider.manageUrl };
  const unlink = {
    ...identity,
    subject,
    force,
    keepLast: ports.protectLastLink,
    // Of a provider that is not listed any more the job waits: an operator may bring it back.
    job:
      provider !== undefined && provider.revocation === undefined
        ? undefined
        : revocationJob(subject, identity, request),
    audit: { actor, requestId: request.requestId },
  };
  const outcome = await retryWhileUnavailable(request.remainingMs(), (timeoutMs) =>
    ports.directory.links.unlink(unlink, timeoutMs),
  );
  switch (outcome.status) {
    case 'unlinked': {
      const revocation =
        outcome.job === undefined ? outcome.revocation : await revokeInline(outcome.job, request, ports);
      request.note({ revocation });
      request.audit('account_link.unlinked', { ...identity, subject, actor, revocation });
      return { status: 'unlinked', unlinked: { revocation, ...manageUrl } };
    }
    case 'repeated':
      request.note({ repeated: true });
      return { status: 'unlinked', unlinked: { revocation: resultOf(outcome.revocation), ...manageUrl } };
    default:
      return outcome;
  }
}

function revocationJob(
  subject: string,
  identity: ExternalIdentity,
  { requestId, remainingMs }: EndLinkRequest,
): NewJob {
  const isInline = remainingMs() >= MIN_INLINE_MS;
  return {
    id: randomUUID(),
    kind: 'grant-revocation',
    details: { subject, ...identity },
    boundTo: boundToLink({ subject, ...identity }),
    requestId,
    ...(isInline && { claim: { name: randomUUID(), leaseMs: INLINE_LEASE_MS } }),
  };
}

/** Tries the job now. Whatever stands in the way, the link is deleted and the job is kept. */
async function revokeInline(
  job: OwnedJob,
  { remainingMs, note, alert }: EndLinkRequest,
  { directory, ...ports }: EndLinkPorts,
): Promise<GrantRevocationResult> {
  const leftMs = remainingMs();
  if (leftMs < MIN_INLINE_MS / 2) return 'pending';
  try {
    const timeoutMs = Math.min(leftMs / 2, INLINE_ATTEMPT_MS);
    const { settlement } = await attemptJob(job, timeoutMs, { ...ports, alert, outbox: directory.outbox });
    if ('error' in settlement) note({ revocation_error: settlement.error });
    return resultOfSettlement(settlement);
  } catch {
    // It was not recorded: when its lease ends, it is tried again, and what was revoked is found so.
    return 'pending';
  }
}

function resultOfSettlement(settlement: Settlement): GrantRevocationResult {
  return resultOf(
    'result' in settlement ? { state: settlement.state, result: settlement.result } : { state: 'pending' },
  );
}

function resultOf(known: KnownRevocation): GrantRevocationResult {
  if (typeof known === 'string') return known;
  switch (known.state) {
    case 'pending':
    case 'set_aside':
      return 'pending';
    case 'done':
      // Of this union: what `revokeGrant` came to was recorded.
      return known.result as GrantRevocationResult;
    case 'dead':
      return 'failed';
  }
}
