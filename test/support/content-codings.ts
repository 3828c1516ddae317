import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';

const gzip = (body: Buffer) => gzipSync(body);
const br = (body: Buffer) => brotliCompressSync(body);

/** Codings that a server may apply to an answer though nobody asked for one: a name, its `Content-Encoding`, what it makes. */
export const CONTENT_CODINGS: readonly (readonly [string, string, (body: Buffer) => Buffer])[] = [
  ['gzip', 'gzip', gzip],
  ['x-gzip', 'x-gzip', gzip],
  ['gzip in capitals', 'GZIP', gzip],
  ['deflate, with the header of zlib', 'deflate', (body) => deflateSync(body)],
  ['deflate, raw', 'deflate', (body) => deflateRawSync(body)],
  ['br', 'br', br],
  ['identity', 'identity', (body) => body],
  ['a charset in place of a coding', 'UTF-8', (body) => body],
  ['no coding, by a word of its own', 'none', (body) => body],
  ['no name', '', (body) => body],
  ['two codings', 'gzip, br', (body) => br(gzip(body))],
  ['two codings, identity and an empty element', 'identity,, deflate ,gzip', (body) => gzip(deflateSync(body))],
];

/** Bodies that are not in the coding that their header names: a name, the header, the body. */
export const BROKEN_CODINGS: readonly (readonly [string, string, Buffer])[] = [
  ['a coding that nobody knows', 'zstd', Buffer.from('{}')],
  ['compress, which is obsolete', 'compress', Buffer.from('{}')],
  ['text that is called gzip', 'gzip', Buffer.from('{}')],
  ['text that is called deflate', 'deflate', Buffer.from('{}')],
  ['text that is called br', 'br', Buffer.from('{}')],
  ['gzip that is called br', 'br', gzip(Buffer.from('{}'))],
  ['br that is called gzip', 'gzip', br(Buffer.from('{}'))],
  ['gzip that ends early', 'gzip', gzip(Buffer.from('{"a":1}')).subarray(0, -9)],
  ['deflate that ends early', 'deflate', deflateSync(Buffer.from('{"a":1}')).subarray(0, -5)],
  ['raw deflate that ends early', 'deflate', deflateRawSync(Buffer.from('{"a":1}')).subarray(0, -2)],
  ['br that ends early', 'br', br(Buffer.from('{"a":1}')).subarray(0, -2)],
  ['gzip of which a byte is another', 'gzip', spoil(gzip(Buffer.from('{"a":1}')))],
  ['two codings in the wrong order', 'br, gzip', br(gzip(Buffer.from('{}')))],
  ['six codings', 'gzip, gzip, gzip, gzip, gzip, gzip', times(6, gzip, Buffer.from('{}'))],
];

/** Small bodies that become 50 MB: the header and the body. */
export const DECOMPRESSION_BOMBS: readonly (readonly [string, Buffer])[] = (() => {
  const zeros = Buffer.alloc(50_000_000);
  const once = gzipSync(zeros, { level: 1 });
  return [
    ['gzip', once],
    ['deflate', deflateSync(zeros, { level: 1 })],
    ['br', brotliCompressSync(zeros, { params: { 1: 1 } })], // BROTLI_PARAM_QUALITY
    ['gzip, gzip, gzip', gzip(gzip(once))],
  ];
})();

function spoil(body: Buffer): Buffer {
  const spoiled = Buffer.from(body);
  // The checksum.
  spoiled.writeUInt8(spoiled.readUInt8(spoiled.length - 6) ^ 1, spoiled.length - 6);
  return spoiled;
}

function times(count: number, change: (body: Buffer) => Buffer, body: Buffer): Buffer {
  return count === 0 ? body : times(count - 1, change, change(body));
}
