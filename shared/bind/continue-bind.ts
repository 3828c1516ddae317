import type { AccountLinks, LinkOutcome } from '../account-link/account-link.ts';
import { subjectRef } from '../account-link/caller.ts';
import { emailIds } from '../account-link/email-digest.ts';
import { boundToLink, sealTokens } from '../account-link/provider-tokens.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import type { Pepper } from '../token-revocation/token-id.ts';
import {
  type Bind,
  type BindErrorCode,
  type BoundAccount,
  type Confirmation,
  digestOf,
  isSecretOf,
  keepStep,
  newSecret,
  type StepPorts,
  takeStep,
} from './bind.ts';
import type { BindProvider, BindProviders } from './bind-providers.ts';
import type { KeptAuthorization, ProviderClient, UnknownAccount } from './provider-client.ts';

/** What a request of the browser needs. */
export interface ContinueBindPorts extends StepPorts {
  readonly links: AccountLinks;
  readonly providers: BindProviders;
  readonly confirmation: Confirmation;
  /** The sign-in at our issuer, where the page proves the user. */
  readonly signIn?: { readonly client: ProviderClient; readonly redirectUri: string } | undefined;
  /** Whose subjects are linked. */
  readonly issuer: string;
  readonly peppers: readonly Pepper[];
}

/** A request of the browser. */
export interface BrowserRequest {
  readonly requestId: string;
  readonly remainingMs: () => number;
  readonly note: (fields: Record<string, unknown>) => void;
  readonly audit: (event: string, fields: Record<string, unknown>) => void;
}

/** What a bind came to, as the application learns it. */
export type BindResult =
  | { readonly status: 'success' | 'cancelled' }
  | { readonly status: 'confirm'; readonly ticket: string }
  | { readonly status: 'error'; readonly error: BindErrorCode };

/** What the browser does next. */
export type BrowserReply =
  /** It goes on elsewhere: to the provider once more, with a `cookie` for this browser alone, or to the sign-in. */
  | { readonly kind: 'redirect'; readonly url: string; readonly cookie?: string }
  /** It shows the page on which the user agrees; `cookie` is for this browser alone. */
  | {
      readonly kind: 'page';
      readonly bind: Bind;
      readonly token: string;
      readonly cookie: string;
      readonly names: PageNames;
    }
  /** It goes back to the application. */
  | { readonly kind: 'result'; readonly bind: Bind; readonly result: BindResult }
  /** There is no application to go back to that we know of. */
  | { readonly kind: 'lost'; readonly error: BindErrorCode };

/** What the page names. */
export interface PageNames {
  readonly application: string;
  /** The key of the provider: `vk:vk_1`. */
  readonly provider: string;
  /** What the account is called there. */
  readonly account: string;
  /** What nobody else's account there has: its verified e-mail, else its id. */
  readonly accountDetail?: string | undefined;
  /** Whose account here it will be linked to. */
  readonly subject: string;
}

/** The value of the cookie with this digest that the browser has sent, if it sent it once. */
export type CookieOf = (digest: string) => string | undefined;

/** The provider has answered: `parameters` are those of its answer. */
export async function continueFromProvider(
  request: BrowserRequest,
  {
    provider: key,
    parameters,
    cookieOf,
  }: { readonly provider: string; readonly parameters: URLSearchParams; readonly cookieOf: CookieOf },
  ports: ContinueBindPorts,
): Promise<BrowserReply> {
  const taken = await takeStep('provider', onlyValue(parameters, 'state'), request.remainingMs, ports);
  if ('error' in taken) return lost(request, taken.error);
  const { bind, kept, browserDigest } = taken.step;
  request.note({ provider: keyOf(bind) });
  if (key !== keyOf(bind)) return failed(request, bind, 'provider_mismatch');
  const provider = ports.providers.find(key);
  if (provider === undefined) return failed(request, bind, 'provider_disabled');
  if (bind.subject === undefined) {
    // Nothing but our page proves who the user is.
    if (ports.confirmation !== 'page') return failed(request, bind, 'user_mismatch');
    if (browserDigest === undefined) return await sendOnceMore(request, bind, { provider, parameters, kept }, ports);
    if (!isFrom(browserDigest, cookieOf)) return failed(request, bind, 'browser_mismatch');
  }

  const outcome = await provider.client.finish(parameters, kept, request.remainingMs());
  if (outcome.status !== 'known') return notKnown(request, bind, outcome);
  const { sid, userName, email, tokens } = outcome.account;
  const emailDigest = email === undefined ? undefined : emailIds(email, ports.peppers)?.current;
  const account: BoundAccount = { sid, userName, emailDigest, tokens };
  switch (ports.confirmation) {
    case 'page':
      return await signIn(request, { bind, account, email, browserDigest, isSilent: true }, ports);
    case 'bearer':
      return await issueTicket(request, bind, account, ports);
    case 'none':
      // Not reached: a bind without a subject has ended above. The compiler does not know.
      if (bind.subject === undefined) return failed(request, bind, 'user_mismatch');
      return await finish(request, bind, bind.subject, account, ports);
  }
}

