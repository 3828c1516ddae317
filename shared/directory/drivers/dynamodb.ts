import type {
  AccountLink,
  AccountLinks,
  FoundLink,
  LinkOutcome,
  LinkQuery,
  NewLink,
  Unlink,
  UnlinkOutcome,
} from '../../account-link/account-link.ts';
import { type BindTransactions, SPENT_BIND_MS, type TakenTransaction } from '../../account-link/bind-transaction.ts';
import { boundToLink } from '../../account-link/provider-tokens.ts';
import { decideLink, decideUnlink, type StoredLink } from '../../account-link/rules.ts';
import { deadlineIn } from '../../databases/deadline.ts';
import { createPurge, type DynamodbOptions, type Item, openDynamodb } from '../../databases/dynamodb.ts';
import { absent, changeItems, type Decision, type Items, readItems } from '../../databases/dynamodb-change.ts';
import { StoreUnavailable } from '../../errors.ts';
import { createDynamodbOutbox } from '../../outbox/drivers/dynamodb.ts';
import { type JobState, jobStateOf } from '../../outbox/outbox.ts';
import type { StoredJob } from '../../outbox/stored-job.ts';
import { bindingsOf, withBinding, withoutBindings } from '../../threepid/rules.ts';
import type { ThreepidBindings } from '../../threepid/threepid-binding.ts';
import { DIRECTORY_SCHEMA, type Directory, type SealedText, type SealedTexts } from '../directory.ts';
import {
  auditEntry,
  bindIn,
  bindingsIn,
  bindingsKey,
  bindKey,
  contentOf,
  emailQueue,
  isStorable,
  itemOfBind,
  itemOfBindings,
  itemOfLink,
  itemOfTombstones,
  jobEntry,
  jobIn,
  jobKey,
  type LinkPages,
  linkIn,
  linkKey,
  linkOf,
  pageChanges,
  pagesIn,
  subjectKey,
  type Tombstone,
  textOf,
  tombstoneKey,
  tombstonesIn,
  unreadPages,
  withLink,
  withoutLink,
} from '../dynamodb-items.ts';
import { ENTRIES_PER_PAGE, entriesOf, FIRST } from '../dynamodb-lookup.ts';

/**
 * A directory in one table behind the DynamoDB API: YDB's Document API or DynamoDB.
 *
 * @param url As for a revocation store; both may be in one table.
 * @throws {Misconfigured} Says what is wrong with the URL, never its value.
 */
