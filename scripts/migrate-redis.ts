import { createScript, openRedis } from '#shared/databases/redis.ts';
import { MARKER_KEY } from '#shared/token-revocation/drivers/redis.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { refuseNewer } from './migration-files.ts';

/** Raises the marker, never lowers it: an older version of this code may run at the same time. */
const MARK = createScript(`#!lua
local version = tonumber(redis.call('GET', KEYS[1]) or 0)
if version < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
return version`);

/** Sets the schema marker of a store on a Redis server. Safe to repeat, and for two at once. */
export async function migrateRedis(url: string): Promise<void> {
  const { component, version } = TOKEN_REVOCATION_SCHEMA;
  const database = openRedis(url, console.warn);
  try {
    const found = await database.write({ script: MARK, keys: [MARKER_KEY], values: [version] });
    refuseNewer(Number(found) > version, `${component} ${found}`);
  } finally {
    await database.close();
  }
}
