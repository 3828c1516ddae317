import { blitzError } from '#shared/account-link/blitz-error.ts';
import { type LinkAccountPorts, LinkBySidEnvironment, linkAccount } from '#shared/account-link/link-account.ts';
import { LinkEnvironment, openLinkPorts } from '#shared/account-link/open-ports.ts';
import { ProviderEnvironment, readProviders } from '#shared/account-link/provider.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';
import providers from '../../providers.json' with { type: 'json' };

const link =
  ({ allowsBasic }: { allowsBasic: boolean }): Operation<LinkAccountPorts> =>
  async (call, ports) => {
    await linkAccount({ ...call, allowsBasic, fields: () => call.fields('json') }, ports);
    return { status: 204 };
  };

/** Links an account by its known id (Blitz `fa`). Version 3 of the API takes access tokens alone. */
export const handler = defineFunction({
  name: 'external-provider-link',
  environment: {
    ...LinkEnvironment,
    ...ProviderEnvironment,
    ...LinkBySidEnvironment,
  },
  ports: (settings, platform) => ({
    ...openLinkPorts(settings, platform),
    providers: readProviders(providers, settings),
    linkBySid: settings.LINK_BY_SID,
  }),
  raw: { 'external-provider.link': link({ allowsBasic: true }) },
  gateway: {
    'external-provider-link': link({ allowsBasic: false }),
    'external-provider-link.v2': link({ allowsBasic: true }),
  },
  errorBody: blitzError,
});
