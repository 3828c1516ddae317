/** The servers that `npm run check:durability` kills: each in a folder of its own, with the settings that are durable. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'iovalkey';
import pg from 'pg';
import { findFreePort } from '#scripts/authorization-server/listen.ts';
import { dynamodbCommand, dynamodbLocal } from '#test/support/dynamodb-server.ts';
import { ordinaryUser, program } from '#test/support/postgres-server.ts';
import { findProgram } from '#test/support/test-services.ts';
import { migrate } from '../migrate.ts';

/** Where a store is kept, and how it is killed. */
export interface Backend {
  readonly storeUrl: string;
  /** The process behind it; an embedded store has none. */
  readonly server?: Server;
  /** Whether it answers a write before it has committed it, as no store must that revocations are entrusted to. */
  readonly answersEarly?: boolean;
}

/** A server process that dies of SIGKILL and is started again on the same data. */
export interface Server {
  /** Starts it and resolves when its store can be used. */
  start(): Promise<void>;
  /** Kills it and all its processes, and resolves when it is gone. */
  kill(): Promise<void>;
  /** Changes its settings so that what it acknowledges may be lost, without a word to who is connected, until it is killed. */
  loosen?(): Promise<void>;
}

/** How a server is run. */
interface Program {
  readonly storeUrl: string;
  readonly command: readonly string[];
  readonly cwd: string;
  readonly user?: Account | undefined;
  readonly loosen?: () => Promise<void>;
  /** Takes back before a start what {@link loosen} has left on the disk. */
  readonly tighten?: () => void;
}

/** Whom a process runs as. */
interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** How long a start may take, in milliseconds: a Java machine on a busy processor takes its time. */
const START_PATIENCE_MS = 60_000;

/** What DynamoDB Local asks of its callers: to have signed, with whatever key. */
export const DYNAMODB_KEY = { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' };

/** By the name on the command line. The last one is there to be found losing. */
export const BACKENDS = {
  async sqlite(folder) {
    const storeUrl = `sqlite:${join(folder, 'store.sqlite')}`;
    await migrate(storeUrl);
    return { storeUrl };
  },

  async postgres(folder) {
    const port = await findFreePort();
    const data = join(folder, 'postgres');
    const user = ordinaryUser();
    const password = createCluster(data, user);
    const storeUrl = `postgres://tests:${password}@127.0.0.1:${port}/postgres`;
    return withServer({
      storeUrl,
      command: [program('postgres'), '-D', data, '-h', '127.0.0.1', '-p', `${port}`, '-k', data],
      cwd: data,
      user,
      async loosen() {
        const client = new pg.Client({ connectionString: storeUrl });
        client.on('error', () => {}); // the query that it was to serve fails and tells
        await client.connect();
        try {
          await client.query('ALTER SYSTEM SET synchronous_commit = off');
          await client.query('SELECT pg_reload_conf()');
        } finally {
          await client.end();
        }
      },
      tighten: () => writeFileSync(join(data, 'postgresql.auto.conf'), ''),
    });
  },

  async redis(folder) {
    const port = await findFreePort();
    return withServer({
      storeUrl: `redis://127.0.0.1:${port}`,
      command: redisServer(port, folder, '--appendonly', 'yes', '--appendfsync', 'always'),
      cwd: folder,
      async loosen() {
        const client = new Redis(port, '127.0.0.1', { retryStrategy: () => null });
        client.on('error', () => {}); // what it is asked fails and tells
        try {
          await client.config('SET', 'appendonly', 'no');
        } finally {
          client.disconnect();
        }
      },
    });
  },

  async dynamodb(folder) {
    const port = await findFreePort();
    const backend = withServer({
      storeUrl: `dynamodb+http://127.0.0.1:${port}/?region=local&auth=sigv4&table=check-durability`,
      command: dynamodbCommand(port, '-dbPath', folder),
      cwd: dynamodbLocal(),
    });
    // DynamoDB Local leaves the COMMIT of a transaction to a queue and answers (`SQLiteDBAccess.commitTransaction` of
    // 3.3.1 does not wait for it). What it reads afterwards goes through the same queue: what is read is committed.
    return { ...backend, answersEarly: true };
  },

  async 'redis-without-disk'(folder) {
    const port = await findFreePort();
    return withServer({
      // Its settings cannot be read, so the driver cannot know; the URL says that it need not.
      storeUrl: `redis://127.0.0.1:${port}?accept-loss=unknown`,
      command: redisServer(port, folder, '--appendonly', 'no', '--rename-command', 'CONFIG', ''),
      cwd: folder,
    });
  },
} satisfies Record<string, (folder: string) => Promise<Backend>>;
export type BackendName = keyof typeof BACKENDS;

/**
 * Runs the server and kills it with all its processes when the input ends: on demand, and also when whoever started it
 * is gone. Stopped first, it makes no new ones meanwhile: one that is left over can wait forever for a lock of the dead.
 */
const WATCH = `
exec 3<&0
"$@" </dev/null 2>&1 &
server=$!
(cat <&3; kill -STOP $server; kill -KILL $(pgrep -P $server) $server) >/dev/null 2>&1 &
watcher=$!
wait $server
kill $watcher 2>/dev/null`;

function withServer({ storeUrl, command, cwd, user, loosen, tighten }: Program): Backend {
  let running: ChildProcess | undefined;
  let output = '';

  function run(): ChildProcess {
    const child = spawn('sh', ['-c', WATCH, 'sh', ...command], {
      cwd,
      stdio: ['pipe', 'pipe', 'ignore'], // The server's own errors come with its output; the shell's are "Killed".
      detached: true, // Ctrl-C ends this script, which ends the input.
      ...user,
    });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4000);
    });
    child.stdin.on('error', () => {}); // It has ended before its input has.
    return child;
  }

  return {
    storeUrl,
    server: {
      async start() {
        for (const endsAt = performance.now() + START_PATIENCE_MS; performance.now() < endsAt; await pause(50)) {
          // It may refuse to start while processes of the one that was killed still end: then it is started again.
          if (running === undefined || hasEnded(running)) {
            tighten?.();
            running = run();
          }
          if (await isMigrated(storeUrl)) return;
        }
        throw new Error(`a server did not start: ${output}`);
      },
      async kill() {
        if (running === undefined || hasEnded(running)) return;
        const exit = once(running, 'exit');
        running.stdin?.end();
        await exit;
      },
      ...(loosen !== undefined && { loosen }),
    },
  };
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

/** Whether the store is up. Each start migrates: when all of the data is gone, that is found as lost rows. */
async function isMigrated(storeUrl: string): Promise<boolean> {
  try {
    await migrate(storeUrl);
    return true;
  } catch {
    return false;
  }
}

/** Makes a PostgreSQL cluster; returns the password of its superuser `tests`. */
function createCluster(folder: string, user: Account | undefined): string {
  const password = randomBytes(12).toString('hex');
  mkdirSync(folder, { mode: 0o700 });
  if (user !== undefined) {
    chownSync(folder, user.uid, user.gid);
    chmodSync(dirname(folder), 0o711); // The folder above is of whoever runs this.
  }
  const passwordFile = `${folder}-password`;
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (user !== undefined) chownSync(passwordFile, user.uid, user.gid);
  const options = ['--username=tests', `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8'];
  execFileSync(program('initdb'), ['-D', folder, ...options], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
    ...user,
  });
  return password;
}

function redisServer(port: number, folder: string, ...settings: readonly string[]): string[] {
  const common = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
  return [findProgram('redis-server', 'valkey-server') ?? 'redis-server', ...common, ...settings];
}
