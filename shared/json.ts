import { CallerError } from './errors.ts';

/** The most bytes of a body; of a raw one, as compact JSON. */
const MAX_BODY_BYTES = 256 * 1024;

/** The most levels of a body. */
const MAX_DEPTH = 16;
/** The most levels of what another server says: of its answers, and of the header and the claims of a token. */
export const MAX_FOREIGN_DEPTH = 64;
/** The most keys of an object. */
export const MAX_KEYS = 256;
/** The most values in all, lists included: what is walked in some milliseconds. */
const MAX_VALUES = 65_536;
const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

/** A JSON object of which nothing is known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a value is an object and no array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Refuses a parsed JSON value that is deeper or wider than any call of ours, before anything walks it recursively:
 * `JSON.parse` takes a million levels, `JSON.stringify` overflows at ten thousand.
 *
 * @throws {CallerError} `invalid_request`
 */
export function assertJsonShape(value: unknown): void {
  let values = 0;
  const isTooDeep = isDeeperThan(value, MAX_DEPTH, (container) => {
    const children = valuesOf(container);
    values += children.length;
    if (values > MAX_VALUES) refuse(`The body has more than ${MAX_VALUES} values.`);
    return children;
  });
  if (isTooDeep) refuse(`The body is nested deeper than ${MAX_DEPTH} levels.`);
}

/** @throws {CallerError} `payload_too_large` */
export function assertBodySize(text: string, encoding: 'utf8' | 'base64' = 'utf8'): void {
  if (Buffer.byteLength(text, encoding) > MAX_BODY_BYTES) {
    throw new CallerError('payload_too_large', 'The body is larger than 256 KB.');
  }
}

/**
 * Reads a JSON object out of a text that a caller wrote.
 *
 * @throws {CallerError} `invalid_request`
 */
export function parseJsonObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new CallerError('invalid_request', 'The body is not JSON.');
  }
  if (!isJsonObject(value)) throw new CallerError('invalid_request', 'The body is not a JSON object.');
  assertJsonShape(value);
  if (hasDuplicateKeys(text)) throw new CallerError('invalid_request', 'The body names a key twice.');
  return value;
}

/**
 * Whether a parsed JSON value has more than so many levels. Without recursion: what is too deep is the same in a process
 * with a small stack and in one with a large stack.
 *
 * @param valuesOf Sees each object and list down to there, level by level, and returns what is in it.
 */
export function isDeeperThan(
  value: unknown,
  levels: number,
  valuesOf: (container: object) => unknown[] = Object.values,
): boolean {
  let level = [value].filter(isContainer);
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > levels) return true;
    level = level.flatMap((container) => valuesOf(container)).filter(isContainer);
  }
  return false;
}

function valuesOf(container: object): unknown[] {
  if (Array.isArray(container)) return container;
  const keys = Object.keys(container);
  if (keys.length > MAX_KEYS) refuse(`An object of the body has more than ${MAX_KEYS} keys.`);
  if (keys.some((key) => FORBIDDEN_KEYS.has(key))) refuse('A key of the body is not allowed.');
  return Object.values(container);
}

function refuse(description: string): never {
  throw new CallerError('invalid_request', description);
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/**
 * Whether an object somewhere in a JSON text names a key twice: readers differ in which one counts.
 *
 * @param text JSON that parses.
 */
export function hasDuplicateKeys(text: string): boolean {
  // Each string of the text once, and with it the colon that follows a key: in JSON quotes stand around strings alone.
  let written = 0;
  for (const [, colon] of text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/gs)) if (colon !== undefined) written += 1;
  return written !== countKeys(JSON.parse(text));
}

function countKeys(value: unknown): number {
  let count = 0;
  isDeeperThan(value, Number.POSITIVE_INFINITY, (container) => {
    const values = Object.values(container);
    if (!Array.isArray(container)) count += values.length;
    return values;
  });
  return count;
}

/** What is wrong with the text of a JSON that another server has signed, in words for the log; undefined: nothing is. */
export function findSignedJsonFault(text: string): 'a name twice' | 'nested too deep' | undefined {
  if (isDeeperThan(JSON.parse(text), MAX_FOREIGN_DEPTH)) return 'nested too deep';
  return hasDuplicateKeys(text) ? 'a name twice' : undefined;
}
