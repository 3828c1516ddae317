import { monotonicMs } from '../clock.ts';
import { isFailure } from '../errors.ts';
import { jsonOf } from '../outgoing/json.ts';
import type { OutgoingRequest, OutgoingResponse, Send } from '../outgoing/send.ts';
import type { ApiCredentials, Authorization } from './api-credentials.ts';
import type { ApiEnding, EndedToken, UpstreamResult } from './end-grant.ts';
import { type AnswerReading, readAnswer } from './read-answer.ts';
import type { Ask, FailedAttempt, RevocationAttempt } from './revoke-grant.ts';
import { fillTemplate } from './url-template.ts';

/** A call of a server's API. Its URL and body are templates: `{subject}`, `{client}`, `{grant}`, `{jti}`, and of a list `{id}`. */
export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** From the base of the API on. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** JSON; `{subject}` as a whole text stands for the user. */
  readonly body?: Readonly<Record<string, string>> | undefined;
}

/** Whether a step is taken: only for a token that names its grant, or only for one that does not. */
interface Condition {
  readonly only?: 'with_grant' | 'without_grant' | undefined;
}

/** A call that ends what it names. */
export interface EndingCall extends ApiCall, Condition {
  readonly method: 'POST' | 'DELETE';
  /** How its answer is to be read, where that is not as {@link API_READING} has it. */
  readonly reading?: AnswerReading | undefined;
}

/** Something of the user's that the server lists, and that can be ended. */
export interface ListedGrant {
  readonly id: string;
  /** The clients that have it, where the list is of all that the user has. */
  readonly clients?: readonly string[] | undefined;
  /** In milliseconds since the epoch, if the server says so. */
  readonly madeAt?: number | undefined;
}

/** A list of what the user has at the server, and the call that ends one thing of it. */
export interface EndingList extends Condition {
  readonly list: string;
  /** It lists what the user has at all clients. */
  readonly isOfUser?: boolean | undefined;
  /** What a page of the list names; undefined: that is no page of it. */
  readonly itemsOf: (body: unknown) => readonly ListedGrant[] | undefined;
  /** Where the next page is, from the base of the API on; undefined: there is none. */
  readonly nextOf?: ((answer: OutgoingResponse, path: string) => string | undefined) | undefined;
  /** The words and statuses of a list that say that the user has nothing. */
  readonly absent?: readonly string[] | undefined;
  /** The call that ends one, by `{id}`. */
  readonly end: EndingCall;
  /** Ends what the user has at the client and the list does not name; made only where nothing newer than the unlink is listed. */
  readonly rest?: EndingCall | undefined;
  /** Each is other clients' too: it is ended only where the row says `"reaches": "all_clients"`. */
  readonly isShared?: boolean | undefined;
}

/** One step of ending a grant. */
export type EndingStep = EndingCall | EndingList;

/** How a server's API ends the grant of one user at one client. */
export interface GrantApi {
  /** In this order. */
  readonly steps: readonly EndingStep[];
  /** The id of what it lists is the grant's that the token names: that one alone is ended. */
  readonly namesGrant?: boolean | undefined;
  /** It shows when what it lists was made: what the user has linked since stays. */
  readonly showsAge?: boolean | undefined;
  /** The server's word for an error, safe for a log; none if not given. */
  readonly errorOf?: AnswerReading['errorOf'];
  /** The least right that the credential must have, for an alert. */
  readonly right: string;
}

/** What calling an API needs. */
export interface GrantApiPorts {
  readonly send: Send;
  readonly credentials: ApiCredentials;
  readonly timeoutMs: number;
  readonly now?: (() => number) | undefined;
  readonly traceparent?: string | undefined;
}

/** The most pages of a list that a try reads. */
const MAX_PAGES = 20;
/** The most bytes of a page. */
const MAX_PAGE_BYTES = 1024 * 1024;
/** What most APIs agree on. */
const API_READING: AnswerReading = { successStatuses: [204] };
/** That there is no such path: only where an API documents that it says so of a grant, it is an end. */
const NO_SUCH_PATH = ['status 404', 'status 405'];

/** What a step has come to, where it is no attempt that ends the try. */
type StepResult = 'ended' | 'nothing' | 'ended_in_part';

/**
 * Ends the grant of a user at a client by the API of their server, step by step. What a list names is ended, and then asked
 * for again: a server that says it is done and still names it has not done it. A try that follows one whose answer was
 * lost finds nothing more, which is a success.
 */
export async function endGrant(
  ending: ApiEnding,
  token: EndedToken,
  { send, credentials, timeoutMs, now = Date.now, traceparent }: GrantApiPorts,
): Promise<RevocationAttempt<UpstreamResult>> {
  const endsAt = monotonicMs() + timeoutMs;
  const { certificates } = ending;
  const ask: Ask = (request) => send({ ...request, traceparent, certificates, timeoutMs: endsAt - monotonicMs() });
  const results: TakenStep[] = [];
  try {
    for (const step of stepsOf(ending.api, token)) {
      const result = await takeStep(step, { ending, token, ask, credentials, now });
      if (typeof result === 'object') return result;
      results.push({ step, result });
    }
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { status: 'retry', error: error.message };
  }
  return { status: 'done', result: resultOf(results, ending) };
}

