/**
 * One function instance: a process that loads one bundle and runs calls. What it makes of bodies, results and errors,
 * and what it shows as context, follows the platform's own Node runtime, whose source a deployed function could read.
 *
 * An idle instance is frozen. There is no signal involved, so that nothing can be left stopped: with no call in flight
 * the process blocks in a read of one byte, and each call sends one byte ahead. When the emulator dies, however it
 * dies, that read ends, or the IPC channel does, and so does the instance.
 */
import { readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parse as parseQuery } from 'node:querystring';

/** What an instance is started with, as its first argument in JSON. */
export interface InstanceSettings {
  bundle: string;
  functionName: string;
  functionVersion: string;
  memoryLimitInMB: string;
  token: { access_token: string; expires_in: number; token_type: 'Bearer' };
}

/** A call, as sent to an instance. `body` is the text of the event. */
export interface InstanceCall {
  id: number;
  requestId: string;
  deadlineMs: number;
  body: string;
}

/** What an instance sends: it loaded, it could not, or the end of a call. `error` is the JSON that the caller gets. */
export type InstanceMessage =
  | { type: 'loaded' }
  | { type: 'load-failed'; error: string }
  | { type: 'returned'; id: number; body?: string }
  | { type: 'failed'; id: number; error: string };

type Handler = (event: unknown, context: Context) => unknown;

/** The file descriptor of the thaw pipe; the emulator opens it. */
const THAW_FD = 4;

// The emulator is the only one who starts this file, with these settings.
const settings = JSON.parse(process.argv[2] ?? '') as InstanceSettings;
// A bundle sees no more arguments here than in the cloud.
process.argv.splice(2);

/** The second argument of a handler; like the platform's, printing it shows the IAM token and the request. */
class Context {
  readonly awsRequestId: string;
  readonly requestId: string;
  readonly invokedFunctionArn = settings.functionName;
  readonly functionName = settings.functionName;
  readonly functionVersion = settings.functionVersion;
  readonly memoryLimitInMB = settings.memoryLimitInMB;
  readonly deadlineMs: number;
  readonly logGroupName = 'emulator';
  readonly token = { ...settings.token };
  readonly _data: unknown;

  constructor(call: InstanceCall, event: unknown) {
    this.awsRequestId = call.requestId;
    this.requestId = call.requestId;
    this.deadlineMs = call.deadlineMs;
    this._data = event;
  }

  getRemainingTimeInMillis(): number {
    return this.deadlineMs - Date.now();
  }

  getPayload(): unknown {
    // The platform reads these fields from whatever the event is; a null event throws there too.
    const event = this._data as { headers?: Record<string, unknown>; body?: string; isBase64Encoded?: boolean };
    if (event.headers === undefined) return Buffer.alloc(0);
    const { body } = event;
    switch (event.headers['Content-Type']) {
      case 'application/json':
        return body === undefined ? {} : JSON.parse(body);
      case 'application/x-www-form-urlencoded':
        return body === undefined ? {} : parseQuery(decodeBody(body, event.isBase64Encoded).toString());
      default:
        return body === undefined ? Buffer.alloc(0) : decodeBody(body, event.isBase64Encoded);
    }
  }
}

function decodeBody(body: string, isBase64Encoded: boolean | undefined): Buffer {
  return Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8');
}

const callsInFlight = new Set<number>();
/** Calls announced by a byte but not received (−1), or received with their bytes not read yet (above 0). */
let unreadBytes = 0;
/** Messages that have not left yet: a large one leaves in parts. */
let unsent = 0;
/** An error that surfaced after the thaw and before the message of the call that caused it; that call fails with it. */
let errorBeforeCall: string | undefined;
let handler: Handler;

process.on('disconnect', () => process.exit());
process.on('uncaughtException', failEveryCall);
process.on('unhandledRejection', failEveryCall);
// The emulator's only messages are calls.
process.on('message', (message) => run(message as InstanceCall));

try {
  handler = loadHandler();
  send({ type: 'loaded' });
} catch (error) {
  logError(error);
  process.send?.({ type: 'load-failed', error: errorJson(error) } satisfies InstanceMessage, undefined, undefined, () =>
    process.exit(1),
  );
}

