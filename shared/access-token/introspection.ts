import { hash } from 'node:crypto';
import { basicAuthorization, jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { CLOCK_SKEW_S, readClaims } from './claims.ts';
import type { EndpointClient, Issuer } from './issuers.ts';
import type { IssuerSettings, Verification, VerifyAccessToken, VerifyOptions } from './verify.ts';

/** How long an issuer's "active" is believed, in milliseconds. A revocation is never kept back by it. */
const MAX_AGE_MS = 30_000;
const MAX_KEPT = 1000;

/** Verifies tokens by asking the issuer's introspection endpoint (RFC 7662). */
export function createIntrospectionVerifier(
  { issuer, audience }: Pick<Issuer, 'issuer' | 'audience'>,
  { endpoint, client_id, client_secret }: EndpointClient,
  { grantClaim, send, now }: IssuerSettings,
): VerifyAccessToken {
  const kept = new Map<string, { verification: Verification; until: number }>();

  async function ask(token: string, { timeoutMs, traceparent }: VerifyOptions): Promise<Verification> {
    const response = await send({
      method: 'POST',
      url: endpoint,
      headers: {
        Accept: 'application/json',
        Authorization: basicAuthorization(client_id, client_secret),
        'Content-Type': 'application/x-www-form-urlencoded',
      },
      body: new URLSearchParams({ token }).toString(),
      timeoutMs,
      traceparent,
    });
    const answer = response.status === 200 || response.status === 400 ? jsonObjectOf(response) : {};
    // A server that does not introspect this kind of token says so: the token is nothing that it would call active.
    if (response.status === 400 && answer.error === 'unsupported_token_type') return { status: 'inactive' };
    // Anything else, and any "active" but the boolean (RFC 7662, section 2.2), says nothing of the token.
    if (response.status !== 200 || typeof answer.active !== 'boolean') throw new OutgoingFailure('malformed');
    return read(answer);
  }

  function read(claims: Record<string, unknown>): Verification {
    if (claims.active !== true) return { status: 'inactive' };
    if (claims.iss !== undefined && claims.iss !== issuer) return { status: 'refused', reason: 'unknown_issuer' };
    if (!isMeantFor(audience, claims.aud)) return { status: 'refused', reason: 'wrong_audience' };
    // Some servers introspect refresh tokens too.
    if (!isAccessTokenType(claims.token_type)) return { status: 'refused', reason: 'wrong_type' };
    // A token that names no subject speaks for its client alone.
    const verified = readClaims({ sub: claims.client_id, ...claims }, issuer, grantClaim);
    return verified === undefined
      ? { status: 'refused', reason: 'bad_claims' }
      : { status: 'verified', token: verified };
  }

  return async (token, options) => {
    const key = hash('sha256', token, 'base64');
    const known = kept.get(key);
    if (known !== undefined && known.until > now()) return known.verification;
    kept.delete(key);

    const verification = await ask(token, options);
    if (verification.status !== 'verified') return verification;
    const expiresAtMs = (verification.token.expiresAt ?? Number.POSITIVE_INFINITY) * 1000;
    // Its issuer has just called it active: at an unlink that is enough, and else our clock may be a little ahead.
    if (!options.atAnyTime && expiresAtMs + CLOCK_SKEW_S * 1000 <= now()) return { status: 'inactive' };
    if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value ?? '');
    kept.set(key, { verification, until: Math.min(expiresAtMs, now() + MAX_AGE_MS) });
    return verification;
  };
}

/** Whether a token is for us; any is where `ISSUERS` names no audience, as for a server that does not tell. */
function isMeantFor(audience: string | string[] | undefined, claimed: unknown): boolean {
  if (audience === undefined) return true;
  const ours = [audience].flat();
  return [claimed].flat().some((one) => typeof one === 'string' && ours.includes(one));
}

/** A server need not say of what type a token is (RFC 7662, section 2.2). */
function isAccessTokenType(type: unknown): boolean {
  return type === undefined || (typeof type === 'string' && /^(bearer|dpop)$/i.test(type));
}
