import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:https';
import { isJsonObject, type JsonObject } from '#shared/json.ts';
import { canonicalJson, MatrixSigningKey, signText } from '#shared/threepid/signing.ts';
import { foldCase } from '#shared/threepid/threepid.ts';
import { closeServer, listenOnLoopback } from '../authorization-server/listen.ts';
import type { Certificates } from './certificates.ts';
import { bearerOf, createListener, fieldsOf, type JsonAnswer, type JsonCall } from './json-call.ts';
import { Refusal, refuse } from './refusal.ts';
import { SignatureError, verifyRequest } from './request-signature.ts';
import { createSigningKey } from './signing-key.ts';
import { createValidationSessions } from './validation-sessions.ts';

/** Where the identity server listens, who it is, and whom it asks. */
export interface IdentityServerOptions {
  /** On 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  /** Good for `localhost`. */
  readonly certificates: Certificates;
  /** What requests to it must be signed for; `localhost` and the port if not given. */
  readonly name?: string;
  /** Where a homeserver publishes its keys; undefined: it cannot be found. */
  readonly homeserverUrl: (serverName: string) => string | undefined;
  /** Whether whoever asks for a message to an address has thereby shown that it is theirs; so it is if not given. */
  readonly autoValidate?: boolean;
  readonly now?: () => number;
}

/** That an address is a user's, for whoever looks it up. */
export interface IdentityBinding {
  readonly medium: string;
  /** With its case folded. */
  readonly address: string;
  readonly mxid: string;
}

/** A running identity server. */
export interface IdentityServer {
  readonly url: string;
  readonly name: string;
  /** What has arrived. */
  readonly requests: JsonCall[];
  /** What is bound now: a copy. */
  readonly bindings: readonly IdentityBinding[];
  close(): Promise<void>;
}

type Handler = (call: JsonCall) => JsonAnswer | Promise<JsonAnswer>;

const API = '/_matrix/identity/v2';
const UNBIND = '/3pid/unbind';
const HTML = 'text/html; charset=utf-8';
const JSON_TYPE = 'application/json';
const CENTURY_MS = 36_500 * 86_400_000;

/**
 * Starts an identity server for development: what the functions and the user's client ask one, answered as Sydent 2.6
 * does, HTML headers, wrong codes and all; above all it verifies who signed an unbind. It keeps nothing. Anybody gets
 * a token of it, and no message is sent: an address is believed.
 *
 * @throws {StartError}
 */
