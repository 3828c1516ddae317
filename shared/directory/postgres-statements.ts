import { type PostgresDatabase, type Statement, safeCommit } from '../databases/postgres.ts';
import { schemaMarker } from '../databases/store-schema.ts';
import { DIRECTORY_SCHEMA } from './directory.ts';
import type { Row } from './sql-rows.ts';

/** The tables of a directory. */
export const DIRECTORY_TABLES = [
  'account_link',
  'audit_record',
  'bind_transaction',
  'outbox_job',
  'threepid_binding',
  'unlinked_identity',
];

/** What a change of a directory selects besides. */
export const SAFE_COMMIT = safeCommit(DIRECTORY_TABLES);

/** What a statement of a directory is joined to. */
export const MARKER = schemaMarker(DIRECTORY_SCHEMA);

/** A look at the database: what it has found, or one row of nulls. */
export function looking(name: string, { select, orderBy }: { select: string; orderBy?: string }): Statement {
  return {
    name,
    text: `SELECT hit.* FROM (SELECT FROM ${MARKER}) AS marker
      LEFT JOIN (SELECT true AS found, * FROM (${select}) AS hit) AS hit ON true
      ${orderBy === undefined ? '' : `ORDER BY ${orderBy}`}`,
  };
}

/** A change, and whether it was one. It has to ask for the `marker` itself. */
export function changing(name: string, change: string): Statement {
  return {
    name,
    text: `WITH marker AS (SELECT FROM ${MARKER}), changed AS (${change} RETURNING 1)
      SELECT EXISTS (SELECT FROM changed) AS changed FROM marker, ${SAFE_COMMIT}`,
  };
}

/** What runs such statements. */
export function withMarker({ query }: PostgresDatabase) {
  return {
    /** The rows that a {@link looking} statement has found. */
    async look(statement: Statement, values: unknown[], timeoutMs?: number): Promise<Row[]> {
      const rows = await query<Row>(statement, values, timeoutMs);
      return rows.filter(({ found }) => found === true);
    },

    /** Whether a {@link changing} statement was a change. */
    async change(statement: Statement, values: unknown[], timeoutMs?: number): Promise<boolean> {
      const [{ changed }] = await query<{ changed: boolean }>(statement, values, timeoutMs);
      return changed;
    },
  };
}