function loadHandler(): Handler {
  // What a bundle exports is not known; it is checked in the next lines.
  const bundle = createRequire(settings.bundle)(settings.bundle) as { handler?: Handler };
  if (!bundle.handler) throw new Error("Can't find handler function handler in index");
  if (typeof bundle.handler !== 'function') throw new Error('index.handler must be function');
  return bundle.handler;
}

function run(call: InstanceCall): void {
  unreadBytes += 1;
  callsInFlight.add(call.id);
  invoke(call).then(
    (body) => finish({ type: 'returned', id: call.id, ...(body === undefined ? {} : { body }) }),
    (error: unknown) => {
      logError(error);
      finish({ type: 'failed', id: call.id, error: errorJson(error) });
    },
  );
  if (errorBeforeCall !== undefined) {
    finish({ type: 'failed', id: call.id, error: errorBeforeCall });
    errorBeforeCall = undefined;
  }
}

/** Rejects for everything that the platform reports as an error; resolves to the text of the result. */
async function invoke(call: InstanceCall): Promise<string | undefined> {
  const event = parseEvent(call.body);
  const result = handler(event, new Context(call, event));
  // Not `await` for all: a thenable that is no Promise is not awaited by the platform either.
  if (result instanceof Promise) return JSON.stringify(await result);
  if (result === undefined) {
    throw new Error('Non-async entry point should provide a result. Return a value or use async function instead');
  }
  return JSON.stringify(result);
}

function parseEvent(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return { payload: body };
  }
}

function finish(message: Extract<InstanceMessage, { id: number }>): void {
  // A call may have failed already, by an error that belongs to nobody.
  if (callsInFlight.delete(message.id)) send(message);
}

function send(message: InstanceMessage): void {
  unsent += 1;
  process.send?.(message, undefined, undefined, () => {
    unsent -= 1;
    freezeWhenIdle();
  });
}

/** Blocks the whole process until the next call is announced; not before every message has left. */
function freezeWhenIdle(): void {
  const byte = Buffer.alloc(1);
  while (callsInFlight.size === 0 && unsent === 0 && unreadBytes >= 0) {
    if (readSync(THAW_FD, byte) === 0) process.exit();
    unreadBytes -= 1;
  }
}

/** The platform listens for uncaught errors once per call in flight, so one of them fails all. */
function failEveryCall(error: unknown): void {
  logError(error, 'Uncaught Error: ');
  const json = errorJson(error);
  if (callsInFlight.size === 0 && unreadBytes < 0) errorBeforeCall = json;
  for (const id of callsInFlight) finish({ type: 'failed', id, error: json });
}

/** The stack of an error in the bundle's own code; a null error ends the process here, as it ends the platform's. */
function stackRows(error: unknown): string[] {
  if (error === null || error === undefined) process.exit(1);
  // Anything can be thrown; whatever is no Error has no stack.
  const { stack } = error as Error;
  if (typeof stack !== 'string') return [];
  const rows = stack.split('\n').slice(1);
  const ownRow = rows.findIndex((row) => row.includes(import.meta.url));
  return ownRow === -1 ? rows : rows.slice(0, ownRow);
}

function logError(error: unknown, prefix = ''): void {
  const rows = stackRows(error);
  process.stdout.write(`${[`[ERROR] ${prefix}${error}`, ...rows].join('\r')}\n`);
}

function errorJson(error: unknown): string {
  const stackTrace = stackRows(error).map(parseStackRow);
  // As above: fields that are not there stay out of the JSON.
  const { message, name } = error as Error;
  return JSON.stringify({ errorMessage: message, errorType: name, stackTrace });
}

function parseStackRow(row: string): unknown {
  const match = /at (?:(.+)\s+\()?(?:(.+?):(\d+)(?::(\d+))?|([^)]+))\)?/.exec(row);
  if (match === null) return { line: row };
  return {
    function: match[1] ?? null,
    file: match[2] ?? null,
    line: Number(match[3]) || null,
    column: Number(match[4]) || null,
  };
}
