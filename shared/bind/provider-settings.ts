import type { KeyObject } from 'node:crypto';

/** Our client at a provider, and how the provider is spoken to. What is optional has a default. */
export interface ProviderClientSettings {
  /** `oidc`: the endpoints are found at the issuer. */
  readonly protocol: 'oidc' | 'oauth2';
  /** With `oidc` it is needed. */
  readonly issuer?: string | undefined;
  /** With `oauth2` both endpoints are needed. */
  readonly authorizationEndpoint?: string | undefined;
  readonly tokenEndpoint?: string | undefined;
  readonly clientId: string;
  readonly authentication: ClientAuthentication;
  /** `openid` by OpenID Connect if not given. */
  readonly scope?: string | undefined;
  readonly authorizeParameters?: Readonly<Record<string, string>> | undefined;
  readonly deviceId?: 'callback' | 'ours' | undefined;
  /** Whether an answer may name no token type, or one of its own. */
  readonly takesAnyTokenType?: boolean | undefined;
  readonly hasUserinfo?: boolean | undefined;
  readonly profile?: ProfileCall | undefined;
  /** Where the account's id is: `id_token.sub` by OpenID Connect if not given. */
  readonly sid?: string | undefined;
  readonly userName?: readonly string[] | undefined;
  readonly email?: string | undefined;
  readonly emailVerified?: string | undefined;
}

/** How our client shows who it is at the token endpoint. */
export type ClientAuthentication =
  | { readonly method: 'none' }
  | { readonly method: 'client_secret_basic' | 'client_secret_post'; readonly secret: string }
  /** The secret is a JWT that we sign anew each time, as Apple wants it. */
  | { readonly method: 'signed_secret'; readonly key: KeyObject; readonly keyId: string; readonly teamId: string };

/** How a provider that does not speak OpenID Connect is asked whose token it is. */
export interface ProfileCall {
  readonly endpoint: string;
  readonly call: 'bearer' | 'oauth' | 'form' | 'query' | 'ok';
  readonly accept?: string | undefined;
  readonly parameters?: Readonly<Record<string, string>> | undefined;
}
