import type { AccountLink } from '../account-link/account-link.ts';
import { type Job, type JobState, jobStateOf } from '../outbox/outbox.ts';
import type { StoredJob } from '../outbox/stored-job.ts';
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

/** The columns of `outbox_job`. */
export const JOB_COLUMNS = `id, kind, details, secret, bound_to, request_id, state, result, claim, attempts_started,
  attempts_finished, due_at, created_at, give_up_at, last_error, finished_at`;

/** The columns of what an `INSERT` would have written, in an `UPDATE` of what stands in its way. */
export function excluded(columns: string): string {
  return columns.replace(/\w+/g, 'excluded.$&');
}

/** The job of a row of `outbox_job`. */
export function storedJob(row: Row): StoredJob {
  // As the drivers have written it; what is JSON comes as a text from a database without a type for it.
  const { kind, details, state, result } = row as Pick<Job, 'kind' | 'state'> & {
    readonly details: Job['details'] | string;
    readonly result: string | null;
  };
  return {
    ...{ id: String(row.id), kind, details: typeof details === 'string' ? JSON.parse(details) : details },
    secret: optional(row.secret, String),
    boundTo: String(row.bound_to),
    requestId: String(row.request_id),
    ...jobState(state, result),
    claim: optional(row.claim, String),
    attemptsStarted: Number(row.attempts_started),
    attemptsFinished: Number(row.attempts_finished),
    dueAt: Number(row.due_at),
    createdAt: Number(row.created_at),
    giveUpAt: Number(row.give_up_at),
    lastError: optional(row.last_error, String),
    finishedAt: optional(row.finished_at, Number),
  };
}

/** What has become of a job, by its columns. */
export function jobState(state: Job['state'], result: string | null): JobState {
  return state === 'done' || state === 'dead' ? jobStateOf({ state, result: result ?? '' }) : jobStateOf({ state });
}

/** What `read` makes of a column; nothing of one that holds nothing. */
export function optional<Value>(column: unknown, read: (column: unknown) => Value): Value | undefined {
  return column === null || column === undefined ? undefined : read(column);
}
