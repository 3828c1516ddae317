import { writeSync } from 'node:fs';
import { LogFormatter, Logger, LogItem } from '@aws-lambda-powertools/logger';
import type { LogAttributes, UnformattedAttributes } from '@aws-lambda-powertools/logger/types';
import { takeLoggerVariables } from './environment.ts';

/** Writes one structured line: a JSON object with `level`, `message` and the fields given. */
export interface LineLogger {
  log(level: LogLevel, message: string, fields: LogFields): void;
}

/** Level names of Yandex Cloud Logging. */
export type LogLevel = 'INFO' | 'WARN' | 'ERROR';

/**
 * Named values, never a caller's own keys: `stream_name`, `msg` or `level` of theirs would steer Cloud Logging. Powertools
 * drops the names that it keeps for itself.
 */
export type LogFields = Readonly<Record<string, unknown>> & {
  readonly [Reserved in 'level' | 'message' | 'sampling_rate' | 'service' | 'timestamp']?: never;
};

/** A logger of a function: https://yandex.cloud/en/docs/functions/operations/function/logs-write */
export function createLogger(functionName: string): LineLogger {
  // Before the Logger is made: it reads them when it is.
  takeLoggerVariables();
  const logger = new StandardOutputLogger({
    serviceName: functionName,
    logFormatter: new CloudLoggingFormatter(functionName),
    logLevel: 'INFO',
    sampleRateValue: 0,
  });
  return {
    // The fields come with each call: calls share an instance, and keys that are kept would be another call's too.
    log(level, message, fields) {
      logger[METHOD[level]](message, fields);
    },
  };
}

const METHOD = { INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** A line with the fields that Cloud Logging reads, and those of the call. */
class CloudLoggingFormatter extends LogFormatter {
  readonly #functionName: string;

  constructor(functionName: string) {
    super();
    this.#functionName = functionName;
  }

  override formatAttributes({ logLevel, message, timestamp }: UnformattedAttributes, fields: LogAttributes): LogItem {
    return new LogItem({
      attributes: {
        level: logLevel,
        message,
        timestamp: timestamp.toISOString(),
        function: this.#functionName,
        ...fields,
      },
    });
  }
}

/** A Logger that writes a whole line, at all levels to standard output, before it returns. */
class StandardOutputLogger extends Logger {
  /** `prepareForPrint` is not called: it takes away `null` and `''`, which say something here. */
  protected override printLog(_level: number, item: LogItem): void {
    writeLine(toJson(item.getAttributes()));
  }
}

/** A line is written of any fields: it tells of what is done already, and must not make a failure of it. */
function toJson(line: LogAttributes): string {
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
