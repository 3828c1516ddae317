import * as z from 'zod/mini';
import { type CallerPorts, type CallerRequest, identifyCaller, permittedSubject } from '../account-link/caller.ts';
import { CallerError } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { parseInput } from '../schema.ts';
import { takeStep } from './bind.ts';
import {
  type BrowserRequest,
  type ContinueBindPorts,
  completeBind,
  LINK_ERRORS,
  recordFailure,
} from './continue-bind.ts';

/** What confirming a bind needs. */
export type ConfirmBindPorts = CallerPorts & ContinueBindPorts;

/** A call to confirm a bind. */
export interface ConfirmBindRequest extends CallerRequest, BrowserRequest {
  readonly fields: () => JsonObject;
}

const Fields = z.object({ ticket: z.string('must be the ticket that the callback was given') });

/**
 * Writes the link of a bind, once the user that it was begun for confirms the ticket with an access token of theirs:
 * the ticket alone, which was in a URL, is worth nothing.
 *
 * @throws {CallerError} `invalid_token`, `invalid_request`, `insufficient_scope`, `already_linked_other_user`,
 *   `limit_reached`
 * @throws {Failure}
 */
export async function confirmBind(request: ConfirmBindRequest, ports: ConfirmBindPorts): Promise<void> {
  const caller = await identifyCaller(request, ports);
  const { ticket } = parseInput(Fields, request.fields());
  // An application confirms nothing: it has had the ticket anyway.
  const subject = permittedSubject(caller, 'change', 'current', request, ports);
  const taken = await takeStep('ticket', ticket, request.remainingMs, ports);
  if ('error' in taken) {
    recordFailure(request, taken.error);
    throw new CallerError('invalid_request', 'The field ticket is not one that can be confirmed, or not any more.');
  }
  const { bind, account } = taken.step;
  request.note({ provider: `${bind.fpType}:${bind.fpName}` });
  if (taken.step.subject !== subject) {
    recordFailure(request, 'user_mismatch', bind);
    throw new CallerError('insufficient_scope', 'The credential does not allow this for this subject.');
  }
  const outcome = await completeBind(request, bind, subject, account, ports);
  if (outcome.status === 'linked') return;
  recordFailure(request, LINK_ERRORS[outcome.status], bind);
  switch (outcome.status) {
    case 'provider_disabled':
      throw new CallerError('invalid_request', 'Accounts cannot be bound at this provider any more.');
    case 'taken':
      throw new CallerError('already_linked_other_user', 'The account is linked to another user.');
    case 'limit_reached':
      throw new CallerError('limit_reached', 'The subject has as many links as there may be.');
    case 'unlinked_since':
      throw new CallerError('invalid_request', 'The account was unlinked after this bind began.');
  }
}
