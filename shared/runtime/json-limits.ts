import { CallerError } from '../errors.ts';

/** The most bytes of a body, as compact JSON. */
export const MAX_BODY_BYTES = 256 * 1024;

const MAX_DEPTH = 16;
const MAX_KEYS = 256;
const FORBIDDEN_KEYS = new Set(['__proto__', 'constructor', 'prototype']);

/** A JSON object of which nothing is known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Whether a value is an object and no array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Refuses a parsed JSON value that is larger, deeper or wider than any call of ours, before anything walks it
 * recursively: `JSON.parse` takes a million levels, `JSON.stringify` overflows at ten thousand.
 *
 * @throws {CallerError} `payload_too_large` above 256 KB as compact JSON, else `invalid_request`.
 */
export function assertWithinJsonLimits(value: unknown): void {
  let level = [value].filter(isContainer);
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH)
      throw new CallerError('invalid_request', `The body is nested deeper than ${MAX_DEPTH} levels.`);
    level.forEach(assertKeys);
    level = level.flatMap((container) => Object.values(container).filter(isContainer));
  }
  if (Buffer.byteLength(JSON.stringify(value)) > MAX_BODY_BYTES) {
    throw new CallerError('payload_too_large', 'The body is larger than 256 KB.');
  }
}

function assertKeys(container: object): void {
  if (Array.isArray(container)) return;
  const keys = Object.keys(container);
  if (keys.length > MAX_KEYS) {
    throw new CallerError('invalid_request', `An object of the body has more than ${MAX_KEYS} keys.`);
  }
  if (keys.some((key) => FORBIDDEN_KEYS.has(key))) {
    throw new CallerError('invalid_request', 'A key of the body is not allowed.');
  }
}

function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
