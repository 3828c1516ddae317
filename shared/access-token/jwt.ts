import type { CryptoKey, JSONWebKeySet, JWSHeaderParameters } from 'jose';
import { createLocalJWKSet } from 'jose/jwks/local';
import { jwtVerify } from 'jose/jwt/verify';
import { isFailure } from '../errors.ts';
import { hasDuplicateKeys, isJsonObject } from '../json.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { CLOCK_SKEW_S, readClaims } from './claims.ts';
import { algorithmsOf, type Issuer } from './issuers.ts';
import type { IssuerSettings, RefusalReason, VerifyAccessToken, VerifyOptions } from './verify.ts';

/** RFC 9068, section 2.1, and RFC 7519, section 5.1. An ID token or a logout token has another `typ` or audience. */
const ACCESS_TOKEN_TYPES = ['at+jwt', 'application/at+jwt', 'jwt'];

/** Verifies the JWTs of one issuer (RFC 9068, RFC 8725). */
export function createJwtVerifier(row: Issuer, settings: IssuerSettings): VerifyAccessToken {
  const findKey = keyFinder(row, settings);
  const algorithms = algorithmsOf(row);

  return async (token, options) => {
    try {
      const { payload, protectedHeader } = await jwtVerify(token, (header) => findKey(header, options), {
        algorithms,
        issuer: row.issuer,
        audience: row.audience ?? [],
        requiredClaims: ['exp', 'sub'],
        clockTolerance: options.atAnyTime ? Number.MAX_SAFE_INTEGER : CLOCK_SKEW_S,
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

/** @throws {OutgoingFailure} The keys cannot be had; else what jose throws for a token that has none among them. */
type FindKey = (header: JWSHeaderParameters, options: VerifyOptions) => Promise<CryptoKey | Uint8Array>;

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
/** Keys are asked for anew after this time, so that one that the issuer withdrew is forgotten … */
const MAX_AGE_MS = 600_000;
/** … and when they cannot be had, those at hand go on serving for so long. */
const MAX_STALE_MS = 86_400_000;

/** The keys at a `jwks_uri`, kept between calls. */
function remoteKeyFinder(url: string, { send, now }: IssuerSettings): FindKey {
  let keys: { readonly find: ReturnType<typeof createLocalJWKSet>; readonly fetchedAt: number } | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  let isDown = false;
  let fetching: Promise<void> | undefined;

  async function fetchKeys({ timeoutMs, traceparent }: VerifyOptions): Promise<void> {
    askedAt = now();
    isDown = true;
    const response = await send({
      method: 'GET',
      url,
      headers: { Accept: 'application/jwk-set+json, application/json' },
      timeoutMs,
      traceparent,
      maxBytes: 256 * 1024,
    });
    const { keys: all } = jsonObjectOf(response);
    if (response.status !== 200 || !Array.isArray(all) || all.length > MAX_KEYS) throw new OutgoingFailure('malformed');
    // One that is no key at all is not to take the others with it.
    keys = { find: createLocalJWKSet({ keys: all.filter(isJsonObject) as JSONWebKeySet['keys'] }), fetchedAt: now() };
    isDown = false;
  }

  /** Calls that need the keys at once share one fetch. */
  function fetchOnce(options: VerifyOptions): Promise<void> {
    fetching ??= fetchKeys(options).finally(() => {
      fetching = undefined;
    });
    return fetching;
  }

  async function currentKeys(options: VerifyOptions): Promise<NonNullable<typeof keys>> {
    if (keys !== undefined && now() - askedAt > MAX_AGE_MS) {
      // A part of the time alone: the rest is for what the keys are needed for.
      await fetchOnce({ ...options, timeoutMs: options.timeoutMs / 4 }).catch(() => {});
    }
    if (keys === undefined || now() - keys.fetchedAt > MAX_STALE_MS) await fetchOnce(options);
    if (keys === undefined) throw new OutgoingFailure('malformed');
    return keys;
  }

  return async (header, options) => {
    const { find } = await currentKeys(options);
    try {
      return await find(header);
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ERR_JWKS_NO_MATCHING_KEY') throw error;
      if (now() - askedAt < REFETCH_AFTER_MS) {
        // Whether the key is a new one cannot be asked just now. A refusal would be believed: by an unlink that is
        // then not repeated, or while the issuer is down and the key is good.
        if (isDown || options.atAnyTime) throw new OutgoingFailure('unreachable');
        throw error;
      }
      await fetchOnce(options);
      return await (await currentKeys(options)).find(header);
    }
  };
}
