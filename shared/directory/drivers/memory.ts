import {
  type AccountLink,
  type AccountLinks,
  type ExternalIdentity,
  type KnownRevocation,
  type LinkQuery,
  TOMBSTONE_MS,
} from '../../account-link/account-link.ts';
import { type BindTransactions, SPENT_BIND_MS } from '../../account-link/bind-transaction.ts';
import { boundToLink } from '../../account-link/provider-tokens.ts';
import { decideLink, decideUnlink, type StoredLink } from '../../account-link/rules.ts';
import { StoreUnavailable } from '../../errors.ts';
import { createMemoryOutbox } from '../../outbox/drivers/memory.ts';
import { jobStateOf, SETTLED_JOB_MS } from '../../outbox/outbox.ts';
import { bindingsOf, withBinding, withoutBindings } from '../../threepid/rules.ts';
import type { ThreepidBinding, ThreepidBindings } from '../../threepid/threepid-binding.ts';
import type { Directory, SealedTexts } from '../directory.ts';

type Tombstone = { readonly unlinkedAt: number; readonly told: WithoutJobOrId; readonly expiresAt: number };
type WithoutJobOrId = { readonly without: 'unsupported' | 'no_token' } | { readonly jobId: string };
type StoredBind = { readonly data: string | undefined; readonly expiresAt: number };

