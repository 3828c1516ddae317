import { randomUUID } from 'node:crypto';
import {
  type AccountLinks,
  type AuditContext,
  type ExternalIdentity,
  type KnownRevocation,
  type LinkOutcome,
  type LinkQuery,
  MAX_LINKS,
  TOMBSTONE_MS,
  type UnlinkOutcome,
  type WithoutJob,
} from '../../account-link/account-link.ts';
import { type BindTransactions, SPENT_BIND_MS, type TakenTransaction } from '../../account-link/bind-transaction.ts';
import { boundToLink } from '../../account-link/provider-tokens.ts';
import type { StoredLink } from '../../account-link/rules.ts';
import { openPostgres } from '../../databases/postgres.ts';
import { StoreUnavailable } from '../../errors.ts';
import { createPostgresOutbox, jobColumns } from '../../outbox/drivers/postgres.ts';
import { type Job, SETTLED_JOB_MS } from '../../outbox/outbox.ts';
import { newStoredJob, ownedJob, type StoredJob } from '../../outbox/stored-job.ts';
import { MAX_BINDINGS, type ThreepidBinding, type ThreepidBindings } from '../../threepid/threepid-binding.ts';
import { DIRECTORY_SCHEMA, type Directory, type SealedText, type SealedTexts } from '../directory.ts';
import { changing, DIRECTORY_TABLES, looking, MARKER, SAFE_COMMIT, withMarker } from '../postgres-statements.ts';
import { accountLink, jobState, optional, type Row, threepidBinding } from '../sql-rows.ts';

const { version: VERSION } = DIRECTORY_SCHEMA;

const LIST_LINKS = looking('list_links', {
  select: `
    SELECT fp_type, fp_name, sid, user_name, evidence, linked_at, position FROM account_link WHERE subject = $1`,
  orderBy: 'linked_at, position',
});

const FOUND = `
  SELECT subject, fp_type, fp_name, sid, user_name, evidence, linked_at, email_digest, position FROM account_link`;
const IN_ORDER = { orderBy: 'linked_at, position' };

const FIND_BY_SUBJECT = looking('find_by_subject', { select: `${FOUND} WHERE subject = $1`, ...IN_ORDER });
const FIND_BY_EMAIL = looking('find_by_email', {
  select: `${FOUND} WHERE email_digest = ANY ($1::text[])`,
  ...IN_ORDER,
});
const FIND_IDENTITIES = looking('find_identities', {
  select: `${FOUND} JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (fp_type, fp_name, sid)
    USING (fp_type, fp_name, sid)`,
  ...IN_ORDER,
});

const LINK = {
  name: 'link',
  text: `SELECT status, change, replaced, ${SAFE_COMMIT}
    FROM link_account(${VERSION}, $1, ${MAX_LINKS}, $2, $3, $4)`,
};

const UNLINK = {
  name: 'unlink',
  text: `SELECT status, revocation, tokens, job_state, job_result, ${SAFE_COMMIT}
    FROM unlink_account(${VERSION}, $1, ${TOMBSTONE_MS}, $2, $3, $4, $5, $6)`,
};

const BEGIN_BIND = changing(
  'begin_bind',
  `INSERT INTO bind_transaction (id, data, expires_at)
    SELECT $1, $2, $3::bigint FROM marker
    ON CONFLICT (id) DO NOTHING`, // it is this one: its id is of a secret of its own
);

const TAKE_BIND = {
  name: 'take_bind',
  text: `SELECT status, taken, ${SAFE_COMMIT} FROM take_bind(${VERSION}, $1, ${SPENT_BIND_MS}, $2)`,
};

const FIND_SEALED = looking('find_sealed', {
  select: `
    (SELECT subject, fp_type, fp_name, sid, NULL AS id, NULL AS bound_to, tokens AS sealed
      FROM account_link WHERE NOT starts_with(tokens, $1) LIMIT $2)
    UNION ALL
    (SELECT NULL, NULL, NULL, NULL, id, bound_to, secret
      FROM outbox_job WHERE NOT starts_with(secret, $1) LIMIT $2)
    LIMIT $2`,
});

// A text that is already replaced is what a repeated statement finds: no two are sealed alike.
const RESEAL_LINK = changing(
  'reseal_link',
  `UPDATE account_link SET tokens = $5
    WHERE fp_type = $1 AND fp_name = $2 AND sid = $3 AND tokens IN ($4, $5) AND EXISTS (SELECT FROM marker)`,
);

const RESEAL_JOB = changing(
  'reseal_job',
  `UPDATE outbox_job SET secret = $3 WHERE id = $1 AND secret IN ($2, $3) AND EXISTS (SELECT FROM marker)`,
);

const FIND_BINDINGS = looking('find_bindings', {
  select: `
    SELECT mxid, medium, address, id_server, bind_id, state, begun_at, position FROM threepid_binding
    WHERE mxid = $1 AND medium = $2 AND address = $3`,
  orderBy: 'begun_at, position',
});

