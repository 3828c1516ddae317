/** What tests use of a Redis store: an entry of a bundle of its own, see `load-ports.ts`. */
export { openRedisStore } from '#shared/token-revocation/drivers/redis.ts';
export { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
