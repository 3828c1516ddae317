import { hash, subtle } from 'node:crypto';
import type { CryptoKey, JSONWebKeySet, JWSHeaderParameters } from 'jose';
import { isFailure } from '../errors.ts';
import { findSignedJsonFault, isJsonObject, type JsonObject } from '../json.ts';
import { once } from '../once.ts';
import { jsonObjectOf } from '../outgoing/json.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import { CLOCK_SKEW_S, isPresent, presentMembers, readAccessToken, readRefreshToken, refused } from './claims.ts';
import { algorithmsOf, type Issuer } from './issuers.ts';
import { kindOfJwt } from './token-kind.ts';
import type { IssuerSettings, RefusalReason, Verification, VerifyAccessToken, VerifyOptions } from './verify.ts';

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
    const signed = await verifySignature(token, (header) => keys.find(header, options), algorithms);
    if ('reason' in signed) return refused(signed.reason);
    const verification = judge(signed, row, options, Math.floor(settings.now() / 1000));
    if (verification.status !== 'verified') return verification;
    const { expiresAt = 0 } = verification.token;
    const notBefore = typeof signed.claims.nbf === 'number' ? signed.claims.nbf : 0;
    remember(textHash, { verification, keys: signed.of, notBefore, expiresAt });
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

/** What a signature that verified covers. */
interface SignedToken {
  readonly header: JsonObject;
  /** The claims that say something. */
  readonly claims: JsonObject;
  /** The keys among which its own was found. */
  readonly of: KeySet;
}

/** How many keys are tried that fit a token which names none, or one that several have. */
const MAX_TRIED_KEYS = 8;

/**
 * Verifies the signature of a JWT (RFC 7515, RFC 7519, section 7.2), with each of the keys that fit it.
 *
 * @throws What jose throws for a token that does not verify.
 * @throws {OutgoingFailure} The keys cannot be had.
 */
async function verifySignature(
  token: string,
  find: (header: JWSHeaderParameters) => ReturnType<IssuerKeys['find']>,
  algorithms: string[],
): Promise<SignedToken | { readonly reason: RefusalReason }> {
  const { compactVerify } = await import('../packages/jose.ts');
  let found: FoundKeys | undefined;
  const firstKey = async (header: JWSHeaderParameters) => {
    found = await find(header);
    return found.keys[0] as CryptoKey; // if there were none, jose would refuse it
  };
  const { payload, protectedHeader } = await compactVerify(token, firstKey, { algorithms }).catch(async (error) => {
    // Also where the first cannot be used at all, as an RSA key of 1024 bits: another may be the token's.
    for (const key of found?.keys.slice(1) ?? []) {
      const verified = await compactVerify(token, key, { algorithms }).catch(() => undefined);
      if (verified !== undefined) return verified;
    }
    throw error;
  });
  // RFC 7519, section 7.2: the payload of a JWT is encoded, whatever RFC 7797 allows of others.
  if (protectedHeader.b64 === false || found === undefined) return { reason: 'malformed' };
  const header = readSigned(Buffer.from(token.split('.', 1)[0] ?? '', 'base64url'));
  const claims = readSigned(payload);
  if (header === undefined || claims === undefined) return { reason: 'malformed' };
  return { header, claims: presentMembers(claims), of: found.of };
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown }).code;
}

/** The JSON object of a part of a JWT; undefined: it is none, or two readers could read it differently. */
function readSigned(bytes: Uint8Array): JsonObject | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) && findSignedJsonFault(text) === undefined ? value : undefined;
  } catch {
    return undefined;
  }
}

/** What a token that its issuer has signed comes to now. */
function judge({ header, claims }: SignedToken, row: Issuer, options: VerifyOptions, nowS: number): Verification {
  if (claims.iss !== row.issuer) return refused('unknown_issuer');
  const kind = kindOfJwt(header, claims, row);
  if (kind === 'refresh') return options.refreshTokens ? readRefreshToken(claims, row) : refused('refresh_token');
  if (kind !== 'access') return refused(kind);
  const untimely = options.atAnyTime ? undefined : timeFault(claims, nowS);
  if (untimely !== undefined) return refused(untimely);
  const known = readAccessToken(claims, row);
  return known.status === 'verified' && known.token.expiresAt === undefined ? refused('bad_claims') : known;
}

/** What stands in the way of a token now, by its own times (RFC 7519, sections 4.1.4 and 4.1.5). */
function timeFault({ nbf, exp }: JsonObject, nowS: number): RefusalReason | undefined {
  if (typeof nbf === 'number' && nbf > nowS + CLOCK_SKEW_S) return 'not_yet_valid';
  return typeof exp === 'number' && exp <= nowS - CLOCK_SKEW_S ? 'expired' : undefined;
}

/** What jose found wrong with a token; whatever else it throws, a hostile token made it. */
function refusalReason(error: unknown): RefusalReason {
  switch (codeOf(error)) {
    case 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED':
      return 'bad_signature';
    case 'ERR_JOSE_ALG_NOT_ALLOWED':
      return 'algorithm_not_allowed';
    case 'ERR_JWS_INVALID':
    case 'ERR_JOSE_NOT_SUPPORTED':
      return 'malformed';
    default:
      return 'unusable_key';
  }
}

