import { fork } from 'node:child_process';
import { openSync } from 'node:fs';
import { join } from 'node:path';

/** A process of the benchmark, asked one thing after another. */
export interface Child<Order> {
  /** Rejects with what the process failed with, and when it has ended. */
  ask<Answer>(order: Order): Promise<Answer>;
  end(): void;
}

/** Starts a module of this folder in a process whose output, the log lines of handlers, goes nowhere. */
export function startChild<Order extends object>(module: string): Child<Order> {
  const child = fork(join(import.meta.dirname, module), {
    stdio: ['ignore', openSync('/dev/null', 'w'), 'inherit', 'ipc'],
    execArgv: ['--disable-warning=ExperimentalWarning'],
    env: { PATH: process.env.PATH, NODE_ENV: 'production' },
  });
  return {
    ask: (order) =>
      new Promise((resolve, reject) => {
        const ended = (code: number | null) => reject(new Error(`${module} ended with ${code}`));
        child.once('exit', ended);
        child.once('message', (message: { answer?: never; error?: string }) => {
          child.off('exit', ended);
          if (message.error === undefined)
            resolve(message.answer as never); // as the order is answered
          else reject(new Error(message.error));
        });
        child.send(order);
      }),
    end: () => child.disconnect(),
  };
}
