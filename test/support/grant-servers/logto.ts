import { type ApiRequest, type GrantServerKind, type GrantServerState, partsOf } from './grant-server.ts';

/** Logto: the grants of a user at all applications, by the Management API. */
export const LOGTO: GrantServerKind = {
  preset: 'logto',
  tokenPath: '/oidc/token',
  issuerPath: '/oidc',
  endingRow: () => ({ authorization: { client_id: 'unlink-functions', client_secret: 'obviously-fake' } }),
  wrongRow: () => ({ authorization: { client_id: 'unlink-functions', client_secret: 'obviously-wrong' } }),
  claimsOf: ({ user, client }) => ({ sub: user, client_id: client, scope: 'devices' }),
  answer(call, state) {
    const { method, path } = call;
    if (path === LOGTO.tokenPath) return answerToken(call, state);
    if (!state.hasToken(call)) return { status: 401, body: { code: 'auth.unauthorized' } };
    const [user, id] = partsOf(path, /^\/api\/users\/([^/]+)\/grants(?:\/([^/]+))?$/);
    if (user === undefined) return undefined;
    if (method === 'GET' && id === undefined) {
      const own = state.grants.filter((grant) => grant.user === user);
      const grants = own.map((grant) => ({
        ...{ id: grant.id, expiresAt: grant.madeAt + 1_209_600_000 },
        payload: { kind: 'Grant', accountId: user, clientId: grant.client, iat: Math.floor(grant.madeAt / 1000) },
      }));
      return { status: 200, body: { grants } };
    }
    if (method !== 'DELETE') return undefined;
    state.end((grant) => grant.user === user && grant.id === id);
    return { status: 204 };
  },
  forbidden: { status: 403, body: { code: 'auth.forbidden' } },
  // A grant that is made anew is told apart; one that a session has used again is not.
  ...{ keepsNewer: true, saysMayEndNewer: true, namesGrant: false, reach: 'upstream_grant', showsLies: true },
  right: /Management API/,
};

function answerToken({ headers, body }: ApiRequest, { issueToken, origin }: GrantServerState) {
  const form = new URLSearchParams(body);
  const isClient = headers.authorization === `Basic ${btoa('unlink-functions:obviously-fake')}`;
  const isMeant = form.get('resource') === `${origin}/api` && form.get('scope') === 'all';
  return isClient && isMeant ? issueToken() : { status: 401, body: { error: 'invalid_client' } };
}
