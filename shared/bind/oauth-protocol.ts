/** The protocol between us and a provider, by the OAuth library: in a file of its own, which is loaded at its first use. */
import * as oauth from 'oauth4webapi';
import { CLOCK_SKEW_S } from '../access-token/claims.ts';
import { ProviderTokens } from '../account-link/provider-tokens.ts';
import { monotonicMs } from '../clock.ts';
import { isFailure } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../json.ts';
import type { Send } from '../outgoing/send.ts';
import { BindRefusal, type ProviderErrorCode } from './bind-refusal.ts';
import { clientAuthOf } from './client-authentication.ts';
import { findIdTokenFault } from './id-token.ts';
import { createLibraryFetch } from './library-fetch.ts';
import type { FindServer } from './provider-metadata.ts';
import type { ProviderClientSettings } from './provider-settings.ts';

/** What was kept of an authorization request, all that the exchange needs. */
export interface ExchangeSecrets {
  readonly redirectUri: string;
  readonly state: string;
  readonly codeVerifier: string;
  /** By OpenID Connect. */
  readonly nonce?: string | undefined;
  readonly deviceId?: string | undefined;
}

/** What a code was exchanged for. */
export interface Exchanged {
  readonly accessToken: string;
  readonly tokens: ProviderTokens;
  /** All that the token endpoint said. */
  readonly token: JsonObject;
  /** The validated ID token. */
  readonly idToken?: JsonObject | undefined;
  readonly userinfo?: JsonObject | undefined;
}

/**
 * Exchanges a code, once, and validates all that comes back.
 *
 * @param parameters Of a callback that has a code and no error, each once.
 * @throws {BindRefusal}
 */
export type ExchangeCode = (
  parameters: URLSearchParams,
  secrets: ExchangeSecrets,
  timeoutMs: number,
) => Promise<Exchanged>;

/** What all parts of one exchange have. */
interface Exchange {
  readonly server: oauth.AuthorizationServer;
  readonly client: oauth.Client;
  /** What each call of the library is given. */
  readonly options: {
    readonly [oauth.customFetch]: ReturnType<typeof createLibraryFetch>;
    readonly [oauth.allowInsecureRequests]: boolean;
  };
  /** How far our clock is before that of the library, in seconds. */
  readonly skewS: number;
}

