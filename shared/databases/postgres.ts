import pg from 'pg';
import { monotonicMs } from '../clock.ts';
import { type StoreFault, StoreUnavailable } from '../errors.ts';
import { CONNECT_TIMEOUT_MS, deadlineIn, isRecent, MAX_IDLE_MS, SAFE_FOR_MS, withinTime } from './deadline.ts';
import { notMigrated, type StoreSchema, schemaVersion } from './store-schema.ts';
import { assertOneHost, isLoopback, readStoreUrl, tlsOptions } from './store-url.ts';

/** Connections of one instance: it serves one call, or a few, at a time. */
const MAX_CONNECTIONS = 2;

/** A statement and the name that it is prepared under on each connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** A PostgreSQL database in which what is committed survives a crash of the server's machine. */
export interface PostgresDatabase {
  /**
   * The rows of one idempotent statement, which finds at least one where the schema marker is there. On a connection that
   * turns out to be dead it is tried again on another.
   *
   * @throws {StoreUnavailable} At the latest after `timeoutMs`; whether the statement took effect is then not known.
   */
  query<Row extends pg.QueryResultRow>(
    statement: Statement,
    values: unknown[],
    timeoutMs?: number,
  ): Promise<readonly [Row, ...Row[]]>;

  /** Lets go of the connections. May be called twice. */
  close(): Promise<void>;
}

/**
 * Opens a database at its first query; a failure to connect is the answer to that query alone.
 *
 * @param tables What is kept there: it must be logged, and seen as a whole.
 */
export function openPostgres(url: string, schema: StoreSchema, tables: readonly string[]): PostgresDatabase {
  const { connection, isPrepared } = readPostgresUrl(url);
  const pool = new pg.Pool({
    ...connection,
    Client: ConnectingInTime,
    max: MAX_CONNECTIONS,
    idleTimeoutMillis: MAX_IDLE_MS,
    allowExitOnIdle: true,
    keepAlive: true,
  });
  // A connection that dies is noticed by the query that it was to serve; unheard, these events end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    client.on('error', () => {});
    client.on('notice', ({ routine }) => {
      if (routine === WAITS_FOR_STANDBY) unreplicated.add(client);
    });
  });
  const usedAt = new WeakMap<pg.PoolClient, number>();
  const safeAt = new WeakMap<pg.ClientBase, number>();
  const timeoutsMs = new WeakMap<pg.ClientBase, number>();
  const unreplicated = new WeakSet<pg.ClientBase>();

  /** Asks for what may have changed under a connection, and has the server end in time what is asked next. */
  async function prepare(client: pg.ClientBase, remainingMs: number): Promise<void> {
    const timeoutMs = roundDown(remainingMs);
    // Behind a pooler a setting of the session would be another client's too.
    const session = isPrepared ? sessionSettings(timeoutMs).map((setting) => whereOwn(client, setting)) : [];
    if (!isRecent(safeAt.get(client) ?? 0, SAFE_FOR_MS)) {
      await assertSafe(client, tables, session);
      safeAt.set(client, Date.now());
    } else if (isPrepared && timeoutsMs.get(client) !== timeoutMs) {
      await client.query(`SELECT ${whereOwn(client, timeoutSetting(timeoutMs))}`);
    }
    timeoutsMs.set(client, timeoutMs);
  }

  /** A connection of the pool, or a new one. What was idle for too long is thrown away: a timer stands still as well. */
  async function connect(): Promise<pg.PoolClient> {
    const client = await pool.connect();
    if (isRecent(usedAt.get(client) ?? Date.now(), MAX_IDLE_MS)) return client;
    client.release(true);
    return await connect();
  }

  async function connectInTime(timeoutMs: number): Promise<pg.PoolClient> {
    const connecting = connect();
    try {
      return await withinTime(timeoutMs, connecting);
    } catch (error) {
      connecting.then(
        (late) => late.release(),
        () => {},
      );
      throw error;
    }
  }

  async function ask<Row extends pg.QueryResultRow>(
    client: pg.PoolClient,
    { name, text }: Statement,
    values: unknown[],
    deadline: number,
  ): Promise<Row[]> {
    await withinTime(deadline - monotonicMs(), prepare(client, deadline - monotonicMs()));
    const query = client.query<Row>({ ...(isPrepared && { name }), text, values });
    const { rows } = await withinTime(deadline - monotonicMs(), query);
    if (unreplicated.has(client)) throw new StoreUnavailable('unsafe', { cause: new Error(UNREPLICATED) });
    return rows;
  }

  async function queryInTime<Row extends pg.QueryResultRow>(
    statement: Statement,
    values: unknown[],
    deadline: number,
  ): Promise<Row[]> {
    for (;;) {
      if (pool.ending) throw new StoreUnavailable('closed');
      let client: pg.PoolClient | undefined;
      try {
        client = await connectInTime(deadline - monotonicMs());
        const rows = await ask<Row>(client, statement, values, deadline);
        usedAt.set(client, Date.now());
        client.release();
        return rows;
      } catch (error) {
        client?.release(true);
        const failure = postgresFailure(error);
        const wasStale = client !== undefined && usedAt.has(client);
        if (!(wasStale && failure instanceof StoreUnavailable && failure.fault === 'unreachable')) throw failure;
      }
    }
  }

  const markerStatement = { name: 'marker', text: schemaVersion(schema) };

  /** The version of the schema, if that can be said. */
  async function readVersion(deadline: number): Promise<number | undefined> {
    try {
      const [marker] = await queryInTime<{ version: number }>(markerStatement, [], deadline);
      return marker?.version;
    } catch {
      return undefined; // what led here says more
    }
  }

  return {
    async query<Row extends pg.QueryResultRow>(statement: Statement, values: unknown[], timeoutMs?: number) {
      const deadline = deadlineIn(timeoutMs);
      try {
        const rows = await queryInTime<Row>(statement, values, deadline);
        if (isNotEmpty(rows)) return rows;
      } catch (error) {
        if (!(error instanceof StoreUnavailable && isNameUnknown(error.cause))) throw error;
        throw notMigrated(schema, await readVersion(deadline), error.cause);
      }
      throw notMigrated(schema, await readVersion(deadline));
    },

    async close() {
      // A server that hangs does not say goodbye; the process need not wait for it.
      if (!pool.ending) await withinTime(CONNECT_TIMEOUT_MS, pool.end()).catch(() => {});
    },
  };
}

