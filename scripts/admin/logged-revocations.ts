/** The revocations that a file of log lines holds: as the functions print them, or as Cloud Logging exports them. */
import { open } from 'node:fs/promises';
import * as z from 'zod/mini';
import { isJsonObject, type JsonObject } from '#shared/json.ts';
import { MAX_REVOCATION_ITEMS, NEVER, type PresentedToken, type Revocation } from '#shared/token-revocation/store.ts';
import { openRows, type ReadRow } from './csv-rows.ts';
import { decodeLine, type LinePlace, readLines } from './json-lines.ts';
import { UsageError } from './verb.ts';

/** A revocation of the log, and when it was made. */
export type LoggedRevocation = Revocation & Required<Pick<Revocation, 'madeAt'>>;

/**
 * Counts lines: all that were read, those whose revocation has expired, and those that hold none: blank ones, texts, and
 * JSON of other programs or of calls that revoke nothing.
 */
export type LineCounts = Record<'lines' | 'expired' | 'blank' | 'texts' | 'json', number>;

/** How far the clocks of those who wrote the lines may be ahead, in seconds. */
const CLOCK_SKEW_S = 300;

const Digest = z.string().check(z.regex(/^[A-Za-z0-9]{1,16}\.[A-Za-z0-9_-]{43}$/));
const Digests = z.array(Digest);
// An issuer may have put an expiry at the end of what a number holds exactly, and some time is added to that.
const Seconds = z.number().check(z.nonnegative(), z.lte(2 ** 54), z.refine(Number.isInteger));

/** What `logRevocation` makes. */
type LoggedFields = z.output<typeof LoggedFields>;
const LoggedFields = z.strictObject({
  made_at: Seconds,
  token_ids: Digests,
  grants: Digests,
  cut_offs: z.array(z.strictObject({ key: Digest, issued_up_to: Seconds })),
  expires_at: Seconds,
  // Absent: for good.
  grants_expire_at: z.optional(Seconds),
  // Absent: the issuer's clock is taken for ours.
  iat_offset_s: z.optional(z.int()),
  presented: z.optional(
    z.strictObject({
      token_ids: Digests,
      grants: Digests,
      cut_off_keys: Digests,
      issued_at: z.optional(Seconds),
    }),
  ),
});

/** The line of a call: with what the store answered, if it did. */
type LoggedCall = z.output<typeof LoggedCall>;
const LoggedCall = z.object({
  revocation: LoggedFields,
  first: z.optional(z.boolean()),
  at: z.optional(Seconds),
});

/** What a line holds: a call, a fault in words that quote nothing, or something else. */
type ReadLine = { readonly call: LoggedCall } | { readonly fault: string } | 'blank' | 'texts' | 'json';

/** A line that holds a revocation, to be read again in its turn. */
interface Place extends LinePlace {
  readonly isAcknowledged: boolean;
  readonly madeAt: number;
}

/**
 * Opens a file of log lines.
 *
 * @param counts Counts the lines, and what is not among the rows.
 * @returns What reads it, until it is told to stop: its revocations in the order in which they took effect, whatever the order of the lines; before them, what
 *   cannot be read. To go through them rejects with a {@link UsageError} where the file is one JSON array.
 * @throws {UsageError} There is no such file.
 */
export function openLoggedRevocations(
  file: string,
  counts: LineCounts,
  now: () => number = Date.now,
): (signal: AbortSignal) => AsyncIterable<ReadRow<LoggedRevocation>> {
  let given: AbortSignal | undefined;
  const isStopped = () => given?.aborted === true;
  const rows = openRows(file, (name) => readInOrder(name, counts, isStopped, Math.floor(now() / 1000)));
  return (signal) => {
    given = signal;
    return rows;
  };
}

/** Reads twice, for a log may be larger than the memory: first where the revocations are, then each in its turn. */
async function* readInOrder(
  file: string,
  counts: LineCounts,
  isStopped: () => boolean,
  nowS: number,
): AsyncGenerator<ReadRow<LoggedRevocation>> {
  const places: Place[] = [];
  for await (const { text, fault, ...place } of readLines(file)) {
    // No row comes of most lines, so that nobody else can see an interrupt meanwhile.
    if (isStopped()) return;
    counts.lines += 1;
    const read = text === undefined ? { fault } : readLine(text, nowS);
    if (typeof read === 'string') counts[read] += 1;
    else if ('fault' in read) yield { line: place.line, fault: read.fault };
    else if (whatIsLeft(read.call, nowS) === undefined) counts.expired += 1;
    else {
      const { first, revocation } = read.call;
      places.push({ ...place, isAcknowledged: first !== undefined, madeAt: revocation.made_at });
    }
  }
  // What was acknowledged is decided by what was acknowledged before it; what was refused had no part in that.
  places.sort((a, b) => Number(b.isAcknowledged) - Number(a.isAcknowledged) || a.madeAt - b.madeAt);
  yield* readPlaces(file, places, nowS);
}

async function* readPlaces(
  file: string,
  places: readonly Place[],
  nowS: number,
): AsyncGenerator<ReadRow<LoggedRevocation>> {
  const handle = await open(file);
  try {
    for (const place of places) {
      const { line, offset, size } = place;
      const { buffer } = await handle.read(Buffer.alloc(size), 0, size, offset);
      const { text = '' } = decodeLine(buffer, place);
      const read = readLine(text, nowS);
      const row = typeof read === 'object' && 'call' in read ? whatIsLeft(read.call, nowS) : undefined;
      yield row === undefined ? { line, fault: 'it has changed while it was read' } : { line, row };
    }
  } finally {
    await handle.close();
  }
}

