import * as z from 'zod/mini';
import { jsonOf } from '../access-token/issuers.ts';
import { Misconfigured } from '../errors.ts';
import { type RevocationClient, RevocationEndpoint } from '../grant-revocation/revoke-grant.ts';

/** Part of a provider's key `<type>:<name>`. */
const KeyPart = z.string().check(z.regex(/^[A-Za-z0-9._-]{1,255}$/));

const ProviderRow = z.strictObject({
  type: KeyPart,
  name: KeyPart,
  /** The page where a user sees and ends what the account is connected with. */
  manage_url: z.optional(z.string().check(z.regex(/^https:\/\/\S+$/))),
  /** How a grant is withdrawn; absent where the provider offers no way. */
  revocation: z.optional(
    RevocationEndpoint.check(
      z.refine(({ auth_method, client_secret_env }) => (auth_method === 'none') === (client_secret_env === undefined)),
    ),
  ),
});

const ProviderRows = z
  .array(ProviderRow)
  .check(z.refine((rows) => new Set(rows.map(({ type, name }) => `${type}:${name}`)).size === rows.length));

/** An external provider of this deployment. */
export interface Provider {
  readonly type: string;
  readonly name: string;
  readonly manageUrl?: string | undefined;
  readonly revocation?: RevocationClient | undefined;
}

/** The settings that providers are made of. Their secrets are in variables of the names that their rows give. */
export const ProviderEnvironment = z.object({
  /** In place of the bundle's `providers.json`. */
  PROVIDERS: z.optional(
    jsonOf(ProviderRows, 'must be JSON as providers.json: a list of providers, each "type" and "name" once'),
  ),
});

/**
 * The external providers of this deployment.
 *
 * @param bundled What `providers.json` holds.
 * @throws {Misconfigured}
 */
export function readProviders(
  bundled: unknown,
  environment: z.output<typeof ProviderEnvironment> & Readonly<Record<string, unknown>>,
): readonly Provider[] {
  const { success, data: rows } = ProviderRows.safeParse(environment.PROVIDERS ?? bundled);
  if (!success)
    throw new Misconfigured('providers.json is not a list of providers as docs/external-providers.md has it');
  return rows.map(({ type, name, manage_url: manageUrl, revocation }) => ({
    ...{ type, name, manageUrl },
    revocation: revocation && {
      endpoint: revocation.endpoint,
      clientId: revocation.client_id,
      clientSecret: readSecret(revocation.client_secret_env, environment),
      authMethod: revocation.auth_method,
    },
  }));
}

function readSecret(name: string | undefined, environment: Readonly<Record<string, unknown>>): string | undefined {
  if (name === undefined) return undefined;
  const secret = environment[name];
  if (typeof secret !== 'string') throw new Misconfigured(`${name} must be set: providers.json names it`);
  return secret;
}

/** The provider of that type and name, compared byte for byte. */
export function findProvider(
  providers: readonly Provider[],
  type: string | undefined,
  name: string | undefined,
): Provider | undefined {
  return providers.find((provider) => provider.type === type && provider.name === name);
}
