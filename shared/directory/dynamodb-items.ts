/**
 * The items of a directory behind the DynamoDB API, by the prefix of their key. `subject`: a subject's links in their
 * order, without anything sealed: what is listed and counted. Those that one item has no room for are in further items,
 * the pages, whose key has their number; `p` of the first is the number of the last. `link`: an identity's link, whole; that there is one of a
 * key makes it one subject's. `unlinked`: an identity's tombstones. `audit`, `bind`, `job`: one each. `threepid`: a Matrix
 * user's binds in the order of being told, as many as can be.
 *
 * Their attributes: `id`, the key; `w`, the call that wrote it; `d`, what it holds, as JSON, and `s`, what of that is
 * sealed; `x`, when it expires, in milliseconds, and `ttl`, the same for the server. Of a job also `o`, its place among
 * all by age, and its place in the index: `q`, its state (one of two queues while it is pending), and `n`, when it is due
 * while it is pending, else as `o`. Of a link with an e-mail: `q`, its digest, and `n`, when it was made.
 */
import {
  type AccountLink,
  type ExternalIdentity,
  TOMBSTONE_MS,
  type WithoutJob,
} from '../account-link/account-link.ts';
import { type BindTransaction, SPENT_BIND_MS } from '../account-link/bind-transaction.ts';
import type { AuditRecord, StoredLink } from '../account-link/rules.ts';
import { type AttributeValue, type Item, integerOf, keyPart, numberValue, timeToLive } from '../databases/dynamodb.ts';
import type { Items } from '../databases/dynamodb-change.ts';
import { StoreUnavailable } from '../errors.ts';
import { isUnverified, SETTLED_JOB_MS } from '../outbox/outbox.ts';
import type { StoredJob } from '../outbox/stored-job.ts';
import type { ThreepidBinding } from '../threepid/threepid-binding.ts';

/** What a deletion leaves: for whom, when, and why there is no job or which one it is. */
export interface Tombstone {
  readonly subject: string;
  readonly unlinkedAt: number;
  readonly told: WithoutJob | { readonly jobId: string };
}

/** A transaction as it is kept: without its data when it was taken. */
export type StoredBind = Pick<BindTransaction, 'expiresAt'> & Partial<BindTransaction>;

/** The most tombstones of one identity: of the subjects that have deleted it within a day, the latest. */
const MAX_TOMBSTONES = 100;

/** The most bytes of a page of links, or of a list of binds: an item takes 400 KB. */
const MAX_LIST_BYTES = 380_000;

/** A subject's links in their order, as they are divided among items. */
export type LinkPages = readonly (readonly AccountLink[])[];

export function subjectKey(subject: string): string {
  return keyOf('subject', subject);
}

export function linkKey({ fpType, fpName, sid }: ExternalIdentity): string {
  return keyOf('link', fpType, fpName, sid);
}

export function tombstoneKey({ fpType, fpName, sid }: ExternalIdentity): string {
  return keyOf('unlinked', fpType, fpName, sid);
}

export function bindKey(id: string): string {
  return keyOf('bind', id);
}

export function jobKey(id: string): string {
  return keyOf('job', id);
}

export function bindingsKey(mxid: string): string {
  return keyOf('threepid', mxid);
}

/** The keys of a subject's pages that have to be read as well. */
export function unreadPages(items: Items, subject: string): string[] {
  return pageKeys(items, subject).filter((key) => !items.has(key));
}

/** The pages of a subject. One that is missing has been read at another moment than the first, which a later look tells. */
export function pagesIn(items: Items, subject: string): LinkPages {
  return pageKeys(items, subject).map((key) => {
    const item = items.get(key);
    return item === undefined ? [] : contentOf<AccountLink[]>(item);
  });
}