/** Whether a database lacks a table, a column or a function, or has it with other parameters, as an older schema does. */
function isNameUnknown(cause: unknown): boolean {
  return cause instanceof pg.DatabaseError && /^(42703|42883|42P01)$/.test(cause.code ?? '');
}

function isNotEmpty<Item>(items: readonly Item[]): items is readonly [Item, ...Item[]] {
  return items.length > 0;
}

/** A client that gives up connecting in time. The pool's own setting would limit the wait for a busy one as well. */
class ConnectingInTime extends pg.Client {
  constructor(config?: pg.ClientConfig) {
    // The pool hides the password from enumeration.
    super({ ...config, password: config?.password, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  }

  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: Error) => void): Promise<pg.Client> | undefined {
    if (callback === undefined) return super.connect();
    super.connect((error: Error | null) => {
      // Where the client itself gives up, as without a password, it would leave the server waiting for a minute.
      if (error !== null) this.connection.stream.destroy();
      callback(error as Error); // its type in pg: null only beside a client, which the pool does not look at
    });
    return undefined;
  }
}

/**
 * Reads `postgres://user:password@host:port/database`, with `sslmode` (`disable`, `require`: encrypted to whomever,
 * `verify-full`; the default but on this machine), `sslrootcert` (a file), `host` (of a Unix socket) and
 * `prepare=false` (for poolers in transaction mode).
 *
 * @throws {Misconfigured}
 */
export function readPostgresUrl(text: string): { connection: pg.ClientConfig; isPrepared: boolean } {
  const url = readStoreUrl(text, {
    host: 'any',
    prepare: ['true', 'false'],
    sslmode: ['disable', 'require', 'verify-full'],
    sslrootcert: 'any',
  });
  const host = url.parameters.host ?? url.host;
  assertOneHost(host);
  const isLocal = isLoopback(host) || host.startsWith('/');
  const sslmode = url.parameters.sslmode ?? (isLocal ? 'disable' : 'verify-full');
  const tls = { ...tlsOptions(host, url.parameters.sslrootcert), rejectUnauthorized: sslmode === 'verify-full' };
  return {
    connection: {
      host,
      port: Number(url.port || 5432),
      user: url.user,
      password: url.password,
      database: url.path,
      ssl: sslmode === 'disable' ? false : tls,
    },
    isPrepared: url.parameters.prepare !== 'false',
  };
}

