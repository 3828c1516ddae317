import { writeSync } from 'node:fs';
import { LogFormatter, Logger, LogItem } from '@aws-lambda-powertools/logger';
import type { LogAttributes, UnformattedAttributes } from '@aws-lambda-powertools/logger/types';

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
  // Level and sampling are given, or an environment variable could take away the lines that revocations are rebuilt from.
  const logger = new Logger({
    serviceName: functionName,
    logFormatter: new CloudLoggingFormatter(),
    logLevel: 'INFO',
    sampleRateValue: 0,
  });
  return {
    log(level, message, fields) {
      if (level === 'ERROR') logger.error(message, fields);
      else if (level === 'WARN') logger.warn(message, fields);
      else logger.info(message, fields);
    },
  };
}

class CloudLoggingFormatter extends LogFormatter {
  override formatAttributes(standard: UnformattedAttributes, fields: LogAttributes): LogItem {
    return new LogItem({
      attributes: {
        level: standard.logLevel,
        message: standard.message,
        timestamp: standard.timestamp.toISOString(),
        function: standard.serviceName,
        ...fields,
      },
    });
  }
}

// The Logger makes itself a Console on both standard streams, which costs a cold start several milliseconds before a
// line is written. It needs no more of it than these methods; there is no option for it (docs/decisions/0005).
Object.defineProperty(Logger.prototype, 'setConsole', {
  value: function setConsole(this: { console: object }) {
    this.console = { info: writeLine, warn: writeLine, error: writeLine };
  },
});

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
