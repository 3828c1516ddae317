import { existsSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { DynamodbOptions } from '#shared/databases/dynamodb.ts';
import { inTransaction, openSqliteDatabase, sqliteFailure } from '#shared/databases/sqlite.ts';
import { assertUpgradable, type StoreSchema, schemaVersion } from '#shared/databases/store-schema.ts';
import { isStoreUnavailable } from '#shared/errors.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';
import {
  assertMarked,
  describeMigration,
  type MigrationReport,
  pendingMigrations,
  SCHEMAS,
} from './migration-files.ts';

/** What can be done with the schema of the store that a URL names. */
interface StoreSchemas {
  readonly migrate: () => Promise<MigrationReport>;
  /** Changes nothing. */
  readonly hasSchema: () => Promise<boolean>;
}

/**
 * Creates or upgrades what a store's URL names. Safe to repeat, and for two at once.
 *
 * @throws {OlderSchema} No migration can upgrade the store. Nothing was changed.
 * @throws {Error} Also when a newer version of this project has migrated it.
 */
export async function migrate(url: string): Promise<MigrationReport> {
  return await (await locateSchemas(url)).migrate();
}

/**
 * Whether a store has a schema: one that has none is new, or is an empty copy. Changes nothing.
 *
 * @throws {Error} The store cannot be asked.
 */
export async function hasSchema(url: string): Promise<boolean> {
  return await (await locateSchemas(url)).hasSchema();
}

async function locateSchemas(url: string): Promise<StoreSchemas> {
  const [, scheme, location = ''] = /^([a-z+]+):(.*)$/s.exec(url) ?? [];
  // Each server's client is loaded only for its own stores.
  switch (scheme) {
    case 'postgres':
    case 'postgresql': {
      const { migratePostgres, hasPostgresSchema } = await import('./migrate-postgres.ts');
      return { migrate: () => migratePostgres(url), hasSchema: () => hasPostgresSchema(url) };
    }
    case 'redis':
    case 'rediss': {
      const { migrateRedis, hasRedisSchema } = await import('./migrate-redis.ts');
      return { migrate: () => migrateRedis(url), hasSchema: () => hasRedisSchema(url) };
    }
    case 'sqlite':
      return { migrate: async () => migrateSqlite(location), hasSchema: async () => hasSqliteSchema(location) };
    case 'dynamodb+https':
    case 'dynamodb+http': {
      const { migrateDynamodb, hasDynamodbSchema } = await import('./migrate-dynamodb.ts');
      const identity = operatorIdentity();
      return { migrate: () => migrateDynamodb(url, identity), hasSchema: () => hasDynamodbSchema(url, identity) };
    }
    default:
      throw new Error('--store must be sqlite:<path>, postgres://…, redis://… or dynamodb+https://…');
  }
}

/**
 * Brings the database of a store up to date: the numbered files not yet applied, in their order.
 *
 * @throws {OlderSchema} No migration can upgrade the store. Nothing was changed.
 */
export function migrateSqlite(path: string): MigrationReport {
  const database = openSqliteDatabase(path, { create: true });
  try {
    return inTransaction(database, () => {
      for (const schema of SCHEMAS) assertUpgradable(schema, readVersion(database, schema));
      const wasNew = !isMarked(database);
      database.exec('CREATE TABLE IF NOT EXISTS applied_migration (file TEXT PRIMARY KEY) STRICT');
      const applied = database.prepare('SELECT file FROM applied_migration').all();
      const markApplied = database.prepare('INSERT INTO applied_migration (file) VALUES (?)');
      const pending = pendingMigrations(
        'sqlite',
        applied.map((row) => String(row.file)),
      );
      for (const { file, sql } of pending) {
        database.exec(sql);
        markApplied.run(file);
      }
      assertMarked(isMarked(database));
      return { wasNew, changes: pending.map(({ file }) => file) };
    });
  } finally {
    database.close();
  }
}

function hasSqliteSchema(path: string): boolean {
  if (!existsSync(path)) return false;
  const database = openSqliteDatabase(path);
  try {
    return isMarked(database);
  } finally {
    database.close();
  }
}

function isMarked(database: DatabaseSync): boolean {
  return readVersion(database, TOKEN_REVOCATION_SCHEMA) !== undefined;
}

/** The version of a schema that the database has, if it has one. */
function readVersion(database: DatabaseSync, schema: StoreSchema): number | undefined {
  try {
    const marker = database.prepare(schemaVersion(schema)).get();
    return marker && Number(marker.version);
  } catch (error) {
    const failure = sqliteFailure(error);
    if (isStoreUnavailable(failure) && failure.fault === 'not_migrated') return undefined;
    throw failure;
  }
}

/** Who an operator is at the DynamoDB API: `YC_TOKEN` (from `yc iam create-token`), or the AWS variables. */
function operatorIdentity(): DynamodbOptions {
  const { YC_TOKEN, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
  if (AWS_ACCESS_KEY_ID === undefined || AWS_SECRET_ACCESS_KEY === undefined) return { iamToken: () => YC_TOKEN };
  const sessionToken = AWS_SESSION_TOKEN === undefined ? {} : { sessionToken: AWS_SESSION_TOKEN };
  return { credentials: { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY, ...sessionToken } };
}

/** The command line: `npm run migrate -- --store URL`. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { store: { type: 'string' } } });
  console.log(describeMigration(await migrate(values.store ?? '')));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    const { message, cause } = error instanceof Error ? error : new Error(String(error));
    console.error(cause instanceof Error ? `${message} (${cause.message})` : message);
    process.exitCode = 1;
  });
}
