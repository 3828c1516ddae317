import { hash } from 'node:crypto';
import type { JsonObject } from '../json.ts';
import { basicAuthorization, jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { CLOCK_SKEW_S, presentMembers, readAccessToken, readRefreshToken, refused } from './claims.ts';
import type { EndpointClient, Issuer } from './issuers.ts';
import { kindOfActive } from './token-kind.ts';
import type { IssuerSettings, Verification, VerifyAccessToken, VerifyOptions } from './verify.ts';

/** How long an issuer's "active" is believed, in milliseconds. A revocation is never kept back by it. */
const MAX_AGE_MS = 30_000;
const MAX_KEPT = 1000;

/** Verifies tokens by asking the issuer's introspection endpoint (RFC 7662). */
export function createIntrospectionVerifier(
  row: Issuer,
  { endpoint, client_id, client_secret }: EndpointClient,
  { send, now, monotonic }: IssuerSettings,
): VerifyAccessToken {
  const kept = new Map<string, { verification: Verification; keptAt: number; expiresAtMs: number }>();

  async function ask(token: string, options: VerifyOptions): Promise<Verification> {
    const { timeoutMs, traceparent, refreshTokens } = options;
    const hint = refreshTokens === undefined ? 'access_token' : refreshTokens.hint;
    const response = await send({
      method: 'POST',
      url: endpoint,
      headers: {
        Accept: 'application/json',
        Authorization: basicAuthorization(client_id, client_secret),
        'Content-Type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ token, ...(hint !== undefined && { token_type_hint: hint }) }).toString(),
      timeoutMs,
      traceparent,
    });
    const answer = response.status === 200 || response.status === 400 ? jsonObjectOf(response) : {};
    // A server that does not introspect this kind of token says so: the token is nothing that it would call active.
    if (response.status === 400 && answer.error === 'unsupported_token_type') return { status: 'inactive' };
    // Anything else, and any "active" but the boolean (RFC 7662, section 2.2), says nothing of the token.
    if (response.status !== 200 || typeof answer.active !== 'boolean') throw new OutgoingFailure('malformed');
    return answer.active ? judge(token, presentMembers(answer), row, options) : { status: 'inactive' };
  }

  /** What was said of a token, while that is believed. */
  function recall(key: string, { refreshTokens }: VerifyOptions): Verification | undefined {
    const known = refreshTokens === undefined ? kept.get(key) : undefined;
    if (known === undefined || monotonic() - known.keptAt >= MAX_AGE_MS || now() >= known.expiresAtMs) return undefined;
    return known.verification;
  }

  return async (token, options) => {
    const key = hash('sha256', token, 'base64');
    const known = recall(key, options);
    if (known !== undefined) return known;
    kept.delete(key);

    const verification = await ask(token, options);
    if (verification.status !== 'verified') return verification;
    const expiresAtMs = (verification.token.expiresAt ?? Number.POSITIVE_INFINITY) * 1000;
    // Its issuer has just called it active: at an unlink that is enough, and else our clock may be a little ahead.
    if (!options.atAnyTime && expiresAtMs + CLOCK_SKEW_S * 1000 <= now()) return { status: 'inactive' };
    if (options.refreshTokens !== undefined) return verification;
    if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value ?? '');
    kept.set(key, { verification, keptAt: monotonic(), expiresAtMs });
    return verification;
  };
}

/** What a token comes to that its issuer calls active. */
function judge(token: string, answer: JsonObject, row: Issuer, { refreshTokens }: VerifyOptions): Verification {
  if (answer.iss !== undefined && answer.iss !== row.issuer) return refused('unknown_issuer');
  const kind = kindOfActive(token, answer, row);
  if (kind === 'refresh' || kind === 'unsaid' || kind === 'unfit') {
    if (refreshTokens !== undefined) return readRefreshToken(answer, row);
    return refused(REFUSALS[kind]);
  }
  return kind === 'access' ? readAccessToken(answer, row) : refused(kind);
}

/** Why a token that may be a refresh token is no access token. */
const REFUSALS = { refresh: 'refresh_token', unsaid: 'unmarked', unfit: 'row_rule' } as const;