/** A directory in this process, lost with it, and without audit records: for tests and first tries. */
export function openMemoryDirectory(options: { now?: () => number } = {}): Directory {
  const { outbox, jobs, currentTime, close } = createMemoryOutbox(options);
  /** By identity, in the order of linking. */
  const links = new Map<string, StoredLink>();
  /** Which of them a subject has, in the order of linking. */
  const owned = new Map<string, Set<string>>();
  /** By identity, then by subject. */
  const tombstones = new Map<string, Map<string, Tombstone>>();
  const binds = new Map<string, StoredBind>();
  /** By user, in the order of being told. */
  const bindings = new Map<string, readonly ThreepidBinding[]>();
  function linksOf(subject: string): StoredLink[] {
    const all = [...(owned.get(subject) ?? [])].flatMap((key) => links.get(key) ?? []);
    return all.sort((a, b) => a.linkedAt - b.linkedAt);
  }

  function keep(key: string, link: StoredLink): void {
    // What has become another subject's stands behind all of theirs.
    if (links.get(key)?.subject !== link.subject) forget(key);
    links.set(key, link);
    const keys = owned.get(link.subject) ?? new Set();
    owned.set(link.subject, keys.add(key));
  }

  function forget(key: string): void {
    const known = links.get(key);
    if (known === undefined) return;
    links.delete(key);
    const keys = owned.get(known.subject);
    keys?.delete(key);
    if (keys?.size === 0) owned.delete(known.subject);
  }

  function liveTombstones(key: string, time: number): [subject: string, Tombstone][] {
    return [...(tombstones.get(key) ?? [])].filter(([, { expiresAt }]) => expiresAt > time);
  }

  function told(tombstone: Tombstone | undefined): KnownRevocation | undefined {
    if (tombstone === undefined) return undefined;
    if ('without' in tombstone.told) return tombstone.told.without;
    const job = jobs.get(tombstone.told.jobId);
    // A job is known for longer than a tombstone.
    if (job === undefined) throw new StoreUnavailable('corrupt');
    return jobStateOf(job);
  }

  const accountLinks: AccountLinks = {
    async list(subject) {
      currentTime();
      return linksOf(subject).map(publicLink);
    },

    async find(by) {
      currentTime();
      const all = 'subject' in by ? linksOf(by.subject) : [...links.values()].sort((a, b) => a.linkedAt - b.linkedAt);
      return all.filter((link) => isFound(link, by)).map(({ tokens: _tokens, ...link }) => link);
    },

    async link(link) {
      const time = currentTime();
      const key = keyOf(link);
      const unlinkedAt = liveTombstones(key, time).map(([, tombstone]) => tombstone.unlinkedAt);
      const decision = decideLink(link, {
        known: links.get(key),
        count: owned.get(link.subject)?.size ?? 0,
        unlinkedAt: unlinkedAt.length === 0 ? undefined : Math.max(...unlinkedAt),
        now: time,
      });
      if (decision.put !== undefined) keep(key, decision.put);
      return decision.outcome;
    },

    async unlink(unlink) {
      const time = currentTime();
      const key = keyOf(unlink);
      const tombstone = liveTombstones(key, time).find(([subject]) => subject === unlink.subject)?.[1];
      const decision = decideUnlink(unlink, {
        known: links.get(key),
        count: owned.get(unlink.subject)?.size ?? 0,
        repeated: told(tombstone),
        now: time,
      });
      if (decision.outcome.status !== 'unlinked') return decision.outcome;
      forget(key);
      const { job } = decision;
      if (job !== undefined) jobs.set(job.id, job);
      const left = tombstones.get(key) ?? new Map<string, Tombstone>();
      left.set(unlink.subject, {
        unlinkedAt: time,
        told:
          decision.outcome.revocation === 'pending'
            ? { jobId: job?.id ?? '' }
            : { without: decision.outcome.revocation },
        expiresAt: time + TOMBSTONE_MS,
      });
      tombstones.set(key, left);
      return decision.outcome;
    },
  };

  const bindTransactions: BindTransactions = {
    async begin({ id, data, expiresAt }) {
      currentTime();
      binds.set(id, { data, expiresAt });
    },

    async take(id) {
      const time = currentTime();
      const bind = binds.get(id);
      if (bind === undefined || bind.expiresAt + SPENT_BIND_MS <= time) return { status: 'unknown' };
      if (bind.data === undefined) return { status: 'used' };
      if (bind.expiresAt <= time) return { status: 'expired' };
      binds.set(id, { ...bind, data: undefined });
      return { status: 'taken', data: bind.data };
    },
  };

  const sealed: SealedTexts = {
    async find(keyName, limit) {
      currentTime();
      const texts = [
        ...[...links].map(([key, link]) => ({
          of: 'link' as const,
          key,
          boundTo: boundToLink(link),
          sealed: link.tokens,
        })),
        ...[...jobs].map(([key, job]) => ({ of: 'job' as const, key, boundTo: job.boundTo, sealed: job.secret })),
      ];
      return texts
        .flatMap((text) => (text.sealed === undefined ? [] : { ...text, sealed: text.sealed }))
        .filter((text) => !text.sealed.startsWith(`${keyName}.`))
        .slice(0, limit);
    },

    async replace(text, by) {
      currentTime();
      const link = links.get(text.key);
      if (text.of === 'link' && link?.tokens === text.sealed) links.set(text.key, { ...link, tokens: by });
      else {
        const job = jobs.get(text.key);
        if (text.of === 'link' || job?.secret !== text.sealed) return false;
        jobs.set(text.key, { ...job, secret: by });
      }
      return true;
    },
  };

  const threepids: ThreepidBindings = {
    async find(threepid) {
      currentTime();
      return bindingsOf(bindings.get(threepid.mxid) ?? [], threepid);
    },

    async put(binding) {
      currentTime();
      const put = withBinding(bindings.get(binding.mxid) ?? [], binding);
      if (put !== undefined) bindings.set(binding.mxid, put);
      return put !== undefined;
    },

    async forget(forgotten) {
      currentTime();
      for (const { mxid } of forgotten) bindings.set(mxid, withoutBindings(bindings.get(mxid) ?? [], forgotten));
    },
  };

  return {
    links: accountLinks,
    binds: bindTransactions,
    outbox,
    sealed,
    threepids,

    async purgeExpired(limit) {
      const time = currentTime();
      const expired = [
        ...[...tombstones.values()].flatMap((left) =>
          [...left].flatMap(([subject, { expiresAt }]) => (expiresAt <= time ? () => void left.delete(subject) : [])),
        ),
        ...[...binds].flatMap(([id, { expiresAt }]) =>
          expiresAt + SPENT_BIND_MS <= time ? () => void binds.delete(id) : [],
        ),
        ...[...jobs.values()].flatMap(({ id, finishedAt }) =>
          finishedAt !== undefined && finishedAt + SETTLED_JOB_MS <= time ? () => void jobs.delete(id) : [],
        ),
      ].slice(0, limit);
      for (const remove of expired) remove();
      return expired.length;
    },

    close,
  };
}

function keyOf({ fpType, fpName, sid }: ExternalIdentity): string {
  return JSON.stringify([fpType, fpName, sid]);
}

function publicLink({ fpType, fpName, sid, userName, evidence, linkedAt }: StoredLink): AccountLink {
  return { fpType, fpName, sid, userName, evidence, linkedAt };
}

function isFound(link: StoredLink, by: LinkQuery): boolean {
  if ('subject' in by) return link.subject === by.subject;
  if ('emailDigests' in by) return link.emailDigest !== undefined && by.emailDigests.includes(link.emailDigest);
  return by.identities.some((identity) => keyOf(identity) === keyOf(link));
}
