import {
  type ApiRequest,
  type ApiResponse,
  type Grant,
  type GrantServerKind,
  type GrantServerState,
  partsOf,
} from './grant-server.ts';

/** Keycloak with a client that asks for consent: a grant is a client session in an online session of the user. */
export const KEYCLOAK: GrantServerKind = {
  preset: 'keycloak',
  issuerPath: '/realms/home',
  endingRow: () => ({ authorization: { client_id: 'unlink-functions', client_secret: 'obviously-fake' } }),
  wrongRow: () => ({ authorization: { client_id: 'unlink-functions', client_secret: 'obviously-wrong' } }),
  claimsOf: ({ user, client }) => ({ sub: user, azp: client, typ: 'Bearer', scope: 'openid devices' }),
  tokenPath: '/realms/home/protocol/openid-connect/token',
  answer: (call, state) => answer(call, state, true),
  forbidden: { status: 403, body: { error: 'HTTP 403 Forbidden' } },
  ...{ keepsNewer: false, namesGrant: false, reach: 'upstream_grant', showsLies: true },
  right: /manage-users/,
};

/** The same with a client that asks for no consent: its online session is that of all clients. */
export const KEYCLOAK_SESSIONS: GrantServerKind = {
  ...KEYCLOAK,
  title: 'keycloak, without consent, all clients',
  endingRow: (origin) => ({ ...KEYCLOAK.endingRow(origin), reaches: 'all_clients' }),
  wrongRow: (origin) => ({ ...KEYCLOAK.wrongRow(origin), reaches: 'all_clients' }),
  answer: (call, state) => answer(call, state, false),
  reach: 'upstream_all_clients',
};

function answer(call: ApiRequest, state: GrantServerState, asksConsent: boolean) {
  const { method, path } = call;
  if (path === KEYCLOAK.tokenPath) return answerToken(call, state);
  if (!state.hasToken(call)) return error(401, 'HTTP 401 Unauthorized');
  const [user, client] = partsOf(path, /^\/admin\/realms\/home\/users\/([^/]+)\/consents\/([^/]+)$/);
  if (method === 'DELETE' && user !== undefined) {
    const ended = asksConsent ? state.end((grant) => grant.user === user && grant.client === client) : 0;
    return ended === 0 ? error(404, 'Consent nor offline token not found') : { status: 204 };
  }
  const [owner] = partsOf(path, /^\/admin\/realms\/home\/users\/([^/]+)\/sessions$/);
  if (method === 'GET' && owner !== undefined) return { status: 200, body: sessionsOf(owner, state) };
  const [session] = partsOf(path, /^\/admin\/realms\/home\/sessions\/([^/]+)$/);
  if (method !== 'DELETE' || session === undefined) return undefined;
  const ended = state.end((grant) => sessionOf(grant) === session);
  return ended === 0 ? error(404, 'Sesssion not found') : { status: 204 };
}

function answerToken({ headers, body }: ApiRequest, { issueToken }: GrantServerState): ApiResponse {
  const isMeant = new URLSearchParams(body).get('grant_type') === 'client_credentials';
  const isClient = headers.authorization === `Basic ${btoa('unlink-functions:obviously-fake')}`;
  return isMeant && isClient ? issueToken() : error(401, 'invalid_client');
}

/** A user has one browser, whose session all clients are in. */
const sessionOf = ({ user }: Pick<Grant, 'user'>) => `session-of-${user}`;

function sessionsOf(user: string, { grants }: GrantServerState) {
  const own = grants.filter((grant) => grant.user === user);
  if (own.length === 0) return [];
  const clients = Object.fromEntries(own.map(({ id, client }) => [`uuid-of-${id}`, client]));
  return [{ id: sessionOf({ user }), userId: user, start: Math.min(...own.map(({ madeAt }) => madeAt)), clients }];
}

function error(status: number, message: string) {
  return { status, body: { error: message } };
}

/** The same, where the row does not allow to end the session. */
export const KEYCLOAK_SESSION_LIVES: GrantServerKind = { ...KEYCLOAK_SESSIONS, endingRow: KEYCLOAK.endingRow };
