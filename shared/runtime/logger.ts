import { writeSync } from 'node:fs';
import { Logger, LogItem } from '@aws-lambda-powertools/logger';
import type { LogItemExtraInput, LogItemMessage } from '@aws-lambda-powertools/logger/types';

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
  const logger = new WholeLineLogger({ serviceName: functionName, logLevel: 'INFO', sampleRateValue: 0 });
  return {
    log(level, message, fields) {
      const line = { level, message, timestamp: new Date().toISOString(), function: functionName, ...fields };
      if (level === 'ERROR') logger.error(message, line);
      else if (level === 'WARN') logger.warn(message, line);
      else logger.info(message, line);
    },
  };
}

/** A Logger that takes a line as it is: looking for keys kept for later lines costs as much as writing this one. */
class WholeLineLogger extends Logger {
  protected override createAndPopulateLogItem(
    _level: number,
    message: LogItemMessage,
    [line]: LogItemExtraInput,
  ): LogItem {
    // What the Logger itself has to say comes without.
    return new LogItem({ attributes: typeof line === 'object' && !(line instanceof Error) ? line : { message } });
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