/**
 * To one digit, at least 1: the time that is left differs with each call, and each other value costs a round trip. What
 * the server ends a little too early can be tried again; what it ended too late would hold a backend for nobody.
 */
function roundDown(ms: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, ms))));
  return Math.max(1, Math.floor(ms / unit) * unit);
}

/**
 * What a connection of our own is set to, to be selected. Rows that a policy would hide are an error, not "not revoked"; and a server
 * that can (14 and later, on Linux) looks whether we are still there while it works or waits for a lock.
 */
function sessionSettings(timeoutMs: number): string[] {
  return [
    timeoutSetting(timeoutMs),
    `set_config('row_security', 'off', false)`,
    // On Windows, and with 14 on all but Linux, it is an error to set it.
    `CASE WHEN current_setting('server_version_num')::integer >= 140000 AND version() LIKE '%linux%'
      THEN set_config('client_connection_check_interval', '1s', false) END`,
  ];
}

function timeoutSetting(timeoutMs: number): string {
  return `set_config('statement_timeout', '${timeoutMs}', false)`;
}

/**
 * What is to be selected, unless a pooler that the URL does not tell of is in between: it gives each client the number of
 * a process that is not there.
 */
function whereOwn(client: pg.ClientBase, setting: string): string {
  // Not in the types of pg. A server that tells none is not taken to be ours alone.
  const processId = 'processID' in client ? Number(client.processID) : 0;
  return `CASE WHEN pg_backend_pid() = ${processId} THEN ${setting} END`;
}

/**
 * Refuses a server that could lose what was acknowledged, that does not show all of it, or that is a copy.
 *
 * @param tables What is kept there; one that is not there yet is left to its own fault.
 * @param more What is selected in the same round trip.
 */
export async function assertSafe(
  client: pg.ClientBase,
  tables: readonly string[],
  more: readonly string[] = [],
): Promise<void> {
  const { rows } = await client.query(
    `WITH kept AS (
      SELECT oid, relname, relpersistence FROM pg_class
      WHERE oid = ANY (ARRAY(SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name))
    )
    SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only,
      current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,
      current_setting('transaction_isolation') AS isolation, current_setting('server_encoding') AS encoding,
      (SELECT min(relname) FROM kept WHERE relpersistence <> 'p') AS unlogged,
      (SELECT min(relname) FROM kept WHERE row_security_active(oid)) AS hidden
      ${more.map((item) => `, ${item}`).join('')}`,
    [tables],
  );
  const { read_only, synchronous_commit, fsync, isolation, encoding, unlogged, hidden } = rows[0] ?? {};
  if (read_only) throw new StoreUnavailable('read_only');
  for (const [isUnsafe, reason] of [
    [synchronous_commit === 'off', 'synchronous_commit is off'],
    [fsync === 'off', 'fsync is off'],
    [isolation !== 'read committed', 'default_transaction_isolation is not "read committed"'],
    [encoding !== 'UTF8', `the encoding of the database is ${encoding}, not UTF8`],
    [unlogged !== null, `the table ${unlogged} is not logged`],
    [hidden !== null, `row security hides rows of the table ${hidden}`],
  ] as const) {
    if (isUnsafe) throw new StoreUnavailable('unsafe', { cause: new Error(`PostgreSQL: ${reason}`) });
  }
}

/**
 * What a change selects: it waits for the disk, whatever the settings are by now, or fails as `unsafe`. Where a function
 * makes the change it stands in the list and not in FROM: so it is called behind that function, which then holds the locks
 * of its tables; before, a table that it waits for could become UNLOGGED.
 * See `infra/migrations/postgres/0004-safe-commit.sql`.
 */
export function safeCommit(tables: readonly string[]): string {
  return `ensure_safe_commit('{${tables.join(',')}}')`;
}

