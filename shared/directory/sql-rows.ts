import type { AccountLink } from '../account-link/account-link.ts';

/** A row as a driver of an SQL database gives it. */
export type Row = Readonly<Record<string, unknown>>;

/** The link of a row of `links`. */
export function accountLink(row: Row): AccountLink {
  return {
    fpType: String(row.fp_type),
    fpName: String(row.fp_name),
    sid: String(row.sid),
    userName: optional(row.user_name, String),
    evidence: row.evidence === 'proved' ? 'proved' : 'asserted',
    linkedAt: Number(row.linked_at),
  };
}

/** What `read` makes of a column; nothing of one that holds nothing. */
export function optional<Value>(column: unknown, read: (column: unknown) => Value): Value | undefined {
  return column === null || column === undefined ? undefined : read(column);
}
