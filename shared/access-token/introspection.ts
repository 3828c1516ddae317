import { createHash } from 'node:crypto';
import { basicAuthorization, jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { readClaims } from './claims.ts';
import type { EndpointClient } from './issuers.ts';
import type { IssuerSettings, IssuerVerifier, Verification } from './verify.ts';

/** How long an issuer's "active" is believed, in milliseconds. A revocation is never kept back by it. */
const MAX_AGE_MS = 30_000;
const MAX_KEPT = 1000;

/** Verifies tokens by asking the issuer's introspection endpoint (RFC 7662). */
export function createIntrospectionVerifier(
  issuer: string,
  audience: string | string[] | undefined,
  { endpoint, client_id, client_secret }: EndpointClient,
  { grantClaim, send, now }: IssuerSettings,
): IssuerVerifier {
  const kept = new Map<string, { verification: Verification; until: number }>();

  async function ask(token: string, timeoutMs: number): Promise<Verification> {
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
    });
    // A server that does not introspect this kind of token says so: the token is nothing that it would call active.
    if (response.status === 400) return { status: 'inactive' };
    if (response.status !== 200) throw new OutgoingFailure('malformed');
    return read(jsonObjectOf(response));
  }

  function read(claims: Record<string, unknown>): Verification {
    // Anything but the boolean is no "active": RFC 7662, section 2.2.
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

  return async (token, { timeoutMs }) => {
    const key = createHash('sha256').update(token).digest('base64');
    const known = kept.get(key);
    if (known !== undefined && known.until > now()) return known.verification;
    kept.delete(key);

    const verification = await ask(token, timeoutMs);
    if (verification.status !== 'verified') return verification;
    const expiresAtMs = (verification.token.expiresAt ?? Number.POSITIVE_INFINITY) * 1000;
    if (expiresAtMs <= now()) return { status: 'inactive' };
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
