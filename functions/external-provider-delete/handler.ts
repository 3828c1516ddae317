import { blitzError } from '#shared/account-link/blitz-error.ts';
import { LinkEnvironment, openLinkPorts } from '#shared/account-link/open-ports.ts';
import {
  ProtectLastLinkEnvironment,
  type UnlinkAccountPorts,
  unlinkAccount,
} from '#shared/account-link/unlink-account.ts';
import { openRevocationJobs, RevocationJobEnvironment } from '#shared/grant-revocation/open-ports.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';
import providers from '../../providers.json' with { type: 'json' };

const unlink =
  ({ allowsBasic }: { allowsBasic: boolean }): Operation<UnlinkAccountPorts> =>
  async (call, ports) => {
    const unlinked = await unlinkAccount({ ...call, allowsBasic }, ports);
    return call.parameters().view === 'full' ? { status: 200, body: unlinked } : { status: 204 };
  };

/** Deletes a link and withdraws its grant (Blitz `fa`). Version 3 of the API takes access tokens alone. */
export const handler = defineFunction({
  name: 'external-provider-delete',
  environment: {
    ...LinkEnvironment,
    ...RevocationJobEnvironment,
    ...ProtectLastLinkEnvironment,
  },
  ports: (settings, platform) => {
    const ports = openLinkPorts(settings, platform);
    return {
      ...ports,
      ...openRevocationJobs(providers, settings, { links: ports.directory.links, secrets: platform.secrets }),
      protectLastLink: settings.PROTECT_LAST_LINK === 'true',
    };
  },
  raw: { 'external-provider.delete': unlink({ allowsBasic: true }) },
  gateway: {
    'external-provider-delete': unlink({ allowsBasic: false }),
    'external-provider-delete.v2': unlink({ allowsBasic: true }),
  },
  errorBody: blitzError,
});
