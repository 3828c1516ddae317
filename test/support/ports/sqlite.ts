/** What tests use of a SQLite store: an entry of a bundle of its own, see `load-ports.ts`. */
export { openSqliteDatabase, sqliteFailure } from '#shared/databases/sqlite.ts';
export { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
export { openDirectory } from '#shared/directory/open-store.ts';
export { createRevocationJobs } from '#shared/grant-revocation/revocation-jobs.ts';
export { maintain } from '#shared/maintenance/maintain.ts';
export { openSqliteOutbox } from '#shared/outbox/drivers/sqlite.ts';
export { openOutbox } from '#shared/outbox/open-store.ts';
export { runDueJobs } from '#shared/outbox/run-due-jobs.ts';
export { send } from '#shared/outgoing/send.ts';
export { openSqliteStore } from '#shared/token-revocation/drivers/sqlite.ts';
export { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
