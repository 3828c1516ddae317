import pg from 'pg';
import { assertSafe, readPostgresUrl } from '#shared/databases/postgres.ts';
import { DIRECTORY_TABLES } from '#shared/directory/postgres-statements.ts';
import { REVOCATION_TABLES } from '#shared/token-revocation/drivers/postgres.ts';
import { pendingMigrations } from './migration-files.ts';

/** Held while migrating: any number, and the same in every version of this project. */
const LOCK = 7_281_946_503;

/**
 * Brings a PostgreSQL database up to date: the numbered files not yet applied, in their order, each in a transaction.
 * Safe to repeat, and for two at once.
 */
export async function migratePostgres(url: string): Promise<void> {
  const client = new pg.Client(readPostgresUrl(url).connection);
  client.on('error', () => {}); // the query that it was to serve fails and tells
  try {
    await client.connect();
    await assertSafe(client, [...REVOCATION_TABLES, ...DIRECTORY_TABLES]);
    await inTransaction(client, () =>
      client.query('CREATE TABLE IF NOT EXISTS applied_migration (file text PRIMARY KEY)'),
    );
    while (await inTransaction(client, () => applyNext(client)));
  } finally {
    await client.end();
  }
}

/** Whether there was one to apply. */
async function applyNext(client: pg.Client): Promise<boolean> {
  const applied = await client.query<{ file: string }>('SELECT file FROM applied_migration');
  const [next] = pendingMigrations(
    'postgres',
    applied.rows.map(({ file }) => file),
  );
  if (next === undefined) return false;
  await client.query(next.sql);
  await client.query('INSERT INTO applied_migration (file) VALUES ($1)', [next.file]);
  return true;
}

/** The lock is the transaction's, not the session's: a pooler may give each transaction another session. */
async function inTransaction<Result>(client: pg.Client, work: () => Promise<Result>): Promise<Result> {
  await client.query('BEGIN');
  await client.query('SELECT pg_advisory_xact_lock($1)', [LOCK]);
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {}); // the connection may be the trouble
    throw error;
  }
}
