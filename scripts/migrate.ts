import { readdirSync, readFileSync } from 'node:fs';
import { inTransaction, openSqliteDatabase } from '#shared/databases/sqlite.ts';

const MIGRATIONS = new URL('../infra/migrations/', import.meta.url);

/** Brings the database of a store up to date: the numbered files not yet applied, in their order. Safe to repeat. */
export function migrateSqlite(path: string): void {
  const database = openSqliteDatabase(path, { create: true });
  try {
    inTransaction(database, () => {
      database.exec('CREATE TABLE IF NOT EXISTS applied_migration (file TEXT PRIMARY KEY) STRICT');
      const isApplied = database.prepare('SELECT 1 FROM applied_migration WHERE file = ?');
      const markApplied = database.prepare('INSERT INTO applied_migration (file) VALUES (?)');
      const folder = new URL('sqlite/', MIGRATIONS);
      for (const file of readdirSync(folder).sort()) {
        if (isApplied.get(file) !== undefined) continue;
        database.exec(readFileSync(new URL(file, folder), 'utf8'));
        markApplied.run(file);
      }
    });
  } finally {
    database.close();
  }
}
