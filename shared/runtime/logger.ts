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
