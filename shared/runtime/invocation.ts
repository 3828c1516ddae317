import type { Handler } from '@yandex-cloud/function-types';
import { monotonicMs } from '../clock.ts';
import { type CallerErrorCode, type FailureCode, isFailure, isStoreUnavailable } from '../errors.ts';
import type { Measurement } from '../measurement.ts';
import { OutgoingFailure } from '../outgoing/send.ts';
import type { Platform } from '../platform.ts';
import { isDeployed, namedVariables } from './environment.ts';
import { createLogger, type LineLogger } from './logger.ts';
import { startTrace } from './trace.ts';

/** What is kept back of a call's time to answer and to log, in milliseconds. */
const ANSWER_MARGIN_MS = 300;

/** The part of the platform's context that is used; neither it nor the rest, which holds the body, is ever logged. */
export type PlatformContext = Pick<
  Parameters<Handler.Http>[1],
  'requestId' | 'functionName' | 'functionVersion' | 'token' | 'getRemainingTimeInMillis'
>;

/** The outcome of a call, as its one log line has it. */
export interface Outcome {
  readonly outcome: 'ok' | 'denied' | 'error';
  readonly code?: CallerErrorCode | FailureCode | undefined;
  readonly error?: unknown;
}

/** One call of a function: its time, its place in a trace and its one log line. */
export interface Invocation {
  /** What tells our own services whose call theirs is a part of: the header of W3C Trace Context. */
  readonly traceparent: string;
  /** How long the work may take from now on, in milliseconds. */
  remainingMs(): number;
  /** Adds to the log line. */
  note(fields: Record<string, unknown>): void;
  /** Makes the log line a warning. */
  warn(fields: Record<string, unknown>): void;
  /** Writes a line to the audit log, at once. */
  audit(event: string, fields: Record<string, unknown>): void;
  /** Writes an error line at once, for what an operator has to look at though the call succeeds. */
  alert(message: string, fields: Record<string, unknown>): void;
  /** Writes a line of what no call's line tells, at once. */
  measure(measurement: Measurement): void;
  /** Writes the log line: once, at the end. */
  end(outcome: Outcome): void;
}

/** The calls of one function in this instance. */
export interface Invocations {
  readonly platform: Platform;
  /** @param traceparent The header that the caller has sent. */
  begin(context: PlatformContext, traceparent?: string): Invocation;
}

/** Makes what begins the calls of one function. */
export function createInvocations(functionName: string): Invocations {
  let logger: LineLogger | undefined;
  let isColdStart = true;
  let iamToken: string | undefined;

  function getLogger(): LineLogger {
    logger ??= createLogger(functionName);
    return logger;
  }

  function begin(context: PlatformContext, given?: string): Invocation {
    // The platform sends one with each call; the latest is good for any call that is under way.
    iamToken = context.token?.access_token;
    const startedAt = monotonicMs();
    const { traceId, spanId, traceparent } = startTrace(given);
    const of = { invocation_id: context.requestId, trace_id: traceId, span_id: spanId };
    const fields: Record<string, unknown> = {
      // The platform's name of a function is its id.
      function_id: context.functionName,
      function_version: context.functionVersion,
      ...of,
      cold_start: isColdStart,
    };
    let isWarning = false;
    isColdStart = false;

    return {
      traceparent,
      remainingMs: () => context.getRemainingTimeInMillis() - ANSWER_MARGIN_MS,
      note: (more) => {
        Object.assign(fields, more);
      },
      warn: (more) => {
        Object.assign(fields, more);
        isWarning = true;
      },
      audit: (event, more) => {
        getLogger().log('INFO', `audit: ${event}`, {
          stream_name: 'audit',
          event,
          ...of,
          ...pick(fields, AUDITED),
          ...more,
        });
      },
      alert: (message, more) => {
        getLogger().log('ERROR', `${functionName}: ${message}`, { ...of, ...more });
      },
      measure: (measurement) => {
        getLogger().log('INFO', 'metric', { ...of, ...measurement });
      },
      end: ({ outcome, code, error }) => {
        const level = outcome === 'error' ? 'ERROR' : isWarning ? 'WARN' : 'INFO';
        Object.assign(fields, {
          outcome,
          code,
          ...(error !== undefined && { error: describeFailure(error), ...describeFault(error) }),
          duration_ms: Math.round((monotonicMs() - startedAt) * 1000) / 1000,
          remaining_ms: Math.round(context.getRemainingTimeInMillis()),
        });
        getLogger().log(level, `${functionName}: ${outcome}`, fields);
      },
    };
  }

  const platform: Platform = {
    isDeployed: isDeployed(),
    iamToken: () => iamToken,
    secrets: namedVariables(),
    warn: (sentence) => getLogger().log('WARN', `${functionName}: ${sentence}`, {}),
  };
  return { platform, begin };
}

/** What an audit line has of what was noted before it: which call, and by which credential. */
const AUDITED = ['request_id', 'client_id', 'token_id'] as const;

function pick(fields: Readonly<Record<string, unknown>>, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(names.flatMap((name) => (fields[name] === undefined ? [] : [[name, fields[name]]])));
}

/** What is counted of a failure, in fields of the line itself: what is nested cannot be. */
function describeFault(error: unknown): Record<string, unknown> {
  if (isStoreUnavailable(error)) return { store_fault: error.fault };
  return error instanceof OutgoingFailure ? { outgoing_fault: error.fault } : {};
}

/** What an operator needs of a failure. */
function describeFailure(error: unknown): Record<string, unknown> {
  if (isFailure(error)) {
    return {
      message: error.message,
      ...(isStoreUnavailable(error) && { fault: error.fault }),
      ...(error.cause instanceof Error && { cause: printable(error.cause.message) }),
    };
  }
  // The message of an error that nobody expected may quote what was being handled: its code and where it came from do not.
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const frames = stack.split('\n').filter((line) => line.startsWith('    at '));
  return { message: 'unexpected', ...codeOf(error), frames: frames.slice(0, 8).map((frame) => frame.trim()) };
}

/** The code of an error that is none of ours, such as a SQLSTATE, the first word of a Redis reply or Node's. */
function codeOf(error: unknown): { code?: string } {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return /^[A-Z0-9_]{2,40}$/.test(code) ? { code } : {};
}

function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ').slice(0, 500);
}
