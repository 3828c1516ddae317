import { createHash } from 'node:crypto';
import { Redis, type RedisOptions, ReplyError } from 'iovalkey';
import { monotonicMs } from '../clock.ts';
import { Misconfigured, type StoreFault, StoreUnavailable } from '../errors.ts';
import { CONNECT_TIMEOUT_MS, deadlineIn, isRecent, MAX_IDLE_MS, SAFE_FOR_MS, withinTime } from './deadline.ts';
import { readStoreUrl, tlsOptions } from './store-url.ts';

/** A Redis 7 or Valkey server on which what is acknowledged survives a crash of its machine, or a named loss is accepted. */
export interface RedisDatabase {
  /**
   * What a script comes to that writes nothing, or nothing that must last. On a connection that turns out to be dead it is
   * tried once more on another.
   *
   * @throws {StoreUnavailable} At the latest after `timeoutMs`.
   */
  run(call: ScriptCall, timeoutMs?: number): Promise<unknown>;

  /**
   * What an idempotent script that writes comes to, once that is as durable as the server makes it: its settings are
   * asked for behind each write, and an append-only file that is being rewritten is waited for.
   *
   * @throws {StoreUnavailable} At the latest after `timeoutMs`; whether the script took effect is then not known.
   */
  write(call: ScriptCall, timeoutMs?: number): Promise<unknown>;

  /** Lets go of the connection. May be called twice. */
  close(): Promise<void>;
}

/** A Lua script. Its first line is `#!lua`: then the server looks at its own state and rights before it begins. */
export interface Script {
  readonly text: string;
  readonly sha1: string;
}

/** A script, and what it is given. */
export interface ScriptCall {
  readonly script: Script;
  readonly keys: string[];
  readonly values: (string | number)[];
}

/** A connection that is being opened, and then `redis` itself: what is there need not be waited for. */
interface Connection {
  readonly opening: Promise<Redis>;
  redis?: Redis;
  /** When its server's settings were asked for, on the wall clock. */
  safeAt: number;
}

/** The pause before another look at an append-only file that is being rewritten, in milliseconds. */
const REWRITE_PAUSE_MS = 50;

/** The loss of acknowledged writes that a URL accepts: of the last second, or of whatever the server's settings allow. */
type AcceptedLoss = 'everysec' | 'unknown';

/**
 * Opens a server at its first command; a failure to connect is the answer to that command alone.
 *
 * @param warn Is told, at each new connection, which loss was accepted there.
 */
