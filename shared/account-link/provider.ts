import * as z from 'zod/mini';
import { Misconfigured } from '../errors.ts';
import { jsonText, type Settings } from '../settings.ts';

/** Part of a provider's key `<type>:<name>`. */
const KEY_PART = /^[A-Za-z0-9._-]{1,255}$/;
const PAGE = /^https:\/\/\S+$/;

const ProviderRows = z.lazy(() => {
  const keyPart = z.string().check(z.regex(KEY_PART));
  const row = z.strictObject({
    type: keyPart,
    name: keyPart,
    /** What people know it by; its name if not given. */
    title: z.optional(z.string().check(z.minLength(1), z.maxLength(64))),
    /** The page where a user sees and ends what the account is connected with. */
    manage_url: z.optional(z.string().check(z.regex(PAGE))),
    /** How a grant is withdrawn; absent where that is not offered. Read where it is done: shared/grant-revocation/. */
    revocation: z.optional(z.unknown()),
    /** How an account is bound in the browser; absent where that is not offered. Read where it is done: shared/bind/. */
    bind: z.optional(z.unknown()),
  });
  return z
    .array(row)
    .check(z.refine((rows) => new Set(rows.map(({ type, name }) => `${type}:${name}`)).size === rows.length));
});

/** An external provider of this deployment. Its secrets are not here, but the names of the variables that hold them. */
export interface Provider {
  readonly type: string;
  readonly name: string;
  readonly title?: string | undefined;
  readonly manageUrl?: string | undefined;
  readonly revocation?: unknown;
  readonly bind?: unknown;
}

/** What providers are read from, in place of the bundle's `providers.json` if it is set. */
export const ProviderEnvironment = {
  PROVIDERS: z.optional(
    jsonText('must be JSON as providers.json: a list of providers, each "type" and "name" once', ProviderRows),
  ),
};

/**
 * The external providers of this deployment.
 *
 * @param bundled What `providers.json` holds.
 * @throws {Misconfigured}
 */
export function readProviders(
  bundled: unknown,
  { PROVIDERS }: Settings<typeof ProviderEnvironment>,
): readonly Provider[] {
  const { success, data } = ProviderRows.safeParse(PROVIDERS ?? bundled);
  if (!success)
    throw new Misconfigured('providers.json is not a list of providers as docs/external-providers.md has it');
  return data.map(({ manage_url: manageUrl, ...row }) => ({ ...row, manageUrl }));
}

/** The provider of that type and name, compared byte for byte. */
export function findProvider<Row extends Pick<Provider, 'type' | 'name'>>(
  providers: readonly Row[],
  type: string | undefined,
  name: string | undefined,
): Row | undefined {
  return providers.find((provider) => provider.type === type && provider.name === name);
}
