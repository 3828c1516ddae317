import { assertingMigrated, openSqliteFile, type SqliteFile } from '../../databases/sqlite.ts';
import { DIRECTORY_SCHEMA } from '../../directory/directory.ts';
import { excluded, JOB_COLUMNS, storedJob } from '../../directory/sql-rows.ts';
import { JOB_BUDGET_MS, type Outbox, type OutboxStore, UNVERIFIED_KIND } from '../outbox.ts';
import { newStoredJob, ownedJob, publicJob, type StoredJob } from '../stored-job.ts';

/** The jobs that are due at `?2`, at most `?3`, found in the index of their kind. */
const dueJobs = (place: number, kind: string) => `
      SELECT * FROM (SELECT id, due_at, ${place} AS place FROM outbox_job
        WHERE state = 'pending' AND ${kind} AND due_at <= ?2 ORDER BY due_at LIMIT ?3)`;

/** The statements of an outbox. */
export const OUTBOX_SQL = {
  insertJob: `
    INSERT INTO outbox_job (${JOB_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, 'pending', NULL, ?, ?, 0, ?, ?, ?, NULL, NULL)
    ON CONFLICT (id) DO UPDATE SET (${JOB_COLUMNS}) = (${excluded(JOB_COLUMNS)}) WHERE outbox_job.state = 'dead'`,
  findJob: `SELECT ${JOB_COLUMNS} FROM outbox_job WHERE id = ?`,
  claimJobs: `
    UPDATE outbox_job SET claim = ?1, attempts_started = attempts_started + 1, due_at = ?2 + ?4
    WHERE id IN (
      SELECT id FROM (${dueJobs(0, `kind <> '${UNVERIFIED_KIND}'`)} UNION ALL ${dueJobs(1, `kind = '${UNVERIFIED_KIND}'`)})
      ORDER BY place, due_at LIMIT ?3
    )
    RETURNING ${JOB_COLUMNS}`,
  settleJob: `
    UPDATE outbox_job SET state = ?, result = ?, due_at = coalesce(?, due_at), last_error = coalesce(?, last_error),
      finished_at = ?, secret = CASE WHEN ? IS NULL THEN secret END, claim = NULL,
      attempts_finished = attempts_finished + 1
    WHERE id = ? AND claim = ? AND state = 'pending'`,
  listJobs: `
    SELECT ${JOB_COLUMNS} FROM outbox_job WHERE state = ? AND (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?`,
  replayJob: `
    UPDATE outbox_job SET state = 'pending', claim = NULL, due_at = ?, give_up_at = ?, attempts_started = 0,
      attempts_finished = 0
    WHERE id = ? AND state IN ('pending', 'set_aside')`,
};

type OutboxFile = SqliteFile<keyof typeof OUTBOX_SQL>;
type OutboxStatements = Pick<OutboxFile, 'statement'>;

/**
 * The outbox of a directory in one SQLite file.
 *
 * @throws {StoreUnavailable} The file is missing, unreadable or not migrated.
 */
export async function openSqliteOutbox(
  path: string,
  { now = Date.now }: { now?: () => number } = {},
): Promise<OutboxStore> {
  const file = openSqliteFile(path, DIRECTORY_SCHEMA, OUTBOX_SQL);
  return { ...createSqliteOutbox(file, now), close: async () => file.close() };
}

/** The outbox in a file that is open. */
export function createSqliteOutbox(file: OutboxFile, now: () => number): Outbox {
  const { statement } = file;
  const { read: look, write } = assertingMigrated(file);

  return {
    async add(job) {
      return write(() => insertJob(file, newStoredJob(job, now())));
    },

    async claim(claim, { jobs, leaseMs }) {
      return write(() => {
        const time = now();
        const rows = statement('claimJobs').all(claim, time, jobs, leaseMs);
        return rows.map((row) => ownedJob(storedJob(row)));
      });
    },

    async settle({ id, claim }, settlement) {
      return write(() => {
        const finishedAt = settlement.state === 'done' || settlement.state === 'dead' ? now() : null;
        const { changes } = statement('settleJob').run(
          settlement.state,
          'result' in settlement ? settlement.result : null,
          'dueAt' in settlement ? settlement.dueAt : null,
          'error' in settlement ? settlement.error : null,
          ...[finishedAt, finishedAt, id, claim],
        );
        return Number(changes) === 1;
      });
    },

    async find(id) {
      return look(() => {
        const job = findJob(file, id);
        return job && publicJob(job);
      });
    },

    async list(state, { limit, after }) {
      return look(() => {
        const rows = statement('listJobs').all(state, after?.createdAt ?? -1, after?.id ?? '', limit);
        return rows.map((row) => publicJob(storedJob(row)));
      });
    },

    async replay(id) {
      return write(() => {
        const time = now();
        return Number(statement('replayJob').run(time, time + JOB_BUDGET_MS, id).changes) === 1;
      });
    },
  };
}

/** Writes a job within a transaction; false: its id is known. */
export function insertJob({ statement }: OutboxStatements, job: StoredJob): boolean {
  const { id, kind, details, secret = null, boundTo, requestId, claim = null } = job;
  const { attemptsStarted, dueAt, createdAt, giveUpAt } = job;
  const { changes } = statement('insertJob').run(
    ...[id, kind, JSON.stringify(details), secret, boundTo, requestId],
    ...[claim, attemptsStarted, dueAt, createdAt, giveUpAt],
  );
  return Number(changes) === 1;
}

/** A job within a look or a transaction. */
export function findJob({ statement }: OutboxStatements, id: string): StoredJob | undefined {
  const row = statement('findJob').get(id);
  return row && storedJob(row);
}