export function openRedis(url: string, warn: (sentence: string) => void): RedisDatabase {
  const settings = readRedisUrl(url);
  let current: Connection | undefined;
  let usedAt = Date.now();
  let isClosed = false;

  async function connect(): Promise<Redis> {
    const redis = new Redis(settings.options);
    let reason: unknown;
    // Commands are told only that the connection is closed, not why; an event that nobody hears is printed.
    redis.on('error', (error) => {
      reason = error;
    });
    try {
      await redis.connect();
      const loss = await withinTime(CONNECT_TIMEOUT_MS, prepare(redis, settings));
      if (loss !== undefined) warn(LOSS[loss]);
      return redis;
    } catch (error) {
      redis.disconnect();
      throw redisFailure(reason ?? error);
    }
  }

  /** The connection that there is, or a new one; one that fails is forgotten. */
  function connected(): Connection {
    if (isClosed) throw new StoreUnavailable('closed');
    if (current !== undefined && !isRecent(usedAt, MAX_IDLE_MS)) drop(current);
    usedAt = Date.now();
    if (current !== undefined) return current;
    const connection: Connection = { opening: connect(), safeAt: Date.now() };
    connection.opening.then(
      (redis) => {
        connection.redis = redis;
      },
      () => drop(connection),
    );
    current = connection;
    return connection;
  }

  /** Commands that are under way on it are told that it is closed; the next one connects anew. */
  function drop(connection: Connection): void {
    if (current === connection) current = undefined;
    connection.opening.then(
      (redis) => redis.disconnect(),
      () => {},
    );
  }

  async function attempt<Result>(
    command: (redis: Redis, connection: Connection) => Promise<Result>,
    deadline: number,
  ): Promise<Result> {
    const connection = connected();
    const redis = connection.redis ?? (await withinTime(deadline - monotonicMs(), connection.opening));
    try {
      return await withinTime(deadline - monotonicMs(), command(redis, connection));
    } catch (error) {
      const failure = redisFailure(error);
      if (failure instanceof StoreUnavailable && LEAVES.has(failure.fault)) drop(connection);
      throw failure;
    }
  }

  async function attemptTwice<Result>(
    command: (redis: Redis, connection: Connection) => Promise<Result>,
    deadline: number,
  ): Promise<Result> {
    const wasConnected = current !== undefined;
    try {
      return await attempt(command, deadline);
    } catch (error) {
      const isStale = wasConnected && error instanceof StoreUnavailable && error.fault === 'unreachable';
      if (!isStale) throw error;
      return await attempt(command, deadline);
    }
  }

  const { acceptedLoss } = settings;
  return {
    run: (call, timeoutMs) =>
      attemptTwice(async (redis, connection) => {
        const isSafe = isRecent(connection.safeAt, SAFE_FOR_MS);
        const [result, state] = await together(redis, call, () => (isSafe ? readRole(redis) : readState(redis)));
        assertMaster(state);
        if (!isSafe) {
          assertDurable(state, acceptedLoss);
          connection.safeAt = Date.now();
        }
        return result;
      }, deadlineIn(timeoutMs)),

    async write(call, timeoutMs) {
      const deadline = deadlineIn(timeoutMs);
      const { result, isOnDisk } = await attemptTwice(async (redis, connection) => {
        const [result, state] = await together(redis, call, () => readState(redis));
        for (let now = state; ; now = await readState(redis)) {
          assertMaster(now);
          assertDurable(now, acceptedLoss);
          connection.safeAt = Date.now();
          if (!isRewriting(now)) return { result, isOnDisk: true };
          if (!(await pauseWhileRewriting(deadline))) return { result, isOnDisk: false };
        }
      }, deadline);
      // Here and not in there: what is wrong is not the connection, which serves other calls too.
      if (!isOnDisk) throw new StoreUnavailable('timed_out', { cause: new Error(IS_REWRITING) });
      return result;
    },

    async close() {
      isClosed = true;
      if (current !== undefined) drop(current);
    },
  };
}

/** What a script comes to, and what is asked behind it in the same round trip. After a restart a server knows no script. */
async function together<State>(
  redis: Redis,
  { script: { sha1, text }, keys, values }: ScriptCall,
  ask: () => Promise<State>,
): Promise<[result: unknown, state: State]> {
  try {
    return await Promise.all([redis.evalsha(sha1, keys.length, ...keys, ...values), ask()]);
  } catch (error) {
    if (!(isReply(error) && error.message.startsWith('NOSCRIPT'))) throw error;
    return await Promise.all([redis.eval(text, keys.length, ...keys, ...values), ask()]);
  }
}

/** A script with the name that the server will know it by. */
export function createScript(text: string): Script {
  return { text, sha1: createHash('sha1').update(text).digest('hex') };
}

/** After these a connection is of no use, or leads to the wrong server. */
const LEAVES: ReadonlySet<StoreFault> = new Set<StoreFault>(['unreachable', 'timed_out', 'read_only', 'refused']);

const LOSS: Readonly<Record<AcceptedLoss, string>> = {
  everysec: 'Redis: a crash may lose what was acknowledged in the last second (accept-loss=everysec)',
  unknown: 'Redis: its settings cannot be read, a crash may lose what was acknowledged (accept-loss=unknown)',
};

/** What a URL of a Redis server says. */
interface RedisSettings {
  readonly options: RedisOptions;
  readonly credentials: readonly string[];
  readonly databaseNumber: number;
  readonly acceptedLoss: AcceptedLoss | undefined;
}

/**
 * Reads `redis://user:password@host:port/number`, or `rediss://` for TLS, with `sslrootcert` (a file) and
 * `accept-loss`: `everysec` allows `appendfsync everysec`, `unknown` a server that bars `CONFIG`.
 *
 * @throws {Misconfigured}
 */
export function readRedisUrl(text: string): RedisSettings {
  const url = readStoreUrl(text, { 'accept-loss': ['everysec', 'unknown'], sslrootcert: 'any' });
  if (!/^\d{0,6}$/.test(url.path)) throw new Misconfigured("the path of the store's URL must be a number or absent");
  const host = url.host || 'localhost';
  return {
    options: {
      host,
      port: Number(url.port || 6379),
      family: 0,
      ...(url.scheme === 'rediss' && { tls: tlsOptions(host, url.parameters.sslrootcert) }),
      connectTimeout: CONNECT_TIMEOUT_MS,
      keepAlive: 10_000,
      lazyConnect: true,
      // A command fails when the connection does: whoever asked decides whether there is time for another try.
      enableOfflineQueue: false,
      retryStrategy: () => null,
      enableReadyCheck: false,
    },
    credentials: url.password === '' ? [] : ['AUTH', url.user || 'default', url.password],
    databaseNumber: Number(url.path),
    acceptedLoss: url.parameters['accept-loss'] as AcceptedLoss | undefined, // one of the values allowed above
  };
}

