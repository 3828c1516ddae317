/** The most codings of one answer, as in curl: each is undone in full before the next. */
const MAX_CODINGS = 5;

/** What an outer one of several codings may hold beyond the limit: compressing adds a little where it saves nothing. */
const MAX_EXTRA_BYTES = 64 * 1024;

/**
 * Undoes the content codings of an answer: a server may apply one that nobody asked for. An empty body stays empty.
 * `node:zlib` is loaded for the first answer that needs it.
 *
 * @param header `Content-Encoding` as Node gives it: several are one, with commas between them.
 * @param maxBytes The most bytes of the decoded body. Decoding stops soon after, however much would follow.
 * @throws {RangeError} The decoded body is larger.
 * @throws {Error} A coding is not known, or the body is not in it. The message quotes nothing.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.4
 */
export function decodeContent(body: Buffer, header: string | undefined, maxBytes: number): Buffer {
  if (!header || body.length === 0) return body;
  const codings = header.toLowerCase().match(/[^\s,]+/g) ?? [];
  const zlib = process.getBuiltinModule('node:zlib');
  const options = { maxOutputLength: maxBytes + MAX_EXTRA_BYTES };
  const decoded = codings.reduceRight((coded, coding) => {
    switch (codings.length > MAX_CODINGS ? '' : coding) {
      case 'identity':
      case 'none': // what some servers write where nothing is coded
      case 'utf-8':
        return coded;
      case 'gzip':
      case 'x-gzip':
        return zlib.gunzipSync(coded, options);
      case 'deflate':
        return zlib[hasZlibHeader(coded) ? 'inflateSync' : 'inflateRawSync'](coded, options);
      case 'br':
        return zlib.brotliDecompressSync(coded, options);
      default:
        throw new Error(`Content-Encoding must be up to ${MAX_CODINGS} of gzip, deflate and br`);
    }
  }, body);
  if (decoded.length > maxBytes) throw new RangeError('the answer is too large');
  return decoded;
}

/**
 * Whether deflated data is in the format of zlib (RFC 1950, section 2.2), as it should be: some servers send the raw data
 * (RFC 9110, section 8.4.1.2), which no encoder begins with these bits.
 */
const hasZlibHeader = ([first = 0]: Buffer): boolean => (first & 0x0f) === 8;
