/**
 * The providers that need no more than a client of theirs. What is said here is what their documentation or the code of
 * public clients says (the list in docs/external-providers.md); none of it has been tried against the provider itself.
 */
import type { ProtocolFields } from './protocol-fields.ts';

/** A provider as it is ready to be used. */
export interface Preset {
  readonly fields: ProtocolFields;
  /** The fields that no documentation of the provider was at hand for: look at them before you rely on them. */
  readonly unconfirmed?: readonly (keyof ProtocolFields)[];
}

/** What is the same at every provider of OpenID Connect. */
const OIDC = {
  protocol: 'oidc',
  scope: 'openid profile email',
  sid: 'id_token.sub',
  user_name: 'id_token.name',
  email: 'id_token.email',
  email_verified: 'id_token.email_verified',
} as const satisfies ProtocolFields;

/** The ready providers, by the name that `preset` takes. */
export const PRESETS: Readonly<Record<string, Preset>> = {
  oidc: { fields: OIDC },
  'vk-id': {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://id.vk.com/authorize',
      token_endpoint: 'https://id.vk.com/oauth2/auth',
      scope: 'vkid.personal_info',
      auth_method: 'none',
      device_id: 'callback',
      profile_endpoint: 'https://id.vk.com/oauth2/user_info',
      profile_call: 'form',
      sid: 'profile.user.user_id',
      user_name: ['profile.user.first_name', 'profile.user.last_name'],
    },
    unconfirmed: ['scope', 'auth_method'],
  },
  'vk-legacy': {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://oauth.vk.com/authorize',
      token_endpoint: 'https://oauth.vk.com/access_token',
      scope: 'email',
      authorize_parameters: { v: '5.52' },
      auth_method: 'client_secret_post',
      token_type: 'any',
      profile_endpoint: 'https://api.vk.com/method/users.get',
      profile_call: 'form',
      profile_parameters: { v: '5.52' },
      sid: 'token.user_id',
      user_name: ['profile.response.0.first_name', 'profile.response.0.last_name'],
    },
    unconfirmed: ['profile_call'],
  },
  yandex: {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://oauth.yandex.ru/authorize',
      token_endpoint: 'https://oauth.yandex.ru/token',
      scope: 'login:info',
      // A token without a device is one that no application can revoke.
      device_id: 'ours',
      authorize_parameters: { device_name: 'account-link' },
      auth_method: 'client_secret_basic',
      profile_endpoint: 'https://login.yandex.ru/info?format=json',
      profile_call: 'oauth',
      sid: 'profile.id',
      user_name: 'profile.display_name',
    },
  },
  google: {
    // A token that lives long enough to be revoked with the link; it is given with a consent alone.
    fields: {
      ...OIDC,
      issuer: 'https://accounts.google.com',
      authorize_parameters: { access_type: 'offline', prompt: 'consent' },
    },
  },
  facebook: {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://www.facebook.com/v23.0/dialog/oauth',
      token_endpoint: 'https://graph.facebook.com/v23.0/oauth/access_token',
      scope: 'public_profile',
      auth_method: 'client_secret_post',
      profile_endpoint: 'https://graph.facebook.com/v23.0/me?fields=id,name',
      profile_call: 'bearer',
      sid: 'profile.id',
      user_name: 'profile.name',
    },
    // The version: one that is supported is to be named.
    unconfirmed: ['authorization_endpoint', 'token_endpoint', 'profile_endpoint'],
  },
  apple: {
    fields: {
      ...OIDC,
      issuer: 'https://appleid.apple.com',
      scope: 'openid email',
      authorize_parameters: { response_mode: 'form_post' },
      auth_method: 'client_secret_post',
    },
  },
  github: {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://github.com/login/oauth/authorize',
      token_endpoint: 'https://github.com/login/oauth/access_token',
      scope: 'read:user',
      auth_method: 'client_secret_post',
      profile_endpoint: 'https://api.github.com/user',
      profile_call: 'bearer',
      profile_accept: 'application/vnd.github+json',
      // Never `login`, which can be given to somebody else.
      sid: 'profile.id',
      user_name: 'profile.login',
    },
  },
  gitlab: { fields: { ...OIDC, issuer: 'https://gitlab.com' } },
  discord: {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://discord.com/api/oauth2/authorize',
      token_endpoint: 'https://discord.com/api/oauth2/token',
      scope: 'identify',
      auth_method: 'client_secret_basic',
      profile_endpoint: 'https://discord.com/api/users/@me',
      profile_call: 'bearer',
      sid: 'profile.id',
      user_name: 'profile.username',
    },
  },
  mail: {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://oauth.mail.ru/login',
      token_endpoint: 'https://oauth.mail.ru/token',
      scope: 'userinfo',
      auth_method: 'client_secret_basic',
      token_type: 'any',
      profile_endpoint: 'https://oauth.mail.ru/userinfo',
      profile_call: 'query',
      sid: 'profile.id',
      user_name: 'profile.name',
    },
    unconfirmed: ['scope', 'auth_method', 'token_type', 'profile_endpoint', 'profile_call', 'sid', 'user_name'],
  },
  ok: {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://connect.ok.ru/oauth/authorize',
      token_endpoint: 'https://api.ok.ru/oauth/token.do',
      // Several of them stand between semicolons.
      scope: 'VALUABLE_ACCESS',
      auth_method: 'client_secret_post',
      token_type: 'any',
      profile_endpoint: 'https://api.ok.ru/fb.do',
      profile_call: 'ok',
      sid: 'profile.uid',
      user_name: 'profile.name',
    },
    unconfirmed: ['scope', 'auth_method', 'token_type', 'profile_endpoint', 'profile_call', 'sid', 'user_name'],
  },
  tcs: {
    fields: {
      protocol: 'oauth2',
      authorization_endpoint: 'https://id.tinkoff.ru/auth/authorize',
      token_endpoint: 'https://id.tinkoff.ru/auth/token',
      auth_method: 'client_secret_basic',
      profile_endpoint: 'https://id.tinkoff.ru/userinfo/userinfo',
      profile_call: 'bearer',
      sid: 'profile.sub',
      user_name: 'profile.name',
    },
    unconfirmed: ['authorization_endpoint', 'profile_endpoint', 'profile_call', 'sid', 'user_name'],
  },
  // ESIA itself takes requests that are signed by GOST R 34.10, which no library here does. What stands in front of it
  // in most deployments speaks OpenID Connect: its issuer is to be named.
  esia: { fields: { ...OIDC, scope: 'openid fullname' }, unconfirmed: ['protocol', 'scope', 'sid', 'user_name'] },
};