/**
 * Authenticates, and refuses a copy and a server that answers before what it answers is durable: one round trip.
 *
 * @returns The loss that was accepted, if there can be one.
 */
async function prepare(
  redis: Redis,
  { credentials, databaseNumber, acceptedLoss }: RedisSettings,
): Promise<AcceptedLoss | undefined> {
  const [, , state] = await Promise.all([
    redis.call('HELLO', '2', ...credentials).catch((error: unknown) => {
      const isUnknown = isReply(error) && /^(NOPROTO|ERR unknown command)/.test(error.message);
      throw isUnknown ? unsafe('it does not know HELLO 2: Redis 7 or Valkey is needed') : error;
    }),
    redis.call('SELECT', String(databaseNumber)),
    readState(redis),
  ]);
  assertMaster(state);
  return assertDurable(state, acceptedLoss);
}

/** What a server says of itself; what it does not tell is missing. */
type ServerState = ReadonlyMap<unknown, unknown>;

/** Its role. Asked for with HELLO, which is barred to nobody. */
async function readRole(redis: Redis): Promise<ServerState> {
  return fields(await redis.call('HELLO'));
}

/** Its role, what makes its writes durable, and whether its append-only file is being rewritten. */
async function readState(redis: Redis): Promise<ServerState> {
  const [role, config, info] = await Promise.all([
    readRole(redis),
    // Hosted servers bar it in many words: https://redis.io/docs/latest/operate/rs/references/compatibility/config-settings/
    redis.call('CONFIG', 'GET', ...Object.keys(REQUIRED)).catch(unlessBarred),
    redis.call('INFO', 'persistence').catch(unlessBarred),
  ]);
  const lines = typeof info === 'string' ? info.split('\r\n').map((line) => line.split(':')) : [];
  return new Map([...role, ...fields(config), ...lines.map(([name, value]) => [name, value] as const)]);
}

function unlessBarred(error: unknown): undefined {
  if (!isBarred(error)) throw error;
}

function assertMaster(state: ServerState): void {
  if (state.get('role') !== 'master') throw new StoreUnavailable('read_only');
}

/** What says that the append-only file is being rewritten, or is about to be. */
const REWRITING = ['aof_rewrite_in_progress', 'aof_rewrite_scheduled'] as const;

/**
 * Whether the append-only file is being rewritten. If it had been off before, a crash would lose what was written since:
 * nothing tells the first rewrite from a later one, so each is waited for.
 */
function isRewriting(state: ServerState): boolean {
  return REWRITING.some((name) => state.get(name) === '1');
}

const IS_REWRITING = 'Redis: the append-only file is being rewritten: until that is done the write may be lost';

/** Whether there was time for the pause, and is for another look. */
async function pauseWhileRewriting(deadline: number): Promise<boolean> {
  if (monotonicMs() + 2 * REWRITE_PAUSE_MS >= deadline) return false;
  // On demand: a rewrite is rare.
  const { setTimeout: sleep } = await import('node:timers/promises');
  await sleep(REWRITE_PAUSE_MS);
  return true;
}

/** Whether the server knows no such command, or allows it to others: its state has nothing to do with that. */
function isBarred(error: unknown): boolean {
  if (!isReply(error)) return false;
  return error.message.startsWith('NOPERM') || replyFault(error.message) === undefined;
}

/**
 * Refuses settings that lose acknowledged writes, unless the loss is accepted.
 *
 * @returns The loss that was accepted, if there can be one.
 */
