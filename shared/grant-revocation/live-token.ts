import { randomUUID } from 'node:crypto';
import { isJsonObject } from '../json.ts';
import { jsonOf } from '../outgoing/json.ts';
import { type AnswerReading, oauthErrorOf, readAnswer, sentenceOf } from './read-answer.ts';
import type { Ask, GrantTokens, RevocationAttempt, RevocationClient } from './revoke-grant.ts';
import { formRequest } from './token-request.ts';

/** A token that ends sooner than this is not relied on, in milliseconds. */
const MARGIN_MS = 60_000;

/** By RFC 6749, and as GitHub, VK ID and Twitch answer: an error may come with a success, or in a sentence. */
const REFRESH_ANSWER: AnswerReading = {
  successOf: (body) => (accessTokenOf(body) === undefined ? undefined : 'revoked'),
  errorOf: (body) => oauthErrorOf(body) ?? sentenceOf(body),
  verdicts: {
    already_revoked: ['invalid_grant', 'invalid_token', 'bad_refresh_token', 'invalid_refresh_token'],
    our_fault: ['incorrect_client_credentials', 'invalid_client_secret'],
    retry: ['slow_down', 'server_error', 'temporarily_unavailable'],
  },
};

/**
 * An access token that lives: the one that is known, or a fresh one, which is kept nowhere – what it is for ends it. An
 * attempt: there is none, and that is what has become of the grant.
 */
export async function findLiveToken(
  tokens: GrantTokens,
  client: RevocationClient,
  { ask, now, isRepeated }: { ask: Ask; now: () => number; isRepeated: boolean },
): Promise<string | RevocationAttempt> {
  const { accessToken, accessTokenExpiresAt: endsAt } = tokens;
  if (accessToken !== undefined && endsAt !== undefined && endsAt > now() + MARGIN_MS) return accessToken;
  const usable = endsAt === undefined ? accessToken : undefined;
  const request = refreshRequest(tokens, client);
  if (request === undefined) return usable ?? { status: 'done', result: 'no_token' };

  const response = await ask(request);
  const attempt = readAnswer(response, REFRESH_ANSWER, now);
  if (attempt.status !== 'done') return attempt;
  if (attempt.result === 'revoked') return accessTokenOf(jsonOf(response)) ?? attempt;
  // A refresh token is good once at some providers: an earlier try may have spent it, and lost what it got.
  if (isRepeated) return { status: 'failed', error: 'the refresh token is dead, by an earlier try perhaps' };
  if (usable !== undefined) return usable;
  // It may have expired, or have been replaced: the tokens are dead, and what the user has granted may not be.
  return client.protocol?.effect === 'grant' ? { status: 'done', result: 'no_token' } : attempt;
}

function refreshRequest(
  { refreshToken, deviceId }: GrantTokens,
  { clientId, clientSecret, protocol }: RevocationClient,
): ReturnType<typeof formRequest> | undefined {
  const refresh = protocol?.refresh;
  if (refresh === undefined || refreshToken === undefined) return undefined;
  const { endpoint, authMethod, needsDevice } = refresh;
  if (needsDevice && deviceId === undefined) return undefined;
  if (authMethod !== 'none' && clientSecret === undefined) return undefined;
  const device = needsDevice && deviceId !== undefined ? { device_id: deviceId, state: newState() } : {};
  const fields = { grant_type: 'refresh_token', refresh_token: refreshToken, ...device };
  return formRequest(endpoint, fields, { clientId, clientSecret, authMethod });
}

/** Of a call that nobody can forge an answer to: it is merely wanted. */
function newState(): string {
  return randomUUID().replaceAll('-', '');
}

function accessTokenOf(body: unknown): string | undefined {
  return isJsonObject(body) && typeof body.access_token === 'string' && /^[\x21-\x7e]{1,8192}$/.test(body.access_token)
    ? body.access_token
    : undefined;
}
