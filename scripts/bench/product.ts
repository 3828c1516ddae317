import { createPrivateKey } from 'node:crypto';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type SignedRequest, type SigningKey, signRequest } from '#shared/threepid/signing.ts';
import { DYNAMODB_CREDENTIALS } from '#test/support/dynamodb-server.ts';
import { AUDIENCE, authorizerEvent, eventOf, ISSUER, issueJwts } from './events.ts';
import {
  KEPT_LINKS,
  LINK_COUNTS,
  type Operation,
  type Side,
  type SideOperation,
  type SideSettings,
  SUBJECTS,
} from './side.ts';

/** What every function is told. */
export const SETTINGS = {
  TOKEN_PEPPERS: `k1:${Buffer.alloc(32, 'p').toString('base64')}`,
  ISSUER,
  PROVIDERS: '[{"type":"vk","name":"vk_1"}]',
  AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
};

/** A request that is signed for an unbind. */
export const SIGNED_REQUEST: SignedRequest = {
  method: 'POST',
  uri: '/_matrix/identity/v2/3pid/unbind',
  origin: 'home.example',
  destination: 'identity.example',
  content: { mxid: '@ann:home.example', threepid: { medium: 'email', address: 'ann@example.test' } },
};

/** A key that signs unbinds. */
export const SIGNING_KEY: SigningKey = {
  id: 'ed25519:bench',
  privateKey: createPrivateKey({
    key: Buffer.from(`302e020100300506032b657004220420${'42'.repeat(32)}`, 'hex'),
    format: 'der',
    type: 'pkcs8',
  }),
};

type Handler = (event: unknown, context: unknown) => Promise<unknown>;
const CONTEXT = { requestId: 'bench', functionName: 'bench', getRemainingTimeInMillis: () => 5000 };

/**
 * The built functions on one store, each with its log line. Opaque tokens of links are introspected once in 30 s, which
 * under load is one call in thousands: it is done before what is measured, where it would be one in twenty.
 */
export async function openProduct({ store, url, bundles, introspection }: SideSettings): Promise<Side> {
  const { tokens, jwks } = await issueJwts();
  const unverified = { ...SETTINGS, STORE_URL: url, UNVERIFIED_TOKENS: '1' };
  const issuedBy = (row: object) => ({
    ...SETTINGS,
    STORE_URL: url,
    ISSUERS: JSON.stringify([{ issuer: ISSUER, audience: AUDIENCE, ...row }]),
  });
  const introspected = issuedBy({ introspection: { endpoint: introspection, client_id: 'u', client_secret: 's' } });
  const handlers = new Map<string, Handler>();
  const operations: Partial<Record<Operation, SideOperation>> = {};

  async function add(
    operation: Operation,
    name: string,
    environment: Readonly<Record<string, string>>,
    event: (index: number) => object,
    isAnswered: (answer: unknown) => boolean,
  ): Promise<void> {
    const handler = loadHandler(join(bundles, store, name, 'index.js'), environment);
    handlers.set(operation, handler);
    // Now, while the environment is the one that it is to read.
    await handler(event(-1), CONTEXT);
    operations[operation] = {
      async call(index) {
        const answer = await handler(event(index), CONTEXT);
        if (!isAnswered(answer)) throw new Error(`${operation} was answered ${JSON.stringify(answer)}`);
      },
      event,
    };
  }

  const introspectedAt = new Map<string, number>();

  /** Lets each subject's token be known to a function: by a call that changes nothing after the first time. */
  async function introspectAll(operation: 'list' | 'link' | 'delete'): Promise<void> {
    if (Date.now() - (introspectedAt.get(operation) ?? 0) < KNOWN_MS) return;
    introspectedAt.set(operation, Date.now());
    for (let subject = 0; subject < SUBJECTS; subject += 1) {
      await handlers.get(operation)?.(eventOf(operation, FIRST_OF_TOKENS[operation] - subject), CONTEXT);
    }
  }

  const isEcho = (answer: unknown) => !hasStatus(answer);
  await add('revoke', 'smart-home-unlink', unverified, (index) => eventOf('revoke', index), isEcho);
  await add('revoke-again', 'smart-home-unlink', unverified, (index) => eventOf('revoke-again', index), isEcho);
  const isLetIn = (answer: unknown) => (answer as { isAuthorized?: boolean }).isAuthorized === true; // as authorizers answer
  await add('check', 'token-authorize', unverified, (index) => eventOf('check', index), isLetIn);
  const jwtEvent = (index: number) => authorizerEvent(tokens[Math.abs(index) % SUBJECTS] ?? '');
  await add('check-jwt', 'token-authorize', issuedBy({ jwks }), jwtEvent, isLetIn);
  operations.sign = { call: () => signRequest(SIGNED_REQUEST, SIGNING_KEY) };

  if (store !== 'redis') {
    const isDone = (answer: unknown) => hasStatus(answer) && answer.status < 300;
    for (const operation of ['list', 'link', 'delete'] as const) {
      const event = (index: number) => eventOf(operation, index);
      await add(operation, `external-provider-${operation}`, introspected, event, isDone);
      Object.assign(operations[operation] ?? {}, { prepare: () => introspectAll(operation) });
    }
  }
  const { link, list } = operations;
  if (link !== undefined && list !== undefined) {
    Object.assign(operations, growthOperations(handlers));
    // Numbers that no measured call has.
    const makeLinks = many(SUBJECTS * KEPT_LINKS, (index) => link.call(-SUBJECTS * 10 - index));
    operations.list = {
      ...list,
      async prepare() {
        await makeLinks();
        await introspectAll('list');
      },
    };
  }
  const again = operations['revoke-again'];
  if (again !== undefined)
    operations['revoke-again'] = { ...again, prepare: many(SUBJECTS, (index) => again.call(index)) };
  return { operations, answer: (operation, event) => handlers.get(operation)?.(event, CONTEXT) };
}