// Calls at once do not see each other's rows, and may leave a user a few more than the limit: as many as there are
// connections. A lock for so little would cost every call.
const PUT_BINDING = changing(
  'put_binding',
  `INSERT INTO threepid_binding (mxid, medium, address, id_server, bind_id, state, begun_at)
    SELECT $1, $2, $3, $4, $5, $6, $7::bigint FROM marker
    WHERE (SELECT count(*) FROM threepid_binding WHERE mxid = $1) < ${MAX_BINDINGS} OR EXISTS (
      SELECT FROM threepid_binding
      WHERE mxid = $1 AND medium = $2 AND address = $3 AND id_server = $4 AND bind_id = $5
    )
    ON CONFLICT (mxid, medium, address, id_server, bind_id) DO UPDATE
      SET state = CASE threepid_binding.state WHEN 'bound' THEN 'bound' ELSE excluded.state END`,
);

const FORGET_BINDINGS = changing(
  'forget_bindings',
  // Locked in one order: two that forget the same do not wait for each other.
  `DELETE FROM threepid_binding WHERE position IN (
      SELECT position FROM threepid_binding AS binding
      JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        AS forgotten (mxid, medium, address, id_server, bind_id, state)
        USING (mxid, medium, address, id_server, bind_id, state)
      WHERE EXISTS (SELECT FROM marker)
      ORDER BY position
      FOR UPDATE OF binding
    )`,
);

const PURGE = {
  name: 'purge',
  text: `WITH
    marker AS (SELECT FROM ${MARKER}),
    ${purging('unlinked_identity', { key: 'fp_type, fp_name, sid, subject', expired: 'expires_at <= $1', limit: '$4' })},
    ${purging('bind_transaction', {
      ...{ key: 'id', expired: 'expires_at <= $2' },
      limit: '$4 - (SELECT count(*) FROM purged_unlinked_identity)',
    })},
    ${purging('outbox_job', {
      ...{ key: 'id', expired: 'finished_at <= $3' },
      limit: '$4 - (SELECT count(*) FROM purged_unlinked_identity) - (SELECT count(*) FROM purged_bind_transaction)',
    })}
    SELECT (SELECT count(*) FROM purged_unlinked_identity) + (SELECT count(*) FROM purged_bind_transaction)
      + (SELECT count(*) FROM purged_outbox_job) AS deleted
    FROM marker`,
};

/**
 * A directory in a PostgreSQL database, of as many instances as it has connections for. The URL: `readPostgresUrl`.
 *
 * A statement whose answer is lost may be repeated, and no harm is done: a link and a deletion are known again as their
 * own; a transaction that was taken is `used`; of jobs {@link createPostgresOutbox} tells.
 *
 * @throws {Misconfigured}
 */
export async function openPostgresDirectory(
  url: string,
  { now = Date.now }: { now?: () => number } = {},
): Promise<Directory> {
  const database = openPostgres(url, DIRECTORY_SCHEMA, DIRECTORY_TABLES);
  const { look, change } = withMarker(database);
  const outbox = createPostgresOutbox(database, now);

  function found(by: LinkQuery, timeoutMs: number | undefined): Promise<Row[]> {
    if ('subject' in by) return look(FIND_BY_SUBJECT, [by.subject], timeoutMs);
    if ('emailDigests' in by) return look(FIND_BY_EMAIL, [by.emailDigests], timeoutMs);
    const column = (part: keyof ExternalIdentity) => by.identities.map((identity) => identity[part]);
    return look(FIND_IDENTITIES, [column('fpType'), column('fpName'), column('sid')], timeoutMs);
  }

  const links: AccountLinks = {
    async list(subject, timeoutMs) {
      const rows = await look(LIST_LINKS, [subject], timeoutMs);
      return rows.map(accountLink);
    },

    async find(by, timeoutMs) {
      const rows = await found(by, timeoutMs);
      return rows.map((row) => ({
        ...accountLink(row),
        subject: String(row.subject),
        emailDigest: optional(row.email_digest, String),
      }));
    },

    async link(link, timeoutMs) {
      const time = now();
      const values = [
        time,
        linkColumns({ ...link, linkedAt: link.linkedAt ?? time }),
        link.begunAt,
        auditOf(link.audit, time),
      ];
      const [row] = await database.query<LinkRow>(LINK, values, timeoutMs);
      return linkOutcome(row);
    },

    async unlink(unlink, timeoutMs) {
      const time = now();
      const job = unlink.job && newStoredJob(unlink.job, time);
      const { keepLast, force, audit } = unlink;
      const values = [time, linkColumns(unlink), keepLast, force, job && jobColumns(job), auditOf(audit, time)];
      const [row] = await database.query<UnlinkRow>(UNLINK, values, timeoutMs);
      return unlinkOutcome(row, job);
    },
  };

  const binds: BindTransactions = {
    async begin({ id, data, expiresAt }, timeoutMs) {
      await change(BEGIN_BIND, [id, data, expiresAt], timeoutMs);
    },

    async take(id, timeoutMs) {
      const [{ status, taken }] = await database.query<TakenRow>(TAKE_BIND, [now(), id], timeoutMs);
      return status === 'taken' ? { status, data: taken } : { status };
    },
  };

  const sealed: SealedTexts = {
    async find(keyName, limit) {
      const rows = await look(FIND_SEALED, [`${keyName}.`, limit]);
      return rows.map(sealedText);
    },

    replace({ of, key, sealed: text }, by) {
      if (of === 'job') return change(RESEAL_JOB, [key, text, by]);
      return change(RESEAL_LINK, [...(JSON.parse(key) as [string, string, string]), text, by]); // as `sealedText` made it
    },
  };

  const threepids: ThreepidBindings = {
    async find({ mxid, medium, address }, timeoutMs) {
      const rows = await look(FIND_BINDINGS, [mxid, medium, address], timeoutMs);
      return rows.map(threepidBinding);
    },

    put({ mxid, medium, address, idServer, bindId, state, begunAt }, timeoutMs) {
      return change(PUT_BINDING, [mxid, medium, address, idServer, bindId, state, begunAt], timeoutMs);
    },

    async forget(bindings, timeoutMs) {
      const columns = (['mxid', 'medium', 'address', 'idServer', 'bindId', 'state'] as const).map(
        (part: keyof ThreepidBinding) => bindings.map((binding) => binding[part]),
      );
      await change(FORGET_BINDINGS, columns, timeoutMs);
    },
  };

  return {
    ...{ links, binds, outbox, sealed, threepids },

    async purgeExpired(limit) {
      const time = now();
      const [{ deleted }] = await database.query<{ deleted: string }>(PURGE, [
        ...[time, time - SPENT_BIND_MS, time - SETTLED_JOB_MS],
        limit,
      ]);
      return Number(deleted);
    },

    close: () => database.close(),
  };
}