function assertDurable(settings: ServerState, acceptedLoss: AcceptedLoss | undefined): AcceptedLoss | undefined {
  const names = Object.keys(REQUIRED) as (keyof typeof REQUIRED)[]; // it has no others
  const [wrong] = names.filter((name) => settings.has(name) && settings.get(name) !== REQUIRED[name]);
  const [unknown] = [...names, ...REWRITING].filter((name) => !settings.has(name));
  if (wrong !== undefined) {
    const isAccepted = acceptedLoss === 'everysec' && wrong === 'appendfsync' && settings.get(wrong) === 'everysec';
    if (!isAccepted) throw unsafe(`${wrong} is "${settings.get(wrong)}", not "${REQUIRED[wrong]}"`);
  }
  if (unknown !== undefined) {
    if (acceptedLoss !== 'unknown')
      throw unsafe(`${unknown} cannot be read: accept-loss=unknown in the URL accepts that`);
    return 'unknown';
  }
  return wrong === undefined ? undefined : 'everysec';
}

/** What lets an acknowledged write survive; `appendfsync` last, for it is the one that may be waived. */
const REQUIRED = {
  'maxmemory-policy': 'noeviction',
  appendonly: 'yes',
  'no-appendfsync-on-rewrite': 'no',
  appendfsync: 'always',
} as const;

function unsafe(reason: string): StoreUnavailable {
  return new StoreUnavailable('unsafe', { cause: new Error(`Redis: ${reason}`) });
}

/** A reply of names and values in turn. */
function fields(reply: unknown): Map<unknown, unknown> {
  const list = Array.isArray(reply) ? reply : [];
  return new Map(list.flatMap((name, index) => (index % 2 === 0 ? [[name, list[index + 1]]] : [])));
}

/**
 * What a failed command says of the server. Any other error, a defect of ours among them, is passed on as it is; a reply
 * that is not known has its first word as `code`.
 */
export function redisFailure(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof StoreUnavailable) return error;
  // What was sent, the password among it: nothing for a log.
  if ('command' in error) delete error.command;
  const fault = isReply(error) ? replyFault(error.message) : connectionFault(error);
  if (fault !== undefined) return new StoreUnavailable(fault, { cause: error });
  return isReply(error) ? Object.assign(error, { code: firstWord(error.message) }) : error;
}

/** Whether the server has said it. By its class, and not by the name of that, which the build shortens. */
function isReply(error: unknown): error is Error {
  return error instanceof ReplyError;
}

/** By the first word of an error reply; where that is only ERR, by what follows. */
function replyFault(message: string): StoreFault | undefined {
  return FAULT_OF_REPLY[firstWord(message)] ?? FAULTS_OF_TEXT.find(([text]) => text.test(message))?.[1];
}

function firstWord(message: string): string {
  return message.split(' ', 1)[0] ?? '';
}

const FAULTS_OF_TEXT: readonly (readonly [RegExp, StoreFault])[] = [
  [/^ERR max number of clients/, 'busy'],
  [/^ERR ((invalid )?DB index|SELECT is not allowed|Only 0th database)/, 'not_migrated'],
  [/^ERR (AUTH <password> called|Client sent AUTH|invalid password)/, 'refused'],
  [/^ERR The user executing the script can't/, 'refused'], // of Redis 7.0, where later ones say NOPERM
];

/** The codes of Redis and Valkey that a client may be sent: `shared` of their server.c, and cluster.c. */
const FAULT_OF_REPLY: Readonly<Record<string, StoreFault>> = {
  ASK: 'busy', // the keys are moving to another node of a cluster
  BUSY: 'busy', // with a script that does not end
  CLUSTERDOWN: 'unreachable',
  CORRUPT: 'corrupt', // of our scripts
  DENIED: 'refused', // by the protected mode
  LOADING: 'busy', // its data after a start
  MASTERDOWN: 'read_only',
  MISCONF: 'full', // it cannot write to its disk
  MOVED: 'unreachable', // to another node of a cluster, which the URL does not name
  NOAUTH: 'refused',
  NOPERM: 'refused',
  NOREPLICAS: 'busy',
  OOM: 'full',
  READONLY: 'read_only',
  REDIRECT: 'read_only', // of Valkey, by a replica or during a failover
  TRYAGAIN: 'busy', // the keys are moving to another node of a cluster
  UNKILLABLE: 'busy',
  WRONGPASS: 'refused',
  WRONGTYPE: 'corrupt',
};

/** What the client says without the server: of sockets and TLS by a code, else in a sentence. */
function connectionFault(error: Error): StoreFault | undefined {
  if ('code' in error) return error.code === 'ETIMEDOUT' ? 'timed_out' : 'unreachable';
  const isOfConnection = /^(Connection is closed|Stream isn't writeable|Command aborted|Protocol error)/;
  return isOfConnection.test(error.message) ? 'unreachable' : undefined;
}