export async function openDynamodbDirectory(
  url: string,
  { now = Date.now, ...options }: DynamodbOptions & { now?: () => number } = {},
): Promise<Directory> {
  const client = await openDynamodb(url, DIRECTORY_SCHEMA, options);
  const TableName = client.table;
  const purge = createPurge(client, DIRECTORY_SCHEMA, 'x <= :now');
  const outbox = createDynamodbOutbox(client, now);

  const read = (keys: readonly string[], until: number) => readItems(client, keys, until);

  /** A subject's links. Where they are in several items, these are read until two looks at them are the same. */
  function linksOf(subject: string, until: number): Promise<AccountLink[]> {
    const decide = (items: Items): Decision<AccountLink[]> => {
      const needs = unreadPages(items, subject);
      return needs.length > 0 ? { needs } : { result: pagesIn(items, subject).flat() };
    };
    return changeItems(client, { keys: [subjectKey(subject)], until, decide });
  }

  /** Where the links are that are looked for. */
  async function keysOf(by: LinkQuery, until: number): Promise<string[]> {
    if ('identities' in by) return by.identities.map(linkKey);
    if ('subject' in by) return (await linksOf(by.subject, until)).map(linkKey);
    const keys: string[] = [];
    for (const digest of by.emailDigests) {
      const page = { condition: 'n > :n', n: FIRST, size: ENTRIES_PER_PAGE, until } as const;
      for await (const entries of entriesOf(client, emailQueue(digest), page)) {
        keys.push(...entries.map(({ key }) => key));
      }
    }
    return keys;
  }

  const links: AccountLinks = {
    async list(subject, timeoutMs) {
      return linksOf(subject, deadlineIn(timeoutMs));
    },

    async find(by, timeoutMs) {
      const until = deadlineIn(timeoutMs);
      const items = await read(await keysOf(by, until), until);
      const found = [...items.values()].flatMap((item) => (item === undefined ? [] : linkOf(item)));
      return found.filter((link) => isFound(link, by)).sort((a, b) => a.linkedAt - b.linkedAt);
    },

    async link(link, timeoutMs) {
      const time = now();
      const keys = [
        linkKey(link),
        subjectKey(link.subject),
        ...(link.begunAt === undefined ? [] : [tombstoneKey(link)]),
      ];
      const decide = (items: Items) => planLink(link, items, time);
      return changeItems(client, { keys, until: deadlineIn(timeoutMs), decide });
    },

    async unlink(unlink, timeoutMs) {
      const time = now();
      const { subject, job } = unlink;
      const keys = [linkKey(unlink), subjectKey(subject), tombstoneKey(unlink), ...(job ? [jobKey(job.id)] : [])];
      const decide = (items: Items) => planUnlink(unlink, items, time);
      return changeItems(client, { keys, until: deadlineIn(timeoutMs), decide });
    },
  };

  const binds: BindTransactions = {
    async begin(bind, timeoutMs) {
      const key = bindKey(bind.id);
      const changes = [[key, itemOfBind(bind)]] as const;
      const decide = () => ({ result: undefined, changes });
      await changeItems(client, { keys: [key], until: deadlineIn(timeoutMs), decide, assumed: absent(key) });
    },

    async take(id, timeoutMs) {
      const time = now();
      const key = bindKey(id);
      const decide = (items: Items): Decision<TakenTransaction> => {
        const bind = bindIn(items, id);
        if (bind === undefined || bind.expiresAt + SPENT_BIND_MS <= time) return { result: { status: 'unknown' } };
        const { data, expiresAt } = bind;
        if (data === undefined) return { result: { status: 'used' } };
        if (expiresAt <= time) return { result: { status: 'expired' } };
        return { result: { status: 'taken', data }, changes: [[key, itemOfBind({ expiresAt })]] };
      };
      return changeItems(client, { keys: [key], until: deadlineIn(timeoutMs), decide });
    },
  };

  const sealed: SealedTexts = {
    async find(keyName, limit) {
      await read([], deadlineIn());
      const scan = {
        ...{ TableName, ConsistentRead: true, FilterExpression: 'attribute_exists(s) AND NOT begins_with(s, :key)' },
        ExpressionAttributeValues: { ':key': { S: `${keyName}.` } },
      };
      let found: SealedText[] = [];
      let start: Item | undefined;
      do {
        // The time is for each page: the table may be large, and this is an operator's call.
        const answer = await client.call('Scan', { ...scan, ...(start && { ExclusiveStartKey: start }) }, deadlineIn());
        found = found.concat((answer?.Items ?? []).map(sealedText));
        start = answer?.LastEvaluatedKey;
      } while (start !== undefined && found.length < limit);
      return [...found.filter(({ of }) => of === 'link'), ...found.filter(({ of }) => of === 'job')].slice(0, limit);
    },

    async replace(text, by) {
      const decide = (items: Items): Decision<boolean> => {
        const item = items.get(text.key);
        if (item?.s?.S !== text.sealed) return { result: false };
        return { result: true, changes: [[text.key, { ...item, s: { S: by } }]] };
      };
      return changeItems(client, { keys: [text.key], until: deadlineIn(), decide });
    },
  };

  const threepids: ThreepidBindings = {
    async find(threepid, timeoutMs) {
      const { mxid } = threepid;
      return bindingsOf(bindingsIn(await read([bindingsKey(mxid)], deadlineIn(timeoutMs)), mxid), threepid);
    },

    async put(binding, timeoutMs) {
      const key = bindingsKey(binding.mxid);
      const decide = (items: Items): Decision<boolean> => {
        const known = bindingsIn(items, binding.mxid);
        const put = withBinding(known, binding);
        if (put === undefined || put === known) return { result: put !== undefined };
        const item = itemOfBindings(put);
        return isStorable(item) ? { result: true, changes: [[key, item]] } : { result: false };
      };
      return changeItems(client, { keys: [key], until: deadlineIn(timeoutMs), decide });
    },

    async forget(bindings, timeoutMs) {
      const mxids = [...new Set(bindings.map(({ mxid }) => mxid))];
      const decide = (items: Items): Decision<undefined> => {
        const changes = mxids.flatMap((mxid) => {
          const known = bindingsIn(items, mxid);
          const left = withoutBindings(known, bindings);
          return left === known ? [] : [[bindingsKey(mxid), itemOfBindings(left)] as const];
        });
        return { result: undefined, changes: changes.length === 0 ? undefined : changes };
      };
      await changeItems(client, { keys: mxids.map(bindingsKey), until: deadlineIn(timeoutMs), decide });
    },
  };

  return {
    ...{ links, binds, outbox, sealed, threepids },
    purgeExpired: (limit) => purge(now(), limit),
    close: async () => client.close(),
  };
}

