import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ordinaryUser } from './postgres-server.ts';
import { startPrivateServer } from './private-server.ts';
import { findProgram } from './test-services.ts';

/**
 * Starts a PgBouncer in front of a PostgreSQL server for one test: in transaction mode, with one connection to the
 * server, unless the settings say otherwise.
 *
 * @returns The URL of the server, with the pooler's port.
 */
export async function startPooler(serverUrl: string, settings: Readonly<Record<string, string>> = {}): Promise<string> {
  const { hostname, port, username, password } = new URL(serverUrl);
  const readable = { mode: 0o644 }; // it runs as another user
  const server = await startPrivateServer({
    user: ordinaryUser(),
    command: (ownPort, folder) => {
      const all = {
        ...{ listen_addr: '127.0.0.1', listen_port: ownPort, unix_socket_dir: '' },
        ...{ auth_type: 'plain', auth_file: join(folder, 'users'), logfile: '' },
        ...{ pool_mode: 'transaction', default_pool_size: 1, ...settings },
      };
      const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
      const file = join(folder, 'pgbouncer.ini');
      writeFileSync(all.auth_file, `"${username}" "${decodeURIComponent(password)}"\n`, readable);
      writeFileSync(
        file,
        `[databases]\n* = host=${hostname} port=${port}\n[pgbouncer]\n${lines.join('\n')}\n`,
        readable,
      );
      return [findProgram('pgbouncer') ?? 'pgbouncer', file];
    },
    isReady: /process up/,
  });
  onTestFinished(server.stop);
  return Object.assign(new URL(serverUrl), { port: String(server.port) }).href;
}
