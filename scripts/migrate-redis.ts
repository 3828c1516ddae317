import { createScript, openRedis } from '#shared/databases/redis.ts';
import { MARKER_KEY } from '#shared/token-revocation/drivers/redis.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { type MigrationReport, refuseNewer } from './migration-files.ts';

/** Raises the marker, never lowers it: an older version of this code may run at the same time. */
const MARK = createScript(`#!lua
local version = tonumber(redis.call('GET', KEYS[1]) or 0)
if version < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return version`);

/** GET and not EXISTS: whoever migrates has the right to it anyway. */
const LOOK = createScript(`#!lua
return redis.call('GET', KEYS[1]) and 1 or 0`);

/** Sets the schema marker of a store on a Redis server. Safe to repeat, and for two at once. */
export async function migrateRedis(url: string): Promise<MigrationReport> {
  const { component, version } = TOKEN_REVOCATION_SCHEMA;
  const database = openRedis(url, console.warn);
  try {
    const found = Number(await database.write({ script: MARK, keys: [MARKER_KEY], values: [version] }));
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
