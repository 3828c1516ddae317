import { readdirSync, readFileSync } from 'node:fs';

/** A numbered file of `infra/migrations/<database>/`. */
export interface Migration {
  readonly file: string;
  readonly sql: string;
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

/** Ends a migration of a store that a newer version of this project has migrated. */
export function refuseNewer(isNewer: boolean, schema: string): void {
  if (isNewer)
    throw new Error(`The store has the schema ${schema}, which this version does not know: use a newer one.`);
}
