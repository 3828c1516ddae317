import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { inject } from 'vitest';
import { migratePostgres } from '#scripts/migrate-postgres.ts';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { ordinaryUser, program } from '#test/support/postgres-server.ts';
import { startKillableServer } from './killable-server.ts';
import { createNetworkStore, type End, leadAstray, type NetworkStore } from './network-store.ts';

/** Of the store's role and its database: its own, for the server that it fails over to is one of all tests. */
const NAME = `unlink_faults_${randomBytes(8).toString('hex')}`;
const PASSWORD = randomBytes(12).toString('hex');

/** Starts a PostgreSQL with a store in it that is not its superuser's. */
export async function startPostgresStore(): Promise<NetworkStore> {
  const user = ordinaryUser();
  const server = await startKillableServer({
    user,
    prepare: (folder) => {
      const options = ['--username=tests', '--auth-local=trust', '--auth-host=scram-sha-256', '--encoding=UTF8'];
      execFileSync(program('initdb'), ['-D', join(folder, 'data'), ...options, '--no-sync'], {
        cwd: folder,
        stdio: ['ignore', 'ignore', 'ignore'],
        ...user,
      });
    },
    command: (port, folder) => [
      program('postgres'),
      ...['-D', join(folder, 'data'), '-h', '127.0.0.1', '-p', String(port), '-k', folder],
    ],
    isReady: /ready to accept/,
    stopSignal: 'QUIT',
    otherProcesses: async () => {
      const processes = await asAdministrator('SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
      return processes.map(({ pid }) => Number(pid));
    },
  });
  const urlAt = (port: number) => `postgres://${NAME}:${PASSWORD}@127.0.0.1:${port}/${NAME}`;
  const storeUrl = urlAt(server.port);

  /** On a connection of its own, over the Unix socket. */
  async function asAdministrator(statement: string, database = 'postgres'): Promise<pg.QueryResultRow[]> {
    const client = await connectAsAdministrator(database);
    try {
      return (await client.query(statement)).rows;
    } finally {
      await client.end();
    }
  }
  async function connectAsAdministrator(database: string): Promise<pg.Client> {
    const client = new pg.Client({ host: server.folder, port: server.port, user: 'tests', database });
    await client.connect();
    await client.query('SET default_transaction_read_only = off'); // whatever the server's default is
    return client;
  }

  await asAdministrator(`CREATE ROLE ${NAME} LOGIN PASSWORD '${PASSWORD}'`);
  await asAdministrator(`CREATE DATABASE ${NAME} OWNER ${NAME}`);
  await migratePostgres(storeUrl);

  return createNetworkStore('postgres', server, urlAt, (proxy) => {
    /** Changes something that is looked at when a connection is made, hence the cut. */
    async function whileIs(statement: string, undo: string, database?: string): Promise<End> {
      await asAdministrator(statement, database);
      proxy.cut();
      return async () => void (await asAdministrator(undo, database));
    }
    async function whileAltered(statements: readonly (readonly string[])[], database?: string): Promise<End> {
      for (const [change = ''] of statements) await asAdministrator(change, database);
      return async () => {
        for (const [, undo = ''] of statements) await asAdministrator(undo, database);
      };
    }
    async function whileSystemHas(name: string, value: string): Promise<End> {
      const before = await settingOf(name);
      await setSystem(name, `= '${value}'`, value);
      return () => setSystem(name, 'TO DEFAULT', before);
    }
    /** Resolves once the server has told all its processes: a new one comes after that. */
    async function setSystem(name: string, to: string, value: string): Promise<void> {
      await asAdministrator(`ALTER SYSTEM SET ${name} ${to}`);
      await asAdministrator('SELECT pg_reload_conf()');
      while ((await settingOf(name)) !== value);
    }
    async function settingOf(name: string): Promise<string> {
      const [row] = await asAdministrator(`SELECT reset_val FROM pg_settings WHERE name = '${name}'`);
      return String(row?.reset_val);
    }
    async function startAgain(change: () => void): Promise<void> {
      await server.end('SIGINT');
      change();
      await server.start();
    }
    return {
      commit: /\0(revoke|link|unlink)\0/, // the name of a prepared statement
      refuseMore: () => whileIs(`ALTER ROLE ${NAME} CONNECTION LIMIT 0`, `ALTER ROLE ${NAME} CONNECTION LIMIT -1`),
      refuseCredentials: () =>
        whileIs(`ALTER ROLE ${NAME} PASSWORD 'changed'`, `ALTER ROLE ${NAME} PASSWORD '${PASSWORD}'`),
      ageSchema: () =>
        whileIs(
          'UPDATE schema_marker SET version = version - 1',
          'UPDATE schema_marker SET version = version + 1',
          NAME,
        ),
      loseDurability: () =>
        whileIs(`ALTER ROLE ${NAME} SET synchronous_commit = off`, `ALTER ROLE ${NAME} RESET synchronous_commit`),
      async block() {
        const other = await connectAsAdministrator(NAME);
        await other.query('BEGIN; LOCK TABLE revoked_id, account_link IN ACCESS EXCLUSIVE MODE');
        return () => other.end();
      },
      // The server's own answer, though not for its own reason: a small disk takes a mount.
      fill: () =>
        whileIs(
          `CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
          CREATE TRIGGER no_room BEFORE INSERT ON revoked_id EXECUTE FUNCTION no_room();
          CREATE TRIGGER no_room BEFORE INSERT ON audit_record EXECUTE FUNCTION no_room()`,
          'DROP FUNCTION no_room CASCADE',
          NAME,
        ),
      async becomeReplica() {
        await startAgain(() => writeFileSync(join(server.folder, 'data', 'standby.signal'), ''));
        return async () => void (await asAdministrator('SELECT pg_promote()'));
      },
      async corrupt() {
        const rows = await asAdministrator(
          `SELECT pg_relation_filepath(name) AS path FROM unnest(ARRAY['revoked_id', 'account_link']) AS name`,
          NAME,
        );
        const files = rows.map(({ path }) => join(server.folder, 'data', String(path)));
        let pages = new Map<string, Buffer>();
        await startAgain(() => {
          pages = new Map(files.map((file) => [file, readFileSync(file)]));
          for (const [file, { length }] of pages) writeFileSync(file, Buffer.alloc(length, 0xff));
        });
        return () =>
          startAgain(() => {
            for (const [file, bytes] of pages) writeFileSync(file, bytes);
          });
      },
      changes: {
        'synchronous_commit off': () => whileSystemHas('synchronous_commit', 'off'),
        'fsync off': () => whileSystemHas('fsync', 'off'),
        'default_transaction_isolation repeatable read': () =>
          whileSystemHas('default_transaction_isolation', 'repeatable read'),
        'default_transaction_read_only on': () => whileSystemHas('default_transaction_read_only', 'on'),
        'tables UNLOGGED': () =>
          whileAltered(
            ['revoked_id', 'outbox_job'].map((table) => [
              `ALTER TABLE ${table} SET UNLOGGED`,
              `ALTER TABLE ${table} SET LOGGED`,
            ]),
            NAME,
          ),
        'row security without a policy': () =>
          whileAltered(
            ['revoked_id', 'account_link'].map((table) => [
              `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`,
              `ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY`,
            ]),
            NAME,
          ),
        'another password': () =>
          whileAltered([[`ALTER ROLE ${NAME} PASSWORD 'changed'`, `ALTER ROLE ${NAME} PASSWORD '${PASSWORD}'`]]),
        'no more connections': () =>
          whileAltered([[`ALTER ROLE ${NAME} CONNECTION LIMIT 0`, `ALTER ROLE ${NAME} CONNECTION LIMIT -1`]]),
      },
      async failOver() {
        const url = new URL(inject('postgresUrl'));
        const other = new pg.Client(readPostgresUrl(url.href).connection);
        await other.connect();
        await other.query(`CREATE ROLE ${NAME} LOGIN PASSWORD '${PASSWORD}'`);
        await other.query(`CREATE DATABASE ${NAME} TEMPLATE template0`);
        const comeBack = leadAstray(proxy, Number(url.port || 5432));
        return async () => {
          await comeBack();
          await other.query(`DROP DATABASE ${NAME} WITH (FORCE)`);
          await other.query(`DROP ROLE ${NAME}`);
          await other.end();
        };
      },
    };
  });
}
