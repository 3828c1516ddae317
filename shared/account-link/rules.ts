/** What becomes of a link, decided of what a store has found: the rule of every driver that can read before it writes. */
import { randomUUID } from 'node:crypto';
import { newStoredJob, ownedJob, type StoredJob } from '../outbox/stored-job.ts';
import {
  type AccountLink,
  type AuditContext,
  type Evidence,
  type ExternalIdentity,
  type KnownRevocation,
  type LinkOutcome,
  MAX_LINKS,
  type NewLink,
  type Unlink,
  type UnlinkOutcome,
} from './account-link.ts';

/** A link as it is kept. */
export interface StoredLink extends AccountLink {
  readonly subject: string;
  readonly tokens?: string | undefined;
  readonly emailDigest?: string | undefined;
}

/** One line of the directory's history, kept for good. */
export interface AuditRecord extends ExternalIdentity, AuditContext {
  readonly id: string;
  readonly at: number;
  readonly event: 'account_link.created' | 'account_link.updated' | 'account_link.replaced' | 'account_link.deleted';
  readonly subject: string;
  readonly evidence: Evidence;
  /** Whose link it was. */
  readonly replaced?: string;
  /** It was the subject's last. */
  readonly forced?: true;
}

/** What is to be written with an outcome that changes something. */
export interface LinkDecision {
  readonly outcome: LinkOutcome;
  readonly put?: StoredLink;
  readonly audit?: AuditRecord;
}

/** What a store has found about a link to be made. */
export interface LinkFindings {
  /** The identity's link, whoever has it. */
  readonly known: StoredLink | undefined;
  /** How many links the subject has. */
  readonly count: number;
  /** When the identity was last unlinked, if there is a tombstone of it. */
  readonly unlinkedAt: number | undefined;
  readonly now: number;
}

/** Decides about a link to be made. */
export function decideLink(link: NewLink, findings: LinkFindings): LinkDecision {
  const { known, now } = findings;
  const refusal = refusalOf(link, findings);
  if (refusal !== undefined) return { outcome: { status: refusal } };
  if (known?.subject === link.subject) {
    const put = merge(link, known);
    if (isEqual(known, put)) return { outcome: { status: 'linked', change: 'unchanged' } };
    return { outcome: { status: 'linked', change: 'updated' }, put, audit: auditOf('updated', put, link.audit, now) };
  }
  const { fpType, fpName, sid, subject, evidence, userName, tokens, emailDigest, linkedAt = now } = link;
  const put = { fpType, fpName, sid, subject, evidence, userName, tokens, emailDigest, linkedAt };
  if (known === undefined) {
    return { outcome: { status: 'linked', change: 'created' }, put, audit: auditOf('created', put, link.audit, now) };
  }
  const replaced = known.subject;
  return {
    outcome: { status: 'linked', change: 'created', replaced },
    put,
    audit: { ...auditOf('replaced', put, link.audit, now), replaced },
  };
}

function refusalOf(link: NewLink, { known, count, unlinkedAt }: LinkFindings) {
  if (link.begunAt !== undefined && unlinkedAt !== undefined && unlinkedAt >= link.begunAt) return 'unlinked_since';
  if (known?.subject === link.subject) return undefined;
  const isReplaceable = link.evidence === 'proved' && known?.evidence === 'asserted';
  if (known !== undefined && !isReplaceable) return 'taken';
  return count >= MAX_LINKS ? 'limit_reached' : undefined;
}

/** A subject's own link, linked again. */
function merge(link: NewLink, known: StoredLink): StoredLink {
  return {
    ...known,
    evidence: known.evidence === 'proved' ? 'proved' : link.evidence,
    userName: link.userName ?? known.userName,
    tokens: link.tokens ?? known.tokens,
    emailDigest: link.emailDigest ?? known.emailDigest,
  };
}

/** What is to be written with an outcome `unlinked`. */
export interface UnlinkDecision {
  readonly outcome: UnlinkOutcome;
  readonly job?: StoredJob;
  readonly audit?: AuditRecord;
}

/** What a store has found about a link to be deleted. */
export interface UnlinkFindings {
  /** The identity's link, whoever has it. */
  readonly known: StoredLink | undefined;
  /** How many links the subject has. */
  readonly count: number;
  /** What a tombstone of the same subject tells, if there is one. */
  readonly repeated: KnownRevocation | undefined;
  readonly now: number;
}

/** Decides about a link to be deleted. */
export function decideUnlink(unlink: Unlink, { known, count, repeated, now }: UnlinkFindings): UnlinkDecision {
  if (known?.subject !== unlink.subject) {
    return {
      outcome: repeated === undefined ? { status: 'not_linked' } : { status: 'repeated', revocation: repeated },
    };
  }
  const isLast = count <= 1;
  if (isLast && unlink.keepLast && !unlink.force) return { outcome: { status: 'last_link' } };
  const audit: AuditRecord = {
    ...auditOf('deleted', known, unlink.audit, now),
    ...(isLast && unlink.keepLast && { forced: true }),
  };
  if (unlink.job === undefined) return { outcome: { status: 'unlinked', revocation: 'unsupported' }, audit };
  if (known.tokens === undefined) return { outcome: { status: 'unlinked', revocation: 'no_token' }, audit };
  const job = newStoredJob({ ...unlink.job, secret: known.tokens }, now);
  const claimed = job.claim === undefined ? {} : { job: ownedJob(job) };
  return { outcome: { status: 'unlinked', revocation: 'pending', ...claimed }, job, audit };
}

function isEqual(a: StoredLink, b: StoredLink): boolean {
  return (['evidence', 'userName', 'tokens', 'emailDigest'] as const).every((field) => a[field] === b[field]);
}

function auditOf(
  change: 'created' | 'updated' | 'replaced' | 'deleted',
  { subject, fpType, fpName, sid, evidence }: StoredLink,
  { actor, requestId }: AuditContext,
  at: number,
): AuditRecord {
  const event = `account_link.${change}` as const;
  return { id: randomUUID(), at, event, subject, fpType, fpName, sid, evidence, actor, requestId };
}
