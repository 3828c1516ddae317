/** The rows of a file that an operator gives, one at a time, as CSV (RFC 4180) has them. */
import { createReadStream, statSync } from 'node:fs';
import { pipeline } from 'node:stream';
import { type InfoRecord, parse } from 'csv-parse';
import type * as z from 'zod/mini';
import { UsageError } from './verb.ts';

/** What a row holds, or why it is none, in words that quote nothing of it. */
export type ReadRow<Row> = { readonly line: number } & (
  | { readonly row: Row; readonly fault?: undefined }
  | { readonly row?: undefined; readonly fault: string }
);

/** What is in a row. */
export interface RowFormat<Schema extends z.ZodMiniObject> {
  /** Strict: it has every field that there may be. */
  readonly schema: Schema;
  /** The fields that every row has. */
  readonly required: readonly string[];
  /** What is said of a wrong field whose schema has no words for it that quote nothing. */
  readonly rules: Readonly<Record<string, string>>;
  /** What JSON would have for a cell that is not empty; a text if not given. */
  readonly readCell?: (name: string, cell: string) => unknown;
}

/** The most bytes of a row: tokens may be long. */
export const MAX_ROW_BYTES = 256 * 1024;

/**
 * Opens a file, to be read as `read` does.
 *
 * @returns Its rows. To go through them rejects with a {@link UsageError} where nothing can be known of any row.
 * @throws {UsageError} There is no such file.
 */
export function openRows<Row>(file: string, read: (file: string) => AsyncIterable<Row>): AsyncIterable<Row> {
  if (statSync(file, { throwIfNoEntry: false })?.isFile() !== true) throw new UsageError('<file> is no file.');
  return withReadErrors(read(file));
}

/** A file that cannot be read is the person's to mend. */
async function* withReadErrors<Row>(rows: AsyncIterable<Row>): AsyncGenerator<Row> {
  try {
    yield* rows;
  } catch (error) {
    const isOfFile = error instanceof Error && 'syscall' in error;
    throw isOfFile ? new UsageError('<file> cannot be read.') : error;
  }
}

/** A record with its place, as `csv-parse` gives it with `info`. */
interface CsvRecord {
  readonly info: InfoRecord;
  readonly record: readonly string[];
}

/** The rows of a CSV file whose first line names its columns, in any order. An empty cell is a field that is not given. */
export async function* readCsv<Schema extends z.ZodMiniObject>(
  file: string,
  format: RowFormat<Schema>,
): AsyncGenerator<ReadRow<z.output<Schema>>> {
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
    if (columns === undefined) columns = readHeader(record, format);
    else yield readCsvRow(line, columns, record, format);
  }
  if (columns === undefined) {
    throw new UsageError(`The first line of <file> must name its columns: ${fieldsOf(format).join(', ')}.`);
  }
  if (brokenAt < Number.POSITIVE_INFINITY) {
    yield { line: line + 1, fault: 'its quotes are wrong or it is too long; nothing from here on was read' };
  }
}

/** @throws {UsageError} It quotes nothing: without a header, the first line is a row. */
function readHeader<Schema extends z.ZodMiniObject>(
  names: readonly string[],
  format: RowFormat<Schema>,
): readonly string[] {
  const { required } = format;
  const fields = fieldsOf(format);
  const isKnown = names.every((name, index) => fields.includes(name) && names.indexOf(name) === index);
  if (isKnown && required.every((name) => names.includes(name))) return names;
  const others = fields.filter((name) => !required.includes(name));
  const any = others.length === 0 ? '' : `, and any of ${others.join(', ')}`;
  throw new UsageError(
    `The first line of <file> must name its columns, with commas between them, each once: ${required.join(', ')}${any}.`,
  );
}

function readCsvRow<Schema extends z.ZodMiniObject>(
  line: number,
  columns: readonly string[],
  cells: readonly string[],
  format: RowFormat<Schema>,
): ReadRow<z.output<Schema>> {
  if (cells.length !== columns.length) return { line, fault: 'it has not as many values as the first line' };
  const { readCell = (_name, cell) => cell } = format;
  const fields = columns.flatMap((name, index): [string, unknown][] => {
    const cell = cells[index] ?? '';
    return cell === '' ? [] : [[name, readCell(name, cell)]];
  });
  return readRow(line, Object.fromEntries(fields), format);
}

/** What the fields of a row hold. */
export function readRow<Schema extends z.ZodMiniObject>(
  line: number,
  fields: Readonly<Record<string, unknown>>,
  format: RowFormat<Schema>,
): ReadRow<z.output<Schema>> {
  // What decoding puts for bytes that are no UTF-8. What is compared is kept as it is, or not at all.
  if (Object.values(fields).some((field) => typeof field === 'string' && field.includes('\ufffd'))) {
    return { line, fault: 'it is not UTF-8' };
  }
  const { success, data, error } = format.schema.safeParse(fields);
  if (success) return { line, row: data };
  const [issue] = error.issues;
  const name = String(issue?.path[0] ?? '');
  if (name === '') return { line, fault: `it has a field that is none of ${fieldsOf(format).join(', ')}` };
  if (fields[name] === undefined) return { line, fault: `the field ${name} is missing` };
  return { line, fault: `the field ${name} ${format.rules[name] ?? issue?.message}` };
}

function fieldsOf<Schema extends z.ZodMiniObject>({ schema }: RowFormat<Schema>): readonly string[] {
  return Object.keys(schema.shape);
}
