import * as z from 'zod/mini';
import { monotonicMs } from '../clock.ts';
import { isFailure } from '../errors.ts';
import { basicAuthorization, jsonObjectOf } from '../outgoing/json.ts';
import type { OutgoingResponse, Send } from '../outgoing/send.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';

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
export type RevocationAttempt =
  | { readonly status: 'done'; readonly result: GrantRevocationResult }
  | { readonly status: 'failed'; readonly error: string }
  | {
      readonly status: 'retry';
      readonly error: string;
      /** As the provider asks. */
      readonly retryAfterMs?: number | undefined;
      /** Our own settings are in the way: an operator has to look. */
      readonly isOurFault?: boolean;
    };

const Text = z.string().check(z.minLength(1));

/** A revocation endpoint (RFC 7009) and our client there. */
export const RevocationEndpoint = z.strictObject({
  endpoint: ServiceUrl,
  client_id: Text,
  /** The name of the environment variable that holds the client's secret. */
  client_secret_env: z.optional(z.string().check(z.regex(/^[A-Z][A-Z0-9_]*$/))),
  auth_method: z._default(z.enum(['client_secret_basic', 'client_secret_post', 'none']), 'client_secret_basic'),
});
export type RevocationEndpoint = z.output<typeof RevocationEndpoint>;

/** How our client authenticates at a revocation endpoint (RFC 6749, section 2.3.1). */
export interface RevocationClient {
  readonly endpoint: string;
  readonly clientId: string;
  /** Of a public client there is none. */
  readonly clientSecret?: string | undefined;
  readonly authMethod: 'client_secret_basic' | 'client_secret_post' | 'none';
}

/** The tokens of a grant, as many of them as are known. */
export interface GrantTokens {
  readonly accessToken?: string | undefined;
  readonly refreshToken?: string | undefined;
}

/**
 * Withdraws a grant by revoking its tokens: the refresh token first, for the access tokens may end with it, and then
 * the access token. A try that follows one whose answer was lost finds the tokens dead, which is a success.
 *
 * @see https://www.rfc-editor.org/rfc/rfc7009
 */
export async function revokeGrant(
  { refreshToken, accessToken }: GrantTokens,
  client: RevocationClient,
  { send, timeoutMs, now = Date.now }: { send: Send; timeoutMs: number; now?: () => number },
): Promise<RevocationAttempt> {
  const endsAt = monotonicMs() + timeoutMs;
  const attempts: RevocationAttempt[] = [];
  for (const [token, hint] of [
    [refreshToken, 'refresh_token'],
    [accessToken, 'access_token'],
  ] as const) {
    if (token === undefined) continue;
    const attempt = await revokeToken(token, hint, client, { send, timeoutMs: endsAt - monotonicMs(), now });
    if (attempt.status === 'retry') return attempt;
    attempts.push(attempt);
  }
  return combine(attempts);
}

/** The refresh token's end counts: an access token that the provider does not revoke ends by itself. */
function combine([first, second]: RevocationAttempt[]): RevocationAttempt {
  if (first === undefined) return { status: 'done', result: 'no_token' };
  if (second === undefined || first.status === 'failed') return first;
  if (first.status === 'done' && first.result === 'unsupported') return second;
  return second.status === 'done' && second.result === 'revoked' ? second : first;
}

async function revokeToken(
  token: string,
  hint: 'refresh_token' | 'access_token',
  { endpoint, clientId, clientSecret = '', authMethod }: RevocationClient,
  { send, timeoutMs, now }: { send: Send; timeoutMs: number; now: () => number },
): Promise<RevocationAttempt> {
  const body = new URLSearchParams({ token, token_type_hint: hint });
  if (authMethod !== 'client_secret_basic') body.set('client_id', clientId);
  if (authMethod === 'client_secret_post') body.set('client_secret', clientSecret);
  try {
    const response = await send({
      method: 'POST',
      url: endpoint,
      headers: {
        Accept: 'application/json',
        'Content-Type': 'application/x-www-form-urlencoded',
        ...(authMethod === 'client_secret_basic' && { Authorization: basicAuthorization(clientId, clientSecret) }),
      },
      body: body.toString(),
      timeoutMs,
    });
    return interpret(response, now);
  } catch (error) {
    if (!isFailure(error)) throw error;
    return { status: 'retry', error: error.message };
  }
}

/** RFC 7009, section 2.2: the status says it all, whatever the body of a success. */
function interpret(response: OutgoingResponse, now: () => number): RevocationAttempt {
  const { status } = response;
  if (status >= 200 && status < 300) return { status: 'done', result: 'revoked' };
  const error = status < 500 ? errorOf(response) : undefined;
  const description = error === undefined ? `status ${status}` : `status ${status} ${error}`;
  if (status === 400 && (error === 'invalid_token' || error === 'invalid_grant')) {
    return { status: 'done', result: 'already_revoked' };
  }
  if (status === 400 && error === 'unsupported_token_type') return { status: 'done', result: 'unsupported' };
  if (status === 401 || status === 403 || error === 'invalid_client' || error === 'unauthorized_client') {
    return { status: 'retry', error: description, isOurFault: true };
  }
  if (status >= 500 || status === 408 || status === 425 || status === 429) {
    return { status: 'retry', error: description, retryAfterMs: retryAfterMs(response, now) };
  }
  return { status: 'failed', error: description };
}

/** The longest that a provider may put us off, in milliseconds. */
const MAX_RETRY_AFTER_MS = 86_400_000;

/** `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3). */
function retryAfterMs({ headers }: OutgoingResponse, now: () => number): number | undefined {
  const value = headers['retry-after'];
  if (typeof value !== 'string') return undefined;
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now();
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), MAX_RETRY_AFTER_MS);
}

/** The error code of an answer, if it has one of OAuth's alphabet. */
function errorOf(response: OutgoingResponse): string | undefined {
  try {
    const { error } = jsonObjectOf(response);
    return typeof error === 'string' && /^[a-z_]{1,64}$/.test(error) ? error : undefined;
  } catch {
    return undefined;
  }
}
