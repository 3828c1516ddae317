/** Measures what `links.ts` orders, and sends the medians. */
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import pg from 'pg';
import { readPostgresUrl } from '#shared/databases/postgres.ts';
import { openSqliteDatabase } from '#shared/databases/sqlite.ts';

/** What is to be measured. */
export interface LinkBenchOrders {
  readonly url: string;
  /** The folder of the built functions. */
  readonly bundles: string;
  readonly rounds: number;
  /** Of each operation in a round. */
  readonly calls: number;
}

/** Medians of a call, in microseconds. */
export interface LinkBenchRow {
  readonly operation: (typeof OPERATIONS)[number];
  readonly handlerUs: number;
  readonly rawUs: number;
}

const OPERATIONS = ['list', 'link', 'delete'] as const;
type Operations = Readonly<Record<(typeof OPERATIONS)[number], (sid: string) => unknown>>;

const ISSUER = 'https://auth.example';
const SECRET = 'obviously-fake-secret-of-an-issuer';
const SUBJECT = 'd2580c98-e584-4aad-a591-97a8cf45cd2a';

async function measure({ url, bundles, rounds, calls }: LinkBenchOrders): Promise<LinkBenchRow[]> {
  Object.assign(process.env, {
    STORE_URL: url,
    TOKEN_PEPPERS: `k1:${Buffer.alloc(32, 'p').toString('base64')}`,
    ISSUERS: JSON.stringify([{ issuer: ISSUER, audience: 'api', secret: SECRET }]),
    ISSUER,
    PROVIDERS: '[{"type":"vk","name":"vk_1"}]',
  });
  const sides = [await openHandlers(bundles), await openRaw(url)] as const;
  const times = OPERATIONS.map(() => [[], []] as [number[], number[]]);
  for (const side of sides) for (const sid of ['kept-1', 'kept-2', 'kept-3']) await side.link(sid);
  for (let round = 0; round < rounds; round += 1) {
    for (const [operation, name] of OPERATIONS.entries()) {
      for (const [index, side] of sides.entries()) {
        const startedAt = performance.now();
        for (let call = 0; call < calls; call += 1) await side[name](`${round}-${call}`);
        times[operation]?.[index]?.push(((performance.now() - startedAt) / calls) * 1000);
      }
    }
  }
  return OPERATIONS.map((operation, index) => {
    const [handler = [], raw = []] = times[index] ?? [];
    return { operation, handlerUs: median(handler), rawUs: median(raw) };
  });
}

async function openHandlers(bundles: string): Promise<Operations> {
  const scope = 'blitz_api_ufa blitz_api_ufa_chg';
  const token = await new SignJWT({ iss: ISSUER, aud: 'api', sub: SUBJECT, client_id: 'page', scope })
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(Buffer.from(SECRET));
  const load = createRequire(import.meta.url);
  const operation = (name: string) => {
    // As built: one CommonJS file that exports its handler.
    const { handler } = load(join(bundles, `external-provider-${name}`, 'index.js')) as {
      handler: (event: unknown, context: unknown) => Promise<{ status: number }>;
    };
    const context = { requestId: 'bench', getRemainingTimeInMillis: () => 5000 };
    return async (sid: string) => {
      const event = {
        headers: { request_id: 'bench', authorization: `Bearer ${token}` },
        request_type: `external-provider.${name}`,
        api_version: 1,
        payload: { subjectId: SUBJECT, fpType: 'vk', fpName: 'vk_1', sid },
      };
      const { status } = await handler(event, context);
      if (status >= 300) throw new Error(`${name} was answered ${status}`);
    };
  };
  return { list: operation('list'), link: operation('link'), delete: operation('delete') };
}

const LIST = 'SELECT sid, fp_type, fp_name, user_name FROM account_link WHERE subject =';
const INSERT = 'INSERT INTO account_link (subject, fp_type, fp_name, sid, evidence, linked_at) VALUES';
const DELETE = `DELETE FROM account_link WHERE fp_type = 'vk' AND fp_name = 'raw' AND sid =`;
const RAW_SUBJECT = 'raw';

async function openRaw(url: string): Promise<Operations> {
  if (url.startsWith('sqlite:')) {
    const database = openSqliteDatabase(url.slice('sqlite:'.length));
    const list = database.prepare(`${LIST} ?`);
    const insert = database.prepare(`${INSERT} (?, 'vk', 'raw', ?, 'asserted', 0)`);
    const remove = database.prepare(`${DELETE} ?`);
    return {
      list: () => list.all(RAW_SUBJECT),
      link: (sid) => insert.run(RAW_SUBJECT, sid),
      delete: (sid) => remove.run(sid),
    };
  }
  const pool = new pg.Pool({ ...readPostgresUrl(url).connection, max: 2 });
  const statement = (name: string, text: string) => (values: string[]) => pool.query({ name, text, values });
  const list = statement('raw-list', `${LIST} $1`);
  const insert = statement('raw-insert', `${INSERT} ($1, 'vk', 'raw', $2, 'asserted', 0)`);
  const remove = statement('raw-delete', `${DELETE} $1`);
  return {
    list: () => list([RAW_SUBJECT]),
    link: (sid) => insert([RAW_SUBJECT, sid]),
    delete: (sid) => remove([sid]),
  };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

// Nobody else sends any.
const [orders] = (await once(process, 'message')) as [LinkBenchOrders];
const rows = await measure(orders);
process.send?.(rows);
