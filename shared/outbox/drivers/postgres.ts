import { openPostgres, type PostgresDatabase } from '../../databases/postgres.ts';
import { DIRECTORY_SCHEMA } from '../../directory/directory.ts';
import { changing, DIRECTORY_TABLES, looking, MARKER, withMarker } from '../../directory/postgres-statements.ts';
import { excluded, JOB_COLUMNS, storedJob } from '../../directory/sql-rows.ts';
import { JOB_BUDGET_MS, type Outbox, type OutboxStore, UNVERIFIED_KIND } from '../outbox.ts';
import { newStoredJob, ownedJob, publicJob, type StoredJob } from '../stored-job.ts';

const ADD_JOB = changing(
  'add_job',
  `INSERT INTO outbox_job (${JOB_COLUMNS})
    SELECT ${JOB_COLUMNS} FROM marker, jsonb_populate_record(NULL::outbox_job, $1)
    ON CONFLICT (id) DO UPDATE SET (${JOB_COLUMNS}) = (${excluded(JOB_COLUMNS)}) WHERE outbox_job.state = 'dead'`,
);

/** Exported so that a test sees how it is planned. */
export const CLAIM_JOBS = {
  name: 'claim_jobs',
  text: `WITH
    marker AS (SELECT FROM ${MARKER}),
    -- Those of this statement, when it is repeated because its answer was lost.
    held AS (SELECT ${JOB_COLUMNS} FROM outbox_job WHERE claim = $1 AND state = 'pending' AND due_at > $2),
    due AS (
      SELECT id FROM outbox_job
      WHERE state = 'pending' AND kind <> '${UNVERIFIED_KIND}' AND due_at <= $2
        AND EXISTS (SELECT FROM marker) AND NOT EXISTS (SELECT FROM held)
      ORDER BY due_at LIMIT $3
      FOR UPDATE SKIP LOCKED
    ),
    -- A separate look with an index of its own: to order both kinds at once would sort all due jobs.
    unverified AS (
      SELECT id FROM outbox_job
      WHERE state = 'pending' AND kind = '${UNVERIFIED_KIND}' AND due_at <= $2
        AND EXISTS (SELECT FROM marker) AND NOT EXISTS (SELECT FROM held)
      ORDER BY due_at LIMIT $3 - (SELECT count(*) FROM due)
      FOR UPDATE SKIP LOCKED
    ),
    claimed AS (
      UPDATE outbox_job SET claim = $1, attempts_started = attempts_started + 1, due_at = $2 + $4
      WHERE id IN (SELECT id FROM due UNION ALL SELECT id FROM unverified)
      RETURNING ${JOB_COLUMNS}
    )
    SELECT job.* FROM marker
    LEFT JOIN (SELECT true AS found, * FROM (SELECT * FROM held UNION ALL SELECT * FROM claimed) AS job) AS job ON true`,
};

const SETTLE_JOB = changing(
  'settle_job',
  `UPDATE outbox_job SET state = $3, result = $4, due_at = coalesce($5, due_at), last_error = coalesce($6, last_error),
      finished_at = $7, secret = CASE WHEN $7::bigint IS NULL THEN secret END, claim = NULL,
      attempts_finished = attempts_finished + 1
    WHERE id = $1 AND claim = $2 AND state = 'pending' AND EXISTS (SELECT FROM marker)`,
);

const FIND_JOB = looking('find_job', { select: `SELECT ${JOB_COLUMNS} FROM outbox_job WHERE id = $1` });

const LIST_JOBS = looking('list_jobs', {
  select: `
    SELECT ${JOB_COLUMNS} FROM outbox_job WHERE state = $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4`,
  orderBy: 'created_at, id',
});

const REPLAY_JOB = changing(
  'replay_job',
  `UPDATE outbox_job SET state = 'pending', claim = NULL, due_at = $2, give_up_at = $3, attempts_started = 0,
      attempts_finished = 0
    WHERE id = $1 AND state IN ('pending', 'set_aside') AND EXISTS (SELECT FROM marker)`,
);

/**
 * The outbox of a directory in a PostgreSQL database. The URL: `readPostgresUrl`.
 *
 * @throws {Misconfigured}
 */
export async function openPostgresOutbox(
  url: string,
  { now = Date.now }: { now?: () => number } = {},
): Promise<OutboxStore> {
  const database = openPostgres(url, DIRECTORY_SCHEMA, DIRECTORY_TABLES);
  return { ...createPostgresOutbox(database, now), close: () => database.close() };
}

/**
 * The outbox in a database that is open. A statement whose answer is lost may be repeated, and no harm is done: a claim
 * is known again as its own, a job that was added is not new, one that was settled is nobody's.
 */
export function createPostgresOutbox(database: PostgresDatabase, now: () => number): Outbox {
  const { look, change } = withMarker(database);
  return {
    add: (job, timeoutMs) => change(ADD_JOB, [jobColumns(newStoredJob(job, now()))], timeoutMs),

    async claim(claim, { jobs, leaseMs }) {
      const rows = await look(CLAIM_JOBS, [claim, now(), jobs, leaseMs]);
      return rows.map((row) => ownedJob(storedJob(row)));
    },

    settle({ id, claim }, settlement, timeoutMs) {
      const values = [
        ...[id, claim, settlement.state],
        'result' in settlement ? settlement.result : null,
        'dueAt' in settlement ? settlement.dueAt : null,
        'error' in settlement ? settlement.error : null,
        settlement.state === 'done' || settlement.state === 'dead' ? now() : null,
      ];
      return change(SETTLE_JOB, values, timeoutMs);
    },

    async find(id) {
      const [row] = await look(FIND_JOB, [id]);
      return row && publicJob(storedJob(row));
    },

    async list(state, { limit, after }) {
      const rows = await look(LIST_JOBS, [state, after?.createdAt ?? -1, after?.id ?? '', limit]);
      return rows.map((row) => publicJob(storedJob(row)));
    },

    replay(id) {
      const time = now();
      return change(REPLAY_JOB, [id, time, time + JOB_BUDGET_MS]);
    },
  };
}

/** A job as the database's functions take it. */
export function jobColumns(job: StoredJob): string {
  const { id, kind, details, secret, boundTo, requestId, state, claim } = job;
  return JSON.stringify({
    ...{ id, kind, details, secret, bound_to: boundTo, request_id: requestId, state, claim },
    ...{ attempts_started: job.attemptsStarted, attempts_finished: job.attemptsFinished },
    ...{ due_at: job.dueAt, created_at: job.createdAt, give_up_at: job.giveUpAt },
  });
}
