import type { EndpointClient } from '../access-token/issuers.ts';
import { monotonicMs } from '../clock.ts';
import { isFailure } from '../errors.ts';
import type { OutgoingRequest, Send } from '../outgoing/send.ts';
import { discoverEndpoint } from './discover-endpoint.ts';
import { findLiveToken } from './live-token.ts';
import { type AnswerReading, readAnswer } from './read-answer.ts';
import { type ClientAuthMethod, formRequest } from './token-request.ts';

/** What is known of a grant that was to be withdrawn. Only the first two are ever reported as revoked. */
export type GrantRevocationResult =
  /** The provider says so. */
  | 'revoked'
  /** The provider says that the token was dead before. */
  | 'already_revoked'
  /** The provider answers so whatever it is sent. */
  | 'accepted_unverified'
  /** The provider offers no way. */
  | 'unsupported'
  /** There is no token to withdraw it with. */
  | 'no_token'
  /** Withdrawing it would end another link that lives. */
  | 'skipped_shared_grant'
  /** It is still being tried. */
  | 'pending'
  | 'failed';

/** One try: the result is final, or another try may do better. */
export type RevocationAttempt<Result = GrantRevocationResult> =
  | { readonly status: 'done'; readonly result: Result }
  | { readonly status: 'failed'; readonly error: string }
  | {
      readonly status: 'retry';
      readonly error: string;
      /** As the provider asks. */
      readonly retryAfterMs?: number | undefined;
      /** Our own settings are in the way: an operator has to look. */
      readonly isOurFault?: boolean;
    };

/** A try that has come to nothing yet, or for good. */
export type FailedAttempt = Exclude<RevocationAttempt, { readonly status: 'done' }>;

/** Our client at a revocation endpoint, and how it authenticates there (RFC 6749, section 2.3.1). */
export interface RevocationClient {
  readonly endpoint: string;
  /** `endpoint` is an issuer, which is asked where its revocation endpoint is. */
  readonly isDiscovered?: boolean | undefined;
  /** A remote document has named `endpoint`: it is called at public addresses alone. */
  readonly isPublicOnly?: boolean | undefined;
  readonly clientId: string;
  /** Of a public client there is none. */
  readonly clientSecret?: string | undefined;
  /** Signs a secret for one call, in place of one that is kept. */
  readonly signSecret?: ((now: () => number) => Promise<string>) | undefined;
  readonly authMethod: ClientAuthMethod;
  /** What is different at this provider; RFC 7009 if not given. */
  readonly protocol?: RevocationProtocol | undefined;
}

/** Our client at an authorization server, as its settings name it. */
export function revocationClient({ endpoint, client_id, client_secret }: EndpointClient): RevocationClient {
  return { endpoint, clientId: client_id, clientSecret: client_secret, authMethod: 'client_secret_basic' };
}

/** How a provider departs from RFC 7009. */
export interface RevocationProtocol extends AnswerReading {
  /** What ends with a token: it and those made of it, or all that the user has granted our client. */
  readonly effect: 'token' | 'grant';
  /** Which tokens it takes: both if not given. A live one: an expired token would withdraw nothing. */
  readonly takes?: 'access_token' | 'live_access_token' | undefined;
  /** How an access token is made live again. */
  readonly refresh?: RefreshProtocol | undefined;
  /** A token of our client's own, which is tried where the user's has revoked nothing. */
  readonly ownToken?: ((client: RevocationClient) => string | undefined) | undefined;
  /** The fields of the form: `token` and `token_type_hint` if not given. */
  readonly fieldsOf?: ((token: string) => Readonly<Record<string, string>>) | undefined;
  /** The provider does not want to know who asks. */
  readonly isAnonymous?: boolean | undefined;
  /** Where the call is no form at all. */
  readonly requestOf?: ((call: TokenCall) => Omit<OutgoingRequest, 'timeoutMs'>) | undefined;
}

/** How an access token is refreshed (RFC 6749, section 6). */
export interface RefreshProtocol {
  readonly endpoint: string;
  readonly authMethod: ClientAuthMethod;
  /** The provider wants to know the device that the tokens were issued to. */
  readonly needsDevice?: boolean | undefined;
}

/** A token that is to be revoked. */
export interface TokenCall {
  readonly token: string;
  /** Whose grant it is: the account's id at the provider. */
  readonly sid: string;
  /** With the secret for this call. */
  readonly client: RevocationClient;
}

/** The tokens of a grant, as many of them as are known. */
export interface GrantTokens {
  readonly accessToken?: string | undefined;
  readonly refreshToken?: string | undefined;
  /** The device that they were issued to, at a provider whose calls name it. */
  readonly deviceId?: string | undefined;
  /** Milliseconds since the epoch; absent: not known. */
  readonly accessTokenExpiresAt?: number | undefined;
}

/** Asks a provider, within what is left of the time of a try. */
export type Ask = (request: Omit<OutgoingRequest, 'timeoutMs'>) => ReturnType<Send>;

type Candidate = readonly [token: string | undefined, hint: 'refresh_token' | 'access_token'];

/**
 * Withdraws a grant by revoking its tokens: the refresh token first, for the access tokens may end with it, and then
 * the access token. A try that follows one whose answer was lost finds the tokens dead, which is a success.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7009
 */
