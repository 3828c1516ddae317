import * as z from 'zod/mini';
import { monotonicMs } from '../clock.ts';
import { retryWhileUnavailable } from '../databases/retry.ts';
import { CallerError } from '../errors.ts';
import { assertJsonShape, hasDuplicateKeys, isJsonObject, type JsonObject } from '../json.ts';
import { parsePublicHost } from '../outgoing/public-host.ts';
import type { OutgoingFault } from '../outgoing/send.ts';
import type { UserCall } from './identify-user.ts';
import { MatrixError } from './matrix-error.ts';

/** A call of a native operation. */
export interface MatrixRequest extends UserCall {
  /**
   * The body as it came.
   *
   * @throws {CallerError} It is not UTF-8.
   */
  readonly text: () => string;
  readonly remainingMs: () => number;
  readonly note: (fields: Record<string, unknown>) => void;
  readonly warn: (fields: Record<string, unknown>) => void;
  readonly audit: (event: string, fields: Record<string, unknown>) => void;
}

/** The longest that a call takes, in milliseconds. */
const CALL_MS = 8000;

/** How long the directory may take at a time, in milliseconds; so much is kept back for it after a server has answered. */
const DIRECTORY_MS = 1000;

/** What is left of a call's time. */
export interface Deadline {
  /** What another server may take now, in milliseconds. */
  serverMs(): number;
  /** Asks the directory, again while it is unavailable and the time lasts. */
  useDirectory<Result>(operation: (timeoutMs: number) => Promise<Result>): Promise<Result>;
}

/** Begins the time of a call that may take so long at the most. */
export function startDeadline(remainingMs: number): Deadline {
  const endsAt = monotonicMs() + Math.min(remainingMs, CALL_MS);
  return {
    serverMs: () => endsAt - DIRECTORY_MS - monotonicMs(),
    useDirectory: (operation) => retryWhileUnavailable(Math.min(DIRECTORY_MS, endsAt - monotonicMs()), operation),
  };
}

/**
 * The name of an identity server: as it is connected to and as it is signed to. One that may not be asked is noted like
 * one that was found to be so on the way out.
 *
 * @throws {MatrixError} `M_INVALID_PARAM`: it is not one that may be asked, known without looking for it.
 */
export function readIdServer(text: string, allowed: readonly string[], { note }: Pick<MatrixRequest, 'note'>): string {
  const host = parsePublicHost(text, allowed);
  if (host !== undefined) return host;
  note({ outgoing_fault: 'forbidden' satisfies OutgoingFault });
  throw new MatrixError(
    400,
    'M_INVALID_PARAM',
    'The key id_server must be the public host name of an identity server.',
  );
}

/**
 * The fields of a body, of whatever type it says it is.
 *
 * @throws {MatrixError} `M_NOT_JSON`; `M_BAD_JSON`: it is no object, or beyond what any body needs; `M_MISSING_PARAM`;
 *   `M_INVALID_PARAM`. None of them quotes it.
 */
export function readBody<Schema extends z.ZodMiniObject>(schema: Schema, call: MatrixRequest): z.output<Schema> {
  const body = parseBody(readText(call));
  const missing = Object.keys(schema.shape).find((key) => !Object.hasOwn(body, key) && !isOptional(schema, key));
  if (missing !== undefined) throw new MatrixError(400, 'M_MISSING_PARAM', `The key ${missing} is missing.`);
  const { success, data, error } = schema.safeParse(body);
  if (success) return data;
  const [issue] = error.issues;
  throw new MatrixError(400, 'M_INVALID_PARAM', `The key ${issue?.path.join('.')} ${issue?.message}.`);
}

function isOptional(schema: z.ZodMiniObject, key: string): boolean {
  return z.safeParse(schema.shape[key] ?? z.unknown(), undefined).success;
}

function readText({ text }: MatrixRequest): string {
  try {
    return text();
  } catch (error) {
    throw error instanceof CallerError ? new MatrixError(400, 'M_NOT_JSON', error.message) : error;
  }
}

function parseBody(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MatrixError(400, 'M_NOT_JSON', 'The body is not JSON.');
  }
  if (!isJsonObject(value)) throw new MatrixError(400, 'M_BAD_JSON', 'The body is not a JSON object.');
  try {
    assertJsonShape(value);
  } catch (error) {
    throw error instanceof CallerError ? new MatrixError(400, 'M_BAD_JSON', error.message) : error;
  }
  if (hasDuplicateKeys(text)) throw new MatrixError(400, 'M_BAD_JSON', 'The body names a key twice.');
  return value;
}
