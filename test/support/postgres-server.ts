import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { makeCertificate, type PrivateServer, startPrivateServer } from './private-server.ts';
import { findProgram } from './test-services.ts';

/** Starts a PostgreSQL with its default settings but those given. */
export async function startPostgresServer(
  settings: Readonly<Record<string, string>> = {},
): Promise<PrivateServer & { url: string }> {
  const password = randomBytes(12).toString('hex');
  const user = ordinaryUser();
  const server = await startPrivateServer({
    user,
    prepare(folder) {
      const passwordFile = join(folder, 'password');
      writeFileSync(passwordFile, password, { mode: 0o644 });
      const options = ['--username=tests', `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8'];
      execFileSync(program('initdb'), ['-D', join(folder, 'data'), ...options, '--no-sync'], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'inherit'],
        ...user,
      });
      makeCertificate(folder, user);
    },
    command: (port, folder) => [
      program('postgres'),
      ...['-D', join(folder, 'data'), '-h', '127.0.0.1', '-p', String(port), '-k', folder],
      ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ],
    isReady: /ready to accept connections/,
  });
  return { ...server, url: `postgres://tests:${password}@127.0.0.1:${server.port}/postgres` };
}

/** Where a program of PostgreSQL is; its bare name when it is nowhere to be found. */
export function program(name: string): string {
  return findProgram(name) ?? name;
}

/** PostgreSQL refuses to run as root: there it runs as the user that its package made. */
export function ordinaryUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const id = (option: string) => Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}

/** A database for one test. */
export interface TestDatabase {
  /** In the form that a store is configured with. */
  readonly url: string;
  /** A connection beside the store's, as its superuser. */
  readonly client: pg.Client;
  /** Drops it, whoever is connected. */
  drop(): Promise<void>;
}

/** Makes a database: empty, or a copy of another one that nobody is connected to. */
export async function createDatabase(serverUrl: string, template = 'template0'): Promise<TestDatabase> {
  const name = `unlink_test_${randomBytes(8).toString('hex')}`;
  await runOnce(serverUrl, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const client = new pg.Client(readPostgresUrl(url.href).connection);
  client.on('error', () => {}); // its connection may be ended by a test
  await client.connect();
  return {
    url: url.href,
    client,
    async drop() {
      await client.end();
      await runOnce(serverUrl, `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

/** Runs a statement in the server's own database. */
export async function runOnce(serverUrl: string, statement: string): Promise<void> {
  const client = new pg.Client(readPostgresUrl(serverUrl).connection);
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
