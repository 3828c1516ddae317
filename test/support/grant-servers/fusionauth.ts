import { type GrantServerKind, partsOf } from './grant-server.ts';

/** FusionAuth whose tokens have no `sid`: refresh tokens of a user, each of an application. */
export const FUSIONAUTH: GrantServerKind = {
  preset: 'fusionauth',
  issuerPath: '',
  endingRow: (origin) => ({ api: origin, authorization: 'obviously-fake' }),
  wrongRow: (origin) => ({ api: origin, authorization: 'obviously-wrong' }),
  issuerRow: { client_claim: 'applicationId' },
  claimsOf: ({ user, client }) => ({ sub: user, applicationId: client, scope: 'openid offline_access', roles: [] }),
  answer({ method, path, query, headers }, { grants, end }) {
    if (headers.authorization !== 'obviously-fake') return { status: 401 };
    if (method === 'GET' && path === '/api/jwt/refresh') {
      const own = grants.filter(({ user }) => user === query.get('userId'));
      const refreshTokens = own.map(({ id, user, client, madeAt }) => ({
        ...{ id, applicationId: client, userId: user, startInstant: madeAt, insertInstant: madeAt },
      }));
      return { status: 200, body: { refreshTokens } };
    }
    const [id] = partsOf(path, /^\/api\/jwt\/refresh\/([^/]+)$/);
    if (method !== 'DELETE' || id === undefined) return undefined;
    return { status: end((grant) => grant.id === id) === 0 ? 404 : 200 };
  },
  forbidden: { status: 401 },
  ...{ keepsNewer: true, namesGrant: false, reach: 'upstream_grant', showsLies: true },
  right: /an API key with GET and DELETE/,
};

/** The same with the refresh token's id in `sid`. */
export const FUSIONAUTH_WITH_GRANT: GrantServerKind = {
  ...FUSIONAUTH,
  title: 'fusionauth, with the refresh token in sid',
  issuerRow: { ...FUSIONAUTH.issuerRow, grant: { claim: 'sid' }, session_names_grant: true },
  claimsOf: (grant) => ({ ...FUSIONAUTH.claimsOf(grant), sid: grant.id }),
  namesGrant: true,
};
