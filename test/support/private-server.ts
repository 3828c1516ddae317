import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { findFreePort } from '#scripts/authorization-server/listen.ts';

/** A server in a temporary folder of its own. */
export interface PrivateServer {
  readonly port: number;
  readonly folder: string;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

/** How a server is started. */
export interface ServerProgram {
  /** Who it runs as; without it, who runs the tests. */
  readonly user?: { uid: number; gid: number } | undefined;
  /** The command, for a port and a folder. */
  command(port: number, folder: string): readonly string[];
  /** Makes its files, before it starts. */
  prepare?(folder: string): void;
  /** What it prints when it serves. */
  readonly isReady: RegExp;
}

/**
 * Runs the server and ends it with SIGINT when the input ends, hence also when the test run is killed. $1 is its
 * folder, which goes with it, the rest the command. A stopped process takes no signal but SIGCONT.
 */
const WATCH = `
folder=$1; shift
exec 3<&0
"$@" </dev/null 2>&1 &
server=$!
(cat <&3; kill -CONT $server; kill -INT $server) >/dev/null 2>&1 &
watcher=$!
wait $server
kill $watcher 2>/dev/null
rm -rf "$folder"`;

/** Makes a certificate for the host `localhost`, which vouches for itself: `certificate.pem` and `key.pem`. */
export function makeCertificate(folder: string, user?: ServerProgram['user']): void {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', 'key.pem'];
  execFileSync('openssl', ['req', '-x509', ...subject, ...key, '-out', 'certificate.pem'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    ...user,
  });
}

/** Starts a server on a free port and waits until it says that it serves. */
export async function startPrivateServer(program: ServerProgram): Promise<PrivateServer> {
  const folder = mkdtempSync(join(tmpdir(), 'unlink-server-'));
  if (program.user !== undefined) chownSync(folder, program.user.uid, program.user.gid);
  program.prepare?.(folder);
  const port = await findFreePort();
  const child = spawn('sh', ['-c', WATCH, 'sh', folder, ...program.command(port, folder)], {
    cwd: folder,
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true, // Ctrl-C is for the test run, which then ends this
    ...program.user,
  });
  const output: string[] = [];
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.stdin.end();
    await exit;
    rmSync(folder, { recursive: true, force: true });
  };
  for await (const line of createInterface({ input: child.stdout })) {
    output.push(line);
    if (!program.isReady.test(line)) continue;
    child.stdout.resume();
    return { port, folder, stop };
  }
  throw new Error(`the server did not start:\n${output.join('\n')}`);
}
