import { createScript, openRedis } from '../../databases/redis.ts';
import { notMigrated } from '../../databases/store-schema.ts';
import {
  assertRevocation,
  NEVER,
  type PresentedToken,
  type RevocationStatus,
  TOKEN_REVOCATION_SCHEMA,
  type TokenRevocationStore,
  timeOfRevocation,
} from '../store.ts';

/** Of every key, with a hash tag: a script's keys must lie together, should the server be a cluster. */
const PREFIX = `unlink:{${TOKEN_REVOCATION_SCHEMA.component}}:`;

/** Holds the version of the schema. */
export const MARKER_KEY = `${PREFIX}schema`;

/** A sorted set of all other keys by expiry. Redis expires none by itself: its clock is not ours. */
const EXPIRIES_KEY = `${PREFIX}expiries`;

/** What a script returns, with the version that is there or 0, where the schema marker is missing or older. */
const NOT_MIGRATED = 'schema';

/**
 * What the scripts begin with: nothing is read without the marker, and a value that is not ours is an error, not "not
 * revoked". A value is two times: since when an id is revoked, or up to when a cut-off reaches; and its expiry.
 */
const PRELUDE = `
local time = tonumber(ARGV[1])
local version = tonumber(redis.call('GET', KEYS[1]) or 0)
if version < ${TOKEN_REVOCATION_SCHEMA.version} then return { '${NOT_MIGRATED}', version } end

local function live(key)
  local value = redis.call('GET', key)
  if not value then return nil end
  local since, expiry = string.match(value, '^(%-?%d+) (%-?%d+)$')
  if not since then error({ err = 'CORRUPT value of ' .. key }) end
  if tonumber(expiry) > time then return tonumber(since), tonumber(expiry) end
end

-- Before the first write: a user without the right to a later one must not be left with half of a change.
local function need(...)
  if not redis.acl_check_cmd(...) then error({ err = 'NOPERM the user lacks the right to ' .. select(1, ...) }) end
end

-- What revokes a token, whose ids, grants and cut-offs are the keys from the first one on.
local function status(first, ids, grants, issuedAt)
  for at = first, #KEYS do
    local known = live(KEYS[at])
    if known and at < first + ids then return 'token' end
    if known and at < first + ids + grants then return 'grant' end
    if known and (not issuedAt or issuedAt <= known) then return 'cut_off' end
  end
  return 'none'
end
`;

/** KEYS: marker, ids, grants, cut-offs. ARGV: time, number of ids, of grants, time of issue. */
const CHECK = createScript(`#!lua flags=allow-oom
${PRELUDE}
return status(2, tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]))`);

/**
 * KEYS: marker, expiries, ids, grants, cut-offs, then the ids, grants and cut-offs of the token presented. ARGV: time,
 * expiry, expiry of the grants, numbers of these six without the last, the token's time of issue, the offset of its
 * issuer's clock, the cut-offs' times.
 * Reads everything, then writes with two commands; only the first of them can fail. So it is all or nothing.
 */
const REVOKE = createScript(`#!lua
${PRELUDE}
local expiry, grantExpiry = tonumber(ARGV[2]), tonumber(ARGV[3])
local ids, grants, cutOffs = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local presented, presentedIds = 3 + ids + grants + cutOffs, tonumber(ARGV[7])
local presentedGrants, issuedAt, offset = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local wasRevoked = status(presented, presentedIds, presentedGrants, issuedAt) ~= 'none'
local wasCutOff = status(presented + presentedIds + presentedGrants, 0, 0, issuedAt) ~= 'none'
local knownSince, moved, expiries, values, latestOf = nil, false, {}, {}, {}

local function remember(since)
  if since then knownSince = math.min(knownSince or since, since) end
end
local function put(key, since, newExpiry, oldExpiry)
  -- A key may come twice: what is written last wins.
  local latest = math.max(newExpiry, oldExpiry or newExpiry, latestOf[key] or newExpiry)
  latestOf[key] = latest
  table.insert(expiries, string.format('%.0f', latest))
  table.insert(expiries, key)
  table.insert(values, key)
  table.insert(values, string.format('%.0f %.0f', since, latest))
end

for at = presented, presented + presentedIds + presentedGrants - 1 do remember((live(KEYS[at]))) end
for at = 3, 2 + ids + grants do
  local since, oldExpiry = live(KEYS[at])
  remember(since)
  put(KEYS[at], since or time, at < 3 + ids and expiry or grantExpiry, oldExpiry)
end
if not wasCutOff then
  local furthest = wasRevoked and math.max(knownSince + offset, issuedAt or -math.huge) or math.huge
  for index = 1, cutOffs do
    local key, upTo = KEYS[2 + ids + grants + index], math.min(tonumber(ARGV[10 + index]), furthest)
    local before, oldExpiry = live(key)
    moved = moved or not before or before < upTo
    put(key, math.max(before or upTo, upTo), expiry, oldExpiry)
  end
end

if #values > 0 then
  need('ZADD', KEYS[2], unpack(expiries))
  need('MSET', unpack(values))
  redis.call('ZADD', KEYS[2], unpack(expiries))
  redis.call('MSET', unpack(values))
end
local isNew = moved
if ids + grants > 0 then isNew = not knownSince end
return { isNew and not wasRevoked and 1 or 0, math.min(time, knownSince or time) }`);

