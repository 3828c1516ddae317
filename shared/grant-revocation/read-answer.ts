import { isJsonObject } from '../json.ts';
import { jsonOf } from '../outgoing/json.ts';
import type { OutgoingResponse } from '../outgoing/send.ts';
import type { GrantRevocationResult, RevocationAttempt } from './revoke-grant.ts';

/** What an error of a provider may come to. */
const VERDICTS = ['already_revoked', 'dead_token', 'unsupported', 'our_fault', 'retry', 'failed'] as const;
type Verdict = (typeof VERDICTS)[number];

/** How a provider's answers are to be read, where that is not as RFC 7009 has it. */
export interface AnswerReading {
  /** The statuses of a success; all from 200 to 299 if not given. */
  readonly successStatuses?: readonly number[] | undefined;
  /**
   * What a body that came with a success says; undefined: it is no success. The status says it all if not given. The body is
   * undefined if it is empty, and null if it is no JSON.
   */
  readonly successOf?: ((body: unknown) => GrantRevocationResult | undefined) | undefined;
  /** The provider's word for an error, safe for a log; the `error` of OAuth if not given. */
  readonly errorOf?: ((body: unknown) => string | undefined) | undefined;
  /** The errors of each, by such a word or as `status 404`. What is not here is as RFC 7009 has it. */
  readonly verdicts?: Readonly<Partial<Record<Verdict, readonly string[]>>> | undefined;
}

/** What an answer comes to (RFC 7009, section 2.2): the status says it all, whatever the body of a success. */
export function readAnswer(
  response: OutgoingResponse,
  { successStatuses, successOf = () => 'revoked', errorOf = oauthErrorOf, verdicts = {} }: AnswerReading = {},
  now: () => number,
): RevocationAttempt {
  const { status } = response;
  const body = parseBody(response);
  const isMeant = isSuccess(status) && (successStatuses?.includes(status) ?? true);
  const result = isMeant ? successOf(body) : undefined;
  if (result !== undefined) return { status: 'done', result };
  const word = status < 500 ? errorOf(body) : undefined;
  const error = word === undefined ? `status ${status}` : `status ${status} ${word}`;
  const pauseMs = retryAfterMs(response, now);
  const names = [word, `status ${status}`];
  const [verdict] = VERDICTS.filter((each) => verdicts[each]?.some((name) => names.includes(name)));
  switch (verdict ?? verdictOf(status, word, pauseMs)) {
    case 'already_revoked':
      return { status: 'done', result: 'already_revoked' };
    // For whatever reason: the grant may live.
    case 'dead_token':
      return { status: 'done', result: 'no_token' };
    case 'unsupported':
      return { status: 'done', result: 'unsupported' };
    case 'our_fault':
      return { status: 'retry', error, isOurFault: true };
    case 'retry':
      return { status: 'retry', error, retryAfterMs: pauseMs };
    case 'failed':
      return { status: 'failed', error };
  }
}

/** The `error` of an answer, if it is a word of OAuth's alphabet: anything else may be a secret that is quoted. */
export function oauthErrorOf(body: unknown): string | undefined {
  return isJsonObject(body) ? wordOf(body.error) : undefined;
}

/** Twitch's `message` as a word: `client does not exist`. */
export function sentenceOf(body: unknown): string | undefined {
  const message = isJsonObject(body) ? body.message : undefined;
  return typeof message === 'string' ? wordOf(message.toLowerCase().replaceAll(' ', '_')) : undefined;
}

function wordOf(value: unknown): string | undefined {
  return typeof value === 'string' && /^[a-z_]{1,64}$/.test(value) ? value : undefined;
}

function verdictOf(status: number, word: string | undefined, pauseMs: number | undefined): Verdict {
  if (status === 400 && (word === 'invalid_token' || word === 'invalid_grant')) return 'already_revoked';
  if (status === 400 && word === 'unsupported_token_type') return 'unsupported';
  // A refusal that names a pause is of the rate, not of our client.
  if (status === 403 && pauseMs !== undefined) return 'retry';
  if (status === 401 || status === 403 || word === 'invalid_client' || word === 'unauthorized_client') {
    return 'our_fault';
  }
  if (status >= 500 || status === 408 || status === 425 || status === 429) return 'retry';
  // Something in between has answered for the provider.
  if (isSuccess(status) && word === undefined) return 'retry';
  return 'failed';
}

function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** A page of something in between is not taken for a body that is empty. */
function parseBody(response: OutgoingResponse): unknown {
  if (response.body.length === 0) return undefined;
  try {
    return jsonOf(response);
  } catch {
    return null;
  }
}

/** The longest that a provider may put us off, in milliseconds. */
const MAX_RETRY_AFTER_MS = 86_400_000;

/** `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), or the reset of a rate that is used up. */
function retryAfterMs({ headers }: OutgoingResponse, now: () => number): number | undefined {
  const { 'retry-after': value, 'x-ratelimit-remaining': remaining, 'x-ratelimit-reset': reset } = headers;
  let ms = Number.NaN;
  if (typeof value === 'string') ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now();
  // GitHub's: in seconds since the epoch; others count seconds from now.
  else if (remaining === '0' && typeof reset === 'string' && /^\d{10}$/.test(reset)) ms = Number(reset) * 1000 - now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS);
}
