import type { CryptoKey, JSONWebKeySet, JWSHeaderParameters } from 'jose';
import { createLocalJWKSet } from 'jose/jwks/local';
import { jwtVerify } from 'jose/jwt/verify';
import { isFailure } from '../errors.ts';
import { hasDuplicateKeys } from '../json.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { readClaims } from './claims.ts';
import { algorithmsOf, type Issuer } from './issuers.ts';
import type { IssuerSettings, IssuerVerifier, RefusalReason } from './verify.ts';

/** Clocks differ: how much, in seconds, is let pass in `exp` and `nbf`. */
const CLOCK_SKEW_S = 60;

/** RFC 9068, section 2.1, and RFC 7519, section 5.1. An ID token or a logout token has another `typ` or audience. */
const ACCESS_TOKEN_TYPES = ['at+jwt', 'application/at+jwt', 'jwt'];

/** Verifies the JWTs of one issuer (RFC 9068, RFC 8725). */
export function createJwtVerifier(row: Issuer, settings: IssuerSettings): IssuerVerifier {
  const findKey = keyFinder(row, settings);
  const algorithms = algorithmsOf(row);

  return async (token, { timeoutMs, atAnyTime = false }) => {
    try {
      const { payload, protectedHeader } = await jwtVerify(token, (header) => findKey(header, timeoutMs), {
        algorithms,
        issuer: row.issuer,
        audience: row.audience ?? [],
        requiredClaims: ['exp', 'sub'],
        clockTolerance: atAnyTime ? Number.MAX_SAFE_INTEGER : CLOCK_SKEW_S,
        currentDate: new Date(settings.now()),
      });
      if (!ACCESS_TOKEN_TYPES.includes(String(protectedHeader.typ).toLowerCase())) return refused('wrong_type');
      if (token.split('.', 2).some((part) => hasDuplicateKeys(Buffer.from(part, 'base64url').toString()))) {
        return refused('malformed');
      }
      const verified = readClaims(payload, row.issuer, settings.grantClaim);
      return verified === undefined ? refused('bad_claims') : { status: 'verified', token: verified };
    } catch (error) {
      if (isFailure(error)) throw error;
      return refused(refusalReason(error));
    }
  };
}

function refused(reason: RefusalReason): { status: 'refused'; reason: RefusalReason } {
  return { status: 'refused', reason };
}

/** What jose found wrong with a token; whatever else it throws, a hostile token made it. */
function refusalReason(error: unknown): RefusalReason {
  const { code, claim } = error as { code?: unknown; claim?: unknown };
  switch (code) {
    case 'ERR_JWT_EXPIRED':
      return 'expired';
    case 'ERR_JWT_CLAIM_VALIDATION_FAILED':
      if (claim === 'aud') return 'wrong_audience';
      if (claim === 'iss') return 'unknown_issuer';
      return claim === 'nbf' ? 'not_yet_valid' : 'bad_claims';
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return 'bad_signature';
    case 'ERR_JOSE_ALG_NOT_ALLOWED':
      return 'algorithm_not_allowed';
    case 'ERR_JWS_INVALID':
    case 'ERR_JWT_INVALID':
    case 'ERR_JOSE_NOT_SUPPORTED':
      return 'malformed';
    default:
      return 'unusable_key';
  }
}

type FindKey = (header: JWSHeaderParameters, timeoutMs: number) => Promise<CryptoKey | Uint8Array>;

function keyFinder({ secret, jwks, jwks_uri }: Issuer, settings: IssuerSettings): FindKey {
  if (secret !== undefined) {
    const bytes = Buffer.from(secret);
    return async () => bytes;
  }
  // What a key looks like is jose's to check when it is used.
  if (jwks !== undefined) {
    const find = createLocalJWKSet(jwks as JSONWebKeySet);
    return (header) => find(header);
  }
  return remoteKeyFinder(jwks_uri ?? '', settings);
}

const MAX_KEYS = 100;
/** An unknown key makes us ask again, at most this often: tokens with invented key ids must cost the issuer nothing. */
const REFETCH_AFTER_MS = 30_000;
/** A key that the issuer withdrew is forgotten after this time. */
const MAX_AGE_MS = 600_000;

/** The keys at a `jwks_uri`, kept between calls. When they cannot be had anew, those at hand go on serving. */
function remoteKeyFinder(url: string, { send, now }: IssuerSettings): FindKey {
  let find: ReturnType<typeof createLocalJWKSet> | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;

  async function fetchKeys(timeoutMs: number): Promise<void> {
    askedAt = now();
    const response = await send({
      method: 'GET',
      url,
      headers: { Accept: 'application/jwk-set+json, application/json' },
      timeoutMs,
      maxBytes: 256 * 1024,
    });
    const { keys } = jsonObjectOf(response);
    if (response.status !== 200 || !Array.isArray(keys) || keys.length > MAX_KEYS)
      throw new OutgoingFailure('malformed');
    find = createLocalJWKSet({ keys });
  }

  return async (header, timeoutMs) => {
    if (find === undefined) await fetchKeys(timeoutMs);
    else if (now() - askedAt > MAX_AGE_MS) await fetchKeys(timeoutMs).catch(() => {});
    try {
      return await found(header);
    } catch (error) {
      const isUnknown = (error as { code?: unknown }).code === 'ERR_JWKS_NO_MATCHING_KEY';
      if (!isUnknown || now() - askedAt < REFETCH_AFTER_MS) throw error;
      await fetchKeys(timeoutMs).catch(() => {});
      return await found(header);
    }
  };

  async function found(header: JWSHeaderParameters): Promise<CryptoKey> {
    if (find === undefined) throw new OutgoingFailure('malformed');
    return find(header);
  }
}
