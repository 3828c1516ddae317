import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { readEnvironment } from '#shared/runtime/environment.ts';
import type { Settings, Variables } from '#shared/settings.ts';
import { UsageError } from './verb.ts';

/** The settings that every help names. */
export const SETTINGS_HELP = `
Settings, from the environment, the same as the functions':

  STORE_URL             where all is kept; in its place REVOCATION_STORE_URL for revocations, DIRECTORY_URL for the rest
  TOKEN_PEPPERS         the keys of what is stored as digests: tokens, and e-mail addresses that are imported
  ENCRYPTION_KEYS       the keys of what is sealed, the newest first: to rotate them, and to import provider tokens
  PROVIDERS             in place of providers.json: the providers whose links are imported
  ID_SERVER_ALLOW       identity servers that are not public, whose binds are imported all the same
  ISSUERS               whose tokens are verified; without it a token is known by itself alone
  GRANT_CLAIM           the claim that names the grant
  END_GRANT             how each authorization server ends a grant: for end-grant alone
  MAX_TOKEN_LIFETIME_S  how long a revocation is kept at the least
`;

/**
 * What the variables say that are asked for, from the environment, or what an emulator keeps in its folder: store, keys,
 * issuers, providers.
 *
 * @throws {Misconfigured}
 * @throws {UsageError} There is no emulator's store in the folder.
 */
export function readSettings<Asked extends Variables>(variables: Asked, dataDir: string | undefined): Settings<Asked> {
  if (dataDir !== undefined) useDataFolder(resolve(dataDir));
  return readEnvironment(variables);
}

/** The environment is what settings are read from: the folder's take the place of those that are set. */
function useDataFolder(folder: string): void {
  const database = join(folder, 'unlink.sqlite');
  const peppers = join(folder, 'peppers');
  if (!existsSync(database) || !existsSync(peppers)) {
    throw new UsageError(`The folder ${folder} is not one of the emulator: it has no unlink.sqlite or no peppers.`);
  }
  process.env.STORE_URL = `sqlite:${database}`;
  for (const name of ['REVOCATION_STORE_URL', 'DIRECTORY_URL', 'ENCRYPTION_KEYS', 'PROVIDERS'])
    delete process.env[name];
  process.env.TOKEN_PEPPERS = readKeys(peppers);
  const keys = join(folder, 'encryption-keys');
  // A folder that is older than what is sealed has none yet.
  if (existsSync(keys)) process.env.ENCRYPTION_KEYS = readKeys(keys);
  const verification = join(folder, 'verification.json');
  // Whoever started the emulator wrote it: names and values of the environment.
  if (existsSync(verification)) Object.assign(process.env, JSON.parse(readFileSync(verification, 'utf8')));
}

function readKeys(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new UsageError(`The file ${file} cannot be read.`);
  }
}

/**
 * The store in words, without its credentials.
 *
 * @throws {UsageError} It would be lost with this command.
 */
export function storeName({
  STORE_URL,
  REVOCATION_STORE_URL,
}: {
  readonly STORE_URL?: string | undefined;
  readonly REVOCATION_STORE_URL?: string | undefined;
}): string {
  const url = REVOCATION_STORE_URL ?? STORE_URL ?? '';
  if (url.startsWith('memory:')) {
    throw new UsageError('The store is memory: it belongs to one process, and this command cannot reach it.');
  }
  if (url.startsWith('sqlite:')) return url;
  if (!URL.canParse(url)) return url.slice(0, url.indexOf(':') + 1);
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
