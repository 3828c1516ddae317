import { randomUUID } from 'node:crypto';
import { StoreUnavailable } from '../errors.ts';
import {
  type Action,
  createRetriesInVain,
  type DynamodbClient,
  type Item,
  pauseBeforeRetry,
  type WriteOutcome,
} from './dynamodb.ts';

/** What was read, by key; undefined: it is not there. Each item has in `w` the call that wrote it. */
export type Items = ReadonlyMap<string, Item | undefined>;

/** The items to be written, by key, without that; undefined removes. */
export type Changes = readonly (readonly [key: string, Item | undefined])[];

/** What came of a call and what is to be written for it, or the keys of what has to be read as well. */
export type Decision<Result> =
  | { readonly result: Result; readonly changes?: Changes | undefined }
  | { readonly needs: readonly string[] };

/** What a change is about. */
export interface Change<Result> {
  readonly keys: readonly string[];
  /** When to give up, on the clock of `monotonicMs`. */
  readonly until: number;
  readonly decide: (items: Items) => Decision<Result>;
  /** Decided of at first, instead of a read: the conditions of the write prove it. */
  readonly assumed?: Items | undefined;
}

/** What is assumed of a key that is thought to be new. */
export function absent(key: string): Items {
  return new Map([[key, undefined]]);
}

/** The items of these keys, each read strongly consistent and with the schema marker. */
export async function readItems(client: DynamodbClient, keys: readonly string[], until: number): Promise<Items> {
  const found = await client.read(keys, until);
  return new Map(keys.map((key) => [key, found.get(key)]));
}

/**
 * Reads, decides, and writes in one transaction if all that was read is still so: again until that is done, or until a
 * few transactions were cancelled while nothing changed. What is decided without a write stands if all is still so at another look, because one read of several items may be of
 * several moments.
 *
 * @throws {StoreUnavailable} After a write it is not known whether it was done.
 */
export async function changeItems<Result>(
  client: DynamodbClient,
  { keys: given, until, decide, assumed }: Change<Result>,
): Promise<Result> {
  const call = randomUUID();
  let keys = given;
  let items = assumed ?? (await readItems(client, keys, until));
  let tried: { readonly result: Result } | undefined;
  const retryInVain = createRetriesInVain(until);
  for (let attempt = 0; ; attempt += 1) {
    // What stands in the way is our own write: it was done, and its answer was lost.
    if (tried !== undefined && isWrittenBy(call, items)) return tried.result;
    const decision = decide(items);
    if ('needs' in decision) {
      keys = [...keys, ...decision.needs];
      items = await readItems(client, keys, until);
      continue;
    }
    const outcome = await carryOut(client, items, decision.changes, call, until);
    if (outcome === 'done') return decision.result;
    if (decision.changes !== undefined) tried = decision;
    await pauseBeforeRetry(attempt, until);
    const found = await readItems(client, keys, until);
    if (outcome === 'cancelled' && isUnchanged(items, found)) await retryInVain();
    items = found;
  }
}

/** Writes if all that was read is still so; without changes, looks again. */
async function carryOut(
  client: DynamodbClient,
  items: Items,
  changes: Changes | undefined,
  call: string,
  until: number,
): Promise<WriteOutcome> {
  if (changes !== undefined) return client.write(actionsOf(items, changes, call), until);
  if (items.size === 1) return 'done';
  return isUnchanged(items, await readItems(client, [...items.keys()], until)) ? 'done' : 'conflict';
}

function isUnchanged(items: Items, found: Items): boolean {
  return [...items.keys()].every((key) => writerOf(found, key) === writerOf(items, key));
}

/** What writes, and checks what was read and is not written. */
function actionsOf(items: Items, changes: Changes, call: string): Action[] {
  const byKey = new Map(changes);
  return [...new Set([...items.keys(), ...byKey.keys()])].map((key): Action => {
    const writer = writerOf(items, key);
    const unchanged =
      writer === undefined
        ? { key, condition: 'attribute_not_exists(id)' }
        : { key, condition: 'w = :w', values: { ':w': { S: writer } } };
    if (!byKey.has(key)) return unchanged;
    const put = byKey.get(key);
    return put === undefined ? { ...unchanged, remove: true } : { ...unchanged, put: { ...put, w: { S: call } } };
  });
}

function isWrittenBy(call: string, items: Items): boolean {
  return [...items.keys()].some((key) => writerOf(items, key) === call);
}

function writerOf(items: Items, key: string): string | undefined {
  const item = items.get(key);
  if (item !== undefined && item.w?.S === undefined) throw new StoreUnavailable('corrupt');
  return item?.w?.S;
}
