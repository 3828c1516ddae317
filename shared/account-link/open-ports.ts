import * as z from 'zod/mini';
import { Clients } from '../access-token/clients.ts';
import { openAuthorizePorts, VerifiedAuthorizeEnvironment } from '../access-token/open-ports.ts';
import type { Directory } from '../directory/directory.ts';
import { DirectoryEnvironment } from '../directory/locate-directory.ts';
import { openDirectory } from '../directory/open-store.ts';
import { Misconfigured } from '../errors.ts';
import type { Platform } from '../platform.ts';
import type { Settings } from '../settings.ts';
import { CallerEnvironment, type CallerPorts } from './caller.ts';

/** What every function of account links is told. */
export const LinkEnvironment = {
  ...VerifiedAuthorizeEnvironment,
  ...DirectoryEnvironment,
  ...CallerEnvironment,
  CLIENTS: z._default(Clients, []),
};

/** @throws {Misconfigured} */
export function openLinkPorts(
  settings: Settings<typeof LinkEnvironment>,
  platform: Platform,
): CallerPorts & { readonly directory: Directory } {
  if (!settings.ISSUERS.some(({ issuer }) => issuer === settings.ISSUER)) {
    throw new Misconfigured('ISSUER must be one of those that ISSUERS names');
  }
  return {
    ...openAuthorizePorts(settings, platform),
    issuer: settings.ISSUER,
    clients: settings.CLIENTS,
    scopeNames: settings.SCOPE_NAMES,
    directory: openDirectory(settings, platform),
  };
}
