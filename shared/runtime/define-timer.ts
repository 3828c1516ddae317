import { isFailure } from '../errors.ts';
import type { Platform } from '../platform.ts';
import type { Settings, Variables } from '../settings.ts';
import type { Handler } from './define-function.ts';
import { readEnvironment } from './environment.ts';
import { createFailure } from './failure.ts';
import { createInvocations, type Invocation } from './invocation.ts';

/** A function that a timer calls, as its handler declares it. */
export interface TimerDefinition<Asked extends Variables, Ports> {
  readonly name: string;
  readonly environment: Asked;
  readonly ports: (settings: Settings<Asked>, platform: Platform) => Ports;
  /** The work of one tick: what is not done now is done at the next. */
  readonly run: (tick: Tick, ports: Ports) => Promise<void>;
}

/** One call of a timer. */
export type Tick = Pick<Invocation, 'remainingMs' | 'note' | 'warn' | 'alert' | 'measure'> & {
  /** The platform's id of the call. */
  readonly invocationId: string;
};

/**
 * Makes a handler for a timer trigger. Nothing of its event is read: whoever may call the function may make it work,
 * and its binding lets the timer alone. A failure is thrown, so that the trigger tries again.
 *
 * @see https://yandex.cloud/en/docs/functions/concepts/trigger/timer
 */
export function defineTimer<Asked extends Variables, Ports>(definition: TimerDefinition<Asked, Ports>): Handler {
  const invocations = createInvocations(definition.name);
  let ports: Ports | undefined;

  return async (_event, context) => {
    const invocation = invocations.begin(context);
    invocation.note({ transport: 'timer' });
    try {
      ports ??= definition.ports(readEnvironment(definition.environment), invocations.platform);
      const { remainingMs, note, warn, alert, measure } = invocation;
      await definition.run({ invocationId: context.requestId, remainingMs, note, warn, alert, measure }, ports);
      invocation.end({ outcome: 'ok' });
    } catch (error) {
      const code = isFailure(error) ? error.code : 'server_error';
      invocation.end({ outcome: 'error', code, error });
      throw createFailure(code);
    }
    return {};
  };
}