/** What the API knows the user by. */
export function userOf({ userClaim }: ApiEnding, { subject, user }: EndedToken): string | undefined {
  if (userClaim === undefined) return subject;
  return user?.claim === userClaim ? user.value : undefined;
}

/** The steps that are taken for a token. */
export function stepsOf({ steps }: GrantApi, { grant }: Pick<EndedToken, 'grant'>): readonly EndingStep[] {
  const not = grant === undefined ? 'with_grant' : 'without_grant';
  return steps.filter(({ only }) => only !== not);
}

interface TakenStep {
  readonly step: EndingStep;
  readonly result: StepResult;
}

function resultOf(taken: readonly TakenStep[], { reaches }: ApiEnding): UpstreamResult {
  if (taken.some(({ result }) => result === 'ended_in_part')) return 'ended_in_part';
  const ended = taken.filter(({ result }) => result === 'ended');
  if (ended.length === 0) return 'nothing_found';
  // That a row allows it does not mean that it was needed.
  const isShared = ({ step }: TakenStep) => 'list' in step && step.isShared === true;
  const isOfClient = taken.some(isShared) && !ended.some(isShared);
  return `upstream_${isOfClient ? 'grant' : reaches}`;
}

interface StepPorts {
  readonly ending: ApiEnding;
  readonly token: EndedToken;
  readonly ask: Ask;
  readonly credentials: ApiCredentials;
  readonly now: () => number;
}

async function takeStep(step: EndingStep, ports: StepPorts): Promise<StepResult | FailedAttempt> {
  return 'list' in step ? endListed(step, ports) : endNamed(step, ports);
}

/** Makes a call that ends what it names. */
async function endNamed(call: EndingCall, ports: StepPorts, id?: string): Promise<'ended' | 'nothing' | FailedAttempt> {
  const answer = await callApi(call, ports, id);
  if ('attempt' in answer) return answer.attempt;
  const attempt = readAnswer(answer.response, readingOf(call.reading, ports), ports.now);
  if (attempt.status !== 'done') return explain(attempt, call, ports);
  return attempt.result === 'revoked' ? 'ended' : 'nothing';
}

/** Ends what the list names of the user at the client, and was made before the unlink. */
async function endListed(step: EndingList, ports: StepPorts): Promise<StepResult | FailedAttempt> {
  const found = await listGrants(step, ports);
  if ('status' in found) return found;
  if (found.older.length > 0 && step.isShared && ports.ending.reaches !== 'all_clients') return 'ended_in_part';
  const left = found.older.length === 0 ? found : await endOlder(found.older, step, ports);
  if ('status' in left) return left;
  const result = found.older.length === 0 ? 'nothing' : 'ended';
  if (step.rest === undefined) return result;
  if (left.hasNewer) return 'ended_in_part';
  const rest = await endNamed(step.rest, ports);
  return rest === 'nothing' ? result : rest;
}

/** Ends each, and returns what the list names then: nothing of them. */
async function endOlder(
  older: readonly ListedGrant[],
  step: EndingList,
  ports: StepPorts,
): Promise<ListedGrants | FailedAttempt> {
  let refusal: FailedAttempt | undefined;
  for (const { id } of older) {
    const ended = await endNamed(step.end, ports, id);
    if (typeof ended !== 'object') continue;
    if (ended.status === 'retry') return ended;
    // What is refused for good is in no other's way.
    refusal ??= ended;
  }
  if (refusal !== undefined) return refusal;
  const left = await listGrants(step, ports);
  if ('status' in left || left.older.length === 0) return left;
  // It may be what was ended, or come of a refresh in between: another try looks for it.
  return {
    status: 'retry',
    error: `${step.end.method} ${step.end.path} succeeded, and the server still lists a grant`,
  };
}

/** What the list names of the user at the client, all pages of it. */
interface ListedGrants {
  /** What is to be ended. */
  readonly older: readonly ListedGrant[];
  /** Whether something was made since the unlink. */
  readonly hasNewer: boolean;
}

