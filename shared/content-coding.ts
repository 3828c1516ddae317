/** The most codings of one answer, as in curl: each is undone in full before the next. */
const MAX_CODINGS = 5;

/** What the outer ones of several codings may hold beyond the limit, for what compressing adds where it saves nothing. */
const MAX_CODED_EXTRA_BYTES = 64 * 1024;

/**
 * The content codings of an answer in the order in which they were applied, without `identity`.
 *
 * @param header `Content-Encoding` as Node gives it: several are one, with commas between them.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.4
 */
export function contentCodings(header: string | undefined): string[] {
  const names = (header ?? '').split(',').map((name) => name.trim().toLowerCase());
  return names.filter((name) => name !== '' && name !== 'identity');
}

/**
 * Undoes the content codings of an answer: a server may apply one that nobody asked for. An empty body stays empty.
 * `node:zlib` is loaded for the first answer that needs it.
 *
 * @param codings Of {@link contentCodings}: `gzip`, `deflate` and `br` are known.
 * @param maxBytes The most bytes of the decoded body. Decoding stops there, however much would follow.
 * @throws {Error} A coding is not known, or the body is not in it. {@link isTooLarge} tells a body above the limit.
 */
export function decodeContent(body: Buffer, codings: readonly string[], maxBytes: number): Buffer {
  if (codings.length === 0 || body.length === 0) return body;
  if (codings.length > MAX_CODINGS) throw new Error(`Content-Encoding must name at most ${MAX_CODINGS} codings`);
  const zlib = process.getBuiltinModule('node:zlib');
  return codings.reduceRight((coded, coding, index) => {
    const options = { maxOutputLength: index === 0 ? maxBytes : maxBytes + MAX_CODED_EXTRA_BYTES };
    switch (coding) {
      case 'gzip':
      case 'x-gzip':
        return zlib.gunzipSync(coded, options);
      case 'deflate':
        return isZlib(coded) ? zlib.inflateSync(coded, options) : zlib.inflateRawSync(coded, options);
      case 'br':
        return zlib.brotliDecompressSync(coded, options);
      default:
        // Without its name, which is the other server's text.
        throw new Error('Content-Encoding must be gzip, deflate or br');
    }
  }, body);
}

/** Whether an error of {@link decodeContent} says that the decoded body is above the limit. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}

/**
 * Whether deflated data has the header of zlib (RFC 1950, section 2.2), as `deflate` should: some servers send the raw
 * data (RFC 9110, section 8.4.1.2), which cannot begin so in practice.
 */
function isZlib(coded: Buffer): boolean {
  return coded.length >= 2 && (coded.readUInt8(0) & 0x0f) === 8 && coded.readUInt16BE(0) % 31 === 0;
}
