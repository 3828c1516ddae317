/** The lines of a file of JSON Lines (https://jsonlines.org), one at a time. */
import { createReadStream } from 'node:fs';
import { MAX_ROW_BYTES } from './csv-rows.ts';

/** A line, and where it is found again. */
export interface JsonLine {
  /** Counted from 1. */
  readonly line: number;
  /** Not there when it has more than {@link MAX_ROW_BYTES}. */
  readonly text: string | undefined;
  /** In bytes from the beginning of the file. */
  readonly offset: number;
  /** In bytes, without the line feed. */
  readonly size: number;
}

/** Why a line has no text. */
export const TOO_LONG = `it has more than ${MAX_ROW_BYTES / 1024} KB`;

/** The lines of a file, by line feeds alone: a name in JSON may hold every other separator. */
export async function* readLines(file: string): AsyncGenerator<JsonLine> {
  let line = 1;
  let parts: Buffer[] = [];
  let size = 0;
  let offset = 0;
  const take = (part: Buffer) => {
    size += part.length;
    if (size <= MAX_ROW_BYTES) parts.push(part);
  };
  const flush = (): JsonLine => {
    const text = size > MAX_ROW_BYTES ? undefined : decodeLine(Buffer.concat(parts));
    const flushed = { line, text, offset, size };
    offset += size + 1;
    [line, parts, size] = [line + 1, [], 0];
    return flushed;
  };
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
      take(chunk.subarray(from, end));
      yield flush();
      from = end + 1;
    }
    take(chunk.subarray(from));
  }
  if (size > 0) yield flush();
}

/** The text of a line. A byte order mark can only begin the first; elsewhere no JSON begins so. */
export function decodeLine(bytes: Buffer): string {
  return bytes.toString().replace(/^\ufeff/, '');
}