export async function revokeGrant(
  tokens: GrantTokens,
  client: RevocationClient,
  {
    send,
    timeoutMs,
    now = Date.now,
    sid = '',
    isRepeated = false,
  }: {
    send: Send;
    timeoutMs: number;
    now?: () => number;
    /** The account's id at the provider, for those whose calls name it. */
    sid?: string;
    /** Whether there was a try before, of which nobody may know how it ended. */
    isRepeated?: boolean;
  },
): Promise<RevocationAttempt> {
  const endsAt = monotonicMs() + timeoutMs;
  const ask: Ask = (request) => send({ ...request, timeoutMs: endsAt - monotonicMs() });
  try {
    const { accessToken, refreshToken } = tokens;
    const { takes } = client.protocol ?? {};
    let candidates: readonly Candidate[] = [
      [refreshToken, 'refresh_token'],
      [accessToken, 'access_token'],
    ];
    if (takes === 'access_token') candidates = [[accessToken, 'access_token']];
    if (takes === 'live_access_token') {
      const live = await findLiveToken(tokens, client, { ask, now, isRepeated });
      if (typeof live !== 'string') return live;
      const attempt = await revokeTokens([[live, 'access_token']], client, { ask, now, sid });
      const mayRefresh = live === accessToken && refreshToken !== undefined && client.protocol?.refresh !== undefined;
      if (!mayRefresh || !isDead(attempt)) return attempt;
      // It had ended before its time, and the refresh token may live.
      const fresh = await findLiveToken({ ...tokens, accessToken: undefined }, client, { ask, now, isRepeated });
      if (typeof fresh !== 'string') return fresh;
      return revokeTokens([[fresh, 'access_token']], client, { ask, now, sid });
    }
    const attempt = await revokeTokens(candidates, client, { ask, now, sid });
    return hasMerelyExpired(tokens, now()) ? withoutClaim(attempt) : attempt;
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { status: 'retry', error: error.message };
  }
}

/** Whether the one token that there is has ended by itself: the grant may live. */
function hasMerelyExpired({ refreshToken, accessTokenExpiresAt = Number.POSITIVE_INFINITY }: GrantTokens, now: number) {
  return refreshToken === undefined && accessTokenExpiresAt <= now;
}

/** Whether the provider says that the token was dead before. */
function isDead(attempt: RevocationAttempt): boolean {
  return attempt.status === 'done' && (attempt.result === 'already_revoked' || attempt.result === 'no_token');
}

/** That such a token is dead says nothing of the grant. */
function withoutClaim(attempt: RevocationAttempt): RevocationAttempt {
  const isClaimed = attempt.status === 'done' && attempt.result === 'already_revoked';
  return isClaimed ? { status: 'done', result: 'no_token' } : attempt;
}

async function revokeTokens(
  candidates: readonly Candidate[],
  unready: RevocationClient,
  { ask, now, sid }: { ask: Ask; now: () => number; sid: string },
): Promise<RevocationAttempt> {
  const client = candidates.some(([token]) => token !== undefined) ? await makeReady(unready, ask, now) : unready;
  if (client === undefined) return { status: 'done', result: 'unsupported' };
  const { ownToken } = client.protocol ?? {};
  const attempts: RevocationAttempt[] = [];
  for (const [token, hint] of [...candidates, [ownToken?.(client), 'access_token'] as const]) {
    if (token === undefined) continue;
    const request = requestOf({ token, sid, client }, hint);
    const answer = await ask(client.isPublicOnly ? { ...request, isPublicOnly: true } : request);
    const attempt = readAnswer(answer, client.protocol, now);
    if (attempt.status === 'retry') return attempt;
    attempts.push(attempt);
    if (ownToken !== undefined && attempt.status === 'done' && /revoked$/.test(attempt.result)) break;
  }
  // Where the client's own token was needed, what it came to is what is known.
  return ownToken === undefined ? combine(attempts) : (attempts.at(-1) ?? NO_TOKEN);
}

/** The client with its endpoint and its secret for these calls; undefined: the provider has no such endpoint. */
async function makeReady(client: RevocationClient, ask: Ask, now: () => number): Promise<RevocationClient | undefined> {
  const { isDiscovered, signSecret } = client;
  const endpoint = isDiscovered
    ? await discoverEndpoint(client.endpoint, ask)
    : { url: client.endpoint, isPublicOnly: false };
  if (endpoint === undefined) return undefined;
  const { url, isPublicOnly } = endpoint;
  return { ...client, endpoint: url, isPublicOnly, ...(signSecret && { clientSecret: await signSecret(now) }) };
}

const NO_TOKEN: RevocationAttempt = { status: 'done', result: 'no_token' };

/** The first token's end counts: an access token that the provider does not revoke ends by itself. */
function combine([first, second]: RevocationAttempt[]): RevocationAttempt {
  if (first === undefined) return NO_TOKEN;
  if (second === undefined || first.status === 'failed') return first;
  if (first.status === 'done' && first.result === 'unsupported') return second;
  return second.status === 'done' && second.result === 'revoked' ? second : first;
}

function requestOf(call: TokenCall, hint: string): Omit<OutgoingRequest, 'timeoutMs'> {
  const { token, client } = call;
  if (client.protocol?.requestOf !== undefined) return client.protocol.requestOf(call);
  const fields = client.protocol?.fieldsOf?.(token) ?? { token, token_type_hint: hint };
  return formRequest(client.endpoint, fields, client.protocol?.isAnonymous ? undefined : client);
}