/** Makes so many of something when they are first needed. */
function many(count: number, make: (index: number) => unknown): () => Promise<void> {
  let made = 0;
  return async () => {
    for (; made < count; made += 1) await make(made);
  };
}

/** What is measured of a subject with so many links, which are made when they are first needed. */
function growthOperations(handlers: ReadonlyMap<string, Handler>): Partial<Record<Operation, SideOperation>> {
  const call = async (operation: 'list' | 'link' | 'delete', index: number, subject: string) => {
    const answer = await handlers.get(operation)?.(eventOf(operation, index, subject), CONTEXT);
    if (!hasStatus(answer) || answer.status >= 300)
      throw new Error(`${operation} was answered ${JSON.stringify(answer)}`);
  };
  const operations: Partial<Record<Operation, SideOperation>> = {};
  for (const count of LINK_COUNTS) {
    const subject = `subject-with-${count}`;
    const among = `${subject}-in-all`;
    const first = FIRST_OF_GROWTH - count * 1000;
    operations[`list of ${count}`] = {
      prepare: many(count, (index) => call('link', first - index, subject)),
      call: () => call('list', 0, subject),
    };
    operations[`link and delete among ${count}`] = {
      prepare: many(count - 1, (index) => call('link', first * 2 - index, among)),
      async call(index) {
        await call('link', FIRST_OF_GROWTH * 4 - index, among);
        await call('delete', FIRST_OF_GROWTH * 4 - index, among);
      },
    };
  }
  return operations;
}

/** Numbers of links from here on down are of subjects with many. */
const FIRST_OF_GROWTH = -1_000_000_000;

/** Numbers of links from here on down are made once, to have a call for each subject's token, or never. */
const FIRST_OF_TOKENS = { list: 0, link: -2 * SUBJECTS * 10, delete: -3 * SUBJECTS * 10 } as const;

/** For so long an introspected token need not be asked about again: a third of what the product itself allows. */
const KNOWN_MS = 10_000;

function hasStatus(answer: unknown): answer is { status: number } {
  return typeof answer === 'object' && answer !== null && 'status' in answer && typeof answer.status === 'number';
}

/** A function of its own, whose settings are those of this environment at its first call. */
function loadHandler(bundle: string, environment: Readonly<Record<string, string>>): Handler {
  for (const name of ['STORE_URL', 'UNVERIFIED_TOKENS', 'ISSUERS']) delete process.env[name];
  Object.assign(process.env, environment);
  const load = createRequire(import.meta.url);
  delete load.cache[bundle];
  // As built: one CommonJS file that exports its handler.
  return (load(bundle) as { handler: Handler }).handler;
}
