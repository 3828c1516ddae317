import * as z from 'zod/mini';
import { ServiceUrl } from '../outgoing/service-url.ts';

const Text = z.string().check(z.minLength(1), z.maxLength(1024));

/** Where a claim is: `token`, `profile` or `id_token`, and the way in, such as `profile.response.0.id`. */
const ClaimPath = z.string().check(z.regex(/^(token|profile|id_token)(\.[^.\s]{1,64})+$/));

/** What the client says itself: a setting must not say it otherwise. */
const OWN_PARAMETERS = new Set([
  ...['client_id', 'client_secret', 'code_challenge', 'code_challenge_method', 'device_id', 'nonce', 'redirect_uri'],
  ...['request', 'request_uri', 'response_type', 'scope', 'state'],
]);

const Parameters = z.record(Text, Text);

/** How a provider is spoken to: fields of `providers.json`, each with a meaning of its own, whoever the client is. */
export const ProtocolFields = z.strictObject({
  protocol: z.optional(z.enum(['oidc', 'oauth2'])),
  /** As in `iss`, byte for byte. By OpenID Connect the endpoints are found there. */
  issuer: z.optional(ServiceUrl.check(z.regex(/^[^?]+$/))),
  authorization_endpoint: z.optional(ServiceUrl),
  token_endpoint: z.optional(ServiceUrl),
  /** As the provider writes it, whatever stands between the words. */
  scope: z.optional(Text),
  /** More of them, in the order in which they are sent. */
  authorize_parameters: z.optional(
    Parameters.check(z.refine((record) => Object.keys(record).every((name) => !OWN_PARAMETERS.has(name)))),
  ),
  /** How our client shows who it is (RFC 6749, section 2.3.1). */
  auth_method: z.optional(z.enum(['client_secret_basic', 'client_secret_post', 'none'])),
  /** `callback`: the provider sends one with the code and wants it back. `ours`: we make one up and send it along. */
  device_id: z.optional(z.enum(['callback', 'ours'])),
  /** `any`: the answer names no token type, or one of its own, and a bearer token is meant. */
  token_type: z.optional(z.enum(['bearer', 'any'])),
  /** Whether `profile` is the answer of OpenID Connect's userinfo endpoint. */
  userinfo: z.optional(z.boolean()),
  /** Without OpenID Connect: where `profile` is asked for. */
  profile_endpoint: z.optional(ServiceUrl),
  /** Where the token goes: a header `Bearer` or `OAuth`, a form, the query, or a form signed as at ok.ru. */
  profile_call: z.optional(z.enum(['bearer', 'oauth', 'form', 'query', 'ok'])),
  profile_accept: z.optional(Text),
  profile_parameters: z.optional(Parameters),
  /** An e-mail is given to somebody else one day: no claim of it is one. */
  sid: z.optional(ClaimPath.check(z.refine((path) => !/mail|phone|login|user_?name/i.test(path)))),
  user_name: z.optional(z.union([ClaimPath, z.array(ClaimPath).check(z.minLength(1))])),
  /** Used only where the claim `email_verified` is true. */
  email: z.optional(ClaimPath),
  email_verified: z.optional(ClaimPath),
});
export type ProtocolFields = z.output<typeof ProtocolFields>;