/** The browser comes back from the sign-in at our issuer. */
export async function continueFromSignIn(
  request: BrowserRequest,
  { parameters, cookieOf }: { readonly parameters: URLSearchParams; readonly cookieOf: CookieOf },
  ports: ContinueBindPorts,
): Promise<BrowserReply> {
  const taken = await takeStep('sign-in', onlyValue(parameters, 'state'), request.remainingMs, ports);
  if ('error' in taken) return lost(request, taken.error);
  const { bind, account, email, browserDigest, kept, isSilent } = taken.step;
  request.note({ provider: keyOf(bind) });
  if (ports.signIn === undefined) return failed(request, bind, 'provider_disabled');
  // Whose account it is was found out in that browser: another one may be of somebody else.
  if (bind.subject === undefined && !isFrom(browserDigest, cookieOf)) return failed(request, bind, 'browser_mismatch');

  const outcome = await ports.signIn.client.finish(parameters, kept, request.remainingMs());
  if (outcome.status === 'interaction_required' && isSilent) {
    return await signIn(request, { bind, account, email, browserDigest, isSilent: false }, ports);
  }
  if (outcome.status !== 'known') return notKnown(request, bind, outcome);
  const { sid: subject, userName } = outcome.account;
  if (bind.subject !== undefined && bind.subject !== subject) return failed(request, bind, 'user_mismatch');

  const [token, cookie] = [newSecret(), newSecret()];
  const step = { kind: 'page' as const, bind, subject, account, cookieDigest: digestOf(cookie) };
  await keepStep(token, step, request.remainingMs, ports);
  const names = {
    application: bind.client,
    provider: keyOf(bind),
    ...namesOf(account, email),
    subject: userName ?? subject,
  };
  return { kind: 'page', bind, token, cookie, names };
}

/** The user has answered on our page: `token` is of its form, `cookie` of the browser. */
export async function continueFromPage(
  request: BrowserRequest,
  {
    token,
    cookie,
    isDeclined,
  }: { readonly token: string | undefined; readonly cookie: string | undefined; readonly isDeclined: boolean },
  ports: ContinueBindPorts,
): Promise<BrowserReply> {
  const taken = await takeStep('page', token, request.remainingMs, ports);
  if ('error' in taken) return lost(request, taken.error);
  const { bind, subject, account, cookieDigest } = taken.step;
  request.note({ provider: keyOf(bind) });
  if (!isSecretOf(cookieDigest, cookie)) return failed(request, bind, 'browser_mismatch');
  if (isDeclined) return failed(request, bind, 'access_denied');
  return await finish(request, bind, subject, account, ports);
}

/** What came of a bind that was proved: what came of its link, or why none was tried. */
export type BindOutcome = LinkOutcome | { readonly status: 'provider_disabled' };

/**
 * Writes the link that was proved, and says what came of it.
 *
 * @throws {StoreUnavailable}
 */
export async function completeBind(
  request: BrowserRequest,
  bind: Bind,
  subject: string,
  { sid, userName, emailDigest, tokens }: BoundAccount,
  ports: Pick<ContinueBindPorts, 'links' | 'providers' | 'encryptionKeys' | 'issuer' | 'peppers'>,
): Promise<BindOutcome> {
  const { links, providers, encryptionKeys } = ports;
  request.note({ subject_ref: subjectRef(subject, ports) });
  // It may have been taken out of service since the user was there, for a reason.
  if (providers.find(keyOf(bind)) === undefined) return { status: 'provider_disabled' };
  const identity = { fpType: bind.fpType, fpName: bind.fpName, sid };
  const actor = `subject:${subject}`;
  const link = {
    ...identity,
    subject,
    userName,
    emailDigest,
    evidence: 'proved' as const,
    tokens: sealTokens(tokens, boundToLink({ ...identity, subject }), encryptionKeys),
    begunAt: bind.begunAt,
    audit: { actor, requestId: request.requestId },
  };
  const outcome = await retryWhileUnavailable(request.remainingMs(), (timeoutMs) => links.link(link, timeoutMs));
  if (outcome.status === 'linked') {
    const how = { application: bind.client, evidence: 'proved' };
    request.audit('account_link.linked', { ...identity, subject, actor, ...how, ...outcome });
  }
  return outcome;
}

/** Why nothing was linked. */
export const LINK_ERRORS: Readonly<Record<Exclude<BindOutcome['status'], 'linked'>, BindErrorCode>> = {
  provider_disabled: 'provider_disabled',
  taken: 'already_linked_other_user',
  limit_reached: 'limit_reached',
  // The deletion ended the bind.
  unlinked_since: 'state_expired',
};

async function finish(
  request: BrowserRequest,
  bind: Bind,
  subject: string,
  account: BoundAccount,
  ports: ContinueBindPorts,
): Promise<BrowserReply> {
  const outcome = await completeBind(request, bind, subject, account, ports);
  if (outcome.status !== 'linked') return failed(request, bind, LINK_ERRORS[outcome.status]);
  request.note({ fa_status: 'success' });
  return { kind: 'result', bind, result: { status: 'success' } };
}