/** KEYS: marker, expiries. ARGV: time, limit. */
const PURGE = createScript(`#!lua flags=allow-oom
${PRELUDE}
local expired = redis.call('ZRANGE', KEYS[2], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, key in ipairs(expired) do
  need('DEL', key)
  need('ZREM', KEYS[2], key)
  redis.call('DEL', key)
  redis.call('ZREM', KEYS[2], key)
end
return #expired`);

/**
 * A store on a Redis 7 or Valkey server. The URL: `readRedisUrl`.
 *
 * @param options.warn Is told which loss of acknowledged revocations the URL accepts.
 * @throws {Misconfigured}
 */
export async function openRedisStore(
  url: string,
  {
    now = Date.now,
    warn = (sentence) => process.emitWarning(sentence),
  }: { now?: () => number; warn?: ((sentence: string) => void) | undefined } = {},
): Promise<TokenRevocationStore> {
  const database = openRedis(url, warn);

  const currentTime = () => Math.floor(now() / 1000);

  return {
    async revoke(revocation, timeoutMs) {
      assertRevocation(revocation);
      const { tokenIds, grants, grantsExpireAt = NEVER, cutOffs, expiresAt } = revocation;
      const { presented = NOTHING, iatOffsetS = 0 } = revocation;
      const call = {
        script: REVOKE,
        keys: [
          MARKER_KEY,
          EXPIRIES_KEY,
          ...keysOf({ tokenIds, grants, cutOffKeys: cutOffs.map(({ key }) => key) }),
          ...keysOf(presented),
        ],
        values: [
          timeOfRevocation(revocation, currentTime()),
          expiresAt,
          grantsExpireAt,
          tokenIds.length,
          grants.length,
          cutOffs.length,
          presented.tokenIds.length,
          presented.grants.length,
          presented.issuedAt ?? '',
          iatOffsetS,
          ...cutOffs.map(({ issuedUpTo }) => issuedUpTo),
        ],
      };
      const result = migrated(await database.write(call, timeoutMs));
      const [first, at] = result as [number, number]; // what the script returns
      return { first: first === 1, at };
    },

    async check(token, timeoutMs) {
      const { tokenIds, grants, issuedAt } = token;
      const call = {
        script: CHECK,
        keys: [MARKER_KEY, ...keysOf(token)],
        values: [currentTime(), tokenIds.length, grants.length, issuedAt ?? ''],
      };
      const result = migrated(await database.run(call, timeoutMs));
      const by = result as Extract<RevocationStatus, { revoked: true }>['by'] | 'none'; // what the script returns
      return by === 'none' ? { revoked: false } : { revoked: true, by };
    },

    async purgeExpired(limit) {
      // One that is lost is repeated.
      const call = { script: PURGE, keys: [MARKER_KEY, EXPIRIES_KEY], values: [currentTime(), limit] };
      return Number(migrated(await database.run(call)));
    },

    close: () => database.close(),
  };
}

const NOTHING: PresentedToken = { tokenIds: [], grants: [], cutOffKeys: [] };

/**
 * What a script returns.
 *
 * @throws {StoreUnavailable} It has found no schema marker, or an older one.
 */
function migrated(result: unknown): unknown {
  if (!Array.isArray(result) || result[0] !== NOT_MIGRATED) return result;
  throw notMigrated(TOKEN_REVOCATION_SCHEMA, Number(result[1]) || undefined);
}

/** Its ids, grants and cut-offs, in this order. A token id and a grant share one space of names, as in every driver. */
function keysOf({ tokenIds, grants, cutOffKeys }: PresentedToken): string[] {
  return [
    ...tokenIds.map((id) => `${PREFIX}id:${id}`),
    ...grants.map((id) => `${PREFIX}id:${id}`),
    ...cutOffKeys.map((key) => `${PREFIX}cut-off:${key}`),
  ];
}