export async function startIdentityServer(options: IdentityServerOptions): Promise<IdentityServer> {
  const { certificates, homeserverUrl, autoValidate = true, now = Date.now } = options;
  const requests: JsonCall[] = [];
  const tokens = new Set<string>();
  const sessions = createValidationSessions(now);
  const bindings = new Map<string, IdentityBinding>();
  const signingKey = MatrixSigningKey.parse(createSigningKey());
  const pepper = randomBytes(12).toString('hex');

  const http = createServer({ cert: certificates.certificate, key: certificates.key }, createListener(answer));
  const port = await listenOnLoopback(http, options.port);
  const name = options.name ?? `localhost:${port}`;

  async function answer(call: JsonCall): Promise<JsonAnswer | undefined> {
    requests.push(call);
    const handler = routes[`${call.method} ${call.path}`];
    // What Twisted says unless it is told otherwise: of the JSON of an unbind too.
    const type = call.path.endsWith(UNBIND) || handler === undefined ? HTML : JSON_TYPE;
    try {
      const answered = await (handler ?? notFound)(call);
      return { ...answered, type };
    } catch (error) {
      if (error instanceof Refusal) return error.answer && { ...error.answer, type };
      throw error;
    }
  }

  /** A handler for users alone. */
  function signedIn(handler: Handler): Handler {
    return (call) => {
      if (!tokens.has(bearerOf(call) ?? '')) throw refuse(401, 'M_UNAUTHORIZED', 'Unauthorized');
      return handler(call);
    };
  }

  /** Whose the OpenID token is, is not asked: in development anybody may bind for anybody. */
  function register(call: JsonCall): JsonAnswer {
    requireFields(call, ['matrix_server_name', 'access_token']);
    const token = randomBytes(15).toString('base64url');
    tokens.add(token);
    return { status: 200, body: { token, access_token: token } };
  }

  function requestToken(medium: string, field: 'email' | 'phone_number'): Handler {
    return signedIn((call) => {
      const fields = requireFields(call, ['client_secret', field]);
      const given = fields[field];
      const address = medium === 'email' ? foldCase(given) : given.replace(/\D/g, '');
      const validatedAt = autoValidate ? now() : undefined;
      const sid = sessions.begin({ clientSecret: fields.client_secret, medium, address, validatedAt });
      return { status: 200, body: { success: true, sid } };
    });
  }

  function getValidated({ query }: JsonCall): JsonAnswer {
    const { medium, address, validatedAt } = sessions.require(query.get('sid'), query.get('client_secret'));
    return { status: 200, body: { medium, address, validated_at: validatedAt } };
  }

  function bind(call: JsonCall): JsonAnswer {
    const { sid, client_secret, mxid } = requireFields(call, ['sid', 'client_secret', 'mxid']);
    const { medium, address } = sessions.require(sid, client_secret);
    bindings.set(keyOf(medium, address), { medium, address, mxid });
    const ts = now();
    const association = { medium, address, mxid, ts, not_before: ts, not_after: ts + CENTURY_MS };
    const signatures = { [name]: { [signingKey.id]: signText(canonicalJson(association), signingKey) } };
    return { status: 200, body: { ...association, signatures } };
  }

  async function unbind(call: JsonCall): Promise<JsonAnswer> {
    const { mxid, medium, address } = readUnbind(call);
    const key = keyOf(medium, foldCase(address));
    const { sid, client_secret: clientSecret } = fieldsOf(call);
    if (sid !== undefined && clientSecret !== undefined) assertSessionOf(key, sid, clientSecret);
    else await assertHomeserverOf(mxid, call);
    // Another user's stays, and what is not there has gone: both are a success.
    if (bindings.get(key)?.mxid === mxid) bindings.delete(key);
    return { status: 200, body: {} };
  }

  function assertSessionOf(key: string, sid: unknown, clientSecret: unknown): void {
    const { medium, address } = sessions.require(sid, clientSecret, 'unbind');
    if (keyOf(medium, address) === key) return;
    throw refuse(403, 'M_FORBIDDEN', 'Provided session information does not match medium/address combo');
  }

  async function assertHomeserverOf(mxid: unknown, call: JsonCall): Promise<void> {
    const origin = await authenticate(call);
    if (String(mxid).endsWith(`:${origin}`)) return;
    throw refuse(403, 'M_FORBIDDEN', 'Origin server name does not match mxid');
  }

  /** The name of the homeserver that signed. */
  async function authenticate(call: JsonCall): Promise<string> {
    try {
      return await verifyRequest(call, name, fetchKeys);
    } catch (error) {
      if (error instanceof SignatureError) throw refuse(401, 'M_FORBIDDEN', error.message);
      throw refuse(500, 'M_UNKNOWN', 'Unable to contact the Matrix homeserver to authenticate request');
    }
  }

  /** Asked each time, where Sydent remembers: in a test a homeserver may come back with other keys. */
  async function fetchKeys(serverName: string): Promise<unknown> {
    const url = homeserverUrl(serverName);
    if (url === undefined) throw new Error(`${serverName} cannot be found`);
    const response = await fetch(`${url}/_matrix/key/v2/server/`);
    return await response.json();
  }

  function lookUp(call: JsonCall): JsonAnswer {
    const { addresses, algorithm, pepper: given } = fieldsOf(call);
    if (!Array.isArray(addresses)) throw refuse(400, 'M_MISSING_PARAMS', 'Missing parameters: addresses');
    if (given !== pepper) throw refuse(400, 'M_INVALID_PEPPER', 'Pepper does not match current value');
    const spell =
      algorithm === 'sha256'
        ? (text: string) => createHash('sha256').update(`${text} ${pepper}`).digest('base64url')
        : (text: string) => text;
    if (spell('') === '' && algorithm !== 'none') throw refuse(400, 'M_INVALID_PARAM', 'Unknown algorithm');
    const spelled = [...bindings.values()].map((one) => [spell(`${one.address} ${one.medium}`), one.mxid] as const);
    return {
      status: 200,
      body: { mappings: Object.fromEntries(spelled.filter(([text]) => addresses.includes(text))) },
    };
  }

  const routes: Readonly<Record<string, Handler | undefined>> = {
    [`GET ${API}`]: () => ({ status: 200, body: {} }),
    [`POST ${API}/account/register`]: register,
    [`POST ${API}/validate/email/requestToken`]: requestToken('email', 'email'),
    [`POST ${API}/validate/msisdn/requestToken`]: requestToken('msisdn', 'phone_number'),
    [`GET ${API}/3pid/getValidated3pid`]: signedIn(getValidated),
    [`POST ${API}/3pid/bind`]: signedIn(bind),
    [`POST ${API}${UNBIND}`]: unbind,
    // Sydent still serves it.
    [`POST /_matrix/identity/api/v1${UNBIND}`]: unbind,
    [`GET ${API}/hash_details`]: signedIn(() => ({
      status: 200,
      body: { algorithms: ['none', 'sha256'], lookup_pepper: pepper },
    })),
    [`POST ${API}/lookup`]: signedIn(lookUp),
  };

  function notFound({ method, path }: JsonCall): JsonAnswer {
    const isKnown = Object.keys(routes).some((route) => route.endsWith(` ${path}`));
    const status = !isKnown ? 404 : method === 'OPTIONS' ? 501 : 405;
    return {
      status,
      type: HTML,
      body: `<html><head><title>${status}</title></head><body>No Such Resource</body></html>`,
    };
  }

  return {
    url: `https://localhost:${port}`,
    name,
    requests,
    get bindings() {
      return [...bindings.values()];
    },
    close: () => closeServer(http),
  };
}

function readUnbind(call: JsonCall): { mxid: unknown; medium: unknown; address: string } {
  if (call.body === undefined) throw refuse(400, 'M_BAD_JSON', 'Malformed JSON');
  const { threepid, mxid } = fieldsOf(call);
  const { medium, address } = isJsonObject(threepid) ? threepid : {};
  if ([mxid, medium, address].includes(undefined)) {
    throw refuse(400, 'M_MISSING_PARAMS', 'Missing parameters: threepid, mxid, medium or address');
  }
  if (typeof address !== 'string') throw refuse(500, 'M_UNKNOWN', 'Internal Server Error');
  return { mxid, medium, address };
}

function requireFields<Name extends string>(call: JsonCall, names: readonly Name[]): Record<Name, string> {
  const fields: JsonObject = fieldsOf(call);
  const missing = names.filter((name) => typeof fields[name] !== 'string');
  if (missing.length > 0) throw refuse(400, 'M_MISSING_PARAMS', `Missing parameters: ${missing.join(',')}`);
  // Each of them has just been seen to be a text.
  return fields as Record<Name, string>;
}

function keyOf(medium: unknown, address: string): string {
  return `${medium} ${address}`;
}
