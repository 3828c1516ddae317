import { createHmac, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { writeSync } from 'node:fs';
import { LogFormatter, Logger, LogItem } from '@aws-lambda-powertools/logger';
import type { LogAttributes, UnformattedAttributes } from '@aws-lambda-powertools/logger/types';
import { importJWK, jwtVerify } from 'jose';
import pg from 'pg';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { openSqliteDatabase } from '#shared/databases/sqlite.ts';
import { canonicalJson } from '#shared/threepid/signing.ts';
import {
  AUDIENCE,
  accessTokenOf,
  authorizerEvent,
  eventOf,
  ISSUER,
  issueJwts,
  type OpaqueOperation,
  subjectOf,
} from './events.ts';
import { SIGNED_REQUEST, SIGNING_KEY } from './product.ts';
import {
  type Client,
  callDynamodb,
  idOf,
  type OnEnd,
  openDriver,
  openRawClient,
  signed,
  tableOf,
} from './raw-client.ts';
import { KEPT_LINKS, type Operation, type Side, type SideOperation, type SideSettings, SUBJECTS } from './side.ts';

const PEPPER = Buffer.alloc(32, 'p');
/** Servers end with the process that holds their connections. */
const WITH_PROCESS: OnEnd = () => {};

/**
 * The smallest handlers that can be written by hand: a guard, a keyed digest, a Map of who is known, the store's own
 * statement, the answer. No logger unless one is given, no deadline, no retry, no audit record, no second pepper.
 */
export async function openLimit({ side, store, url }: SideSettings): Promise<Side> {
  const log = side === 'limit + logger' ? createLog() : () => {};
  const revocations = store === 'memory' ? openMap() : await openRaw(url);
  const links = store === 'redis' ? undefined : openLinks(store, url);
  const { tokens, jwks } = await issueJwts();
  const key = createPublicKey({ key: jwks.keys[0], format: 'jwk' });
  const digest = (text: string) => createHmac('sha256', PEPPER).update(`${side}|${text}`).digest('base64url');
  const sessions = new Map(
    Array.from({ length: SUBJECTS }, (_, index) => subjectOf(index)).map((subject) => [
      digest(accessTokenOf(subject)),
      subject,
    ]),
  );

  async function revoke(event: unknown): Promise<unknown> {
    const { headers, request_type, api_version } = envelopeOf(event);
    if (request_type !== 'unlink' || typeof api_version !== 'number') throw new Error('400');
    const id = digest(bearerOf(headers.authorization));
    await revocations.revoke(id);
    log('unlink', { request_id: headers.request_id, token_id: id });
    return { request_id: headers.request_id };
  }

  async function check(event: unknown): Promise<unknown> {
    const { Authorization } = (event as { headers: { Authorization: unknown } }).headers; // as the gateway sends it
    const token = bearerOf(Authorization);
    const id = digest(token.includes('.') ? verifyJwt(token, key) : token);
    await revocations.check(id);
    log('authorize', { token_id: id });
    return { isAuthorized: true, context: { authorization: Authorization } };
  }

  async function change(event: unknown): Promise<unknown> {
    const { headers, request_type, payload } = envelopeOf(event);
    const id = digest(bearerOf(headers.authorization));
    const subject = sessions.get(id);
    if (subject === undefined || subject !== payload?.subjectId) throw new Error('403');
    await revocations.check(id);
    const owner = `${side}:${subject}`;
    const sid = `${side}:${payload.sid}`;
    const isList = request_type === 'external-provider.list';
    const body = isList
      ? await links?.list(owner)
      : await (request_type === 'external-provider.link' ? links?.link(owner, sid) : links?.delete(owner, sid));
    log(request_type, { request_id: headers.request_id, token_id: id });
    return { request_id: headers.request_id, status: isList ? 200 : 204, ...(isList && { payload: body }) };
  }

  const answers: Partial<Record<Operation, (event: unknown) => Promise<unknown>>> = {
    revoke,
    check,
    'check-jwt': check,
    ...(links !== undefined && { list: change, link: change, delete: change }),
  };
  const eventFor = (operation: Operation, index: number): object =>
    operation === 'check-jwt'
      ? authorizerEvent(tokens[Math.abs(index) % SUBJECTS] ?? '')
      : eventOf(operation as OpaqueOperation, index); // the only others that it has
  const operations = Object.fromEntries(
    Object.entries(answers).map(([operation, answer]): [string, SideOperation] => {
      const event = (index: number) => eventFor(operation as Operation, index); // a key of `answers`
      return [operation, { call: (index) => answer(event(index)), event }];
    }),
  );
  if (links !== undefined) {
    for (let index = 0; index < SUBJECTS * KEPT_LINKS; index += 1)
      await change(eventOf('link', -SUBJECTS * 10 - index));
  }
  return { operations, answer: (operation, event) => answers[operation as Operation]?.(event) }; // of a path that we made
}

/** The statement of a revocation alone, as the raw client sends it. */
export async function openRawSide({ url }: SideSettings): Promise<Side> {
  const client = await openRaw(url);
  return { operations: { revoke: { call: (index) => client.revoke(idOf('raw', index)) } } };
}

/** What a library does alone of what the product does: jose's verification, and the signature of `node:crypto`. */
export async function openLibrary(): Promise<Side> {
  const { tokens, jwks } = await issueJwts();
  const key = await importJWK(jwks.keys[0], 'RS256');
  const { method, uri, origin, destination, content } = SIGNED_REQUEST;
  const bytes = Buffer.from(canonicalJson({ method, uri, origin, destination_is: destination, content }));
  return {
    operations: {
      'check-jwt': {
        call: (index) => jwtVerify(tokens[index % SUBJECTS] ?? '', key, { issuer: ISSUER, audience: AUDIENCE }),
      },
      sign: { call: () => sign(null, bytes, SIGNING_KEY.privateKey) },
    },
  };
}

async function openRaw(url: string): Promise<Client> {
  const driver = await openDriver('driver', url, WITH_PROCESS, { isMigrated: true });
  return openRawClient(url, driver, WITH_PROCESS);
}

function openMap(): Client {
  const revokedAt = new Map<string, number>();
  return { name: 'Map', revoke: (id) => revokedAt.set(id, Date.now()), check: (id) => revokedAt.has(id) };
}

interface Links {
  list(subject: string): unknown;
  link(subject: string, sid: string): unknown;
  delete(subject: string, sid: string): unknown;
}

const LIST = 'SELECT sid, fp_type, fp_name, user_name FROM account_link WHERE subject =';
const INSERT = 'INSERT INTO account_link (subject, fp_type, fp_name, sid, evidence, linked_at) VALUES';
const DELETE = `DELETE FROM account_link WHERE fp_type = 'vk' AND fp_name = 'vk_1' AND sid =`;

function openLinks(store: Exclude<SideSettings['store'], 'redis'>, url: string): Links {
  switch (store) {
    case 'memory':
      return openMapLinks();
    case 'sqlite': {
      const database = openSqliteDatabase(url.slice('sqlite:'.length));
      const list = database.prepare(`${LIST} ?`);
      const insert = database.prepare(`${INSERT} (?, 'vk', 'vk_1', ?, 'asserted', 0)`);
      const remove = database.prepare(`${DELETE} ?`);
      return {
        list: (subject) => list.all(subject),
        link: (subject, sid) => insert.run(subject, sid),
        delete: (_subject, sid) => remove.run(sid),
      };
    }
    case 'postgres': {
      const pool = new pg.Pool({ ...readPostgresUrl(url).connection, max: 2 });
      const statement = (name: string, text: string) => (values: string[]) => pool.query({ name, text, values });
      const list = statement('raw-list', `${LIST} $1`);
      const insert = statement('raw-insert', `${INSERT} ($1, 'vk', 'vk_1', $2, 'asserted', 0)`);
      const remove = statement('raw-delete', `${DELETE} $1`);
      return {
        list: async (subject) => (await list([subject])).rows,
        link: (subject, sid) => insert([subject, sid]),
        delete: (_subject, sid) => remove([sid]),
      };
    }
    case 'dynamodb':
      return openDynamodbLinks(url);
  }
}

function openMapLinks(): Links {
  const bySubject = new Map<string, Map<string, object>>();
  return {
    list: (subject) => [...(bySubject.get(subject)?.values() ?? [])],
    link(subject, sid) {
      const links = bySubject.get(subject) ?? new Map<string, object>();
      bySubject.set(subject, links.set(sid, { sid, fpType: 'vk', fpName: 'vk_1' }));
    },
    delete: (subject, sid) => bySubject.get(subject)?.delete(sid),
  };
}

/** One item a link, and for the list one a subject, which holds nothing but costs what the product's costs to read. */
function openDynamodbLinks(url: string): Links {
  const send = callDynamodb(url, signed, WITH_PROCESS);
  const call = (action: string, body: object) => send(action, JSON.stringify({ TableName: tableOf(url), ...body }));
  const key = (text: string) => ({ id: { S: `limit#${text}` } });
  return {
    list: (subject) => call('GetItem', { Key: key(subject), ConsistentRead: true }),
    link: (subject, sid) =>
      call('PutItem', {
        Item: { ...key(sid), subject: { S: subject } },
        ConditionExpression: 'attribute_not_exists(id)',
      }),
    delete: (_subject, sid) => call('DeleteItem', { Key: key(sid), ConditionExpression: 'attribute_exists(id)' }),
  };
}

/** One line of Powertools' Logger in the product's own format, written at once. */
function createLog(): (message: string, fields: Readonly<Record<string, unknown>>) => void {
  class LineFormatter extends LogFormatter {
    override formatAttributes(standard: UnformattedAttributes, fields: LogAttributes): LogItem {
      return new LogItem({
        attributes: {
          level: standard.logLevel,
          message: standard.message,
          timestamp: standard.timestamp.toISOString(),
          function: standard.serviceName,
          ...fields,
        },
      });
    }
  }
  const logger = new Logger({ serviceName: 'limit', logFormatter: new LineFormatter(), logLevel: 'INFO' });
  // The write of the product's, so that not two ways to write are compared.
  Object.assign(logger, { console: { info: (line: string) => writeSync(1, `${line}\n`) } });
  return (message, fields) => logger.info(message, { ...fields, ...SAME_FIELDS });
}

/** As many as the product's line has. */
const SAME_FIELDS = {
  invocation_id: 'bench',
  function_id: 'bench',
  cold_start: false,
  transport: 'raw',
  outcome: 'ok',
  duration_ms: 0.1,
  remaining_ms: 4700,
};

interface Envelope {
  readonly headers: { readonly request_id: unknown; readonly authorization: unknown };
  readonly request_type: string;
  readonly api_version: unknown;
  readonly payload?: { readonly subjectId: unknown; readonly sid: unknown };
}

function envelopeOf(event: unknown): Envelope {
  const envelope = event as Partial<Envelope> | null; // looked at below
  if (typeof envelope?.headers !== 'object' || typeof envelope.headers.request_id !== 'string') throw new Error('400');
  return envelope as Envelope; // its other fields are looked at where they are used
}

function bearerOf(authorization: unknown): string {
  const token = typeof authorization === 'string' && /^bearer +([\x21-\x7e]+)$/i.exec(authorization)?.[1];
  if (!token) throw new Error('401');
  return token;
}

/** Returns the signing input of a JWT that is good. */
function verifyJwt(token: string, key: KeyObject): string {
  const [header = '', payload = '', signature = ''] = token.split('.');
  const { alg } = JSON.parse(Buffer.from(header, 'base64url').toString());
  const { iss, aud, exp } = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const input = `${header}.${payload}`;
  const isGood =
    alg === 'RS256' &&
    iss === ISSUER &&
    aud === AUDIENCE &&
    exp * 1000 > Date.now() &&
    verify('RSA-SHA256', Buffer.from(input), key, Buffer.from(signature, 'base64url'));
  if (!isGood) throw new Error('401');
  return input;
}
