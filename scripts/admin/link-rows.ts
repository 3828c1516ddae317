/** The rows of a file of account links, one at a time: JSON Lines (https://jsonlines.org) or CSV (RFC 4180). */
import { createReadStream, statSync } from 'node:fs';
import { extname } from 'node:path';
import { pipeline } from 'node:stream';
import { type InfoRecord, parse } from 'csv-parse';
import * as z from 'zod/mini';
import { canonicalEmail } from '#shared/account-link/email-digest.ts';
import { ProviderTokens } from '#shared/account-link/provider-tokens.ts';
import { SubjectId, Text } from '#shared/account-link/request.ts';
import { hasDuplicateKeys, isJsonObject } from '#shared/json.ts';
import { UsageError } from './verb.ts';

/** A link of the file. */
export type LinkRow = z.output<typeof LinkRow>;

/** A row of the file: a link, or why it is none, in words that quote nothing of it. */
export type ReadRow = { readonly line: number } & (
  | { readonly link: LinkRow; readonly fault?: undefined }
  | { readonly link?: undefined; readonly fault: string }
);

/** The most bytes of a row: tokens may be long. */
const MAX_ROW_BYTES = 256 * 1024;

/** Before it nothing was linked anywhere: a time in seconds is seen to be one. */
const EARLIEST_MS = Date.UTC(2000);

/** Times are compared with those of other clocks. */
const CLOCK_SKEW_MS = 60_000;

const LinkedAt = z.pipe(
  z.union([z.number(), z.iso.datetime({ offset: true })]),
  z.pipe(
    z.transform((time: string | number) => (typeof time === 'number' ? time : Date.parse(time))),
    z.int().check(z.refine((time) => time >= EARLIEST_MS && time <= Date.now() + CLOCK_SKEW_MS)),
  ),
);

const LinkRow = z.strictObject({
  subject: SubjectId,
  fpType: Text,
  fpName: Text,
  sid: Text,
  userName: z.optional(Text),
  email: z.optional(z.string().check(z.refine((address) => canonicalEmail(address) !== undefined))),
  linkedAt: z.optional(LinkedAt),
  ...ProviderTokens.shape,
  proved: z.optional(z.boolean()),
});

const FIELDS: readonly string[] = Object.keys(LinkRow.shape);
const REQUIRED = ['subject', 'fpType', 'fpName', 'sid'];

/** What is said of a wrong field whose schema has no words for it that quote nothing. */
const TOKEN_RULE = 'must be 1 to 8192 visible ASCII characters';
const RULES: Readonly<Record<string, string>> = {
  email: 'must be an e-mail address',
  linkedAt: 'must be a time since 2000 that has passed: ISO 8601 with its zone, or milliseconds since the epoch',
  accessToken: TOKEN_RULE,
  refreshToken: TOKEN_RULE,
  proved: 'must be true or false',
};

/**
 * Opens a file of links.
 *
 * @returns Its rows. To go through them rejects with a {@link UsageError} where nothing can be known of any row.
 * @throws {UsageError} There is no such file, or its name does not tell what it holds.
 */
export function openLinkRows(file: string): AsyncIterable<ReadRow> {
  const readers: Readonly<Record<string, typeof readJsonLines>> = { '.jsonl': readJsonLines, '.csv': readCsv };
  const read = readers[extname(file).toLowerCase()];
  if (read === undefined) throw new UsageError('<file> must be named .jsonl or .csv after what it holds.');
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) throw new UsageError('<file> is no file.');
  return withReadErrors(read(file));
}

/** A file that cannot be read is the person's to mend. */
async function* withReadErrors(rows: AsyncIterable<ReadRow>): AsyncGenerator<ReadRow> {
  try {
    yield* rows;
  } catch (error) {
    const isOfFile = error instanceof Error && 'syscall' in error;
    throw isOfFile ? new UsageError('<file> cannot be read.') : error;
  }
}

async function* readJsonLines(file: string): AsyncGenerator<ReadRow> {
  for await (const { line, text } of readLines(file)) {
    if (text === undefined) yield { line, fault: `it has more than ${MAX_ROW_BYTES / 1024} KB` };
    else if (text.trim() !== '') yield readJsonRow(line, text);
  }
}

