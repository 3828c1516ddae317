/**
 * The items of a directory behind the DynamoDB API, by the prefix of their key. `subject`: a subject's links in their
 * order, without anything sealed: what is listed and counted. `link`: an identity's link, whole; that there is one of a
 * key makes it one subject's. `unlinked`: an identity's tombstones. `audit`, `bind`, `job`: one each. `threepid`: a Matrix
 * user's binds in the order of being told, as many as can be.
 *
 * Their attributes: `id`, the key; `w`, the call that wrote it; `d`, what it holds, as JSON, and `s`, what of that is
 * sealed; `x`, when it expires, in milliseconds, and `ttl`, the same for the server. Of a job also `o`, its place among
 * all by age, and its place in the index: `q`, its state, and `n`, when it is due while it is pending, else as `o`. Of a
 * link with an e-mail: `q`, its digest, and `n`, when it was made.
 */
import {
  type AccountLink,
  type ExternalIdentity,
  TOMBSTONE_MS,
  type WithoutJob,
} from '../account-link/account-link.ts';
import { type BindTransaction, SPENT_BIND_MS } from '../account-link/bind-transaction.ts';
import type { AuditRecord, StoredLink } from '../account-link/rules.ts';
import { type AttributeValue, type Item, keyPart, numberValue, timeToLive } from '../databases/dynamodb.ts';
import type { Items } from '../databases/dynamodb-change.ts';
import { StoreUnavailable } from '../errors.ts';
import { SETTLED_JOB_MS } from '../outbox/outbox.ts';
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

/** The most bytes of a list of links or of binds: an item takes 400 KB. */
const MAX_LINKS_BYTES = 380_000;

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

export function linksIn(items: Items, subject: string): readonly AccountLink[] {
  const item = items.get(subjectKey(subject));
  return item === undefined ? [] : contentOf<AccountLink[]>(item);
}

/** The item of a subject's links; undefined: there are none. */
export function itemOfLinks(links: readonly AccountLink[]): Item | undefined {
  return links.length === 0 ? undefined : { d: json(links) };
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

/** Whether an item of a list has room in the table. */
export function isStorable(item: Item | undefined): boolean {
  return Buffer.byteLength(item?.d?.S ?? '') <= MAX_LINKS_BYTES;
}

/** A subject's links with one that is new or has changed, in their order. */
export function withLink(links: readonly AccountLink[], link: StoredLink): AccountLink[] {
  const { fpType, fpName, sid, userName, evidence, linkedAt } = link;
  const put = { fpType, fpName, sid, userName, evidence, linkedAt };
  if (links.some((other) => isSame(other, link))) return links.map((other) => (isSame(other, link) ? put : other));
  // Behind all that are as old, and an imported one before those that are younger.
  const place = links.findLastIndex((other) => other.linkedAt <= linkedAt) + 1;
  return links.toSpliced(place, 0, put);
}

/** A subject's links without one. */
export function withoutLink(links: readonly AccountLink[], identity: ExternalIdentity): AccountLink[] {
  return links.filter((other) => !isSame(other, identity));
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
    ...{ d: json(job), o: { S: order }, q: { S: job.state } },
    n: { S: job.state === 'pending' ? orderOf(job.dueAt, job.id) : order },
    ...(secret !== undefined && { s: { S: secret } }),
    ...(job.finishedAt !== undefined && expiry(job.finishedAt + SETTLED_JOB_MS)),
  };
  return [jobKey(job.id), item];
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
