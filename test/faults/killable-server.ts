import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { findFreePort } from '#scripts/authorization-server/listen.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

/** A server that keeps its files when it is killed, and can be started again on the same port. */
export interface KillableServer {
  readonly port: number;
  /** Where it keeps its files. */
  readonly folder: string;
  /** Starts it again and waits until it serves. */
  start(): Promise<void>;
  /** Sends a signal that ends it, SIGKILL to all its processes, and waits until it has ended. */
  end(signal: 'SIGKILL' | 'SIGINT'): Promise<void>;
  /** Stops all its processes where they stand. Returns what lets them go on. */
  freeze(): Promise<() => void>;
  /** Ends it and removes its files. */
  stop(): Promise<void>;
}

/** How a server is started. */
interface KillableProgram {
  /** Who it runs as; without it, who runs the tests. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
  command(port: number, folder: string): readonly string[];
  /** Where the command is run: its folder, unless this says otherwise. */
  readonly cwd?: string;
  /** Makes its files, before it starts for the first time. */
  prepare?(folder: string): void;
  /** What it prints when it serves; without it, it serves when it accepts a connection. */
  readonly isReady?: RegExp;
  /** What ends it at once when the tests are done with it. */
  readonly stopSignal: 'QUIT' | 'KILL';
  /** Its processes besides the first. */
  otherProcesses?(port: number): Promise<readonly number[]>;
}

/**
 * Runs the server, says which process it is, and ends it when the input ends, hence also when the test run is killed.
 * $1 is the signal that does it, the rest the command. A stopped process takes no signal but SIGCONT and SIGKILL.
 */
const WATCH = `
signal=$1; shift
exec 3<&0
"$@" </dev/null 2>&1 &
server=$!
echo "process $server"
(cat <&3; kill -CONT $server; kill -$signal $server) >/dev/null 2>&1 &
watcher=$!
wait $server
kill $watcher 2>/dev/null`;

/** Starts a server in a temporary folder, on a free port. */
export async function startKillableServer(program: KillableProgram): Promise<KillableServer> {
  const { path: folder, remove } = createTemporaryFolder();
  if (program.user !== undefined) chownSync(folder, program.user.uid, program.user.gid);
  program.prepare?.(folder);
  const port = await findFreePort();
  let running: { child: ChildProcess; processId: number } | undefined;

  /** Resolves to what it printed when it ended before it served. */
  async function tryStart(): Promise<string | undefined> {
    const child = spawn('sh', ['-c', WATCH, 'sh', program.stopSignal, ...program.command(port, folder)], {
      cwd: program.cwd ?? folder,
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true, // Ctrl-C is for the test run, which then ends this
      ...program.user,
    });
    let processId = 0;
    let output = '';
    for await (const line of createInterface({ input: child.stdout })) {
      output += `${line}\n`;
      processId ||= Number(/^process (\d+)$/.exec(line)?.[1] ?? 0);
      if (!(program.isReady ?? /^process /).test(line)) continue;
      child.stdout.resume();
      while (child.exitCode === null && !(await accepts(port))) await pause(20);
      if (child.exitCode !== null) return output;
      running = { child, processId };
      return undefined;
    }
    return output;
  }

  async function start(): Promise<void> {
    // What a killed server left behind, such as PostgreSQL's other processes, may need a moment to go.
    let output: string | undefined = '';
    for (let attempt = 0; attempt < MAX_STARTS && output !== undefined; attempt += 1) output = await tryStart();
    if (output !== undefined) throw new Error(`the server did not start:\n${output}`);
  }

  async function whileEnding(act: (server: { child: ChildProcess; processId: number }) => void): Promise<void> {
    if (running === undefined) return;
    const ended = once(running.child, 'exit');
    act(running);
    await ended;
    running = undefined;
  }

  const otherProcesses = async () => (await program.otherProcesses?.(port)) ?? [];

  await start();
  return {
    port,
    folder,
    start,
    async end(signal) {
      if (running === undefined) return;
      // Those of PostgreSQL that are left alone by a SIGKILL would go on serving until they notice.
      const others = signal === 'SIGKILL' ? await otherProcesses() : [];
      await whileEnding(({ processId }) => {
        for (const id of [processId, ...others]) signalIfThere(id, signal);
      });
    },
    async freeze() {
      const processes = [running?.processId, ...(await otherProcesses())];
      const signal = (name: NodeJS.Signals) => {
        for (const id of processes) if (id !== undefined) signalIfThere(id, name);
      };
      signal('SIGSTOP');
      // A signal is on its way: until it has arrived, a busy server may still answer.
      while (!processes.every((id) => id === undefined || isStopped(id))) await pause(1);
      return () => signal('SIGCONT');
    },
    async stop() {
      await whileEnding(({ child }) => child.stdin?.end());
      remove();
    },
  };
}

/** Whether a process, with all its threads, is stopped or gone; on a system without /proc nobody can tell. */
function isStopped(processId: number): boolean {
  try {
    const threads = readdirSync(`/proc/${processId}/task`);
    return threads.every((id) => /\) [TZ] /.test(readFileSync(`/proc/${processId}/task/${id}/stat`, 'utf8')));
  } catch {
    return true;
  }
}

/** One of several processes may end by itself. */
function signalIfThere(processId: number, name: NodeJS.Signals): void {
  try {
    process.kill(processId, name);
  } catch {
    // It has.
  }
}

const MAX_STARTS = 50;

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(port, '127.0.0.1');
    probe.on('error', () => resolve(false));
    probe.on('connect', () => {
      probe.destroy();
      resolve(true);
    });
  });
}