/** What was brought back from the first trip. */
interface FirstAnswer {
  readonly provider: BindProvider;
  readonly parameters: URLSearchParams;
  readonly kept: KeptAuthorization;
}

/**
 * Sends this browser to the provider once more, and knows it by a cookie when it comes back. The first answer may be of
 * somebody else, who sent its URL to this user: its code is not exchanged.
 *
 * @throws {OutgoingFailure}
 * @throws {StoreUnavailable}
 */
async function sendOnceMore(
  request: BrowserRequest,
  bind: Bind,
  { provider: { client, redirectUri }, parameters, kept: first }: FirstAnswer,
  ports: StepPorts,
): Promise<BrowserReply> {
  const answer = client.read(parameters, first);
  if (answer.status !== 'answered') return notKnown(request, bind, answer);
  const [state, cookie] = [newSecret(), newSecret()];
  const { url, kept } = await client.authorize({ state, redirectUri, timeoutMs: request.remainingMs() });
  const step = { kind: 'provider' as const, bind, kept, browserDigest: digestOf(cookie) };
  await keepStep(state, step, request.remainingMs, ports);
  return { kind: 'redirect', url, cookie };
}

/** Whether the browser is the one that was given the cookie with this digest. */
function isFrom(digest: string | undefined, cookieOf: CookieOf): boolean {
  return digest !== undefined && isSecretOf(digest, cookieOf(digest));
}

/** What the page shows of the account at the provider: each text once. */
function namesOf(
  { sid, userName }: BoundAccount,
  email: string | undefined,
): Pick<PageNames, 'account' | 'accountDetail'> {
  // What turns the text around would let an address say what it is not.
  const detail = email === undefined || /\p{Bidi_Control}/u.test(email) ? sid : email;
  const account = userName ?? detail;
  return { account, accountDetail: account === detail ? undefined : detail };
}

async function signIn(
  request: BrowserRequest,
  step: {
    readonly bind: Bind;
    readonly account: BoundAccount;
    readonly email: string | undefined;
    readonly browserDigest: string | undefined;
    readonly isSilent: boolean;
  },
  ports: ContinueBindPorts,
): Promise<BrowserReply> {
  if (ports.signIn === undefined) return failed(request, step.bind, 'provider_disabled');
  const { client, redirectUri } = ports.signIn;
  const state = newSecret();
  const { url, kept } = await client.authorize({
    state,
    redirectUri,
    ...(step.isSilent && { parameters: { prompt: 'none' } }),
    timeoutMs: request.remainingMs(),
  });
  await keepStep(state, { kind: 'sign-in', ...step, kept }, request.remainingMs, ports);
  return { kind: 'redirect', url };
}

async function issueTicket(
  request: BrowserRequest,
  bind: Bind,
  account: BoundAccount,
  ports: ContinueBindPorts,
): Promise<BrowserReply> {
  if (bind.subject === undefined) return failed(request, bind, 'user_mismatch');
  const ticket = newSecret();
  await keepStep(ticket, { kind: 'ticket', bind, subject: bind.subject, account }, request.remainingMs, ports);
  request.note({ fa_status: 'confirm' });
  return { kind: 'result', bind, result: { status: 'confirm', ticket } };
}

function notKnown(request: BrowserRequest, bind: Bind, outcome: UnknownAccount): BrowserReply {
  switch (outcome.status) {
    case 'cancelled':
      request.note({ fa_status: 'cancelled' });
      return { kind: 'result', bind, result: { status: 'cancelled' } };
    case 'interaction_required':
      return failed(request, bind, 'provider_unavailable');
    case 'failed':
      request.note({ reason: outcome.detail });
      return failed(request, bind, outcome.error);
  }
}

/**
 * Writes down that a bind ended without a link.
 *
 * @param bind Absent where it is not known which.
 */
export function recordFailure(
  request: Pick<BrowserRequest, 'note' | 'audit'>,
  error: BindErrorCode,
  bind?: Pick<Bind, 'client' | 'fpType' | 'fpName' | 'subject'>,
): void {
  request.note({ fa_status: 'error', fa_error: error });
  request.audit('account_link.bind_failed', {
    ...(bind !== undefined && { fpType: bind.fpType, fpName: bind.fpName, application: bind.client }),
    error,
    ...(bind?.subject !== undefined && { subject: bind.subject }),
  });
}

function failed(request: BrowserRequest, bind: Bind, error: BindErrorCode): BrowserReply {
  recordFailure(request, error, bind);
  return { kind: 'result', bind, result: { status: 'error', error } };
}

function lost(request: BrowserRequest, error: BindErrorCode): BrowserReply {
  recordFailure(request, error);
  return { kind: 'lost', error };
}

/** The key of the provider that a bind is at. */
function keyOf({ fpType, fpName }: Bind): string {
  return `${fpType}:${fpName}`;
}

/** The value of a parameter that came once. */
function onlyValue(parameters: URLSearchParams, name: string): string | undefined {
  const [value, ...others] = parameters.getAll(name);
  return others.length === 0 ? value : undefined;
}
