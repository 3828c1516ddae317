import { StoreUnavailable } from '../errors.ts';

/** What a store must have been migrated to. One store may hold several. */
export interface StoreSchema {
  readonly component: string;
  readonly version: number;
  /** The first version that a migration can upgrade, and why it can upgrade none before. Absent: it can upgrade all. */
  readonly upgradable?: { readonly from: number; readonly because: string };
}

/** A store has an older version of a schema. The message is a sentence for an operator. */
export class OlderSchema extends Error {
  /** @param found The version that the store has. */
  constructor({ component, version, upgradable }: StoreSchema, found: number) {
    const remedy =
      upgradable !== undefined && found < upgradable.from
        ? `It cannot be upgraded: ${upgradable.because}. Make a new store: npm run migrate, with the URL of an empty one`
        : 'Upgrade the store: npm run migrate';
    super(`The store has version ${found} of the schema ${component}, this code needs version ${version}. ${remedy}.`);
  }
}

/** What a statement is joined to: without the marker there is no row, in the same look at the database. */
export function schemaMarker({ component, version }: StoreSchema): string {
  return `schema_marker WHERE component = '${component}' AND version >= ${version}`;
}

/** The statement that finds which version of a schema a database has, if any, in the column `version`. */
export function schemaVersion({ component }: StoreSchema): string {
  return `SELECT version FROM schema_marker WHERE component = '${component}'`;
}

/**
 * The failure of a call that has found no schema marker, or an older one: its cause is then an {@link OlderSchema}.
 *
 * @param found The version that the store has, if it has the schema.
 * @param cause What it failed with, where that is not the reason.
 */
export function notMigrated(schema: StoreSchema, found: number | undefined, cause?: unknown): StoreUnavailable {
  const isOlder = found !== undefined && found < schema.version;
  return new StoreUnavailable('not_migrated', { cause: isOlder ? new OlderSchema(schema, found) : cause });
}

/** @throws {OlderSchema} The store has a version of the schema that no migration can upgrade. */
export function assertUpgradable(schema: StoreSchema, found: number | undefined): void {
  const { from } = schema.upgradable ?? { from: 0 };
  if (found !== undefined && found < from) throw new OlderSchema(schema, found);
}
