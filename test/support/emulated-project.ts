import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { inject } from 'vitest';
import { type Emulator, startEmulator } from '#scripts/emulator/emulator.ts';
import { readYaml } from '#scripts/emulator/functions-file.ts';
import { migrateSqlite } from '#scripts/migrate.ts';
import { createTemporaryFolder } from './temporary-folder.ts';

/** An answer as its receiver reads it. */
export interface Received {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** The project's own functions, built, in the emulator, on an empty SQLite store. */
export interface EmulatedProject extends Emulator {
  readonly database: string;
  /** What the functions printed, line by line. */
  readonly output: string[];
  /** A raw call; `body` is sent as it is when it is a string. */
  raw(functionName: string, body: unknown): Promise<Received>;
  /** A call through the gateway. */
  gateway(method: string, path: string, headers?: Record<string, string>, body?: string): Promise<Received>;
  /** The one log line that the calls since the last reading have written, parsed. */
  takeLogLine(): Record<string, unknown>;
  countRows(): number;
  /** The timer's tick of `maintenance`, which must succeed. */
  tick(): Promise<void>;
  /** What the outbox has put off is due now. */
  makeJobsDue(): void;
}

/** Settings of the functions that a test changes: `timeout` in seconds, `local` values by name. */
export interface Changes {
  /** The authorization server whose tokens are verified; without one, tokens are not. */
  readonly authUrl?: string;
  readonly timeout?: number;
  readonly local?: Readonly<Record<string, string | null>>;
  readonly stripCredentialHeaders?: boolean;
  readonly migrate?: boolean;
  /** The folder of the functions; with the SQLite driver alone if not given. */
  readonly bundles?: string;
  /** The IAM token that functions find in their context. */
  readonly accessToken?: string;
}

/** 32 bytes of the letter p. */
export const TEST_PEPPERS = `k1:${Buffer.alloc(32, 'p').toString('base64')}`;

/** 32 bytes of the letter e. */
export const TEST_KEYS = `k1:${Buffer.alloc(32, 'e').toString('base64')}`;

/** What `local:` says of servers that a test has only if it starts them; nothing listens at the discard port. */
export const UNUSED_URLS = {
  GATEWAY_URL: 'http://localhost:9',
  PROVIDER_URL: 'http://localhost:9',
  DEMO_URL: 'http://localhost:9',
  CONTEXT_PREFIX: '/blitz',
  HOMESERVER_URL: 'http://localhost:9',
  HOMESERVER_NAME: 'localhost:9',
  MATRIX_SIGNING_KEY: `ed25519 a_test ${Buffer.alloc(32, 's').toString('base64')}`,
  IDENTITY_SERVER: 'localhost:9',
  IDENTITY_CA_FILE: '',
};

/** Starts the project; its `close` also removes what it stored. */
export async function startProject(changes: Changes = {}): Promise<EmulatedProject> {
  const folder = createTemporaryFolder();
  const database = join(folder.path, 'unlink.sqlite');
  if (changes.migrate !== false) migrateSqlite(database);
  const output: string[] = [];
  const emulator = await startEmulator({
    functionsFile: changedFunctionsFile(folder.path, changes),
    gatewayFile: 'infra/openapi.yaml',
    bundles: changes.bundles ?? inject('sqliteBundles'),
    lazy: true,
    port: 0,
    gatewayPort: 0,
    values: {
      DATA_DIR: folder.path,
      DEVELOPMENT_PEPPERS: TEST_PEPPERS,
      DEVELOPMENT_KEYS: TEST_KEYS,
      ...UNUSED_URLS,
      ...(changes.authUrl !== undefined && { AUTH_URL: changes.authUrl }),
    },
    stripCredentialHeaders: changes.stripCredentialHeaders ?? false,
    // A tick of the minute's own would do a test's jobs, or put them off.
    hasSchedules: false,
    ...(changes.accessToken !== undefined && { accessToken: changes.accessToken }),
    onOutput: (_functionName, line) => output.push(line),
  });
  return {
    ...emulator,
    database,
    output,
    raw: (functionName, body) =>
      send(`${emulator.functionsUrl}/${functionName}?integration=raw`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    gateway: (method, path, headers = {}, body) =>
      send(`${emulator.gatewayUrl}${path}`, { method, headers, ...(body !== undefined && { body }) }),
    takeLogLine() {
      // Besides it there may be alerts and audit lines, and one of the platform's own for an error that is thrown.
      const all = output.splice(0).filter((line) => line.startsWith('{') && line.includes('"outcome":'));
      // A test may have had the timer fire.
      const calls = all.filter((line) => !line.includes('"transport":"timer"'));
      const lines = calls.length > 0 ? calls : all;
      if (lines.length !== 1) throw new Error(`one log line was expected, not ${lines.length}: ${lines.join('\n')}`);
      return JSON.parse(lines[0] ?? '');
    },
    countRows() {
      const connection = new DatabaseSync(database);
      const row = connection.prepare('SELECT count(*) AS rows FROM revoked_id').get();
      connection.close();
      return Number(row?.rows);
    },
    async tick() {
      const { status, body } = await send(`${emulator.functionsUrl}/_timers/maintenance`, { method: 'POST' });
      if (status !== 200) throw new Error(`the timer was answered ${status} ${body}`);
    },
    makeJobsDue() {
      const connection = new DatabaseSync(database);
      connection.exec('UPDATE outbox_job SET due_at = 0');
      connection.close();
    },
    async close() {
      await emulator.close();
      folder.remove();
    },
  };
}

async function send(url: string, init: RequestInit): Promise<Received> {
  const response = await fetch(url, { redirect: 'manual', ...init });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

/** What `local:` of functions.yaml says of tokens where there is no authorization server. */
const UNVERIFIED = { ISSUERS: null, ISSUER: null, GRANT_CLAIM: null, PROVIDERS: null, UNVERIFIED_TOKENS: '1' };

/**
 * Writes what the emulator reads of the project, so changed that no tokens are verified, and returns its root.
 *
 * @param only The functions that there are, with the paths that need no others; all, if not given.
 */
export function writeUnverifiedProject(root: string, only?: readonly string[]): string {
  const infra = join(root, 'infra');
  mkdirSync(infra, { recursive: true });
  // The shape that the emulator checks when it reads the file.
  const gateway = readYaml('infra/openapi.yaml') as { paths: Record<string, object> };
  const paths = Object.entries(gateway.paths).filter(([, item]) => {
    const named = [...JSON.stringify(item).matchAll(/\$\{functions\.([a-z-]+)\}/g)].map(([, name = '']) => name);
    return named.every((name) => only?.includes(name) ?? true);
  });
  writeFileSync(join(infra, 'openapi.yaml'), JSON.stringify({ ...gateway, paths: Object.fromEntries(paths) }));
  // Without it there are no servers to start either.
  changedFunctionsFile(infra, { local: { ID_SERVER_ALLOW: null } }, only);
  return root;
}

function changedFunctionsFile(
  folder: string,
  { timeout, authUrl, local = {} }: Changes,
  only?: readonly string[],
): string {
  // The shape that the emulator checks when it reads the file.
  const file = structuredClone(readYaml('infra/functions.yaml')) as {
    local: Record<string, string | null>;
    functions: Record<
      string,
      { timeout?: number; variables?: string[]; secrets?: string[]; local?: Record<string, string> }
    >;
  };
  for (const [name, row] of Object.entries(file.functions)) {
    if (only !== undefined && !only.includes(name)) delete file.functions[name];
    if (timeout !== undefined) row.timeout = timeout;
    row.variables = [...(row.variables ?? []), ...Object.keys(local)];
    for (const name of Object.keys(local)) delete row.local?.[name];
  }
  // What a server is told of an unlink is tested where a test says so.
  const defaults = { END_GRANT: null, ...(authUrl === undefined && UNVERIFIED) };
  for (const [name, value] of Object.entries({ ...defaults, ...local })) {
    if (value === null) delete file.local[name];
    else file.local[name] = value;
  }
  const path = join(folder, 'functions.yaml');
  writeFileSync(path, JSON.stringify(file)); // which is YAML
  return path;
}