/** What is to be written so that a subject has these pages: those that differ from what was read. */
export function pageChanges(items: Items, subject: string, pages: LinkPages): (readonly [string, Item | undefined])[] {
  const count = pages.findLastIndex((page) => page.length > 0) + 1;
  const last = count > 1 ? { p: numberValue(count - 1) } : {};
  const places = Array.from({ length: Math.max(count, pageKeys(items, subject).length) }, (_, index) => index);
  return places.flatMap((index) => {
    const key = pageKey(subject, index);
    const item = index < count ? { d: json(pages[index]), ...(index === 0 && last) } : undefined;
    const known = items.get(key);
    return item?.d?.S === known?.d?.S && item?.p?.N === known?.p?.N ? [] : [[key, item] as const];
  });
}

/** Divides links into as few pages as hold them. */
export function divide(links: readonly AccountLink[]): LinkPages {
  const pages: AccountLink[][] = [];
  let room = 0;
  for (const link of links) {
    const bytes = Buffer.byteLength(JSON.stringify(link)) + 1;
    if (bytes > room) {
      pages.push([]);
      room = MAX_LIST_BYTES - 1;
    }
    pages.at(-1)?.push(link);
    room -= bytes;
  }
  return pages;
}

function pageKeys(items: Items, subject: string): string[] {
  const first = items.get(subjectKey(subject));
  const length = first === undefined ? 0 : 1 + (first.p === undefined ? 0 : integerOf(first.p));
  return Array.from({ length }, (_, index) => pageKey(subject, index));
}

function pageKey(subject: string, index: number): string {
  return index === 0 ? subjectKey(subject) : keyOf('subject', subject, String(index));
}

/** The binds of a user. */
export function bindingsIn(items: Items, mxid: string): readonly ThreepidBinding[] {
  const item = items.get(bindingsKey(mxid));
  return item === undefined ? [] : contentOf<ThreepidBinding[]>(item);
}

/** The item of a user's binds; undefined: there are none. */
export function itemOfBindings(bindings: readonly ThreepidBinding[]): Item | undefined {
  return bindings.length === 0 ? undefined : { d: json(bindings) };
}

/** Whether an item of a list of binds has room in the table. */
export function isStorable(item: Item | undefined): boolean {
  return Buffer.byteLength(item?.d?.S ?? '') <= MAX_LIST_BYTES;
}

/**
 * A subject's links with one that is new or has changed, in their order. The other pages stay as they are, unless its own
 * has no room for it: then all are divided anew.
 */
export function withLink(pages: LinkPages, link: StoredLink): LinkPages {
  const { fpType, fpName, sid, userName, evidence, linkedAt } = link;
  const put = { fpType, fpName, sid, userName, evidence, linkedAt };
  const isKnown = pages.some((page) => page.some((other) => isSame(other, link)));
  const changed = isKnown
    ? pages.map((page) => page.map((other) => (isSame(other, link) ? put : other)))
    : withNewLink(pages, put);
  const isRoomy = changed.every((page) => Buffer.byteLength(JSON.stringify(page)) <= MAX_LIST_BYTES);
  return isRoomy ? changed : divide(changed.flat());
}

/** Behind all that are as old, and an imported one before those that are younger. */
function withNewLink(pages: LinkPages, link: AccountLink): LinkPages {
  const isBefore = (other: AccountLink) => other.linkedAt <= link.linkedAt;
  const index = Math.max(
    0,
    pages.findLastIndex((page) => page.some(isBefore)),
  );
  const page = pages[index] ?? [];
  return pages.toSpliced(index, 1, page.toSpliced(page.findLastIndex(isBefore) + 1, 0, link));
}

/** A subject's links without one. */
export function withoutLink(pages: LinkPages, identity: ExternalIdentity): LinkPages {
  return pages.map((page) => page.filter((other) => !isSame(other, identity)));
}

function isSame(a: ExternalIdentity, b: ExternalIdentity): boolean {
  return a.fpType === b.fpType && a.fpName === b.fpName && a.sid === b.sid;
}

export function linkIn(items: Items, identity: ExternalIdentity): StoredLink | undefined {
  const item = items.get(linkKey(identity));
  return item && { ...contentOf<StoredLink>(item), tokens: item.s?.S };
}

export function itemOfLink({ tokens, ...link }: StoredLink): Item {
  const { emailDigest, linkedAt } = link;
  return {
    d: json(link),
    ...(tokens !== undefined && { s: { S: tokens } }),
    ...(emailDigest !== undefined && { q: { S: emailQueue(emailDigest) }, n: { S: orderOf(linkedAt, '') } }),
  };
}

