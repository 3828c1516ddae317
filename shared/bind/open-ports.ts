import * as z from 'zod/mini';
import { LinkEnvironment, openLinkPorts } from '../account-link/open-ports.ts';
import { ProviderEnvironment, readProviders } from '../account-link/provider.ts';
import { EncryptionKeys } from '../encryption.ts';
import { Misconfigured } from '../errors.ts';
import { sendToNamed as send } from '../outgoing/named-host.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import type { Platform } from '../platform.ts';
import { jsonText, type Settings } from '../settings.ts';
import { createBindProviders } from './bind-providers.ts';
import type { ConfirmBindPorts } from './confirm-bind.ts';
import { createProviderClient } from './provider-client.ts';
import type { StartBindPorts } from './start-bind.ts';

const SignInClient = z.strictObject({
  client_id: z.string().check(z.minLength(1)),
  client_secret: z.string().check(z.minLength(1)),
});

const PREFIX_RULE = 'must be a path such as /blitz, or / for none';

/** What binding is told. */
export const BindEnvironment = {
  ...LinkEnvironment,
  ...ProviderEnvironment,
  ENCRYPTION_KEYS: EncryptionKeys,
  /** Where the gateway is reached from outside, without a path: `https://login.company.com`. */
  PUBLIC_BASE_URL: ServiceUrl.check(z.regex(/^[a-z]+:\/\/[^/?#]+$/, 'must be a URL without a path')),
  /** What stands in front of `/api/…`. */
  CONTEXT_PREFIX: z._default(z.string().check(z.regex(/^(\/|(\/[A-Za-z0-9._~-]+)+)$/, PREFIX_RULE)), '/blitz'),
  BIND_CONFIRMATION: z.optional(z.enum(['page', 'bearer', 'none'], 'must be page, bearer or none')),
  /** Our client at `ISSUER`, where the page has the user sign in. */
  SIGN_IN_CLIENT: z.optional(jsonText('must be JSON: {"client_id", "client_secret"}', SignInClient)),
};

/** What every operation of binding needs. */
export type BindPorts = StartBindPorts &
  ConfirmBindPorts & {
    /** Where the form of our page goes. */
    readonly formAction: string;
  };

/**
 * @param bundled What `providers.json` holds.
 * @throws {Misconfigured}
 */
export function openBindPorts(
  bundled: unknown,
  settings: Settings<typeof BindEnvironment>,
  platform: Platform,
): BindPorts {
  const { SIGN_IN_CLIENT: client, PUBLIC_BASE_URL: base } = settings;
  const prefix = settings.CONTEXT_PREFIX.replace(/^\/$/, '');
  const confirmation = settings.BIND_CONFIRMATION ?? (client === undefined ? 'bearer' : 'page');
  if (confirmation === 'page' && client === undefined) {
    throw new Misconfigured('SIGN_IN_CLIENT must be set with BIND_CONFIRMATION=page');
  }
  if (settings.BIND_CONFIRMATION === undefined && client === undefined) {
    platform.warn('binds are confirmed by bearer: set SIGN_IN_CLIENT for a page of ours, or BIND_CONFIRMATION');
  }
  const link = openLinkPorts(settings, platform);
  const path = `${prefix}/api/users/current/fps/bind`;
  return {
    ...link,
    ...{ links: link.directory.links, binds: link.directory.binds },
    encryptionKeys: settings.ENCRYPTION_KEYS,
    confirmation,
    providers: createBindProviders(readProviders(bundled, settings), platform.secrets, { base, prefix }, { send }),
    signIn: client && {
      redirectUri: `${base}${path}/sign-in`,
      client: createProviderClient(
        {
          protocol: 'oidc',
          issuer: settings.ISSUER,
          clientId: client.client_id,
          authentication: { method: 'client_secret_basic', secret: client.client_secret },
          scope: 'openid profile',
          userName: ['id_token.name'],
        },
        { send },
      ),
    },
    formAction: `${path}/page`,
  };
}