/** The keys of an issuer as they are at one time. */
interface KeySet {
  /** The keys that fit a token. Rejects with what jose throws for one that has none among them. */
  readonly find: (header: JWSHeaderParameters) => Promise<CryptoKey[]>;
}

/** The keys that fit a token, and those among which they were found. */
interface FoundKeys {
  readonly keys: readonly CryptoKey[];
  readonly of: KeySet;
}

/** Where the keys of an issuer are had from. */
interface IssuerKeys {
  /** @throws {OutgoingFailure} The keys cannot be had. */
  current(options: VerifyOptions): Promise<KeySet>;
  /** @throws {OutgoingFailure} The keys cannot be had; else what jose throws for a token that has none among them. */
  find(header: JWSHeaderParameters, options: VerifyOptions): Promise<FoundKeys>;
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
    find: async (header) => ({ keys: await keys.find(header), of: keys }),
  };
}

/** The keys of a set that a token asks for: of one that names none, all that fit its algorithm. */
function localKeyFinder(jwks: JSONWebKeySet): KeySet['find'] {
  const load = once(async () => (await import('../packages/jose.ts')).createLocalJWKSet(jwks));
  return async ({ kid, ...others }) => {
    const find = await load();
    try {
      return [await find(isPresent(kid) ? { kid, ...others } : others)];
    } catch (error) {
      if (codeOf(error) !== 'ERR_JWKS_MULTIPLE_MATCHING_KEYS') throw error;
      const keys: CryptoKey[] = [];
      // jose's error hands them out one by one.
      for await (const key of error as AsyncIterable<CryptoKey>) if (keys.push(key) === MAX_TRIED_KEYS) break;
      return keys;
    }
  };
}

/** A secret as the key of each algorithm that it signs with, imported once. */
function secretKeyFinder(secret: string): KeySet['find'] {
  const bytes = Buffer.from(secret);
  const imported = new Map<unknown, Promise<CryptoKey>>();
  return async ({ alg }) => {
    // One of `algorithms`, which jose has looked at: HS256, HS384 or HS512.
    const digest = `SHA-${String(alg).slice(2)}`;
    const key = imported.get(alg) ?? subtle.importKey('raw', bytes, { name: 'HMAC', hash: digest }, false, ['verify']);
    imported.set(alg, key);
    return [await key];
  };
}

const MAX_KEYS = 100;
/** An unknown key makes us ask again, at most this often: tokens with invented key ids must cost the issuer nothing. */
const REFETCH_AFTER_MS = 30_000;
/** An issuer whose keys could not be had is asked again after this time; until then a call fails at once. */
const RETRY_AFTER_MS = 3000;
/** Keys are asked for anew after this time, so that one that the issuer withdrew is forgotten … */
const MAX_AGE_MS = 600_000;
/** … and when they cannot be had, those at hand go on serving for so long. */
const MAX_STALE_MS = 86_400_000;

/** The keys at a `jwks_uri`, kept between calls. */
function remoteKeys(url: string, { send, monotonic }: IssuerSettings): IssuerKeys {
  let keys: KeySet | undefined;
  let fetchedAt = Number.NEGATIVE_INFINITY;
  let askedAt = Number.NEGATIVE_INFINITY;
  /** The last fetch has failed. */
  let isDown = false;
  let fetching: Promise<void> | undefined;

  async function fetchKeys({ timeoutMs, traceparent }: VerifyOptions): Promise<void> {
    askedAt = monotonic();
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
    fetchedAt = monotonic();
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
    if (keys !== undefined && monotonic() - askedAt > MAX_AGE_MS) {
      // A part of the time alone: the rest is for what the keys are needed for.
      await fetchOnce({ ...options, timeoutMs: options.timeoutMs / 4 }).catch(() => {});
    }
    if (keys === undefined || monotonic() - fetchedAt > MAX_STALE_MS) {
      // Tokens of strangers must not make an issuer that is down be asked at each call.
      if (fetching === undefined && isDown && monotonic() - askedAt < RETRY_AFTER_MS) {
        throw new OutgoingFailure('unreachable');
      }
      await fetchOnce(options);
    }
    if (keys === undefined) throw new OutgoingFailure('malformed');
    return keys;
  }

  async function find(header: JWSHeaderParameters, options: VerifyOptions): Promise<FoundKeys> {
    const known = await current(options);
    try {
      return { keys: await known.find(header), of: known };
    } catch (error) {
      if (codeOf(error) !== 'ERR_JWKS_NO_MATCHING_KEY') throw error;
      if (fetching === undefined && monotonic() - askedAt < REFETCH_AFTER_MS) {
        // The keys are as fresh as they can be; if they could not be had just now, whether the key is a new one cannot
        // be said, and a refusal would be believed.
        if (isDown) throw new OutgoingFailure('unreachable');
        throw error;
      }
      await fetchOnce(options);
      const fetched = await current(options);
      return { keys: await fetched.find(header), of: fetched };
    }
  }

  return { current, find };
}
