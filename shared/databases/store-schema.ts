import { StoreUnavailable } from '../errors.ts';

/** What a store must have been migrated to. One store may hold several. */
export interface StoreSchema {
  readonly component: string;
  readonly version: number;
}

/** What a statement is joined to: without the marker there is no row, in the same look at the database. */
export function schemaMarker({ component, version }: StoreSchema): string {
  return `schema_marker WHERE component = '${component}' AND version >= ${version}`;
}

/** The row of a statement that found the schema marker. */
export function migrated<Row>(row: Row | undefined): Row {
  if (row === undefined) throw new StoreUnavailable('not_migrated');
  return row;
}
