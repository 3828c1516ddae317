import { hash, subtle } from 'node:crypto';
import type { CryptoKey, JSONWebKeySet, JWSHeaderParameters } from 'jose';
import { isFailure } from '../errors.ts';
import { findSignedJsonFault, isJsonObject } from '../json.ts';
import { once } from '../once.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { CLOCK_SKEW_S, readClaims } from './claims.ts';
import { algorithmsOf, type Issuer } from './issuers.ts';
import type { IssuerSettings, RefusalReason, Verification, VerifyAccessToken, VerifyOptions } from './verify.ts';

/** RFC 9068, section 2.1, and RFC 7519, section 5.1. An ID token or a logout token has another `typ` or audience. */
const ACCESS_TOKEN_TYPES = ['at+jwt', 'application/at+jwt', 'jwt'];

/** How many tokens of an issuer are remembered. */
const MAX_REMEMBERED = 1000;

/** A token that verified: with the same keys and inside its own time it does so again. Times as in a JWT. */
interface RememberedToken {
  readonly verification: Verification;
  readonly keys: KeySet | undefined;
  readonly notBefore: number;
  readonly expiresAt: number;
}

/** Verifies the JWTs of one issuer (RFC 9068, RFC 8725). Loads jose at the first: it costs a function that meets none nothing. */
export function createJwtVerifier(row: Issuer, settings: IssuerSettings): VerifyAccessToken {
  const keys = openKeys(row, settings);
  const algorithms = algorithmsOf(row);
  // By a hash of the whole text: the signature is a part of what verified, and no token is kept.
  const remembered = new Map<string, RememberedToken>();

  async function recall(textHash: string, options: VerifyOptions): Promise<Verification | undefined> {
    const known = remembered.get(textHash);
    const nowS = settings.now() / 1000;
    // In the skew around its time it is verified anew.
    if (known === undefined || nowS < known.notBefore || nowS >= known.expiresAt) return undefined;
    return known.keys === (await keys.current(options)) ? known.verification : undefined;
  }

  function remember(textHash: string, token: RememberedToken): void {
    if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value ?? '');
    remembered.set(textHash, token);
  }

  async function verifyAnew(token: string, textHash: string, options: VerifyOptions): Promise<Verification> {
    const { jwtVerify } = await import('../packages/jose.ts');
    let used: KeySet | undefined;
    const findKey = async (header: JWSHeaderParameters) => {
      const found = await keys.find(header, options);
      used = found.of;
      return found.key;
    };
    const { payload, protectedHeader } = await jwtVerify(token, findKey, {
      algorithms,
      issuer: row.issuer,
      audience: row.audience ?? [],
      requiredClaims: ['exp', 'sub'],
      clockTolerance: options.atAnyTime ? Number.MAX_SAFE_INTEGER : CLOCK_SKEW_S,
      currentDate: new Date(settings.now()),
    });
    const { typ } = protectedHeader;
    if (typeof typ !== 'string' || !ACCESS_TOKEN_TYPES.includes(typ.toLowerCase())) return refused('wrong_type');
    const texts = token.split('.', 2).map((part) => Buffer.from(part, 'base64url').toString());
    if (texts.some((text) => findSignedJsonFault(text) !== undefined)) return refused('malformed');
    const verified = readClaims(payload, row.issuer, settings.grantClaim);
    if (verified === undefined) return refused('bad_claims');
    const verification = { status: 'verified', token: verified } as const;
    remember(textHash, { verification, keys: used, notBefore: payload.nbf ?? 0, expiresAt: payload.exp ?? 0 });
    return verification;
  }

  return async (token, options) => {
    try {
      const textHash = hash('sha256', token, 'base64');
      return (await recall(textHash, options)) ?? (await verifyAnew(token, textHash, options));
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

/** The keys of an issuer as they are at one time. */
interface KeySet {
  /** Rejects with what jose throws for a token that has no key among them. */
  readonly find: (header: JWSHeaderParameters) => Promise<CryptoKey>;
}

/** Where the keys of an issuer are had from. */
interface IssuerKeys {
  /** @throws {OutgoingFailure} The keys cannot be had. */
  current(options: VerifyOptions): Promise<KeySet>;
  /** @throws {OutgoingFailure} The keys cannot be had; else what jose throws for a token that has none among them. */
  find(header: JWSHeaderParameters, options: VerifyOptions): Promise<{ key: CryptoKey; of: KeySet }>;
}

function openKeys({ secret, jwks, jwks_uri }: Issuer, settings: IssuerSettings): IssuerKeys {
  if (secret !== undefined) return fixedKeys(secretKeyFinder(secret));
  // What a key looks like is jose's to check when it is used.
  if (jwks !== undefined) return fixedKeys(localKeyFinder(jwks as JSONWebKeySet));
  return remoteKeys(jwks_uri ?? '', settings);
}

function fixedKeys(find: KeySet['find']): IssuerKeys {
  const keys = { find };
  return {
    current: async () => keys,
    find: async (header) => ({ key: await keys.find(header), of: keys }),
  };
}

/** The key of a set that a token asks for. */
function localKeyFinder(jwks: JSONWebKeySet): KeySet['find'] {
  const load = once(async () => (await import('../packages/jose.ts')).createLocalJWKSet(jwks));
  return async (header) => (await load())(header);
}

/** A secret as the key of each algorithm that it signs with, imported once. */
function secretKeyFinder(secret: string): KeySet['find'] {
  const bytes = Buffer.from(secret);
  const keys = new Map<unknown, Promise<CryptoKey>>();
  return ({ alg }) => {
    // One of `algorithms`, which jose has looked at: HS256, HS384 or HS512.
    const digest = `SHA-${String(alg).slice(2)}`;
    const key = keys.get(alg) ?? subtle.importKey('raw', bytes, { name: 'HMAC', hash: digest }, false, ['verify']);
    keys.set(alg, key);
    return key;
  };
}

const MAX_KEYS = 100;
/** An unknown key makes us ask again, at most this often: tokens with invented key ids must cost the issuer nothing. */
const REFETCH_AFTER_MS = 30_000;
/** Keys are asked for anew after this time, so that one that the issuer withdrew is forgotten … */
const MAX_AGE_MS = 600_000;
/** … and when they cannot be had, those at hand go on serving for so long. */
const MAX_STALE_MS = 86_400_000;

/** The keys at a `jwks_uri`, kept between calls. */
function remoteKeys(url: string, { send, now }: IssuerSettings): IssuerKeys {
  let keys: KeySet | undefined;
  let fetchedAt = Number.NEGATIVE_INFINITY;
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
    keys = { find: localKeyFinder({ keys: all.filter(isJsonObject) as JSONWebKeySet['keys'] }) };
    fetchedAt = now();
    isDown = false;
  }

  /** Calls that need the keys at once share one fetch. */
  function fetchOnce(options: VerifyOptions): Promise<void> {
    fetching ??= fetchKeys(options).finally(() => {
      fetching = undefined;
    });
    return fetching;
  }

  async function current(options: VerifyOptions): Promise<KeySet> {
    if (keys !== undefined && now() - askedAt > MAX_AGE_MS) {
      // A part of the time alone: the rest is for what the keys are needed for.
      await fetchOnce({ ...options, timeoutMs: options.timeoutMs / 4 }).catch(() => {});
    }
    if (keys === undefined || now() - fetchedAt > MAX_STALE_MS) await fetchOnce(options);
    if (keys === undefined) throw new OutgoingFailure('malformed');
    return keys;
  }

  async function find(header: JWSHeaderParameters, options: VerifyOptions): Promise<{ key: CryptoKey; of: KeySet }> {
    const known = await current(options);
    try {
      return { key: await known.find(header), of: known };
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ERR_JWKS_NO_MATCHING_KEY') throw error;
      if (now() - askedAt < REFETCH_AFTER_MS) {
        // Whether the key is a new one cannot be asked just now. A refusal would be believed: by an unlink that is
        // then not repeated, or while the issuer is down and the key is good.
        if (isDown || options.atAnyTime) throw new OutgoingFailure('unreachable');
        throw error;
      }
      await fetchOnce(options);
      const fetched = await current(options);
      return { key: await fetched.find(header), of: fetched };
    }
  }

  return { current, find };
}
