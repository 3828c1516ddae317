import { createPublicKey, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { isJsonObject } from '#shared/json.ts';
import { canonicalJson, MatrixSigningKey, signText } from '#shared/threepid/signing.ts';
import { closeServer, listenOnLoopback } from '../authorization-server/listen.ts';
import { bearerOf, createListener, fieldsOf, type JsonAnswer, type JsonCall, matrixError } from './json-call.ts';
import { createSigningKey, withoutPadding } from './signing-key.ts';

/** Where the homeserver listens, and who it is. */
export interface HomeserverOptions {
  /** On 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  /** What its URL calls this machine; 127.0.0.1 if not given. */
  readonly host?: 'localhost';
  /** What its users' ids end with; `localhost` and the port if not given. */
  readonly serverName?: string;
  /** The line of a `signing.key`; a new one if not given. */
  readonly signingKey?: string;
  readonly now?: () => number;
}

/** A running homeserver. */
export interface Homeserver {
  readonly url: string;
  readonly serverName: string;
  /** The line of its `signing.key`. */
  readonly signingKey: string;
  /** What has arrived, each as the method and the target of its request line, identity servers' questions for its keys too. */
  readonly calls: string[];
  /** A new access token of a user, who need not be known. */
  accessToken(localpart: string): string;
  guestToken(): string;
  /** An access token of a user who is locked. */
  lockedToken(): string;
  close(): Promise<void>;
}

interface Session {
  readonly token: string;
  readonly userId: string;
  readonly deviceId: string;
  readonly state: 'active' | 'guest' | 'locked';
}

const WHOAMI = /^\/_matrix\/client\/(?:v3|r0)\/account\/whoami$/;
const LOGIN = /^\/_matrix\/client\/(?:v3|r0)\/login$/;
/** Synapse answers with the slash and without, and Sydent asks with it. */
const KEYS = /^\/_matrix\/key\/v2\/server\/?$/;

const LOCALPART = /^[a-z0-9._=/+-]{1,200}$/;
const KEYS_LIFETIME_MS = 86_400_000;

/**
 * Starts the homeserver that stands before the functions in development, as far as they and identity servers ask one:
 * whose an access token is, and the key that it signs with. It answers as Synapse does, but keeps nothing, and lets
 * anybody log in by any name and password. A token in the query is refused: ours is never sent there.
 *
 * @throws {StartError}
 */
export async function startHomeserver(options: HomeserverOptions): Promise<Homeserver> {
  const sessions = new Map<string, Session>();
  const calls: string[] = [];
  const now = options.now ?? Date.now;
  const signingKey = options.signingKey ?? createSigningKey();
  const key = MatrixSigningKey.parse(signingKey);

  const http = createServer(createListener(answer));
  const port = await listenOnLoopback(http, options.port);
  const serverName = options.serverName ?? `localhost:${port}`;

  function startSession(localpart: string, state: Session['state'] = 'active'): Session {
    const session = {
      token: `development_${randomBytes(15).toString('base64url')}`,
      userId: `@${localpart}:${serverName}`,
      deviceId: randomBytes(5).toString('hex').toUpperCase(),
      state,
    };
    sessions.set(session.token, session);
    return session;
  }

  async function answer(call: JsonCall): Promise<JsonAnswer> {
    calls.push(`${call.method} ${call.target}`);
    const methods = routes.find(([path]) => path.test(call.path))?.[1];
    if (methods === undefined) return matrixError(404, 'M_UNRECOGNIZED', 'Unrecognized request');
    return methods[call.method]?.(call) ?? matrixError(405, 'M_UNRECOGNIZED', 'Unrecognized request');
  }

  function whoami(call: JsonCall): JsonAnswer {
    const token = bearerOf(call);
    if (token === undefined) return matrixError(401, 'M_MISSING_TOKEN', 'Missing access token');
    const session = sessions.get(token);
    if (session === undefined) {
      return matrixError(401, 'M_UNKNOWN_TOKEN', 'Invalid access token passed.', { soft_logout: false });
    }
    if (session.state === 'locked') {
      return matrixError(401, 'M_USER_LOCKED', 'User account has been locked', { soft_logout: true });
    }
    const { userId, deviceId, state } = session;
    return { status: 200, body: { user_id: userId, is_guest: state === 'guest', device_id: deviceId } };
  }

  function login(call: JsonCall): JsonAnswer {
    const { type, identifier } = fieldsOf(call);
    if (type !== 'm.login.password') return matrixError(400, 'M_UNKNOWN', 'Unknown login type');
    const user = isJsonObject(identifier) ? identifier.user : undefined;
    if (typeof user !== 'string') return matrixError(400, 'M_MISSING_PARAM', 'identifier.user is missing');
    const isWhole = user.startsWith('@') && user.endsWith(`:${serverName}`);
    const localpart = isWhole ? user.slice(1, -serverName.length - 1) : user;
    if (!LOCALPART.test(localpart)) return matrixError(403, 'M_FORBIDDEN', 'Invalid username or password');
    const { userId, deviceId, token } = startSession(localpart);
    return { status: 200, body: { user_id: userId, device_id: deviceId, access_token: token } };
  }

  function keys(): JsonAnswer {
    const publicKey = createPublicKey(key.privateKey).export({ format: 'jwk' }).x ?? '';
    const base64 = Buffer.from(publicKey, 'base64url').toString('base64');
    const document = {
      server_name: serverName,
      verify_keys: { [key.id]: { key: withoutPadding(base64) } },
      old_verify_keys: {},
      valid_until_ts: now() + KEYS_LIFETIME_MS,
    };
    const signatures = { [serverName]: { [key.id]: signText(canonicalJson(document), key) } };
    return { status: 200, body: { ...document, signatures } };
  }

  const routes: readonly [RegExp, Readonly<Record<string, (call: JsonCall) => JsonAnswer>>][] = [
    [WHOAMI, { GET: whoami }],
    [LOGIN, { GET: () => ({ status: 200, body: { flows: [{ type: 'm.login.password' }] } }), POST: login }],
    [KEYS, { GET: keys }],
  ];

  return {
    url: `http://${options.host ?? '127.0.0.1'}:${port}`,
    serverName,
    signingKey,
    calls,
    accessToken: (localpart) => startSession(localpart).token,
    guestToken: () => startSession(randomBytes(4).toString('hex'), 'guest').token,
    lockedToken: () => startSession('locked', 'locked').token,
    close: () => closeServer(http),
  };
}
