import * as z from 'zod/mini';
import type { Client } from '../access-token/clients.ts';
import { type CallerPorts, type CallerRequest, identifyCaller, permittedSubject } from '../account-link/caller.ts';
import { SubjectId } from '../account-link/request.ts';
import { CallerError, Misconfigured } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import { parseInput } from '../schema.ts';
import { type Bind, type Confirmation, keepStep, newSecret, type StepPorts } from './bind.ts';
import type { BindProviders } from './bind-providers.ts';

/** What starting a bind needs. */
export interface StartBindPorts extends CallerPorts, StepPorts {
  readonly providers: BindProviders;
  readonly confirmation: Confirmation;
}

/** A call to start a bind. */
export interface StartBindRequest extends CallerRequest {
  readonly fields: () => JsonObject;
}

const CALLBACK_RULE = 'must be one that is registered for the application, character for character';

const Fields = z.object({
  fp: z.string('must be the type and the name of a provider: "vk:vk_1"'),
  callback: z.string(CALLBACK_RULE),
  isPopup: z.optional(z.boolean('must be true or false')),
  subjectId: z.optional(SubjectId),
});

/**
 * Starts a bind: where to send the user's browser.
 *
 * @throws {CallerError} `invalid_token`, `invalid_client`, `invalid_request`, `insufficient_scope`; nothing is stored.
 * @throws {Failure}
 * @see https://docs.identityblitz.com/latest/integration-guide/rest-api-user-idp.html
 */
export async function startBind(request: StartBindRequest, ports: StartBindPorts): Promise<{ redirectTo: string }> {
  const caller = await identifyCaller(request, ports);
  const application = ports.clients.find(({ id }) => id === caller.client);
  const { fp, callback, isPopup = false, subjectId } = parseInput(Fields, request.fields());
  assertRegistered(callback, application);
  const provider = ports.providers.find(fp);
  if (provider === undefined) {
    throw new CallerError('invalid_request', 'The field fp names no provider that accounts can be bound at.');
  }
  const now = ports.now ?? Date.now;
  const bind: Bind = {
    client: application.id,
    callback,
    isPopup,
    fpType: provider.type,
    fpName: provider.name,
    subject: subjectOf(subjectId, caller, request, ports),
    begunAt: now(),
  };
  const state = newSecret();
  const { url, kept } = await provider.client.authorize({
    state,
    redirectUri: provider.redirectUri,
    // Without a subject this is the first of two trips: the second one asks.
    asksNoConsent: bind.subject === undefined,
    timeoutMs: request.remainingMs(),
  });
  await keepStep(state, { kind: 'provider', bind, kept }, request.remainingMs, ports);
  request.note({ provider: fp, confirmation: ports.confirmation });
  return { redirectTo: url };
}

/** Before anything of it is parsed: what is parsed can be read in more than one way. */
function assertRegistered(callback: string, application: Client | undefined): asserts application is Client {
  if (application === undefined || !application.callbacks.includes(callback)) {
    throw new CallerError('invalid_request', `The field callback ${CALLBACK_RULE}.`);
  }
  // What is registered is ours to have right: a browser is sent there, and told of the result in its query.
  if (!ServiceUrl.safeParse(callback).success || !URL.canParse(callback)) {
    throw new Misconfigured(
      'CLIENTS names a callback that is not an https URL without a fragment, or http to this machine',
    );
  }
}

/** Whose link it will be, or undefined where the page proves that. */
function subjectOf(
  subjectId: string | undefined,
  caller: Awaited<ReturnType<typeof identifyCaller>>,
  request: StartBindRequest,
  ports: StartBindPorts,
): string | undefined {
  if (caller.subject !== undefined) return permittedSubject(caller, 'change', subjectId ?? 'current', request, ports);
  if (subjectId !== undefined) return permittedSubject(caller, 'change', subjectId, request, ports);
  if (ports.confirmation === 'page') return undefined;
  throw new CallerError(
    'invalid_request',
    'The field subjectId must be given: the credential names no user, and nothing here proves who the user is.',
  );
}
