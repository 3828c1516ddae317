import type { AccountLink } from '../account-link/account-link.ts';
import type { ThreepidBinding } from '../threepid/threepid-binding.ts';

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

/** The bind of a row of `threepid_binding`. */
export function threepidBinding(row: Row): ThreepidBinding {
  return {
    mxid: String(row.mxid),
    medium: row.medium === 'msisdn' ? 'msisdn' : 'email',
    address: String(row.address),
    idServer: String(row.id_server),
    bindId: String(row.bind_id),
    state: row.state === 'bound' ? 'bound' : 'pending',
    begunAt: Number(row.begun_at),
  };
}

/** What `read` makes of a column; nothing of one that holds nothing. */
export function optional<Value>(column: unknown, read: (column: unknown) => Value): Value | undefined {
  return column === null || column === undefined ? undefined : read(column);
}
