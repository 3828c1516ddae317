import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { DynamodbOptions } from '#shared/databases/dynamodb.ts';
import { inTransaction, openSqliteDatabase } from '#shared/databases/sqlite.ts';
import { pendingMigrations } from './migration-files.ts';

/**
 * Creates or upgrades what a store's URL names. Safe to repeat, and for two at once.
 *
 * @throws {Error} Also when a newer version of this project has migrated it.
 */
export async function migrate(url: string): Promise<void> {
  const [, scheme, location = ''] = /^([a-z+]+):(.*)$/s.exec(url) ?? [];
  // Each server's client is loaded only for its own stores.
  switch (scheme) {
    case 'postgres':
    case 'postgresql': {
      const { migratePostgres } = await import('./migrate-postgres.ts');
      return migratePostgres(url);
    }
    case 'redis':
    case 'rediss': {
      const { migrateRedis } = await import('./migrate-redis.ts');
      return migrateRedis(url);
    }
    case 'sqlite':
      return migrateSqlite(location);
    case 'dynamodb+https':
    case 'dynamodb+http': {
      const { migrateDynamodb } = await import('./migrate-dynamodb.ts');
      return migrateDynamodb(url, operatorIdentity());
    }
    default:
      throw new Error('--store must be sqlite:<path>, postgres://…, redis://… or dynamodb+https://…');
  }
}

/** Brings the database of a store up to date: the numbered files not yet applied, in their order. */
export function migrateSqlite(path: string): void {
  const database = openSqliteDatabase(path, { create: true });
  try {
    inTransaction(database, () => {
      database.exec('CREATE TABLE IF NOT EXISTS applied_migration (file TEXT PRIMARY KEY) STRICT');
      const applied = database.prepare('SELECT file FROM applied_migration').all();
      const markApplied = database.prepare('INSERT INTO applied_migration (file) VALUES (?)');
      for (const { file, sql } of pendingMigrations(
        'sqlite',
        applied.map((row) => String(row.file)),
      )) {
        database.exec(sql);
        markApplied.run(file);
      }
    });
  } finally {
    database.close();
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
  await migrate(values.store ?? '');
  console.log('The store has the schema of this version.');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    const { message, cause } = error instanceof Error ? error : new Error(String(error));
    console.error(cause instanceof Error ? `${message} (${cause.message})` : message);
    process.exitCode = 1;
  });
}
