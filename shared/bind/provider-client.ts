import { createHash, randomBytes } from 'node:crypto';
import type { ProviderTokens } from '../account-link/provider-tokens.ts';
import { monotonicMs } from '../clock.ts';
import { once } from '../once.ts';
import type { Send } from '../outgoing/send.ts';
import { type AccountClaims, readSid, readUserName, readVerifiedEmail } from './account-claims.ts';
import { BindRefusal, type ProviderErrorCode } from './bind-refusal.ts';
import type { ExchangeSecrets } from './oauth-protocol.ts';
import { createServerFinder } from './provider-metadata.ts';
import { fetchProfile } from './provider-profile.ts';
import type { ProviderClientSettings } from './provider-settings.ts';

/** Where the browser is sent, and what must be kept, sealed, to finish. */
export interface Authorization {
  readonly url: string;
  readonly kept: KeptAuthorization;
}

/** What an authorization request is finished with: JSON. */
export interface KeptAuthorization {
  readonly state: string;
  readonly redirectUri: string;
  readonly codeVerifier?: string | undefined;
  readonly nonce?: string | undefined;
  readonly deviceId?: string | undefined;
}

/** The account that somebody has signed in with at the provider. */
export interface ProviderAccount {
  readonly sid: string;
  readonly userName?: string | undefined;
  /** Only when the provider calls it verified. */
  readonly email?: string | undefined;
  readonly tokens: ProviderTokens;
}

/** What a callback came to. */
export type FinishOutcome = { readonly status: 'known'; readonly account: ProviderAccount } | UnknownAccount;

/** What a callback says, before its code is exchanged. */
export type ReadOutcome = { readonly status: 'answered' } | UnknownAccount;

/** Why a callback names no account. */
export type UnknownAccount =
  | { readonly status: 'cancelled' }
  /** Without a question to the user it cannot be done. */
  | { readonly status: 'interaction_required' }
  | {
      readonly status: 'failed';
      readonly error: ProviderErrorCode;
      /** For the log: never a secret, never a text of the provider's. */
      readonly detail: string;
    };

/** Our client at a provider: the authorization code flow with PKCE (RFC 6749, 7636, 9700) or OpenID Connect. */
export interface ProviderClient {
  /**
   * An authorization request.
   *
   * @param options `parameters`: more of them, such as `prompt`. `asksNoConsent`: leaves out the `prompt=consent` of
   *   the settings.
   * @throws {OutgoingFailure} The provider cannot be asked, or what it says of itself cannot be used.
   */
  authorize(options: {
    readonly state: string;
    readonly redirectUri: string;
    readonly parameters?: Readonly<Record<string, string>>;
    readonly asksNoConsent?: boolean;
    readonly timeoutMs: number;
  }): Promise<Authorization>;

  /**
   * Reads what the browser brings back, and uses nothing of it: calls nobody, exchanges no code.
   *
   * @param parameters Of the query or of the form that was posted.
   * @param kept Of the request with this state, which nobody else has taken up.
   */
  read(parameters: URLSearchParams, kept: KeptAuthorization): ReadOutcome;

  /**
   * Finishes an authorization request with what the browser brings back. The code is exchanged once, after all checks.
   *
   * @param parameters Of the query or of the form that was posted.
   * @param kept Of the request with this state, which nobody else has taken up.
   */
  finish(parameters: URLSearchParams, kept: KeptAuthorization, timeoutMs: number): Promise<FinishOutcome>;
}

/** Makes a provider's client. The OAuth library is loaded at its first use. */
export function createProviderClient(
  settings: ProviderClientSettings,
  {
    send,
    now = Date.now,
    monotonic = monotonicMs,
    random = randomBytes,
  }: {
    readonly send: Send;
    readonly now?: () => number;
    /** Milliseconds on a clock that is never set. */
    readonly monotonic?: () => number;
    readonly random?: (bytes: number) => Buffer;
  },
): ProviderClient {
  const { clientId, authentication, profile } = settings;
  const findServer = createServerFinder(settings, { send, monotonic });
  const loadExchange = once(async () =>
    (await import('./oauth-protocol.ts')).createCodeExchange(settings, { send, now, findServer }),
  );

  async function finishCode({ parameters, ...secrets }: CallbackCode, timeoutMs: number): Promise<ProviderAccount> {
    const endsAt = monotonicMs() + timeoutMs;
    const exchange = await loadExchange();
    const { accessToken, tokens, token, idToken, userinfo } = await exchange(parameters, secrets, timeoutMs);
    const caller = { accessToken, clientId, authentication };
    const asked = profile && (await fetchProfile(profile, caller, send, endsAt - monotonicMs()));
    return readAccount({ token, id_token: idToken, profile: userinfo ?? asked }, tokens, settings);
  }

  return {
    async authorize({ state, redirectUri, parameters, asksNoConsent = false, timeoutMs }) {
      const { server } = await findServer(timeoutMs);
      const isOidc = settings.protocol === 'oidc';
      const codeVerifier = random(32).toString('base64url');
      const nonce = isOidc ? random(32).toString('base64url') : undefined;
      const deviceId = settings.deviceId === 'ours' ? random(16).toString('hex') : undefined;
      const url = new URL(server.authorization_endpoint ?? '');
      const query = {
        state,
        scope: settings.scope ?? (isOidc ? 'openid' : undefined),
        redirect_uri: redirectUri,
        client_id: clientId,
        ...settings.authorizeParameters,
        ...(asksNoConsent && { prompt: withoutConsent(settings.authorizeParameters?.prompt) }),
        response_type: 'code',
        code_challenge: createHash('sha256').update(codeVerifier).digest('base64url'),
        code_challenge_method: 'S256',
        nonce,
        device_id: deviceId,
        ...parameters,
      };
      for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
      return { url: url.href, kept: { state, redirectUri, codeVerifier, nonce, deviceId } };
    },

    read(parameters, kept) {
      try {
        const callback = readCallback(parameters, kept, settings);
        return 'status' in callback ? callback : { status: 'answered' };
      } catch (error) {
        return failureOf(error);
      }
    },

    async finish(parameters, kept, timeoutMs) {
      try {
        const callback = readCallback(parameters, kept, settings);
        if ('status' in callback) return callback;
        return { status: 'known', account: await finishCode(callback, timeoutMs) };
      } catch (error) {
        return failureOf(error);
      }
    },
  };
}

