import type { Provider } from '../account-link/provider.ts';
import { Misconfigured } from '../errors.ts';
import type { Send } from '../outgoing/send.ts';
import { BindFields, readBindSettings } from './bind-provider.ts';
import { createProviderClient, type ProviderClient } from './provider-client.ts';

/** A provider that accounts can be bound at. */
export interface BindProvider {
  readonly type: string;
  readonly name: string;
  /** As people know it. */
  readonly title: string;
  /** Its own one, as RFC 9700 wants it against mix-ups. */
  readonly redirectUri: string;
  readonly client: ProviderClient;
}

/** The providers that accounts can be bound at. */
export interface BindProviders {
  /** @param key `<type>:<name>` */
  find(key: string): BindProvider | undefined;
}

/** Where the functions are reached from outside. */
export interface PublicAddress {
  /** `https://login.company.com` */
  readonly base: string;
  /** `/blitz` */
  readonly prefix: string;
}

/**
 * Makes the clients of the providers that have settings for it.
 *
 * @throws {Misconfigured} A secret is missing.
 */
export function createBindProviders(
  providers: readonly Provider[],
  /** Holds the secrets that their rows name. */
  environment: Readonly<Record<string, unknown>>,
  { base, prefix }: PublicAddress,
  ports: { readonly send: Send; readonly now?: () => number },
): BindProviders {
  const known = new Map<string, BindProvider>(
    providers.flatMap(({ type, name, title = name, bind }) => {
      if (bind === undefined) return [];
      const { success, data: fields } = BindFields.safeParse(bind);
      if (!success)
        throw new Misconfigured(
          `bind of ${type}:${name} in providers.json is not as docs/external-providers.md has it`,
        );
      const settings = readBindSettings(fields, environment);
      const redirectUri = `${settings.publicBase ?? base}${prefix}/api/users/current/fps/bind/cb/${type}/${name}`;
      const provider: BindProvider = { type, name, title, redirectUri, client: createProviderClient(settings, ports) };
      return [[`${type}:${name}`, provider] as const];
    }),
  );
  return { find: (key) => known.get(key) };
}
