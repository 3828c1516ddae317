import { generateKeyPairSync, type KeyObject, sign as signBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { exportJWK } from 'jose';
import { createProviderClient, type FinishOutcome } from '#shared/bind/provider-client.ts';
import type { ProviderClientSettings } from '#shared/bind/provider-settings.ts';
import { type Send, send } from '#shared/outgoing/send.ts';
import { startHttpServer } from './http-server.ts';

export const NOW_S = 1_800_000_000;
export const STATE = 's'.repeat(43);
export const REDIRECT_URI = 'https://login.example/blitz/api/users/current/fps/bind/cb/x/x_1';
export const CODE = 'code-1';
export const ACCESS_TOKEN = 'access-token-1';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });

/** What a test's provider answers in place of what it should. */
export type Answer = (request: IncomingMessage, response: ServerResponse, form: URLSearchParams) => void;

/** An OpenID provider of a test's own, all of whose answers the test may spoil. */
export interface OpenidProvider {
  readonly issuer: string;
  /** What the provider says of itself; a member that is undefined is not said. */
  metadata: Record<string, unknown>;
  keys: object[];
  /** In place of the endpoint's answer, by the end of its path. */
  readonly answers: Record<string, Answer | undefined>;
  /** Members of the token answer, in place of what they should be. */
  token: Record<string, unknown>;
  /** Claims of the ID token, in place of what they should be; undefined: none. */
  claims: Record<string, unknown>;
  /** The ID token as a whole, made of its claims. */
  makeIdToken: (claims: Record<string, unknown>) => string;
  userinfo: Record<string, unknown>;
  /** What was asked for, in its order: the end of its path. */
  readonly calls: string[];
  /** The forms that the token endpoint was sent. */
  readonly forms: URLSearchParams[];
  /** The nonce of the request that is being answered. */
  nonce: string;
  /** Goes to this provider whatever host is asked for: what a client is given that knows the provider by an https URL. */
  readonly send: Send;
}

/** The public half of the key that a test's provider signs with. */
export const RSA_JWK = { ...(await exportJWK(rsa.publicKey)), kid: 'r1', alg: 'RS256', use: 'sig' };

/** Its PEM, which a forger takes for the secret of an HMAC. */
export const RSA_PEM = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString();

const encode = (part: unknown) =>
  (Buffer.isBuffer(part) ? part : Buffer.from(typeof part === 'string' ? part : JSON.stringify(part))).toString(
    'base64url',
  );

/** A JWT signed with RS256, whatever its header says. Parts that are texts or bytes are taken as they are. */
export function makeJwt(claims: unknown, header: unknown = {}, key: KeyObject = rsa.privateKey): string {
  const whole = typeof header === 'string' ? header : { alg: 'RS256', kid: 'r1', ...(header as object) };
  const input = `${encode(whole)}.${encode(claims)}`;
  return `${input}.${signBytes('sha256', Buffer.from(input), key).toString('base64url')}`;
}

/** @param issuer What it calls itself, if that is not the address it is at. */
export async function startOpenidProvider(issuer?: string): Promise<OpenidProvider> {
  const base = await startHttpServer(async (request, response) => {
    const form = new URLSearchParams(await text(request));
    const path = new URL(request.url ?? '', 'http://provider').pathname;
    const endpoint = path.slice(path.lastIndexOf('/') + 1);
    provider.calls.push(endpoint);
    if (endpoint === 'token') provider.forms.push(form);
    const answer = provider.answers[endpoint];
    if (answer !== undefined) answer(request, response, form);
    else response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(answerOf(endpoint)));
  });
  const name = issuer ?? base;

  function answerOf(endpoint: string): unknown {
    if (endpoint === 'openid-configuration') return provider.metadata;
    if (endpoint === 'jwks') return { keys: provider.keys };
    if (endpoint === 'userinfo') return provider.userinfo;
    const claims = {
      iss: name,
      aud: 'client-1',
      sub: 'sub-1',
      iat: NOW_S - 5,
      exp: NOW_S + 300,
      nonce: provider.nonce,
      ...provider.claims,
    };
    const idToken = provider.makeIdToken(claims);
    return { access_token: ACCESS_TOKEN, token_type: 'Bearer', expires_in: 3600, id_token: idToken, ...provider.token };
  }

  const provider: OpenidProvider = {
    issuer: name,
    metadata: {
      issuer: name,
      authorization_endpoint: `${name}/authorize`,
      token_endpoint: `${name}/token`,
      jwks_uri: `${name}/jwks`,
      userinfo_endpoint: `${name}/userinfo`,
      id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none', 'ES256'],
      code_challenge_methods_supported: ['plain', 'S256'],
    },
    keys: [RSA_JWK],
    answers: {},
    token: {},
    claims: {},
    makeIdToken: makeJwt,
    userinfo: { sub: 'sub-1' },
    calls: [],
    forms: [],
    nonce: '',
    // It stands for a host of the net, and is on this machine.
    send: (request) => send({ ...request, isPublicOnly: false, url: request.url.replace(/^https:\//, base) }),
  };
  return provider;
}

/** The settings of a client at a test's provider. */
export function settingsOf(
  { issuer }: OpenidProvider,
  settings: Partial<ProviderClientSettings> = {},
): ProviderClientSettings {
  const authentication = { method: 'client_secret_basic', secret: 'fake-secret' } as const;
  return { protocol: 'oidc', issuer, clientId: 'client-1', authentication, ...settings };
}

/** A client whose clock stands at NOW_S, and one bind after another with it. */
export function createBinder(
  provider: OpenidProvider,
  settings: Partial<ProviderClientSettings> = {},
  now = () => NOW_S * 1000,
): (parameters?: Record<string, string>) => Promise<FinishOutcome> {
  const client = createProviderClient(settingsOf(provider, settings), { send: provider.send, now });
  return async (parameters = {}) => {
    const { url, kept } = await client.authorize({ state: STATE, redirectUri: REDIRECT_URI, timeoutMs: 5000 });
    provider.nonce = new URL(url).searchParams.get('nonce') ?? '';
    return client.finish(new URLSearchParams({ state: STATE, code: CODE, ...parameters }), kept, 5000);
  };
}