/** @throws What is no {@link BindRefusal}. */
function failureOf(error: unknown): UnknownAccount {
  if (!(error instanceof BindRefusal)) throw error;
  return { status: 'failed', error: error.error, detail: error.message };
}

/** What is left of a `prompt` (OpenID Connect Core, section 3.1.2.1) that asks for no consent. */
function withoutConsent(prompt: string | undefined): string | undefined {
  const left = prompt?.split(' ').filter((value) => value !== 'consent' && value !== '') ?? [];
  return left.length === 0 ? undefined : left.join(' ');
}

/** A callback that brings a code, and all that its exchange needs. */
interface CallbackCode extends ExchangeSecrets {
  readonly parameters: URLSearchParams;
}

const CANCELLED = new Set(['access_denied', 'user_cancelled_authorize']);
const INTERACTION_REQUIRED = new Set([
  ...['login_required', 'interaction_required', 'consent_required', 'account_selection_required'],
]);
/** Errors of RFC 6749, section 4.1.2.1, and OpenID Connect that may be in a log. */
const KNOWN_ERRORS = new Set([
  ...['invalid_request', 'unauthorized_client', 'unsupported_response_type', 'invalid_scope', 'server_error'],
  ...['temporarily_unavailable', 'invalid_request_object', 'request_not_supported', 'registration_not_supported'],
]);

/**
 * What a callback brings, by its parameters alone. `error_description` and `error_uri` are not looked at.
 *
 * @throws {BindRefusal}
 */
function readCallback(
  given: URLSearchParams,
  kept: KeptAuthorization,
  { protocol, issuer, deviceId: device }: ProviderClientSettings,
): CallbackCode | { readonly status: 'cancelled' | 'interaction_required' } {
  const parameters = new URLSearchParams(given);
  const names = [...parameters.keys()];
  if (new Set(names).size !== names.length) throw new BindRefusal('invalid_code', 'callback: a parameter twice');
  if (parameters.get('state') !== kept.state) throw new BindRefusal('invalid_code', 'callback: state');
  // Where no issuer is known there is nothing to compare with; its redirect URI is the provider's alone.
  if (issuer === undefined) parameters.delete('iss');
  const iss = parameters.get('iss');
  if (iss !== null && iss !== issuer) throw new BindRefusal('issuer_mismatch', 'callback: iss');
  // Another flow than the one that was asked for (OAuth 2.0 Multiple Response Types, JARM).
  if (['response', 'id_token', 'token', 'access_token'].some((name) => parameters.has(name))) {
    throw new BindRefusal('invalid_code', 'callback: another response type');
  }
  const code = parameters.get('code');
  const error = parameters.get('error');
  if ((code === null) === (error === null)) throw new BindRefusal('invalid_code', 'callback: code and error');
  if (error !== null) return readError(error);
  if (code === null || !/^[\x20-\x7e]{1,4096}$/.test(code)) throw new BindRefusal('invalid_code', 'callback: code');

  const { state, redirectUri, codeVerifier, nonce } = kept;
  const deviceId = device === 'callback' ? readDeviceId(parameters) : kept.deviceId;
  if (codeVerifier === undefined || (protocol === 'oidc' && nonce === undefined)) {
    throw new BindRefusal('invalid_code', 'nothing was kept to finish with');
  }
  return { parameters, state, redirectUri, codeVerifier, nonce, deviceId };
}

/** @throws {BindRefusal} */
function readError(error: string): { readonly status: 'cancelled' | 'interaction_required' } {
  if (CANCELLED.has(error)) return { status: 'cancelled' };
  if (INTERACTION_REQUIRED.has(error)) return { status: 'interaction_required' };
  throw new BindRefusal('provider_unavailable', `callback: ${KNOWN_ERRORS.has(error) ? error : 'an unknown error'}`);
}

/** @throws {BindRefusal} */
function readDeviceId(parameters: URLSearchParams): string {
  const deviceId = parameters.get('device_id');
  if (deviceId !== null && /^[\x21-\x7e]{1,255}$/.test(deviceId)) return deviceId;
  throw new BindRefusal('invalid_code', 'callback: device_id');
}

/** @throws {BindRefusal} There is no id in what the provider says. */
function readAccount(claims: AccountClaims, tokens: ProviderTokens, settings: ProviderClientSettings): ProviderAccount {
  const { sid: sidPath = 'id_token.sub', userName = [], email, emailVerified } = settings;
  const sid = readSid(claims, sidPath);
  if (sid === undefined) throw new BindRefusal('profile_unavailable', `${sidPath} is no account id`);
  return {
    sid,
    userName: readUserName(claims, userName),
    email:
      email === undefined || emailVerified === undefined ? undefined : readVerifiedEmail(claims, email, emailVerified),
    tokens,
  };
}
