/** The rows of a file of account links, one at a time: JSON Lines (https://jsonlines.org) or CSV (RFC 4180). */
import { extname } from 'node:path';
import * as z from 'zod/mini';
import { canonicalEmail } from '#shared/account-link/email-digest.ts';
import { providerTokenFields } from '#shared/account-link/provider-tokens.ts';
import { SubjectId, Text } from '#shared/account-link/request.ts';
import { hasDuplicateKeys, isJsonObject } from '#shared/json.ts';
import { openRows, type ReadRow, type RowFormat, readCsv, readRow } from './csv-rows.ts';
import { readLines } from './json-lines.ts';
import { UsageError } from './verb.ts';

/** A link of the file. */
export type LinkRow = z.output<typeof LinkRow>;

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
  ...providerTokenFields(),
  proved: z.optional(z.boolean()),
});

const TOKEN_RULE = 'must be 1 to 8192 visible ASCII characters';

const FORMAT: RowFormat<typeof LinkRow> = {
  schema: LinkRow,
  required: ['subject', 'fpType', 'fpName', 'sid'],
  rules: {
    email: 'must be an e-mail address',
    linkedAt: 'must be a time since 2000 that has passed: ISO 8601 with its zone, or milliseconds since the epoch',
    accessToken: TOKEN_RULE,
    refreshToken: TOKEN_RULE,
    proved: 'must be true or false',
  },
  readCell: csvValue,
};

/**
 * Opens a file of links.
 *
 * @returns Its rows. To go through them rejects with a {@link UsageError} where nothing can be known of any row.
 * @throws {UsageError} There is no such file, or its name does not tell what it holds.
 */
export function openLinkRows(file: string): AsyncIterable<ReadRow<LinkRow>> {
  const readers: Readonly<Record<string, typeof readJsonLines>> = {
    '.jsonl': readJsonLines,
    '.csv': (name) => readCsv(name, FORMAT),
  };
  const read = readers[extname(file).toLowerCase()];
  if (read === undefined) throw new UsageError('<file> must be named .jsonl or .csv after what it holds.');
  return openRows(file, read);
}

async function* readJsonLines(file: string): AsyncGenerator<ReadRow<LinkRow>> {
  for await (const { line, text, fault } of readLines(file)) {
    if (text === undefined) yield { line, fault };
    else if (text.trim() !== '') yield readJsonRow(line, text);
  }
}

function readJsonRow(line: number, text: string): ReadRow<LinkRow> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { line, fault: 'it is not JSON' };
  }
  if (!isJsonObject(value)) return { line, fault: 'it is not a JSON object' };
  // A dump has null for what is not there.
  const fields = Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null));
  const read = readRow(line, fields, FORMAT);
  // After the row is known to be flat: its own fault says more.
  return read.row !== undefined && hasDuplicateKeys(text) ? { line, fault: 'it names a field twice' } : read;
}

/** What JSON would have for a cell. */
function csvValue(name: string, cell: string): unknown {
  if (name === 'linkedAt' && /^\d{1,15}$/.test(cell)) return Number(cell);
  if (name === 'proved' && (cell === 'true' || cell === 'false')) return cell === 'true';
  return cell;
}