/** The part of a purge that is about one table. Rows that somebody else has just locked are left for the next one. */
function purging(table: string, { key, expired, limit }: { key: string; expired: string; limit: string }): string {
  return `
    expired_${table} AS (
      SELECT ${key} FROM ${table} WHERE ${expired} AND EXISTS (SELECT FROM marker) LIMIT ${limit}
      FOR UPDATE SKIP LOCKED
    ),
    purged_${table} AS (
      DELETE FROM ${table} WHERE (${key}) IN (SELECT ${key} FROM expired_${table}) RETURNING 1
    )`;
}

type LinkRow =
  | {
      readonly status: 'linked';
      readonly change: 'created' | 'updated' | 'unchanged';
      readonly replaced: string | null;
    }
  | { readonly status: Exclude<LinkOutcome['status'], 'linked'> };

type UnlinkRow =
  | { readonly status: 'unlinked'; readonly revocation: WithoutJob | 'pending'; readonly tokens: string | null }
  | {
      readonly status: 'repeated';
      readonly revocation: WithoutJob | 'pending';
      readonly job_state: Job['state'] | null;
      readonly job_result: string | null;
    }
  | { readonly status: 'not_linked' | 'last_link' };

type TakenRow =
  | { readonly status: 'taken'; readonly taken: string }
  | { readonly status: Exclude<TakenTransaction['status'], 'taken'>; readonly taken: null };

function linkOutcome(row: LinkRow): LinkOutcome {
  if (row.status !== 'linked') return { status: row.status };
  const { status, change, replaced } = row;
  return { status, change, ...(replaced !== null && { replaced }) };
}

function unlinkOutcome(row: UnlinkRow, job: StoredJob | undefined): UnlinkOutcome {
  if (row.status === 'repeated') return { status: 'repeated', revocation: knownRevocation(row) };
  if (row.status !== 'unlinked') return { status: row.status };
  const { status, revocation, tokens } = row;
  if (revocation !== 'pending' || job?.claim === undefined) return { status, revocation };
  return { status, revocation, job: ownedJob({ ...job, secret: optional(tokens, String) }) };
}

function knownRevocation(row: UnlinkRow & { readonly status: 'repeated' }): KnownRevocation {
  if (row.revocation !== 'pending') return row.revocation;
  // A job is known for longer than a tombstone.
  if (row.job_state === null) throw new StoreUnavailable('corrupt');
  return jobState(row.job_state, row.job_result);
}

/** What is to be written of an audit record that is not of the link. */
function auditOf({ actor, requestId }: AuditContext, at: number): string {
  return JSON.stringify({ id: randomUUID(), at, actor, requestId });
}

function linkColumns(link: ExternalIdentity & Partial<StoredLink>): string {
  const { subject, fpType, fpName, sid, userName, evidence, linkedAt, tokens, emailDigest } = link;
  return JSON.stringify({
    ...{ subject, fp_type: fpType, fp_name: fpName, sid, user_name: userName, evidence, linked_at: linkedAt },
    ...{ tokens, email_digest: emailDigest },
  });
}

function sealedText(row: Row): SealedText {
  const text = String(row.sealed);
  if (row.id !== null) return { of: 'job', key: String(row.id), boundTo: String(row.bound_to), sealed: text };
  const identity = { fpType: String(row.fp_type), fpName: String(row.fp_name), sid: String(row.sid) };
  return {
    of: 'link',
    key: JSON.stringify([identity.fpType, identity.fpName, identity.sid]),
    boundTo: boundToLink({ subject: String(row.subject), ...identity }),
    sealed: text,
  };
}
