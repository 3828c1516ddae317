import { writeSync } from 'node:fs';

/** Writes one structured line: a JSON object with `level`, `message` and the fields given. */
export interface LineLogger {
  log(level: LogLevel, message: string, fields: LogFields): void;
}

/** Level names of Yandex Cloud Logging. */
export type LogLevel = 'INFO' | 'WARN' | 'ERROR';

/** Named values, never a caller's own keys: `stream_name`, `msg` or `level` of theirs would steer Cloud Logging. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A logger of a function: https://yandex.cloud/en/docs/functions/operations/function/logs-write */
export function createLogger(functionName: string): LineLogger {
  return {
    log(level, message, fields) {
      const timestamp = new Date().toISOString();
      writeLine(toJson({ level, message, timestamp, function: functionName, ...fields }));
    },
  };
}

/** A line is written of any fields: it tells of what is done already, and must not make a failure of it. */
function toJson(line: LogFields): string {
  try {
    return JSON.stringify(line);
  } catch {
    return JSON.stringify(
      Object.fromEntries(Object.entries(line).map(([name, value]) => [name, isJson(value) ? value : 'not JSON'])),
    );
  }
}

/** Whether JSON can say it, which it cannot of a BigInt, or of what holds itself. */
function isJson(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return true;
  } catch {
    return false;
  }
}

/** Writes to standard output, all of the line before it returns: what is not out when a call ends may never be. */
function writeLine(line: string): void {
  let rest = Buffer.from(`${line}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      // A pipe that is full and does not block.
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    }
  }
}