/** What a failed call says of the database. Any other error, a defect of ours among them, is passed on as it is. */
export function postgresFailure(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof StoreUnavailable) return error;
  const fault = error instanceof pg.DatabaseError ? sqlFault(error) : connectionFault(error);
  if (fault === undefined) return error;
  return new StoreUnavailable(fault, { cause: fault === 'pooled' ? new Error(POOLED, { cause: error }) : error });
}

/** The function of the server that refuses a statement whose rows a policy would hide: SQLSTATE 42501 says less. */
const REFUSES_HIDDEN_ROWS = 'check_enable_rls';

/** The function of the server that waits for a synchronous standby. Cancelled, it warns, and the commit is a success. */
const WAITS_FOR_STANDBY = 'SyncRepWaitForLSN';

const UNREPLICATED =
  'PostgreSQL: the wait for the synchronous standby was cancelled: the commit is on this server alone';

const POOLED =
  'PostgreSQL: prepared statements are not kept. Behind a pooler in transaction mode the URL needs prepare=false';

/** By class and code: https://www.postgresql.org/docs/current/errcodes-appendix.html. */
function sqlFault({ code = '', message, routine }: pg.DatabaseError): StoreFault | undefined {
  if (routine === REFUSES_HIDDEN_ROWS) return 'unsafe';
  // PgBouncer has one code for all that it says itself.
  const saidByPooler = code === '08P01' ? FAULTS_OF_POOLER.find(([text]) => text.test(message))?.[1] : undefined;
  return saidByPooler ?? FAULT_OF_SQLSTATE[code] ?? FAULT_OF_SQLSTATE[code.slice(0, 2)];
}

const FAULTS_OF_POOLER: readonly (readonly [RegExp, StoreFault])[] = [
  [/authentication failed|no such user|not allowed$/, 'refused'],
  [/^(no such database|database .* does not exist)/, 'not_migrated'],
  [/^(no more connections|query_wait_timeout|query_timeout|client_login_timeout)/, 'busy'],
];

const FAULT_OF_SQLSTATE: Readonly<Record<string, StoreFault>> = {
  '08': 'unreachable', // connection exception
  '25006': 'read_only', // read_only_sql_transaction
  '25P03': 'unreachable', // idle_in_transaction_session_timeout
  '25P04': 'timed_out', // transaction_timeout
  '26000': 'pooled', // invalid_sql_statement_name: this connection has not prepared it
  '28': 'refused', // invalid authorization
  '3D000': 'not_migrated', // no such database
  '3F000': 'not_migrated', // no such schema
  '40': 'busy', // serialization failure, deadlock
  '42501': 'refused', // insufficient_privilege
  '42703': 'not_migrated', // no such column
  '42704': 'not_migrated', // no such type
  '42883': 'not_migrated', // no such function
  '42P01': 'not_migrated', // no such table
  '42P05': 'pooled', // duplicate_prepared_statement: another connection has prepared it
  '53': 'busy', // out of memory, connections and other resources
  '53100': 'full', // disk_full
  '53400': 'full', // configuration_limit_exceeded, as temp_file_limit
  '55006': 'busy', // object_in_use
  '55P03': 'busy', // lock_not_available
  '57014': 'timed_out', // query_canceled, as by statement_timeout
  57: 'unreachable', // shut down, crashed, starting
  '57P04': 'not_migrated', // database_dropped
  '58': 'unreachable', // system error
  '58P01': 'corrupt', // undefined_file: of a table
  UL001: 'unsafe', // of our own function, see safeCommit
  XX001: 'corrupt', // data_corrupted
  XX002: 'corrupt', // index_corrupted
};

/** What the client says without the server: of sockets and TLS by a code, else in a sentence. */
function connectionFault(error: Error): StoreFault | undefined {
  if (error.message.startsWith('SASL')) return 'refused'; // as without a password
  if (/\btimeout\b|ETIMEDOUT/.test(error.message)) return 'timed_out';
  const isOfConnection = /^(Cannot use a pool|Client (has|was)|Connection terminated|.* SSL connection)/;
  return 'code' in error || isOfConnection.test(error.message) ? 'unreachable' : undefined;
}
