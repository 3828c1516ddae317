import * as z from 'zod/mini';
import { retryWhileUnavailable } from '../databases/retry.ts';
import type { Directory } from '../directory/directory.ts';
import { CallerError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { parseInput } from '../schema.ts';
import type { LinkOutcome } from './account-link.ts';
import { type CallerPorts, type CallerRequest, identifyCaller, permittedSubject } from './caller.ts';
import { findProvider, type Provider } from './provider.ts';
import { LinkParameters, Text } from './request.ts';

/** Who may link an account by a `sid` that is merely known. */
export const LinkBySidEnvironment = {
  /** `system`: only applications may; `any`, as documented, if not set: a user may claim whatever is not linked yet. */
  LINK_BY_SID: z._default(z.enum(['any', 'system'], 'must be any or system'), 'any'),
};

/** What linking an account needs. */
export interface LinkAccountPorts extends CallerPorts {
  readonly directory: Pick<Directory, 'links'>;
  readonly providers: readonly Provider[];
  readonly linkBySid: 'any' | 'system';
}

/** A call about one link. */
export interface LinkRequest extends CallerRequest {
  readonly requestId: string;
  readonly parameters: () => JsonObject;
  readonly audit: (event: string, fields: Record<string, unknown>) => void;
}

/** A call to link an account. */
export interface LinkAccountRequest extends LinkRequest {
  /** Of the body. */
  readonly fields: () => JsonObject;
}

const Fields = z.object({ federatedAccountName: z.optional(Text) });

/**
 * Links an account at an external provider, on the word of whoever knows its `sid`, and resolves when that is durable.
 * As often as it is asked; the name is the last that was given.
 *
 * @throws {CallerError} `invalid_token`, `invalid_client`, `invalid_request`, `insufficient_scope`, `limit_reached`,
 *   and `already_linked_other_user`, which does not say whose it is
 * @throws {Failure} Nothing is known to be linked.
 */
export async function linkAccount(request: LinkAccountRequest, ports: LinkAccountPorts): Promise<void> {
  const caller = await identifyCaller(request, ports);
  const { subjectId, ...identity } = parseInput(LinkParameters, request.parameters(), 'parameter');
  const subject = permittedSubject(caller, 'change', subjectId, request, ports);
  if (ports.linkBySid === 'system' && caller.subject !== undefined) {
    throw new CallerError('insufficient_scope', 'Only an application may link an account by its known id.');
  }
  const { federatedAccountName: userName } = parseInput(Fields, request.fields());
  if (findProvider(ports.providers, identity.fpType, identity.fpName) === undefined) {
    throw new CallerError('invalid_request', 'There is no such provider: fpType and fpName name none.');
  }
  request.note({ provider: `${identity.fpType}:${identity.fpName}` });
  const link = {
    ...identity,
    subject,
    userName,
    evidence: 'asserted' as const,
    audit: { actor: caller.actor, requestId: request.requestId },
  };
  const outcome = await retryWhileUnavailable(request.remainingMs(), (timeoutMs) =>
    ports.directory.links.link(link, timeoutMs),
  );
  assertLinked(outcome);
  request.note({ change: outcome.change });
  request.audit('account_link.linked', { ...identity, subject, actor: caller.actor, ...outcome, evidence: 'asserted' });
}

function assertLinked(outcome: LinkOutcome): asserts outcome is Extract<LinkOutcome, { status: 'linked' }> {
  switch (outcome.status) {
    case 'linked':
      return;
    case 'limit_reached':
      throw new CallerError('limit_reached', 'The subject has as many links as there may be.');
    case 'taken':
    case 'unlinked_since':
      throw new CallerError('already_linked_other_user', 'The account is linked to another user.');
  }
}