/** The lines of a file, by line feeds alone: a name in JSON may hold every other separator. No text: it is too long. */
async function* readLines(file: string): AsyncGenerator<{ line: number; text: string | undefined }> {
  let line = 1;
  let parts: Buffer[] = [];
  let size = 0;
  const take = (part: Buffer) => {
    size += part.length;
    if (size <= MAX_ROW_BYTES) parts.push(part);
  };
  const flush = () => {
    const text = size > MAX_ROW_BYTES ? undefined : Buffer.concat(parts).toString();
    [parts, size] = [[], 0];
    return { line, text: line === 1 ? text?.replace(/^\ufeff/, '') : text };
  };
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
      take(chunk.subarray(from, end));
      yield flush();
      line += 1;
      from = end + 1;
    }
    take(chunk.subarray(from));
  }
  if (size > 0) yield flush();
}

function readJsonRow(line: number, text: string): ReadRow {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { line, fault: 'it is not JSON' };
  }
  if (!isJsonObject(value)) return { line, fault: 'it is not a JSON object' };
  // A dump has null for what is not there.
  const row = readRow(line, Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null)));
  // After the row is known to be flat: to look for keys in what is deep would overflow.
  return row.link !== undefined && hasDuplicateKeys(text) ? { line, fault: 'it names a field twice' } : row;
}

/** A record with its place, as `csv-parse` gives it with `info`. */
interface CsvRecord {
  readonly info: InfoRecord;
  readonly record: readonly string[];
}

async function* readCsv(file: string): AsyncGenerator<ReadRow> {
  // Rows that are read ahead outlive an error of the parser only if that does not end its stream.
  let brokenAt = Number.POSITIVE_INFINITY;
  const parser = parse({
    bom: true,
    info: true,
    record_delimiter: ['\r\n', '\n', '\r'],
    max_record_size: MAX_ROW_BYTES,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_skip: (error) => {
      brokenAt = Math.min(brokenAt, Number(error?.lines ?? 0));
      return undefined;
    },
  });
  // Its errors are those of the parser, which is read below.
  const records = pipeline(createReadStream(file), parser, () => {});
  let columns: readonly string[] | undefined;
  let line = 0;
  // What it gives with these options.
  for await (const { info, record } of records as AsyncIterable<CsvRecord>) {
    if (info.lines >= brokenAt) break;
    line = info.lines;
    if (columns === undefined) columns = readHeader(record);
    else yield readCsvRow(line, columns, record);
  }
  if (columns === undefined)
    throw new UsageError(`The first line of <file> must name its columns: ${FIELDS.join(', ')}.`);
  if (brokenAt < Number.POSITIVE_INFINITY) {
    yield { line: line + 1, fault: 'its quotes are wrong or it is too long; nothing from here on was read' };
  }
}

/** @throws {UsageError} It quotes nothing: without a header, the first line is a row. */
function readHeader(names: readonly string[]): readonly string[] {
  const isKnown = names.every((name, index) => FIELDS.includes(name) && names.indexOf(name) === index);
  if (isKnown && REQUIRED.every((name) => names.includes(name))) return names;
  throw new UsageError(
    `The first line of <file> must name its columns, with commas between them, each once: ${REQUIRED.join(', ')}, and any of ${FIELDS.filter((name) => !REQUIRED.includes(name)).join(', ')}.`,
  );
}

function readCsvRow(line: number, columns: readonly string[], cells: readonly string[]): ReadRow {
  if (cells.length !== columns.length) return { line, fault: 'it has not as many values as the first line' };
  const fields = columns.flatMap((name, index): [string, unknown][] => {
    const cell = cells[index] ?? '';
    return cell === '' ? [] : [[name, csvValue(name, cell)]];
  });
  return readRow(line, Object.fromEntries(fields));
}

/** What JSON would have for a cell. */
function csvValue(name: string, cell: string): unknown {
  if (name === 'linkedAt' && /^\d{1,15}$/.test(cell)) return Number(cell);
  if (name === 'proved' && (cell === 'true' || cell === 'false')) return cell === 'true';
  return cell;
}

function readRow(line: number, fields: Readonly<Record<string, unknown>>): ReadRow {
  // What decoding puts for bytes that are no UTF-8. The parts of an identity are kept as they are, or not at all.
  if (Object.values(fields).some((field) => typeof field === 'string' && field.includes('\ufffd'))) {
    return { line, fault: 'it is not UTF-8' };
  }
  const { success, data, error } = LinkRow.safeParse(fields);
  if (success) return { line, link: data };
  const [issue] = error.issues;
  const name = String(issue?.path[0] ?? '');
  if (name === '') return { line, fault: `it has a field that is none of ${FIELDS.join(', ')}` };
  if (fields[name] === undefined) return { line, fault: `the field ${name} is missing` };
  return { line, fault: `the field ${name} ${RULES[name] ?? issue?.message}` };
}