function planLink(link: NewLink, items: Items, time: number): Decision<LinkOutcome> {
  const known = linkIn(items, link);
  const needs = unreadPages(items, link.subject);
  if (needs.length > 0) return { needs };
  const pages = pagesIn(items, link.subject);
  const times = tombstonesIn(items, link, time).map(({ unlinkedAt }) => unlinkedAt);
  const unlinkedAt = times.length === 0 ? undefined : Math.max(...times);
  const { outcome, put, audit } = decideLink(link, { known, count: countOf(pages), unlinkedAt, now: time });
  if (put === undefined || audit === undefined) return { result: outcome };
  const own = pageChanges(items, link.subject, withLink(pages, put));
  const changes = [[linkKey(link), itemOfLink(put)] as const, ...own, auditEntry(audit)];
  if (known === undefined || known.subject === link.subject) return { result: outcome, changes };
  const theirs = subjectKey(known.subject);
  if (!items.has(theirs)) return { needs: [theirs] };
  const theirNeeds = unreadPages(items, known.subject);
  if (theirNeeds.length > 0) return { needs: theirNeeds };
  const left = withoutLink(pagesIn(items, known.subject), link);
  return { result: outcome, changes: [...changes, ...pageChanges(items, known.subject, left)] };
}

function planUnlink(unlink: Unlink, items: Items, time: number): Decision<UnlinkOutcome> {
  const needs = unreadPages(items, unlink.subject);
  if (needs.length > 0) return { needs };
  const tombstones = tombstonesIn(items, unlink, time);
  const told = tombstones.find(({ subject }) => subject === unlink.subject)?.told;
  if (typeof told === 'object' && !items.has(jobKey(told.jobId))) return { needs: [jobKey(told.jobId)] };
  const pages = pagesIn(items, unlink.subject);
  const { outcome, job, audit } = decideUnlink(unlink, {
    known: linkIn(items, unlink),
    count: countOf(pages),
    repeated: typeof told === 'object' ? stateOf(items, told.jobId) : told,
    now: time,
  });
  if (outcome.status !== 'unlinked' || audit === undefined) return { result: outcome };
  const tombstone: Tombstone = {
    subject: unlink.subject,
    unlinkedAt: time,
    told: outcome.revocation === 'pending' ? { jobId: job?.id ?? '' } : outcome.revocation,
  };
  return {
    result: outcome,
    changes: [
      [linkKey(unlink), undefined],
      ...pageChanges(items, unlink.subject, withoutLink(pages, unlink)),
      [tombstoneKey(unlink), itemOfTombstones(tombstones, tombstone)],
      ...(job === undefined || items.get(jobKey(job.id)) !== undefined ? [] : [jobEntry(job)]),
      auditEntry(audit),
    ],
  };
}

function countOf(pages: LinkPages): number {
  return pages.reduce((count, page) => count + page.length, 0);
}

function stateOf(items: Items, jobId: string): JobState {
  const job = jobIn(items, jobKey(jobId));
  // A job is known for longer than a tombstone.
  if (job === undefined) throw new StoreUnavailable('corrupt');
  return jobStateOf(job);
}

function sealedText(item: Item): SealedText {
  const [key, sealed] = [textOf(item.id), textOf(item.s)];
  // The keys of links and jobs: nothing else has what is sealed in this attribute.
  return key.startsWith('link')
    ? { of: 'link', key, boundTo: boundToLink(contentOf<StoredLink>(item)), sealed }
    : { of: 'job', key, boundTo: contentOf<StoredJob>(item).boundTo, sealed };
}

/** Whether an item, read after the index or the subject named it, still is what is looked for. */
function isFound(link: FoundLink, by: LinkQuery): boolean {
  if ('subject' in by) return link.subject === by.subject;
  return 'identities' in by || (link.emailDigest !== undefined && by.emailDigests.includes(link.emailDigest));
}
