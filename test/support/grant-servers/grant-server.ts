import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { onTestFinished } from 'vitest';
import type { JsonObject } from '#shared/json.ts';

/** What a user has given a client at the server. */
export interface Grant {
  /** The server's own id of it. */
  readonly id: string;
  readonly user: string;
  readonly client: string;
  /** In milliseconds since the epoch. */
  readonly madeAt: number;
  /** Whether the user had given the client one before, which was alive then. */
  readonly isAgain: boolean;
}

/** A link: what the skill's client was given. */
export interface GrantLink {
  readonly grant: Grant;
  readonly accessToken: string;
}

/** A call of the server's API, its path without the base. */
export interface ApiRequest {
  readonly method: string;
  /** As it was sent: each segment is percent-encoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** Of no body, or of JSON. */
export interface ApiResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** What a kind of server has at hand. */
export interface GrantServerState {
  /** Those that are alive. */
  readonly grants: readonly Grant[];
  /** Where it answers, without a slash at the end. */
  readonly origin: string;
  /** Ends what is alive and meets the condition, and returns how many that were. A server that lies ends nothing. */
  end(isMeant: (grant: Grant) => boolean): number;
  /** Whether the call bears a token that {@link issueToken} has made and nobody has withdrawn. */
  hasToken(call: ApiRequest): boolean;
  /** What a token endpoint answers to client credentials. */
  issueToken(): ApiResponse;
}

/**
 * How a kind of authorization server behaves, as far as its grants go: by its documentation, and nothing of its code. It is
 * no mock of one: nobody claims that the real server answers so.
 */
export interface GrantServerKind {
  /** As in `END_GRANT`. */
  readonly preset: string;
  /** Where there are several kinds of a preset: how this one is told apart. */
  readonly title?: string;
  /** Where our client gets a token, if the API takes one: it answers also while the API answers otherwise. */
  readonly tokenPath?: string;
  /** What follows the origin in the issuer. */
  readonly issuerPath: string;
  /** What a row of `ISSUERS` says beside issuer, audience and keys. */
  readonly issuerRow?: JsonObject;
  /** What a row of `END_GRANT` says beside issuer and preset. */
  readonly endingRow: (origin: string) => JsonObject;
  /** The same with a credential that the server refuses. */
  readonly wrongRow: (origin: string) => JsonObject;
  /** The claims of an access token beside `iss`, `aud`, `iat`, `exp` and `jti`. */
  readonly claimsOf: (grant: Grant) => JsonObject;
  /** Its API and the token endpoint of clients; undefined: there is no such path. */
  readonly answer: (call: ApiRequest, state: GrantServerState) => ApiResponse | undefined;
  /** What it answers to a credential without the right: 403 if not given. */
  readonly forbidden?: ApiResponse;
  /** What it answers to too many calls: 429 if not given. */
  readonly tooMany?: ApiResponse;
  /** Whether a newer grant than the unlink is told apart, and stays. */
  readonly keepsNewer: boolean;
  /** Whether the log warns that it may end: if it does not keep it, if not given. */
  readonly saysMayEndNewer?: boolean;
  /** Whether tokens name the grant: then those of a later refresh are refused here. */
  readonly namesGrant: boolean;
  /** What its end of a grant is in `reached`. */
  readonly reach: 'upstream_grant' | 'upstream_all_clients';
  /** Whether it says so when there is nothing to end: true if not given. */
  readonly showsNothing?: boolean;
  /** Whether what it says that it has done can be looked at. */
  readonly showsLies: boolean;
  /** What an alert names as the missing right. */
  readonly right: RegExp;
}

/** How the API misbehaves: it hangs, says that it has done what it has not, or answers all calls so. */
export type Misbehaviour = 'hangs' | 'lies' | 'is_down' | ApiResponse;

/** A running server. */
export interface GrantServer {
  readonly issuer: string;
  readonly origin: string;
  /** The row of `ISSUERS`. */
  readonly issuerRow: JsonObject;
  /** A user links: a grant of its own. @param client `skill` if not given. */
  link(user: string, client?: string): Promise<GrantLink>;
  /** A refresh at the token endpoint. */
  refresh(link: GrantLink): Promise<{ readonly status: number; readonly error?: string; readonly accessToken: string }>;
  /** Ends a grant, as its user or an operator may at any time. */
  drop(link: GrantLink): void;
  /** The calls of its API so far, and how many tokens it gave to our client. */
  readonly calls: string[];
  readonly tokensIssued: number;
  /** Withdraws them, as a change of the client's secret may. */
  withdrawTokens(): void;
  misbehaviour: Misbehaviour | undefined;
  /** How far its clock is ahead, in milliseconds. */
  aheadMs: number;
  /** How long the access tokens live that it issues from now on. */
  lifetimeS: number;
}

const AUDIENCE = 'home';

/**
 * Starts a server for one test.
 *
 * @param options `basePath` is what stands before all its paths; `tls` is the certificate and the key to answer with.
 */
export async function startGrantServer(
  kind: GrantServerKind,
  { basePath = '', tls }: { readonly basePath?: string; readonly tls?: TlsFiles } = {},
): Promise<GrantServer> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k1', alg: 'ES256' };
  let grants: readonly Grant[] = [];
  let tokens: readonly string[] = [];
  let tokensIssued = 0;
  const nowMs = () => Date.now() + server.aheadMs;

