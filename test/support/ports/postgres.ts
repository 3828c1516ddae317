/** What tests use of a PostgreSQL store: an entry of a bundle of its own, see `load-ports.ts`. */
export { openPostgresDirectory } from '#shared/directory/drivers/postgres.ts';
export { openDirectory } from '#shared/directory/open-store.ts';
export { openPostgresOutbox } from '#shared/outbox/drivers/postgres.ts';
export { openOutbox } from '#shared/outbox/open-store.ts';
export { openPostgresStore } from '#shared/token-revocation/drivers/postgres.ts';
export { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
