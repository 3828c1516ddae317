import { createHmac } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';

const URL_OF_PEER = 'http://127.0.0.1';

/**
 * better-auth as its documentation sets it up: a session and its user are looked up at each call. An account is linked
 * by an ID token, the one way of its API that needs no browser; what verifies that token is a function that says yes,
 * so that the cost of a provider is not measured.
 */
export async function openPeer({ store, folder, subjects, keptLinks }) {
  const database = store === 'sqlite' ? openDatabase(`${folder}/better-auth.sqlite`) : undefined;
  const options = {
    baseURL: URL_OF_PEER,
    secret: 'obviously-fake-secret-of-a-benchmark',
    database: database ?? memoryAdapter({ user: [], session: [], account: [], verification: [] }),
    logger: { disabled: true },
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    // As one user has many accounts at one provider here, each of another address.
    account: { accountLinking: { enabled: true, trustedProviders: ['google'], allowDifferentEmails: true } },
    socialProviders: {
      google: {
        clientId: 'bench',
        clientSecret: 'obviously-fake',
        verifyIdToken: async () => true,
        getUserInfo: async ({ idToken }) => ({
          user: { id: idToken, name: 'Ann', email: `${idToken}@example.test`, emailVerified: true },
          data: { sub: idToken },
        }),
      },
    },
  };
  if (database !== undefined) await (await getMigrations(options)).runMigrations();
  const auth = betterAuth(options);
  const context = await auth.$context;
  const people = [];
  for (let number = 0; number < subjects; number += 1) people.push(await signIn(context, number));

  const request = (method, path, index, body) => ({
    method,
    path: `/api/auth${path}`,
    headers: {
      cookie: people[index % subjects].cookie,
      origin: URL_OF_PEER,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    body: body === undefined ? '' : JSON.stringify(body),
  });
  const requests = {
    list: (index) => request('GET', '/list-accounts', index),
    link: (index, sid = `sid-${index}`) =>
      request('POST', '/link-social', index, { provider: 'google', idToken: { token: sid } }),
    delete: (index) => request('POST', '/unlink-account', index, { accountId: ids.get(`sid-${index}`) ?? '' }),
  };
  /** What an account is deleted by: the id that better-auth gave it. */
  const ids = new Map();
  const findIds = async () => {
    ids.clear();
    const all = await context.adapter.findMany({ model: 'account', limit: 1_000_000 });
    for (const { id, accountId } of all) ids.set(accountId, id);
  };
  const call = (operation) => async (index, sid) => {
    const { method, path, headers, body } = requests[operation](index, sid);
    const response = await auth.handler(
      new Request(`${URL_OF_PEER}${path}`, { method, headers, ...(body !== '' && { body }) }),
    );
    const text = await response.text();
    if (response.status !== 200) throw new Error(`better-auth answered ${operation} ${response.status} ${text}`);
  };
  const operation = (name) => ({ call: (index) => call(name)(index), http: (index) => requests[name](index) });
  for (let index = 0; index < subjects * keptLinks; index += 1) await call('link')(index, `kept-${index}`);
  return {
    operations: {
      list: operation('list'),
      link: operation('link'),
      delete: { ...operation('delete'), prepare: findIds },
    },
    listener: toNodeHandler(auth),
  };
}

/** The settings that make a commit durable, as ours has them. */
function openDatabase(path) {
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL');
  return database;
}

async function signIn({ internalAdapter, authCookies, secret }, number) {
  const user = await internalAdapter.createUser({
    email: `subject-${number}@example.test`,
    name: `Subject ${number}`,
    emailVerified: true,
  });
  const { token } = await internalAdapter.createSession(user.id);
  return { cookie: `${authCookies.sessionToken.name}=${signed(token, secret)}` };
}

/** A cookie's value, signed as better-auth signs it. */
function signed(value, secret) {
  return encodeURIComponent(`${value}.${createHmac('sha256', secret).update(value).digest('base64')}`);
}
