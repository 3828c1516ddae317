/** How an operator copies a store that is in use. */
import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { locateStore, type StoreLocation } from '#shared/databases/store-driver.ts';
import { DirectoryEnvironment, locateDirectory } from '#shared/directory/locate-directory.ts';
import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { TokenRevocationStoreEnvironment } from '#shared/token-revocation/open-store.ts';
import { readSettings, storeName } from './settings.ts';
import { copySqlite } from './sqlite-copy.ts';
import { defineVerb, formatRows, UsageError } from './verb.ts';

/** How each other backend is copied, in a sentence. The document says more. */
const OWN_WAYS: Readonly<Record<Exclude<StoreLocation['driver'], 'sqlite'>, string>> = {
  memory: 'a store in memory has no copy',
  postgres:
    'of PostgreSQL, pg_dump --format=custom takes one snapshot with all that was acknowledged before it began, and an archive of its WAL loses nothing',
  redis:
    'of Redis, copy dump.rdb once a BGSAVE that you asked for has ended (rdb_last_bgsave_status:ok), or its append-only folder while no rewrite is under way',
  dynamodb:
    'of DynamoDB, aws dynamodb create-backup or point-in-time recovery does it, and of YDB its backups or ydb tools dump --consistency-level database',
};

/** Copies the SQLite file of a store that is in use. */
export const backup = defineVerb({
  summary: 'copy the SQLite store into a new file, while it is in use',
  operand: { value: '<file>', help: 'the copy: a file that is not there yet' },
  options: {
    directory: { type: 'boolean', help: 'the store of DIRECTORY_URL, in place of the store of the revocations' },
  },
  notes: `
A plain copy of the file lacks what its write-ahead log holds, and lets in what was revoked. This copy is one snapshot: it
has every revocation that was acknowledged before the command began. It is on the disk and verified before it gets its
name, its owner alone can read it, and no file is ever replaced. Others may read and write the store meanwhile.

The keys are not in it. Keep TOKEN_PEPPERS and ENCRYPTION_KEYS apart from it: without them it is of no use. Other stores
have their own ways of being copied: docs/operations.md, "Copies".
`,
  async run(values, file) {
    const { name, location } = locate(values);
    const { driver, path } = location;
    if (driver !== 'sqlite') {
      throw new UsageError(
        `Nothing was done: this copies a SQLite store. Use the backend's own way: ${OWN_WAYS[driver]} (docs/operations.md, "Copies").`,
      );
    }
    const begunAt = new Date().toISOString();
    const { revokedIds, cutOffs } = copySqlite(path, file);
    const bytes = statSync(file).size;
    return {
      document: { store: name, file, bytes, begun_at: begunAt, revoked_ids: revokedIds, cut_offs: cutOffs },
      text: `Copied, and verified. It has all that was acknowledged before ${begunAt}.\n\n${formatRows([
        ['store', name],
        ['file', basename(file)],
        ['bytes', String(bytes)],
        ['token ids and grants', `${revokedIds} at the least`],
        ['cut-offs', `${cutOffs} at the least`],
      ])}`,
    };
  },
});

/** The store that is meant, and its name without credentials. */
function locate(values: { readonly directory?: boolean | undefined; readonly 'data-dir'?: string | undefined }): {
  name: string;
  location: StoreLocation;
} {
  if (values.directory === true) {
    const settings = readSettings(DirectoryEnvironment, values['data-dir']);
    const name = storeName({ STORE_URL: settings.DIRECTORY_URL ?? settings.STORE_URL });
    return { name, location: locateDirectory(settings, LOCAL_PLATFORM) };
  }
  const settings = readSettings(TokenRevocationStoreEnvironment, values['data-dir']);
  const own = ['REVOCATION_STORE_URL', settings.REVOCATION_STORE_URL] as const;
  return { name: storeName(settings), location: locateStore(settings, own, LOCAL_PLATFORM) };
}