  const origin = `${await listen(serve, tls)}${basePath}`;
  const issuer = `${origin}${kind.issuerPath}`;

  const state: GrantServerState = {
    get grants() {
      return grants;
    },
    origin,
    end(isMeant) {
      const meant = grants.filter(isMeant);
      if (server.misbehaviour !== 'lies') grants = grants.filter((grant) => !meant.includes(grant));
      return meant.length;
    },
    hasToken: ({ headers }) => tokens.some((token) => headers.authorization === `Bearer ${token}`),
    issueToken() {
      const token = randomUUID();
      tokens = [...tokens, token];
      tokensIssued += 1;
      return { status: 200, body: { access_token: token, token_type: 'Bearer', expires_in: 300 } };
    },
  };

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', origin);
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    server.calls.push(`${request.method} ${request.url}`);
    const { misbehaviour } = server;
    if (misbehaviour === 'hangs') return;
    if (misbehaviour === 'is_down') return void request.socket.destroy();
    const path = url.pathname.startsWith(basePath) ? url.pathname.slice(basePath.length) : undefined;
    if (typeof misbehaviour === 'object' && path !== kind.tokenPath) return answer(response, misbehaviour);
    const call = { method: request.method ?? '', query: url.searchParams, headers: request.headers, body };
    answer(response, (path !== undefined && kind.answer({ ...call, path }, state)) || { status: 404 });
  }

  function issue(grant: Grant): Promise<string> {
    const iat = Math.floor(nowMs() / 1000);
    const claims = {
      iss: issuer,
      aud: AUDIENCE,
      iat,
      exp: iat + server.lifetimeS,
      jti: randomUUID(),
      ...kind.claimsOf(grant),
    };
    return new SignJWT(claims).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: 'k1' }).sign(privateKey);
  }

  const server: GrantServer = {
    ...{ issuer, origin, calls: [], misbehaviour: undefined, aheadMs: 0, lifetimeS: 600 },
    // The keys are in the row: what the tests are about is the API.
    issuerRow: { issuer, audience: AUDIENCE, jwks: { keys: [jwk] }, ...kind.issuerRow },
    async link(user, client = 'skill') {
      const isAgain = grants.some((grant) => grant.user === user && grant.client === client);
      const grant = { id: `grant-${randomUUID()}`, user, client, madeAt: nowMs(), isAgain };
      grants = [...grants, grant];
      return { grant, accessToken: await issue(grant) };
    },
    async refresh({ grant }) {
      const isAlive = grants.some(({ id }) => id === grant.id);
      if (!isAlive) return { status: 400, error: 'invalid_grant', accessToken: '' };
      return { status: 200, accessToken: await issue(grant) };
    },
    drop({ grant }) {
      grants = grants.filter(({ id }) => id !== grant.id);
    },
    get tokensIssued() {
      return tokensIssued;
    },
    withdrawTokens() {
      tokens = [];
    },
  };
  return server;
}

/** What the groups of a pattern take of a path, decoded. */
export function partsOf(path: string, pattern: RegExp): readonly (string | undefined)[] {
  const [, ...parts] = pattern.exec(path) ?? [];
  return parts.map((part) => (part === undefined ? undefined : decodeURIComponent(part)));
}

/** A certificate and its key, in PEM. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

async function listen(
  serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
  tls: TlsFiles | undefined,
): Promise<string> {
  // What a test's server throws fails the test that it is of, as an unhandled rejection.
  const listener = (request: IncomingMessage, response: ServerResponse) => void serve(request, response);
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  // It listens on a port, not on a pipe.
  const { port } = server.address() as AddressInfo;
  return tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
}

function answer(response: ServerResponse, { status, headers, body }: ApiResponse): void {
  response.writeHead(status, { ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}