/** What the links of an e-mail digest have in common in the index. */
export function emailQueue(digest: string): string {
  return `email#${digest}`;
}

/** A link out of its item alone. */
export function linkOf(item: Item): Omit<StoredLink, 'tokens'> {
  return contentOf<Omit<StoredLink, 'tokens'>>(item);
}

/** The tombstones of an identity that count at a time. */
export function tombstonesIn(items: Items, identity: ExternalIdentity, time: number): Tombstone[] {
  const item = items.get(tombstoneKey(identity));
  const all = item === undefined ? [] : contentOf<Tombstone[]>(item);
  return all.filter(({ unlinkedAt }) => unlinkedAt + TOMBSTONE_MS > time);
}

/** The item of an identity's tombstones, one more among them. */
export function itemOfTombstones(others: readonly Tombstone[], added: Tombstone): Item {
  const all = [...others.filter(({ subject }) => subject !== added.subject), added].slice(-MAX_TOMBSTONES);
  return { d: json(all), ...expiry(Math.max(...all.map(({ unlinkedAt }) => unlinkedAt)) + TOMBSTONE_MS) };
}

/** The key and the item of an audit record. */
export function auditEntry(record: AuditRecord): [key: string, Item] {
  return [keyOf('audit', record.id), { d: json(record) }];
}

export function bindIn(items: Items, id: string): StoredBind | undefined {
  const item = items.get(bindKey(id));
  return item && contentOf<StoredBind>(item);
}

export function itemOfBind({ data, expiresAt }: StoredBind): Item {
  return { d: json({ data, expiresAt }), ...expiry(expiresAt + SPENT_BIND_MS) };
}

export function jobIn(items: Items, key: string): StoredJob | undefined {
  const item = items.get(key);
  // What is undefined is not in JSON.
  return item && { lastError: undefined, ...contentOf<StoredJob>(item), secret: item.s?.S };
}

/** The key and the item of a job. */
export function jobEntry({ secret, ...job }: StoredJob): [key: string, Item] {
  const order = orderOf(job.createdAt, job.id);
  const item = {
    ...{ d: json(job), o: { S: order }, q: { S: queueOf(job) } },
    n: { S: job.state === 'pending' ? orderOf(job.dueAt, job.id) : order },
    ...(secret !== undefined && { s: { S: secret } }),
    ...(job.finishedAt !== undefined && expiry(job.finishedAt + SETTLED_JOB_MS)),
  };
  return [jobKey(job.id), item];
}

/** The queues of the pending jobs in the index, in the order in which they are claimed. */
export const PENDING_QUEUES = ['pending', 'pending-unverified'] as const;

function queueOf(job: StoredJob): string {
  if (job.state !== 'pending') return job.state;
  return PENDING_QUEUES[isUnverified(job) ? 1 : 0];
}

/** What sorts by time and then by id. */
export function orderOf(time: number, id: string): string {
  return `${String(time).padStart(String(Number.MAX_SAFE_INTEGER).length, '0')}#${id}`;
}

/**
 * What an item holds.
 *
 * @throws {StoreUnavailable} `corrupt`: something else has written it.
 */
export function contentOf<Content>(item: Item): Content {
  try {
    return JSON.parse(textOf(item.d));
  } catch (error) {
    throw new StoreUnavailable('corrupt', { cause: error });
  }
}

/** @throws {StoreUnavailable} `corrupt`, as above. */
export function textOf(value: AttributeValue | undefined): string {
  if (value?.S === undefined) throw new StoreUnavailable('corrupt');
  return value.S;
}

/** No two of them are the same, whatever is in their parts. */
function keyOf(prefix: string, ...parts: readonly string[]): string {
  return prefix + keyPart(JSON.stringify(parts));
}

function json(content: unknown): AttributeValue {
  return { S: JSON.stringify(content) };
}

function expiry(time: number): Item {
  return { x: numberValue(time), ...timeToLive(Math.ceil(time / 1000)) };
}
