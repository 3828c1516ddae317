import {
  type AccountLinks,
  type ExternalIdentity,
  type KnownRevocation,
  type LinkQuery,
  TOMBSTONE_MS,
} from '../../account-link/account-link.ts';
import { type BindTransactions, SPENT_BIND_MS } from '../../account-link/bind-transaction.ts';
import { boundToLink } from '../../account-link/provider-tokens.ts';
import { type AuditRecord, decideLink, decideUnlink, type StoredLink } from '../../account-link/rules.ts';
import { assertingMigrated, openSqliteFile } from '../../databases/sqlite.ts';
import { schemaMarker } from '../../databases/store-schema.ts';
import { StoreUnavailable } from '../../errors.ts';
import { createSqliteOutbox, findJob, insertJob, OUTBOX_SQL } from '../../outbox/drivers/sqlite.ts';
import { jobStateOf, SETTLED_JOB_MS } from '../../outbox/outbox.ts';
import { MAX_BINDINGS, type ThreepidBindings } from '../../threepid/threepid-binding.ts';
import { DIRECTORY_SCHEMA, type Directory, type SealedTexts } from '../directory.ts';
import { accountLink, optional, type Row, threepidBinding } from '../sql-rows.ts';

const MARKER = schemaMarker(DIRECTORY_SCHEMA);
const LINK = 'subject, fp_type, fp_name, sid, user_name, evidence, linked_at, tokens, email_digest';
const SQL = {
  ...OUTBOX_SQL,

  // With one row of nothing when the subject has none, and no row at all without the marker.
  listLinks: `
    SELECT fp_type, fp_name, sid, user_name, evidence, linked_at
    FROM (SELECT 1 FROM ${MARKER}) LEFT JOIN account_link ON subject = ? ORDER BY linked_at, position`,
  findLinkAndCount: `
    SELECT ${LINK}, (SELECT count(*) FROM account_link WHERE subject = ?) AS links
    FROM (SELECT 1 FROM ${MARKER}) LEFT JOIN account_link ON fp_type = ? AND fp_name = ? AND sid = ?`,
  findLink: `SELECT ${LINK} FROM account_link WHERE fp_type = ? AND fp_name = ? AND sid = ?`,
  findLinks: `
    SELECT ${LINK}, position FROM account_link WHERE subject = ? ORDER BY linked_at, position`,
  findLinksByEmail: `
    SELECT ${LINK}, position FROM account_link
    WHERE email_digest IN (SELECT value FROM json_each(?)) ORDER BY linked_at, position`,
  insertLink: `INSERT INTO account_link (${LINK}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  updateLink: `
    UPDATE account_link SET user_name = ?, evidence = ?, tokens = ?, email_digest = ?
    WHERE fp_type = ? AND fp_name = ? AND sid = ?`,
  deleteLink: 'DELETE FROM account_link WHERE fp_type = ? AND fp_name = ? AND sid = ?',
  putTombstone: 'INSERT OR REPLACE INTO unlinked_identity VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
  findTombstone: `
    SELECT revocation, job_id FROM unlinked_identity
    WHERE fp_type = ? AND fp_name = ? AND sid = ? AND subject = ? AND expires_at > ?`,
  findUnlinkedAt: `
    SELECT max(unlinked_at) AS time FROM unlinked_identity
    WHERE fp_type = ? AND fp_name = ? AND sid = ? AND expires_at > ?`,
  putAudit: 'INSERT INTO audit_record (id, at, record) VALUES (?, ?, ?)',

  putBind: 'INSERT INTO bind_transaction (id, data, expires_at) VALUES (?, ?, ?)',
  findBind: 'SELECT data, expires_at FROM bind_transaction WHERE id = ?',
  spendBind: 'UPDATE bind_transaction SET data = NULL WHERE id = ?',

  sealedLinks: `SELECT ${LINK} FROM account_link WHERE tokens IS NOT NULL AND substr(tokens, 1, ?) <> ? LIMIT ?`,
  sealedJobs: `SELECT id, bound_to, secret FROM outbox_job WHERE secret IS NOT NULL AND substr(secret, 1, ?) <> ? LIMIT ?`,
  resealLink: 'UPDATE account_link SET tokens = ? WHERE fp_type = ? AND fp_name = ? AND sid = ? AND tokens = ?',
  resealJob: 'UPDATE outbox_job SET secret = ? WHERE id = ? AND secret = ?',

  findBindings: `
    SELECT mxid, medium, address, id_server, bind_id, state, begun_at FROM threepid_binding
    WHERE mxid = ? AND medium = ? AND address = ? ORDER BY begun_at, position`,
  putBinding: `
    INSERT INTO threepid_binding (mxid, medium, address, id_server, bind_id, state, begun_at)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7
    WHERE (SELECT count(*) FROM threepid_binding WHERE mxid = ?1) < ${MAX_BINDINGS} OR EXISTS (
      SELECT 1 FROM threepid_binding
      WHERE mxid = ?1 AND medium = ?2 AND address = ?3 AND id_server = ?4 AND bind_id = ?5
    )
    ON CONFLICT (mxid, medium, address, id_server, bind_id)
      DO UPDATE SET state = CASE state WHEN 'bound' THEN state ELSE excluded.state END`,
  forgetBinding: `
    DELETE FROM threepid_binding
    WHERE mxid = ? AND medium = ? AND address = ? AND id_server = ? AND bind_id = ? AND state = ?`,

  purgeTombstones: `
    DELETE FROM unlinked_identity WHERE (fp_type, fp_name, sid, subject) IN
      (SELECT fp_type, fp_name, sid, subject FROM unlinked_identity WHERE expires_at <= ? LIMIT ?)`,
  purgeBinds:
    'DELETE FROM bind_transaction WHERE id IN (SELECT id FROM bind_transaction WHERE expires_at <= ? LIMIT ?)',
  purgeJobs: 'DELETE FROM outbox_job WHERE id IN (SELECT id FROM outbox_job WHERE finished_at <= ? LIMIT ?)',
};

/**
 * A directory in one SQLite file, shared by the processes of one machine.
 *
 * @throws {StoreUnavailable} The file is missing, unreadable or not migrated.
 */
export async function openSqliteDirectory(
  path: string,
  { now = Date.now }: { now?: () => number } = {},
): Promise<Directory> {
  const file = openSqliteFile(path, DIRECTORY_SCHEMA, SQL);
  const { statement, read, write: change, migrated, close } = file;
  const { read: look, write } = assertingMigrated(file);
  const outbox = createSqliteOutbox(file, now);

  function findLink(identity: ExternalIdentity): StoredLink | undefined {
    const row = statement('findLink').get(...keyOf(identity));
    return row && storedLink(row);
  }

  function found(by: LinkQuery): StoredLink[] {
    if ('subject' in by) return statement('findLinks').all(by.subject).map(storedLink);
    if ('emailDigests' in by) {
      return statement('findLinksByEmail').all(JSON.stringify(by.emailDigests)).map(storedLink);
    }
    const links = by.identities.map(findLink).filter((link) => link !== undefined);
    return links.sort((a, b) => a.linkedAt - b.linkedAt);
  }

  /** Which link the identity has, whoever has it, and how many the subject has; with the look for the marker. */
  function findLinkAndCount(identity: ExternalIdentity & { readonly subject: string }) {
    const row = migrated(statement('findLinkAndCount').get(identity.subject, ...keyOf(identity)));
    return { known: row.subject === null ? undefined : storedLink(row), count: Number(row.links) };
  }

  function putAudit(record: AuditRecord): void {
    statement('putAudit').run(record.id, record.at, JSON.stringify(record));
  }

  /** @param known The identity's link before, whoever had it. */
  function putLink(link: StoredLink, known: StoredLink | undefined): void {
    const { subject, evidence, linkedAt, userName = null, tokens = null, emailDigest = null } = link;
    if (known?.subject === subject) {
      statement('updateLink').run(userName, evidence, tokens, emailDigest, ...keyOf(link));
      return;
    }
    if (known !== undefined) statement('deleteLink').run(...keyOf(link));
    statement('insertLink').run(subject, ...keyOf(link), userName, evidence, linkedAt, tokens, emailDigest);
  }

  /** What is known of the grant of a link that the subject has deleted. */
  function tombstoneOf(identity: ExternalIdentity, subject: string, time: number): KnownRevocation | undefined {
    const row = statement('findTombstone').get(...keyOf(identity), subject, time);
    if (row === undefined) return undefined;
    if (row.revocation === 'unsupported' || row.revocation === 'no_token') return row.revocation;
    const job = findJob(file, String(row.job_id));
    // A job is known for longer than a tombstone.
    if (job === undefined) throw new StoreUnavailable('corrupt');
    return jobStateOf(job);
  }

  const links: AccountLinks = {
    async list(subject) {
      return read(() => {
        const rows = statement('listLinks').all(subject);
        migrated(rows[0]);
        return rows.filter((row) => row.sid !== null).map(accountLink);
      });
    },

    async find(by) {
      return look(() => found(by).map(({ tokens: _tokens, ...link }) => link));
    },

    async link(link) {
      return change(() => {
        const time = now();
        const unlinkedAt =
          link.begunAt === undefined ? undefined : statement('findUnlinkedAt').get(...keyOf(link), time)?.time;
        const { known, count } = findLinkAndCount(link);
        const { outcome, put, audit } = decideLink(link, {
          known,
          count,
          unlinkedAt: optional(unlinkedAt, Number),
          now: time,
        });
        if (put !== undefined) putLink(put, known);
        if (audit !== undefined) putAudit(audit);
        return outcome;
      });
    },

    async unlink(unlink) {
      return change(() => {
        const time = now();
        const { known, count } = findLinkAndCount(unlink);
        const repeated = known?.subject === unlink.subject ? undefined : tombstoneOf(unlink, unlink.subject, time);
        const { outcome, job, audit } = decideUnlink(unlink, { known, count, repeated, now: time });
        if (outcome.status !== 'unlinked') return outcome;
        statement('deleteLink').run(...keyOf(unlink));
        if (job !== undefined && !insertJob(file, job)) throw new RangeError('the id of the job is taken');
        statement('putTombstone').run(
          ...[...keyOf(unlink), unlink.subject, time],
          ...[outcome.revocation, job?.id ?? null, time + TOMBSTONE_MS],
        );
        if (audit !== undefined) putAudit(audit);
        return outcome;
      });
    },
  };

  const binds: BindTransactions = {
    async begin({ id, data, expiresAt }) {
      await write(() => statement('putBind').run(id, data, expiresAt));
    },

    async take(id) {
      return write(() => {
        const time = now();
        const row = statement('findBind').get(id);
        if (row === undefined || Number(row.expires_at) + SPENT_BIND_MS <= time) return { status: 'unknown' };
        if (row.data === null) return { status: 'used' };
        if (Number(row.expires_at) <= time) return { status: 'expired' };
        statement('spendBind').run(id);
        return { status: 'taken', data: String(row.data) };
      });
    },
  };

  const sealed: SealedTexts = {
    async find(keyName, limit) {
      return look(() => {
        const prefix = `${keyName}.`;
        const ofLinks = statement('sealedLinks').all(prefix.length, prefix, limit).map(storedLink);
        const ofJobs = statement('sealedJobs').all(prefix.length, prefix, limit - ofLinks.length);
        return [
          ...ofLinks.map((link) => ({
            of: 'link' as const,
            key: JSON.stringify(keyOf(link)),
            boundTo: boundToLink(link),
            sealed: link.tokens ?? '',
          })),
          ...ofJobs.map((job) => ({
            of: 'job' as const,
            key: String(job.id),
            boundTo: String(job.bound_to),
            sealed: String(job.secret),
          })),
        ];
      });
    },

    async replace({ of, key, sealed: text }, by) {
      return write(() => {
        const { changes } =
          of === 'link'
            ? statement('resealLink').run(by, ...(JSON.parse(key) as [string, string, string]), text) // as `find` made it
            : statement('resealJob').run(by, key, text);
        return Number(changes) === 1;
      });
    },
  };

  const threepids: ThreepidBindings = {
    async find({ mxid, medium, address }) {
      return look(() => statement('findBindings').all(mxid, medium, address).map(threepidBinding));
    },

    async put({ mxid, medium, address, idServer, bindId, state, begunAt }) {
      return write(() => {
        const put = statement('putBinding').run(mxid, medium, address, idServer, bindId, state, begunAt);
        return Number(put.changes) === 1;
      });
    },

    async forget(bindings) {
      await write(() => {
        for (const { mxid, medium, address, idServer, bindId, state } of bindings) {
          statement('forgetBinding').run(mxid, medium, address, idServer, bindId, state);
        }
      });
    },
  };

  return {
    ...{ links, binds, outbox, sealed, threepids },

    async purgeExpired(limit) {
      return write(() => {
        const time = now();
        let left = limit;
        for (const [name, until] of [
          ['purgeTombstones', time],
          ['purgeBinds', time - SPENT_BIND_MS],
          ['purgeJobs', time - SETTLED_JOB_MS],
        ] as const) {
          left -= Number(statement(name).run(until, left).changes);
        }
        return limit - left;
      });
    },

    close: async () => close(),
  };
}

function keyOf({ fpType, fpName, sid }: ExternalIdentity): [string, string, string] {
  return [fpType, fpName, sid];
}

function storedLink(row: Row): StoredLink {
  return {
    ...accountLink(row),
    subject: String(row.subject),
    tokens: optional(row.tokens, String),
    emailDigest: optional(row.email_digest, String),
  };
}
