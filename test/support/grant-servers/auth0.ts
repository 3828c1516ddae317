import { type ApiRequest, type ApiResponse, type Grant, type GrantServerKind, partsOf } from './grant-server.ts';

/** Auth0: grants of a user at a client, without a word on when they were made. */
export const AUTH0: GrantServerKind = {
  preset: 'auth0',
  tokenPath: '/oauth/token',
  issuerPath: '/',
  endingRow: () => ({ authorization: { client_id: 'unlink-functions', client_secret: 'obviously-fake' } }),
  wrongRow: () => ({ authorization: { client_id: 'unlink-functions', client_secret: 'obviously-wrong' } }),
  claimsOf: ({ user, client }) => ({ sub: `auth0|${user}`, azp: client, scope: 'openid devices' }),
  answer(call, state) {
    const { method, path, query } = call;
    if (path === AUTH0.tokenPath) return answerToken(call, `${state.origin}/api/v2/`) ?? state.issueToken();
    if (!state.hasToken(call)) return error(401, 'Unauthorized');
    if (method === 'GET' && path === '/api/v2/grants') {
      const [user, client] = [query.get('user_id'), query.get('client_id')];
      const own = state.grants.filter((grant) => `auth0|${grant.user}` === user && grant.client === client);
      return { status: 200, body: own.map(grantOf) };
    }
    const [id] = partsOf(path, /^\/api\/v2\/grants\/([^/]+)$/);
    if (method !== 'DELETE' || id === undefined) return undefined;
    state.end((grant) => grant.id === id);
    return { status: 204 };
  },
  forbidden: error(403, 'Forbidden'),
  tooMany: error(429, 'Too Many Requests'),
  ...{ keepsNewer: false, namesGrant: false, reach: 'upstream_grant', showsLies: true },
  right: /read:grants and delete:grants/,
};

/** Refuses a client that is not ours, or that asks for a token of another API. */
function answerToken({ body }: ApiRequest, audience: string): ApiResponse | undefined {
  const form = new URLSearchParams(body);
  if (form.get('client_secret') !== 'obviously-fake') return { status: 401, body: { error: 'access_denied' } };
  return form.get('audience') === audience ? undefined : { status: 403, body: { error: 'access_denied' } };
}

function grantOf({ id, user, client }: Grant) {
  return { id, clientID: client, user_id: `auth0|${user}`, audience: 'home', scope: ['devices'] };
}

function error(statusCode: number, text: string) {
  return { status: statusCode, body: { statusCode, error: text, message: 'obviously fake' } };
}
