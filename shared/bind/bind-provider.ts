import * as z from 'zod/mini';
import { type ProviderSecrets, readKey, readVariable } from '../account-link/provider-secrets.ts';
import { ProtocolFields } from './protocol-fields.ts';
import { PRESETS } from './provider-catalogue.ts';
import type { ClientAuthentication, ProfileCall, ProviderClientSettings } from './provider-settings.ts';

const Text = z.string().check(z.minLength(1), z.maxLength(1024));
const VariableName = z.string().check(z.regex(/^[A-Z][A-Z0-9_]*$/));

/** `bind` of a provider's row: a ready provider and our client there, or all of it. What is given goes before the preset. */
export const BindFields = z
  .strictObject({
    preset: z.optional(z.string().check(z.refine((name) => Object.hasOwn(PRESETS, name)))),
    client_id: Text,
    /** The name of the environment variable that holds the client's secret. */
    client_secret_env: z.optional(VariableName),
    /** In place of a secret: the variable of a P-256 key in PEM to sign one with, and the names that go with it. */
    client_secret_key: z.optional(z.strictObject({ env: VariableName, key_id: Text, team_id: Text })),
    /** Where this provider sends the browser back to, if not to the deployment's own address. */
    public_base: z.optional(
      z.string().check(z.regex(/^https:\/\/[^\s/?#@]+$|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/)),
    ),
    ...ProtocolFields.shape,
  })
  .check(z.refine((fields) => isComplete(withPreset(fields))));
export type BindFields = z.output<typeof BindFields>;

/** A provider that accounts can be bound at, as its row says. */
export interface BindSettings extends ProviderClientSettings {
  readonly publicBase?: string | undefined;
}

/**
 * The settings that a row's `bind` makes, with its preset and its secret.
 *
 * @param environment Holds the variables that the row names.
 * @throws {Misconfigured} The variable is not set, or holds no key.
 */
export function readBindSettings(row: BindFields, environment: ProviderSecrets): BindSettings {
  const fields = withPreset(row);
  const { user_name: userName } = fields;
  return {
    protocol: fields.protocol ?? 'oidc',
    issuer: fields.issuer,
    authorizationEndpoint: fields.authorization_endpoint,
    tokenEndpoint: fields.token_endpoint,
    clientId: fields.client_id,
    authentication: readAuthentication(fields, environment),
    scope: fields.scope,
    authorizeParameters: fields.authorize_parameters,
    deviceId: fields.device_id,
    takesAnyTokenType: fields.token_type === 'any',
    hasUserinfo: fields.userinfo,
    profile: profileOf(fields),
    sid: fields.sid,
    userName: userName === undefined ? undefined : [userName].flat(),
    email: fields.email,
    emailVerified: fields.email_verified,
    publicBase: fields.public_base,
  };
}

function withPreset(row: BindFields): BindFields {
  const preset: ProtocolFields = row.preset === undefined ? {} : (PRESETS[row.preset]?.fields ?? {});
  return {
    ...preset,
    ...row,
    authorize_parameters: { ...preset.authorize_parameters, ...row.authorize_parameters },
    profile_parameters: { ...preset.profile_parameters, ...row.profile_parameters },
  };
}

function isComplete(fields: BindFields): boolean {
  const { auth_method: method, client_secret_env: secret, client_secret_key: key } = fields;
  const hasOneSecret = method === 'none' ? secret === undefined && key === undefined : (secret ?? key) !== undefined;
  if (!hasOneSecret || (secret !== undefined && key !== undefined)) return false;
  if ((fields.email === undefined) !== (fields.email_verified === undefined)) return false;
  return (fields.protocol ?? 'oidc') === 'oidc' ? isCompleteOidc(fields) : isCompleteOauth2(fields, secret);
}

function isCompleteOidc(fields: BindFields): boolean {
  const { issuer, scope = 'openid', userinfo, authorization_endpoint, token_endpoint, profile_endpoint } = fields;
  const hasOwnEndpoint = [authorization_endpoint, token_endpoint, profile_endpoint].some(Boolean);
  const hasProfile = userinfo === true || !claimsOf(fields).some((path) => path.startsWith('profile.'));
  return issuer !== undefined && scope.split(' ').includes('openid') && !hasOwnEndpoint && hasProfile;
}

function isCompleteOauth2(fields: BindFields, secret: string | undefined): boolean {
  const { authorization_endpoint, token_endpoint, sid, userinfo, profile_endpoint, profile_call } = fields;
  if (authorization_endpoint === undefined || token_endpoint === undefined || sid === undefined || userinfo)
    return false;
  const hasSignedCall =
    profile_call !== 'ok' || (secret !== undefined && fields.profile_parameters?.application_key !== undefined);
  const claims = claimsOf(fields);
  const hasProfile = profile_endpoint !== undefined || !claims.some((path) => path.startsWith('profile.'));
  // Without OpenID Connect nothing vouches for an ID token.
  return hasSignedCall && hasProfile && !claims.some((path) => path.startsWith('id_token.'));
}

function claimsOf({ sid, user_name, email, email_verified }: BindFields): string[] {
  return [sid, user_name, email, email_verified].flat().filter((path) => path !== undefined);
}

function profileOf(fields: BindFields): ProfileCall | undefined {
  const { profile_endpoint: endpoint, profile_call: call = 'bearer', profile_accept: accept } = fields;
  return endpoint === undefined ? undefined : { endpoint, call, accept, parameters: fields.profile_parameters };
}

function readAuthentication(
  { auth_method: method = 'client_secret_basic', client_secret_env, client_secret_key }: BindFields,
  environment: ProviderSecrets,
): ClientAuthentication {
  if (client_secret_key !== undefined) {
    const { env, key_id: keyId, team_id: teamId } = client_secret_key;
    return { method: 'signed_secret', key: readKey(env, environment), keyId, teamId };
  }
  if (method === 'none' || client_secret_env === undefined) return { method: 'none' };
  return { method, secret: readVariable(client_secret_env, environment) };
}
