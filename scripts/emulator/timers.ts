import { randomUUID } from 'node:crypto';
import { Cron } from 'croner';
import type { FunctionDefinition, TimerDefinition } from './functions-file.ts';
import type { InstancePool, Outcome } from './instance-pool.ts';
import { StartError } from './start-error.ts';

/** The timer triggers of the functions that have one. */
export interface Timers {
  has(functionName: string): boolean;
  /** Sends the timer's message once, now, without retries. */
  fire(functionName: string): Promise<Outcome>;
  /** Begins to follow the schedules, in UTC as on the platform. */
  start(): void;
  close(): void;
}

export interface TimersOptions {
  definitions: FunctionDefinition[];
  pools: Map<string, Pick<InstancePool, 'invoke'>>;
  onOutput: (functionName: string, line: string) => void;
}

/** Makes the timers; throws a StartError for a cron expression that the platform would not take. */
export function createTimers({ definitions, pools, onOutput }: TimersOptions): Timers {
  let isClosed = false;
  const timers = new Map<string, { schedule: Cron; send: () => Promise<Outcome>; run: () => Promise<void> }>();
  for (const { name, timer } of definitions) {
    const pool = pools.get(name);
    if (timer === undefined || pool === undefined) continue;
    const triggerId = randomUUID();
    const send = () => pool.invoke(randomUUID(), timerEvent(triggerId, timer.payload));
    const run = async () => {
      const outcome = await deliver(timer, () => (isClosed ? undefined : send()));
      if (outcome && outcome.status !== 'returned')
        onOutput(name, '[ERROR] timer: the message is lost, no attempt succeeded');
    };
    timers.set(name, { schedule: scheduleOf(name, timer.cron), send, run });
  }

  return {
    has: (name) => timers.has(name),
    async fire(name) {
      const timer = timers.get(name);
      if (timer === undefined) throw new Error(`The function ${name} has no timer`);
      return timer.send();
    },
    start() {
      for (const { schedule, run } of timers.values()) schedule.schedule(run);
    },
    close() {
      isClosed = true;
      for (const { schedule } of timers.values()) schedule.stop();
    },
  };
}

/** Sends a message until it is taken, at most `retry_attempts` times after the first; undefined ends it early. */
async function deliver(
  { retry_attempts, retry_interval }: TimerDefinition,
  send: () => Promise<Outcome> | undefined,
): Promise<Outcome | undefined> {
  let outcome = await send();
  for (let retry = 1; retry <= retry_attempts && outcome && outcome.status !== 'returned'; retry += 1) {
    await new Promise((resolve) => setTimeout(resolve, retry_interval * 1000).unref());
    outcome = await send();
  }
  return outcome;
}

/**
 * The schedule of a cron expression in the platform's form: minutes, hours, day of month, month, day of week (1 is
 * Sunday), year (may be left out); one of the two days is `?`. Throws a StartError for any other.
 */
export function scheduleOf(functionName: string, expression: string): Cron {
  const [minutes, hours, day, month, weekday, year = '*', ...rest] = expression.trim().split(/\s+/);
  try {
    if (weekday === undefined || rest.length > 0) throw new Error('six fields are needed');
    if (day !== '?' && weekday !== '?') throw new Error('day of month or day of week must be "?"');
    // A lone L is Saturday; the library's L is "the last such day of the month".
    const pattern = ['0', minutes, hours, day, month, weekday === 'L' ? '7' : weekday, year].join(' ');
    return new Cron(pattern, {
      timezone: 'UTC',
      mode: '7-part',
      alternativeWeekdays: true,
      sloppyRanges: true,
      unref: true,
    });
  } catch (error) {
    // Only Errors are thrown here and by the library.
    const reason = (error as Error).message;
    throw new StartError(`The timer of the function ${functionName} has the bad cron "${expression}": ${reason}.`);
  }
}

function timerEvent(triggerId: string, payload: string | undefined): string {
  const message = {
    event_metadata: {
      event_id: randomUUID(),
      event_type: 'yandex.cloud.events.serverless.triggers.TimerMessage',
      created_at: new Date().toISOString(),
      cloud_id: 'emulator-cloud',
      folder_id: 'emulator-folder',
    },
    details: { trigger_id: triggerId, ...(payload === undefined ? {} : { payload }) },
  };
  return JSON.stringify({ messages: [message] });
}