/** Makes what exchanges codes at one provider. The provider's keys are kept in it between calls. */
export function createCodeExchange(
  settings: ProviderClientSettings,
  { send, now, findServer }: { readonly send: Send; readonly now: () => number; readonly findServer: FindServer },
): ExchangeCode {
  const clientAuth = clientAuthOf(settings.authentication, now);
  const verifySignature = createSignatureVerifier();
  const isOidc = settings.protocol === 'oidc';

  async function begin(timeoutMs: number): Promise<Exchange> {
    const endsAt = monotonicMs() + timeoutMs;
    const { server, isPublicOnly } = await during('metadata', 'provider_unavailable', () => findServer(timeoutMs));
    const skewS = Math.floor(now() / 1000) - Math.floor(Date.now() / 1000);
    return {
      server,
      client: { client_id: settings.clientId, [oauth.clockSkew]: skewS, [oauth.clockTolerance]: CLOCK_SKEW_S },
      options: {
        [oauth.customFetch]: createLibraryFetch(send, { remainingMs: () => endsAt - monotonicMs(), isPublicOnly }),
        // To loopback alone: no endpoint of an https issuer is http, and Send goes nowhere else by http.
        [oauth.allowInsecureRequests]: server.token_endpoint?.startsWith('http:') ?? false,
      },
      skewS,
    };
  }

  async function requestToken(
    { server, client, options }: Exchange,
    parameters: URLSearchParams,
    { state, redirectUri, codeVerifier, deviceId }: ExchangeSecrets,
  ): Promise<JsonObject> {
    const callback = oauth.validateAuthResponse(server, client, parameters, state);
    // The provider that sends a device with the code wants it back with the code, and the state.
    const withDevice = settings.deviceId === 'callback' && deviceId !== undefined;
    const added = withDevice ? { additionalParameters: { device_id: deviceId, state } } : {};
    const request = [server, client, clientAuth, callback, redirectUri, codeVerifier] as const;
    const response = await oauth.authorizationCodeGrantRequest(...request, { ...options, ...added });
    return readTokenAnswer(response.status, await response.text());
  }

  async function fetchUserinfo(
    { server, client, options }: Exchange,
    accessToken: string,
    subject: string,
  ): Promise<JsonObject> {
    const response = await oauth.userInfoRequest(server, client, accessToken, options);
    // One that is signed is refused by the library: no algorithm for it is known.
    return oauth.processUserInfoResponse(server, client, subject, response);
  }

  return async (parameters, secrets, timeoutMs) => {
    const exchange = await begin(timeoutMs);
    const { server, client } = exchange;
    if (server.authorization_response_iss_parameter_supported && !parameters.has('iss')) {
      throw new BindRefusal('issuer_mismatch', 'callback: iss is missing');
    }
    const token = await during('token endpoint', 'provider_unavailable', () =>
      requestToken(exchange, parameters, secrets),
    );
    const response = conformResponse(token, settings);
    const expected = isOidc ? { requireIdToken: true, expectedNonce: secrets.nonce ?? '' } : {};
    const result = await during('tokens', 'invalid_code', () =>
      oauth.processAuthorizationCodeResponse(server, client, response, expected),
    );
    const { access_token: accessToken } = result;
    const tokens = readTokens(result, secrets.deviceId, now);
    const idToken = oauth.getValidatedIdTokenClaims(result);
    if (idToken === undefined) return { accessToken, tokens, token };

    await during('ID token', 'invalid_code', async () => {
      await verifySignature(exchange, response);
      const context = { accessToken, code: parameters.get('code') ?? '', nowS: Math.floor(now() / 1000) };
      const fault = findIdTokenFault(result.id_token ?? '', idToken, context);
      if (fault !== undefined) throw new BindRefusal('invalid_code', `ID token: ${fault}`);
    });
    if (!settings.hasUserinfo) return { accessToken, tokens, token, idToken };
    const userinfo = await during('userinfo', 'profile_unavailable', () =>
      fetchUserinfo(exchange, accessToken, idToken.sub),
    );
    return { accessToken, tokens, token, idToken, userinfo };
  };
}

/** Verifies the signature of an ID token, whatever TLS vouches for. */
function createSignatureVerifier(): (exchange: Exchange, response: Response) => Promise<void> {
  /** With the time of their fetch, in seconds of our clock. */
  let keys: oauth.ExportedJWKSCache | undefined;
  return async ({ server, options, skewS }, response) => {
    // The library's own cache hangs on the object, and is as old as its clock says, which is not ours.
    const cache: oauth.JWKSCacheInput = keys === undefined ? {} : { jwks: keys.jwks, uat: keys.uat - skewS };
    await oauth.validateApplicationLevelSignature({ ...server }, response, { ...options, [oauth.jwksCache]: cache });
    // The library has put it there.
    const { jwks, uat } = cache as oauth.ExportedJWKSCache;
    keys = { jwks, uat: uat + skewS };
  };
}

/** What a token endpoint may say of a code; whatever else it says, our settings or the provider are to blame. */
const CODE_ERRORS = new Set(['invalid_grant', 'bad_verification_code', 'expired_token']);
/** Codes that may be in a log. */
const KNOWN_ERRORS = new Set([
  ...['invalid_client', 'invalid_grant', 'invalid_request', 'invalid_scope', 'unauthorized_client'],
  ...['unsupported_grant_type', 'bad_verification_code', 'expired_token', 'incorrect_client_credentials'],
  ...['redirect_uri_mismatch', 'server_error', 'temporarily_unavailable', 'slow_down'],
]);

/**
 * The JSON of a token endpoint that gives tokens.
 *
 * @throws {BindRefusal} It gives none, with whatever status.
 */
