import { readdirSync, readFileSync } from 'node:fs';
import type { StoreSchema } from '#shared/databases/store-schema.ts';
import { DIRECTORY_SCHEMA } from '#shared/directory/directory.ts';
import { TOKEN_REVOCATION_SCHEMA } from '#shared/token-revocation/store.ts';

/** The schemas that a migration makes or upgrades; in Redis the first alone. */
export const SCHEMAS: readonly StoreSchema[] = [TOKEN_REVOCATION_SCHEMA, DIRECTORY_SCHEMA];

/** A numbered file of `infra/migrations/<database>/`. */
export interface Migration {
  readonly file: string;
  readonly sql: string;
}

/** What a migration found, and what it did. */
export interface MigrationReport {
  /** Whether the store had no schema marker: no revocation that was made before is known in it. */
  readonly wasNew: boolean;
  /** What it created or applied, in order. Empty when the store was up to date. */
  readonly changes: readonly string[];
}

/** A report in sentences, for an operator. */
export function describeMigration({ wasNew, changes }: MigrationReport): string {
  if (changes.length === 0) return 'Nothing was changed: the store has the schema of this version already.';
  const list = changes.join(', ');
  if (!wasNew) return `The store has the schema of this version now. Applied: ${list}. What it held is kept.`;
  return [
    `The store had no schema. Created: ${list}.`,
    'Every token that was revoked so far is unknown in this store, and is let in. If the store is to replace another one, ' +
      'restore a backup of that one in its place, or rebuild the revocations from the log before a function uses it ' +
      '(docs/operations.md, "Restore").',
  ].join('\n');
}

/**
 * What is still to be applied, in order.
 *
 * @param applied The files that were applied before. One that is not known was applied by a newer version.
 */
export function pendingMigrations(database: 'postgres' | 'sqlite', applied: readonly string[]): Migration[] {
  const folder = new URL(`../infra/migrations/${database}/`, import.meta.url);
  const files = readdirSync(folder).sort();
  const unknown = applied.filter((file) => !files.includes(file)).sort();
  refuseNewer(unknown.length > 0, `of ${unknown.at(-1)}`);
  return files
    .filter((file) => !applied.includes(file))
    .map((file) => ({ file, sql: readFileSync(new URL(file, folder), 'utf8') }));
}

/**
 * Ends a migration that would leave a store without its schema marker, which every function refuses.
 *
 * @throws {Error}
 */
export function assertMarked(isMarked: boolean): void {
  if (isMarked) return;
  throw new Error(
    'The store has lost its schema marker, though all migrations were applied to it: restore it from a backup.',
  );
}

/** Ends a migration of a store that a newer version of this project has migrated. */
export function refuseNewer(isNewer: boolean, schema: string): void {
  if (isNewer)
    throw new Error(`The store has the schema ${schema}, which this version does not know: use a newer one.`);
}
