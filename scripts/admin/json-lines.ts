/** The lines of a file of JSON Lines (https://jsonlines.org), one at a time. */
import { createReadStream } from 'node:fs';
import { MAX_ROW_BYTES } from './csv-rows.ts';

/** Where a line is found again, and how it is read. */
export interface LinePlace {
  /** Counted from 1. */
  readonly line: number;
  /** In bytes from the beginning of the file. */
  readonly offset: number;
  /** In bytes, without the line feed. */
  readonly size: number;
  /** Whether a line feed ends it. */
  readonly isEnded: boolean;
  readonly encoding: LineEncoding;
}

/** What a line holds, or why it cannot be read, in words that quote nothing of it. */
export type LineContent =
  | { readonly text: string; readonly fault?: undefined }
  | { readonly text?: undefined; readonly fault: string };

/** As the beginning of the file says: UTF-16 needs a byte order mark there. */
export type LineEncoding = 'utf-8' | 'utf-16le' | 'utf-16be';

const NAMES: Readonly<Record<LineEncoding, string>> = {
  'utf-8': 'UTF-8',
  'utf-16le': 'UTF-16LE',
  'utf-16be': 'UTF-16BE',
};

/** What may come before the first line. */
const MARKS: readonly (readonly [encoding: LineEncoding, bytes: Buffer])[] = [
  ['utf-16le', Buffer.of(0xff, 0xfe)],
  ['utf-16be', Buffer.of(0xfe, 0xff)],
];

/**
 * The lines of a file, by line feeds alone: a name in JSON may hold every other separator. Of UTF-16 only the byte of the
 * line feed is looked for, so that lines of another encoding in the same file are counted as well.
 */
export async function* readLines(file: string): AsyncGenerator<LinePlace & LineContent> {
  let line = 1;
  let parts: Buffer[] = [];
  let size = 0;
  let offset = 0;
  let encoding: LineEncoding = 'utf-8';
  const take = (part: Buffer) => {
    size += part.length;
    if (size <= MAX_ROW_BYTES) parts.push(part);
  };
  const flush = (isEnded: boolean): LinePlace & LineContent => {
    const bytes = Buffer.concat(parts);
    if (line === 1) encoding = encodingOf(bytes);
    const place = { line, offset, size, isEnded, encoding };
    offset += size + 1;
    [line, parts, size] = [line + 1, [], 0];
    return { ...place, ...(place.size > MAX_ROW_BYTES ? { fault: TOO_LONG } : decodeLine(bytes, place)) };
  };
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', from)) {
      take(chunk.subarray(from, end));
      yield flush(true);
      from = end + 1;
    }
    take(chunk.subarray(from));
  }
  if (size > 0) yield flush(false);
}

const TOO_LONG = `it has more than ${MAX_ROW_BYTES / 1024} KB`;

function encodingOf(start: Buffer): LineEncoding {
  return MARKS.find(([, mark]) => start.subarray(0, mark.length).equals(mark))?.[0] ?? 'utf-8';
}

/** What the bytes of a line hold. A byte order mark in front of it is left out: files may have been joined. */
export function decodeLine(bytes: Buffer, place: LinePlace): LineContent {
  const { encoding } = place;
  // What a blank line of UTF-16LE leaves, or its last line feed.
  if (/^\0?(\r\0)?$/.test(bytes.toString('latin1'))) return { text: '' };
  const content = contentOf(bytes, place);
  const text = content && decode(content, encoding);
  if (text !== undefined && !text.includes('\0')) return { text };
  const hint = encoding === 'utf-8' && bytes.includes(0) ? ': it has NUL bytes, as UTF-16 has' : '';
  return { fault: `it is not ${NAMES[encoding]}${hint}` };
}

/** A line feed of UTF-16 is two bytes, and the line has one of them; undefined where that is another one. */
function contentOf(bytes: Buffer, { line, encoding, isEnded }: LinePlace): Buffer | undefined {
  if (encoding === 'utf-16le' && line > 1) return bytes[0] === 0 ? bytes.subarray(1) : undefined;
  if (encoding === 'utf-16be' && isEnded) return bytes.at(-1) === 0 ? bytes.subarray(0, -1) : undefined;
  return bytes;
}

function decode(bytes: Buffer, encoding: LineEncoding): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
