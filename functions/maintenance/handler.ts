import { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { openDirectory } from '#shared/directory/open-store.ts';
import { openRevocationJobs, RevocationJobEnvironment } from '#shared/grant-revocation/open-ports.ts';
import { maintain } from '#shared/maintenance/maintain.ts';
import { defineTimer } from '#shared/runtime/define-timer.ts';
import { UpstreamEnvironment } from '#shared/smart-home/upstream-environment.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '#shared/token-revocation/open-store.ts';
import providers from '../../providers.json' with { type: 'json' };

/** Every minute: tries what is due in the outbox, and purges what has expired. */
export const handler = defineTimer({
  name: 'maintenance',
  environment: {
    ...TokenRevocationStoreEnvironment,
    ...DirectoryEnvironment,
    ...RevocationJobEnvironment,
    ...UpstreamEnvironment,
  },
  ports: (settings, platform) => {
    const directory = openDirectory(settings, platform);
    return {
      ...openRevocationJobs(providers, settings, {
        links: directory.links,
        secrets: platform.secrets,
        upstream: settings.REVOKE_UPSTREAM,
      }),
      directory,
      revocations: openTokenRevocationStore(settings, platform),
    };
  },
  run: maintain,
});
