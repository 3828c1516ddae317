import pg from 'pg';
import { assertSafe, readPostgresUrl } from '#shared/databases/postgres.ts';
import { assertUpgradable, type StoreSchema, schemaVersion } from '#shared/databases/store-schema.ts';
import { DIRECTORY_TABLES } from '#shared/directory/postgres-statements.ts';
import { REVOCATION_TABLES } from '#shared/token-revocation/drivers/postgres.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import { assertMarked, type MigrationReport, pendingMigrations, SCHEMAS } from './migration-files.ts';

/** Held while migrating: any number, and the same in every version of this project. */
const LOCK = 7_281_946_503;

/**
 * Brings a PostgreSQL database up to date: the numbered files not yet applied, in their order, each in a transaction.
 * Safe to repeat, and for two at once.
 *
 * @throws {OlderSchema} No migration can upgrade the store. Nothing was changed.
 */
export async function migratePostgres(url: string): Promise<MigrationReport> {
  return await useClient(url, async (client) => {
    await inTransaction(client, async () => {
      await assertAllUpgradable(client);
      await client.query('CREATE TABLE IF NOT EXISTS applied_migration (file text PRIMARY KEY)');
    });
    const applied: Applied[] = [];
    for (;;) {
      const next = await inTransaction(client, () => applyNext(client));
      if (next === undefined) break;
      applied.push(next);
    }
    assertMarked(await isMarked(client));
    return { wasNew: applied.some(({ wasMarked }) => !wasMarked), changes: applied.map(({ file }) => file) };
  });
}

/** Whether a database has a schema marker. Changes nothing. */
export async function hasPostgresSchema(url: string): Promise<boolean> {
  return await useClient(url, isMarked);
}

async function useClient<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client(readPostgresUrl(url).connection);
  client.on('error', () => {}); // the query that it was to serve fails and tells
  try {
    await client.connect();
    await assertSafe(client, [...REVOCATION_TABLES, ...DIRECTORY_TABLES]);
    return await work(client);
  } finally {
    await client.end();
  }
}

async function isMarked(client: pg.Client): Promise<boolean> {
  return (await readVersion(client, TOKEN_REVOCATION_SCHEMA)) !== undefined;
}

/** The version of a schema that the database has, if it has one. */
async function readVersion(client: pg.Client, schema: StoreSchema): Promise<number | undefined> {
  const table = await client.query("SELECT to_regclass('schema_marker') IS NOT NULL AS exists");
  if (table.rows[0]?.exists !== true) return undefined;
  const { rows } = await client.query<{ version: number }>(schemaVersion(schema));
  return rows[0]?.version;
}

/** @throws {OlderSchema} */
async function assertAllUpgradable(client: pg.Client): Promise<void> {
  for (const schema of SCHEMAS) assertUpgradable(schema, await readVersion(client, schema));
}

/** A file that was applied. */
interface Applied {
  readonly file: string;
  /** Whether the schema marker was there before. */
  readonly wasMarked: boolean;
}

/** Applies one file; undefined when none is left. */
async function applyNext(client: pg.Client): Promise<Applied | undefined> {
  // Each time: an older version of this code may migrate it at the same time.
  await assertAllUpgradable(client);
  const applied = await client.query<{ file: string }>('SELECT file FROM applied_migration');
  const [next] = pendingMigrations(
    'postgres',
    applied.rows.map(({ file }) => file),
  );
  if (next === undefined) return undefined;
  const wasMarked = await isMarked(client);
  await client.query(next.sql);
  await client.query('INSERT INTO applied_migration (file) VALUES ($1)', [next.file]);
  return { file: next.file, wasMarked };
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
