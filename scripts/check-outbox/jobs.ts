/** The jobs of `npm run check:outbox`, and how they are done: what this script and its runners agree on. */
import { createSecretKey } from 'node:crypto';
import { type ProviderTokens, sealTokens } from '#shared/account-link/provider-tokens.ts';
import type { Directory } from '#shared/directory/directory.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import type { RevocableProvider } from '#shared/grant-revocation/revocation-jobs.ts';
import type { NewJob } from '#shared/outbox/outbox.ts';
import { REFUSED_PREFIX } from './provider.ts';

/** Opens the directory in a file. */
export type OpenDirectory = (path: string, options: { now: () => number }) => Promise<Directory>;

/** The key that seals the tokens. */
export const KEYS = [{ name: 'k1', key: createSecretKey(Buffer.alloc(32, 'check')) }];

/** The one provider of the jobs. */
export function providerAt(endpoint: string): RevocableProvider {
  return {
    type: 'oidc',
    name: 'check',
    revocation: { endpoint, clientId: 'check', clientSecret: 'check', authMethod: 'client_secret_basic' },
  };
}

/** The tokens of the job with this number: one in four has two, one in a hundred is refused for good. */
export function tokensOf(index: number): ProviderTokens {
  if (index % 100 === 99) return { refreshToken: `${REFUSED_PREFIX}${index}` };
  return { refreshToken: `refresh-${index}`, ...(index % 4 === 0 && { accessToken: `access-${index}` }) };
}

/** The job with this number. */
export function jobOf(index: number): NewJob {
  const id = jobId(index);
  return {
    id,
    kind: 'grant-revocation',
    details: { subject: 'check', fpType: 'oidc', fpName: 'check', sid: id },
    secret: sealTokens(tokensOf(index), id, KEYS),
    boundTo: id,
    requestId: id,
  };
}

/** What the job with this number is called. */
export function jobId(index: number): string {
  return `job-${index}`;
}

/** The SQLite directory, or what a module opens in its place. */
export async function directoryOpener(module: string | undefined): Promise<OpenDirectory> {
  if (module === undefined) return openSqliteDirectory;
  const { openDirectory } = await import(module);
  if (typeof openDirectory === 'function') return openDirectory;
  throw new Error(`${module} has no openDirectory(path, options)`);
}
