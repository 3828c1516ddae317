/**
 * Account links: which accounts at external providers belong to whom.
 *
 * Terms. *External identity*: an account at a provider, named by the provider's type (`fpType`), its name in this
 * deployment (`fpName`) and the account's id there (`sid`); it is linked to one subject at the most. *Asserted*: linked
 * by a known sid, on somebody's word. *Proved*: linked in the browser, by signing in at the provider. *Tombstone*: what
 * a deletion leaves for a day, so that it can be repeated and a bind begun before it cannot undo it.
 * All times are milliseconds since the epoch.
 */
import type { JobState, NewJob, OwnedJob } from '../outbox/outbox.ts';

/** An account at an external provider. No part is ever normalised. */
export interface ExternalIdentity {
  readonly fpType: string;
  readonly fpName: string;
  readonly sid: string;
}

export type Evidence = 'asserted' | 'proved';

/** An external identity that is linked, as its subject sees it. */
export interface AccountLink extends ExternalIdentity {
  /** What the account is called at its provider. */
  readonly userName?: string | undefined;
  readonly evidence: Evidence;
  readonly linkedAt: number;
}

/** The links of the directory. Each call is one transaction, or one look at what is committed. */
export interface AccountLinks {
  /** The links of a subject, in the order they were made. */
  list(subject: string, timeoutMs?: number): Promise<readonly AccountLink[]>;

  /** The links of a subject, of e-mail addresses, or of identities, whoever has them, in the order they were made. */
  find(by: LinkQuery, timeoutMs?: number): Promise<readonly FoundLink[]>;

  /** Links an identity, with its audit record when that changes anything; resolves when it is durable. Idempotent. */
  link(link: NewLink, timeoutMs?: number): Promise<LinkOutcome>;

  /**
   * Deletes a link, and with it, in one transaction: its outbox job, its audit record, its tombstone. Resolves when
   * that is durable.
   */
  unlink(unlink: Unlink, timeoutMs?: number): Promise<UnlinkOutcome>;
}

/** Which links are looked for. */
export type LinkQuery =
  | { readonly subject: string }
  | { readonly emailDigests: readonly string[] }
  | { readonly identities: readonly ExternalIdentity[] };

/** A link that was looked for. */
export interface FoundLink extends AccountLink {
  readonly subject: string;
  readonly emailDigest?: string | undefined;
}

/** Who changes a link, for the audit record. */
export interface AuditContext {
  /** `subject:<sub>`, `client:<client_id>` or `operator`. */
  readonly actor: string;
  readonly requestId: string;
}

/** A link to be made. */
export interface NewLink extends ExternalIdentity {
  readonly subject: string;
  readonly evidence: Evidence;
  /** Absent: the name that it has is kept. */
  readonly userName?: string | undefined;
  /** The provider's tokens, sealed. Absent: those that it has are kept, unless they are of another subject. */
  readonly tokens?: string | undefined;
  /** A keyed digest of the account's e-mail. Absent: as with `tokens`. */
  readonly emailDigest?: string | undefined;
  /** When it was made, for a link that is imported; now if not given. */
  readonly linkedAt?: number | undefined;
  /** When the bind began that this completes: a deletion of the identity since then ends it. */
  readonly begunAt?: number | undefined;
  readonly audit: AuditContext;
}

/** What came of a link to be made; nothing has changed unless it is `linked`. */
export type LinkOutcome =
  | {
      readonly status: 'linked';
      readonly change: 'created' | 'updated' | 'unchanged';
      /** Whose asserted link a proof has replaced. */
      readonly replaced?: string | undefined;
    }
  /** The identity is another subject's. */
  | { readonly status: 'taken' }
  /** The subject has {@link MAX_LINKS} links. */
  | { readonly status: 'limit_reached' }
  /** The identity was unlinked after the bind began. */
  | { readonly status: 'unlinked_since' };

/** A link to be deleted. */
export interface Unlink extends ExternalIdentity {
  readonly subject: string;
  /** Whether the subject's last link has to stay. */
  readonly keepLast: boolean;
  /** Whether it goes although it is the last, which is said in the audit record. */
  readonly force: boolean;
  /** The job that withdraws the grant, written if the link has tokens; absent where the provider offers no way. */
  readonly job?: NewJob | undefined;
  readonly audit: AuditContext;
}

/** What came of a link to be deleted; nothing has changed unless it is `unlinked`. */
export type UnlinkOutcome =
  | {
      readonly status: 'unlinked';
      /** `pending`: a job was written, the link's sealed tokens in it. */
      readonly revocation: WithoutJob | 'pending';
      /** That job, if it was to be written as claimed. */
      readonly job?: OwnedJob | undefined;
    }
  /** The same subject has deleted it within {@link TOMBSTONE_MS}. */
  | { readonly status: 'repeated'; readonly revocation: KnownRevocation }
  | { readonly status: 'not_linked' }
  | { readonly status: 'last_link' };

/** Why no job was written: the provider offers no way to withdraw a grant, or the link had no tokens. */
export type WithoutJob = 'unsupported' | 'no_token';

/** What a tombstone tells of the grant: why there is no job, or what has become of it. */
export type KnownRevocation = WithoutJob | JobState;

/** How long a deletion can be repeated, and ends the binds begun before it. */
export const TOMBSTONE_MS = 86_400_000;

/** The most links of a subject. */
export const MAX_LINKS = 1000;
