import { createScript, openRedis } from '#shared/databases/redis.ts';
import { assertUpgradable } from '#shared/databases/store-schema.ts';
import { MARKER_KEY } from '#shared/token-revocation/drivers/redis.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { type MigrationReport, refuseNewer } from './migration-files.ts';

/**
 * ARGV: the version to mark, the first one that can be upgraded. Raises the marker of a store that can be upgraded, never
 * lowers it: an older version of this code may run at the same time.
 */
const MARK = createScript(`#!lua
local version = tonumber(redis.call('GET', KEYS[1]) or 0)
local isUpgradable = version == 0 or version >= tonumber(ARGV[2])
if isUpgradable and version < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return version`);

/** GET and not EXISTS: whoever migrates has the right to it anyway. */
const LOOK = createScript(`#!lua
return redis.call('GET', KEYS[1]) and 1 or 0`);

/**
 * Sets the schema marker of a store on a Redis server. Safe to repeat, and for two at once.
 *
 * @throws {OlderSchema} No migration can upgrade the store. Nothing was changed.
 */
export async function migrateRedis(url: string): Promise<MigrationReport> {
  const { component, version, upgradable } = TOKEN_REVOCATION_SCHEMA;
  const database = openRedis(url, console.warn);
  try {
    const call = { script: MARK, keys: [MARKER_KEY], values: [version, upgradable.from] };
    const found = Number(await database.write(call));
    assertUpgradable(TOKEN_REVOCATION_SCHEMA, found || undefined);
    refuseNewer(found > version, `${component} ${found}`);
    return { wasNew: found === 0, changes: found === version ? [] : [`schema marker ${component} ${version}`] };
  } finally {
    await database.close();
  }
}

/** Whether a server has a schema marker. Changes nothing. */
export async function hasRedisSchema(url: string): Promise<boolean> {
  // A loss that the URL accepts is told by the migration.
  const database = openRedis(url, () => {});
  try {
    return (await database.run({ script: LOOK, keys: [MARKER_KEY], values: [] })) === 1;
  } finally {
    await database.close();
  }
}