function readTokenAnswer(status: number, text: string): JsonObject {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    // Not JSON: the status is all there is.
  }
  const error = isJsonObject(answer) ? answer.error : undefined;
  if (status === 200 && isJsonObject(answer) && (error === undefined || error === null)) return answer;
  const isKnown = typeof error === 'string' && KNOWN_ERRORS.has(error);
  const detail = `token endpoint: status ${status}${isKnown ? ` ${error}` : ''}`;
  const isOfCode = isKnown ? CODE_ERRORS.has(error) : status === 400 || status === 404 || status === 410;
  throw new BindRefusal(isOfCode ? 'invalid_code' : 'provider_unavailable', detail);
}

/** The answer as the library is to see it: what it reads, and where a provider is known not to conform, mended. */
function conformResponse(token: JsonObject, { protocol, takesAnyTokenType }: ProviderClientSettings): Response {
  const { access_token, token_type, expires_in, refresh_token, id_token } = token;
  return Response.json({
    access_token,
    token_type: takesAnyTokenType ? 'bearer' : token_type,
    // As good as absent, which is what some providers mean.
    expires_in: expires_in ?? undefined,
    refresh_token: refresh_token ?? undefined,
    // Nobody reads the ID token of a provider whose keys are not known.
    id_token: protocol === 'oidc' ? id_token : undefined,
  });
}

/** @throws {BindRefusal} A token could not be kept, or be sent in a header. */
function readTokens(
  { access_token: accessToken, refresh_token: refreshToken, expires_in, token_type }: oauth.TokenEndpointResponse,
  deviceId: string | undefined,
  now: () => number,
): ProviderTokens {
  // 0: as long as the provider likes, or not at all.
  const expiresAt = expires_in ? Math.floor(now() + expires_in * 1000) : undefined;
  const accessTokenExpiresAt = Number.isSafeInteger(expiresAt) ? expiresAt : undefined;
  const { success, data } = ProviderTokens.safeParse({ accessToken, refreshToken, deviceId, accessTokenExpiresAt });
  // One bound to a key that we do not have.
  if (!success || token_type === 'dpop')
    throw new BindRefusal('provider_unavailable', 'tokens: one that cannot be used');
  return data;
}

/**
 * Runs a part of the exchange.
 *
 * @param error What it means when the library refuses what it was given.
 * @throws {BindRefusal} For whatever is thrown: nothing but the provider's answers can make it.
 */
async function during<Value>(part: string, error: ProviderErrorCode, run: () => Promise<Value>): Promise<Value> {
  try {
    return await run();
  } catch (thrown) {
    throw refusalOf(part, error, thrown);
  }
}

/** Codes of the library for an answer that is not what was asked for, whatever it would have said. */
const NO_ANSWER: ReadonlySet<unknown> = new Set([oauth.RESPONSE_IS_NOT_CONFORM, oauth.RESPONSE_IS_NOT_JSON]);

function refusalOf(part: string, error: ProviderErrorCode, thrown: unknown): BindRefusal {
  if (thrown instanceof BindRefusal) return thrown;
  const unavailable = error === 'profile_unavailable' ? error : 'provider_unavailable';
  if (isFailure(thrown)) return new BindRefusal(unavailable, `${part}: ${thrown.message}`);
  const { code, cause } = readLibraryError(thrown);
  const claim = typeof cause.claim === 'string' ? ` ${cause.claim}` : '';
  const detail = `${part}: ${code}${claim}`;
  // With the body as its cause, it is the answer around the ID token that is wrong.
  if (NO_ANSWER.has(code) || 'body' in cause) return new BindRefusal(unavailable, detail);
  return new BindRefusal(mismatchOf(thrown, cause) ?? error, detail);
}

function mismatchOf(thrown: unknown, { claim }: JsonObject): ProviderErrorCode | undefined {
  if (claim === 'iss') return 'issuer_mismatch';
  // Of a claim that is missing the library says it in words alone.
  const isNonce = claim === 'nonce' || (thrown instanceof Error && thrown.message.startsWith('JWT "nonce"'));
  return isNonce ? 'nonce_mismatch' : undefined;
}

/** What the library says of an error, apart from its texts: these quote the answer. */
function readLibraryError(thrown: unknown): { readonly code: string; readonly cause: JsonObject } {
  if (!(thrown instanceof Error)) return { code: 'unknown', cause: {} };
  const code = 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : thrown.name;
  return { code, cause: isJsonObject(thrown.cause) ? thrown.cause : {} };
}