/** @throws {UsageError} The file is one JSON array. */
function readLine(text: string, nowS: number): ReadLine {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    if (text.trim() === '[') throw arrayError();
    if (text.trim() === '') return 'blank';
    if (isPartOfOurs(text)) return { fault: 'it is not whole: it was cut, or is no JSON' };
    return formsOf(text).some((form) => KEYS.test(form)) ? { fault: 'it was read in a wrong encoding' } : 'texts';
  }
  if (Array.isArray(value)) throw arrayError();
  const read = isJsonObject(value) ? readEntry(value, nowS) : 'json';
  // Another program has wrapped the line of ours.
  const isWrapped = read === 'json' && text.includes('made_at') && text.includes('token_ids');
  return isWrapped ? { fault: 'it holds a revocation where the functions log none' } : read;
}

function arrayError(): UsageError {
  return new UsageError("<file> is a JSON array: jq -c '.[]' makes a line of each of its entries.");
}

/** A line that was cut begins or goes on as ours do; a text that a runtime prints does not. */
function isPartOfOurs(text: string): boolean {
  return text.startsWith('{"') || text === '{' || KEYS.test(text);
}

const KEYS = /"(made_at|token_ids|cut_offs|cut_off_keys|issued_up_to|expires_at|grants_expire_at|iat_offset_s)"/;

/** The ASCII of a text whose bytes were taken for UTF-16 and are UTF-8, or UTF-16 of the other order. */
function formsOf(text: string): readonly string[] {
  const bytes = Buffer.from(text, 'utf16le');
  return [bytes, Buffer.from(bytes).swap16()].map((form) => form.toString('latin1').replaceAll('\0', ''));
}

/** What a line of ours holds, or an entry of Cloud Logging that holds one as its `json_payload`. */
function readEntry(entry: JsonObject, nowS: number): ReadLine {
  const { json_payload: payload, message } = entry;
  const fields = isJsonObject(payload) ? payload : entry;
  // The functions of account links have a word there: what came of the grant.
  if (isJsonObject(fields.revocation)) return readCall(fields, nowS);
  // What the platform could not take for structured it keeps as a text, cut to pieces where it is long.
  const isText = payload === undefined && typeof message === 'string' && isPartOfOurs(message);
  return isText ? { fault: 'it was logged as a text' } : 'json';
}

function readCall(fields: JsonObject, nowS: number): ReadLine {
  const { success, data, error } = LoggedCall.safeParse(fields);
  if (!success) {
    return { fault: `the field ${error.issues[0]?.path.join('.')} is not as the functions log it` };
  }
  const { revocation } = data;
  const items = revocation.token_ids.length + revocation.grants.length + revocation.cut_offs.length;
  if (items === 0 || Math.max(items, keysOf(toRevocation(data)).length) > MAX_REVOCATION_ITEMS) {
    return { fault: `it is about nothing, or about more than ${MAX_REVOCATION_ITEMS} token ids, grants and cut-offs` };
  }
  return revocation.made_at > nowS + CLOCK_SKEW_S ? { fault: 'it was made in time to come' } : { call: data };
}

/** What is still to be written of a revocation: what has not expired, of grants and of the rest. */
function whatIsLeft(call: LoggedCall, nowS: number): LoggedRevocation | undefined {
  const revocation = toRevocation(call);
  const { tokenIds, cutOffs, grants, expiresAt, grantsExpireAt = NEVER } = revocation;
  const rest = expiresAt > nowS ? { tokenIds, cutOffs } : { tokenIds: [], cutOffs: [] };
  const left = { ...rest, grants: grantsExpireAt > nowS ? grants : [] };
  const isEmpty = Object.values(left).every(({ length }) => length === 0);
  return isEmpty ? undefined : { ...revocation, ...left };
}

/** The revocation as its store takes it, as of then: when that store first knew of it, or else when it was asked to. */
function toRevocation({ revocation, first, at }: LoggedCall): LoggedRevocation {
  const presented = revocation.presented && toPresented(revocation.presented);
  // What the store said holds again. What was new to it moved its cut-offs as far as was asked, whatever is presented;
  // a token that it knew may have moved them up to then, or up to its time of issue, and no further.
  const reach =
    first === false && at !== undefined && presented !== undefined
      ? Math.max(at + (revocation.iat_offset_s ?? 0), presented.issuedAt ?? 0)
      : Number.POSITIVE_INFINITY;
  return {
    tokenIds: revocation.token_ids,
    grants: revocation.grants,
    cutOffs: revocation.cut_offs.map((to) => ({ key: to.key, issuedUpTo: Math.min(to.issued_up_to, reach) })),
    expiresAt: revocation.expires_at,
    ...(revocation.grants_expire_at !== undefined && { grantsExpireAt: revocation.grants_expire_at }),
    ...(revocation.iat_offset_s !== undefined && { iatOffsetS: revocation.iat_offset_s }),
    madeAt: at ?? revocation.made_at,
    ...(presented !== undefined && first !== true && { presented }),
  };
}

function toPresented(presented: NonNullable<LoggedFields['presented']>): PresentedToken {
  return {
    tokenIds: presented.token_ids,
    grants: presented.grants,
    cutOffKeys: presented.cut_off_keys,
    issuedAt: presented.issued_at,
  };
}

/** All that a revocation is about, each once. Of those that share one, each waits for the one before it. */
export function keysOf({ tokenIds, grants, cutOffs, presented }: Revocation): readonly string[] {
  const all = [
    ...tokenIds,
    ...grants,
    ...cutOffs.map(({ key }) => key),
    ...(presented === undefined ? [] : [...presented.tokenIds, ...presented.grants, ...presented.cutOffKeys]),
  ];
  return [...new Set(all)];
}
