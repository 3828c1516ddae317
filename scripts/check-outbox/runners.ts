/** The runners of `npm run check:outbox`, as the process sees them that nobody kills. */
import { type ChildProcess, fork } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { type Kill, type KillPoint, type News, type Order, PROVIDER_POINTS, type RunnerSettings } from './runner.ts';

/** How many there are at once. */
const RUNNERS = 3;

/** The runners. One that is killed is replaced. */
export interface Runners {
  /** How many were killed at each point. */
  readonly kills: ReadonlyMap<KillPoint, number>;
  /** How many runs ended because the store failed. */
  readonly failedRuns: number;
  /**
   * Has all of them run what is due at a time, and run again who is killed or fails, until all have ended.
   *
   * @param plan The kills still to come, of which each run takes the next; one whose moment does not come goes back.
   */
  run(timeMs: number, plan: Kill[]): Promise<void>;
  /** Tells of a call that is at the provider. */
  onCall(name: string, moment: 'arrived' | 'decided'): void;
  /** Kills them all. */
  end(): Promise<void>;
}

interface Runner {
  readonly name: string;
  readonly child: ChildProcess;
  kill: Kill | undefined;
  countdown: number;
  /** It has been sent its SIGKILL: whatever it still tells, it is about to end. */
  isDoomed: boolean;
}

/** How often a run may fail on end before this is no check of the outbox any more. */
const MAX_FAILURES = 100;

/** Starts them, each in a process of `script`. */
export function startRunners(script: string, settings: Omit<RunnerSettings, 'name' | 'seed'>, seed: number): Runners {
  const kills = new Map<KillPoint, number>();
  const running = new Map<string, Runner>();
  const idle: Runner[] = [];
  const signs = new EventEmitter();
  let started = 0;
  let failedRuns = 0;
  let failure: Error | undefined;
  let order: Order = { timeMs: 0 };
  let plan: Kill[] = [];
  let isEnding = false;

  function start(): Runner {
    started += 1;
    const name = `runner-${started}`;
    const own: RunnerSettings = { ...settings, name, seed: seed + started };
    const child = fork(script, ['--runner', JSON.stringify(own)], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    const runner: Runner = { name, child, kill: undefined, countdown: 0, isDoomed: false };
    child.on('message', (message) => endRun(runner, message as News)); // what a runner of ours sends
    child.once('exit', (code, signal) => replace(runner, signal ?? `exit code ${code}`));
    return runner;
  }

  function beginRun(runner: Runner): void {
    runner.kill = plan.shift();
    runner.countdown = runner.kill?.nth ?? 0;
    running.set(runner.name, runner);
    runner.child.send({ ...order, kill: runner.kill }, () => {});
  }

  function endRun(runner: Runner, news: News): void {
    if (runner.isDoomed) return;
    running.delete(runner.name);
    if (runner.kill !== undefined) plan.push(runner.kill);
    runner.kill = undefined;
    if ('failed' in news) {
      failedRuns += 1;
      if (failedRuns > MAX_FAILURES) failure = new Error(`Runs fail all the time: ${news.failed}`);
      else beginRun(runner);
    } else idle.push(runner);
    signs.emit('news');
  }

  function replace(runner: Runner, end: string): void {
    if (isEnding) return;
    running.delete(runner.name);
    if (end !== 'SIGKILL' || runner.kill === undefined) failure = new Error(`${runner.name} ended with ${end}.`);
    else {
      kills.set(runner.kill.point, (kills.get(runner.kill.point) ?? 0) + 1);
      beginRun(start());
    }
    signs.emit('news');
  }

  for (let index = 0; index < RUNNERS; index += 1) idle.push(start());
  return {
    kills,
    get failedRuns() {
      return failedRuns;
    },
    async run(timeMs, kills) {
      order = { timeMs };
      plan = kills;
      for (const runner of idle.splice(0)) beginRun(runner);
      while (running.size > 0) {
        if (failure !== undefined) throw failure;
        await once(signs, 'news');
      }
      if (failure !== undefined) throw failure;
    },
    onCall(name, moment) {
      const runner = running.get(name);
      if (runner?.kill === undefined || runner.kill.point !== PROVIDER_POINTS[moment === 'arrived' ? 0 : 1]) return;
      runner.countdown -= 1;
      if (runner.countdown > 0) return;
      runner.isDoomed = true;
      runner.child.kill('SIGKILL');
    },
    async end() {
      isEnding = true;
      // One that has died a moment ago may still be connected, and tells of its end no more.
      const left = [...idle, ...running.values()].filter(({ child }) => child.exitCode === null && !child.signalCode);
      const gone = left.map(({ child }) => once(child, 'exit'));
      for (const { child } of left) child.kill('SIGKILL');
      await Promise.all(gone);
    },
  };
}
