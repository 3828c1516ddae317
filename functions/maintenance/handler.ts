import { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { openDirectory } from '#shared/directory/open-store.ts';
import { EndGrantEnvironment } from '#shared/grant-revocation/end-grant.ts';
import { openRevocationJobs, RevocationJobEnvironment } from '#shared/grant-revocation/open-ports.ts';
import { openUpstreamJobs } from '#shared/grant-revocation/upstream-jobs.ts';
import { maintain } from '#shared/maintenance/maintain.ts';
import { defineTimer } from '#shared/runtime/define-timer.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '#shared/token-revocation/open-store.ts';
import providers from '../../providers.json' with { type: 'json' };

/** Every minute: tries what is due in the outbox, and purges what has expired. */
export const handler = defineTimer({
  name: 'maintenance',
  environment: {
    ...TokenRevocationStoreEnvironment,
    ...DirectoryEnvironment,
    ...RevocationJobEnvironment,
    ...EndGrantEnvironment,
  },
  ports: (settings, platform) => {
    const directory = openDirectory(settings, platform);
    return {
      ...openRevocationJobs(providers, settings, {
        links: directory.links,
        secrets: platform.secrets,
        doUpstream: openUpstreamJobs(settings),
      }),
      directory,
      revocations: openTokenRevocationStore(settings, platform),
    };
  },
  run: maintain,
});