async function listGrants(step: EndingList, ports: StepPorts): Promise<ListedGrants | FailedAttempt> {
  const listed: ListedGrant[] = [];
  let path: string | undefined = step.list;
  for (let page = 0; path !== undefined; page += 1) {
    if (page === MAX_PAGES) return { status: 'retry', error: `the list has more than ${MAX_PAGES} pages` };
    const call: ApiCall = { method: 'GET', path };
    const answer = await callApi(call, ports);
    if ('attempt' in answer) return answer.attempt;
    const reading = { successStatuses: [200], verdicts: { already_revoked: step.absent ?? [] } };
    const attempt = readAnswer(answer.response, readingOf(reading, ports), ports.now);
    if (attempt.status !== 'done') return explain(attempt, { ...call, path: step.list }, ports);
    if (attempt.result === 'already_revoked') break;
    const items = itemsOf(step, answer.response)?.filter((item) =>
      isOfToken(step, item, ports.token, ports.ending.api),
    );
    // An id that no URL can name is none of the API's. What it stands for would stay, and the rest be said to be all.
    if (items === undefined || !items.every(({ id }) => 'url' in fillTemplate('{id}', { id }))) {
      const attempt = { status: 'retry', error: NO_LIST, isOurFault: true } as const;
      return explain(attempt, call, ports);
    }
    listed.push(...items);
    path = step.nextOf?.(answer.response, step.list);
  }
  const isOlder = ({ madeAt = 0 }: ListedGrant) => madeAt <= (ports.token.until ?? Number.POSITIVE_INFINITY);
  const older = listed.filter(isOlder);
  return { older, hasNewer: older.length < listed.length };
}

const NO_LIST = 'the answer is no list of the API';

/** What a page of a list names; undefined: it is none, be it a page for a browser. */
function itemsOf(step: EndingList, response: OutgoingResponse): readonly ListedGrant[] | undefined {
  try {
    return step.itemsOf(jsonOf(response));
  } catch (error) {
    if (!isFailure(error)) throw error;
    return undefined;
  }
}

/** Whether it is what the token hung on: the grant that it names, or else what its user has at its client. */
function isOfToken(
  step: EndingList,
  { id, clients }: ListedGrant,
  { client = '', grant }: EndedToken,
  api: GrantApi,
): boolean {
  if (api.namesGrant && grant !== undefined) return id === grant;
  return !step.isOfUser || (clients ?? []).includes(client);
}

function readingOf(own: AnswerReading | undefined, { ending: { api } }: StepPorts): AnswerReading {
  // What OAuth calls an invalid token is our own credential here.
  const { errorOf = () => undefined } = api;
  const reading = { ...API_READING, errorOf: (body: unknown) => safeWordOf(errorOf(body)), ...own };
  const { our_fault = [], ...verdicts } = reading.verdicts ?? {};
  return { ...reading, verdicts: { ...verdicts, our_fault: [...our_fault, ...NO_SUCH_PATH] } };
}

/** Any other text of a server may be one that quotes a secret, or breaks a line of the log. */
function safeWordOf(word: string | undefined): string | undefined {
  return word !== undefined && /^[\w.]{1,64}$/.test(word) ? word : undefined;
}

/** Calls the API with a credential; once more, and no more than that, if it refuses one that was kept from an earlier call. */
async function callApi(
  call: ApiCall,
  ports: StepPorts,
  id?: string,
): Promise<{ readonly response: OutgoingResponse } | { readonly attempt: FailedAttempt }> {
  const { ending, ask, credentials } = ports;
  const request = requestOf(call, ports, id);
  if ('fault' in request) return { attempt: { status: 'failed', error: `nothing was sent: ${request.fault}` } };
  for (let isSecond = false; ; isSecond = true) {
    const authorization = await credentials.authorize(ending, request, ask);
    if ('attempt' in authorization) return authorization;
    const response = await ask(withHeaders(request, authorization));
    // A token has the rights of when it was issued: once an operator has given more, another one has them.
    if (response.status === 401 || response.status === 403) credentials.forget(ending);
    if (response.status !== 401 || !authorization.isKept || isSecond) return { response };
  }
}

function withHeaders(request: Omit<OutgoingRequest, 'timeoutMs'>, { headers }: Authorization) {
  return { ...request, headers: { ...request.headers, ...headers } };
}

function requestOf(
  { method, path, headers, body }: ApiCall,
  { ending, token }: StepPorts,
  id: string | undefined,
): Omit<OutgoingRequest, 'timeoutMs'> | { readonly fault: string } {
  const values = { ...token, subject: userOf(ending, token), id };
  const filled = fillTemplate(`${ending.base}${path}`, values);
  if ('fault' in filled) return filled;
  const texts = Object.entries(body ?? {}).map(([name, text]) => [name, text === '{subject}' ? values.subject : text]);
  return {
    ...{ method, url: filled.url },
    headers: {
      Accept: 'application/json',
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(Object.fromEntries(texts)) }),
    ...(method === 'GET' && { maxBytes: MAX_PAGE_BYTES }),
  };
}

/** Where an operator has to look: what the row must say, and of which call. */
function explain(attempt: FailedAttempt, { method, path }: ApiCall, { ending }: StepPorts): FailedAttempt {
  if (attempt.status !== 'retry' || attempt.isOurFault !== true) return attempt;
  // Without the query, in which there may be a key.
  const [url] = `${ending.base}${path}`.split('?');
  const isThere = ending.preset === 'http' || ![NO_LIST, ...NO_SUCH_PATH].includes(attempt.error);
  const rule = isThere ? `the credential must have ${ending.api.right}` : '"api" must be the base of the API';
  return { ...attempt, error: `${attempt.error}: in END_GRANT, ${rule} (${method} ${url})` };
}
