import { type GrantServerKind, partsOf } from './grant-server.ts';

const TENANT = '11111111-2222-3333-4444-555555555555';

/** Microsoft Entra ID: one action of Microsoft Graph that ends what a user has at every application. */
export const ENTRA: GrantServerKind = {
  preset: 'entra',
  tokenPath: '/oauth2/v2.0/token',
  issuerPath: `/${TENANT}/v2.0`,
  issuerRow: { subject_claim: 'oid' },
  endingRow: (origin) => rowOf(origin, 'obviously-fake'),
  wrongRow: (origin) => rowOf(origin, 'obviously-wrong'),
  claimsOf: ({ user, client }) => ({ sub: `pairwise-${user}`, oid: user, azp: client, scp: 'Use', ver: '2.0' }),
  answer(call, { grants, end, hasToken, issueToken }) {
    const { method, path, body } = call;
    if (path === ENTRA.tokenPath) {
      const form = new URLSearchParams(body);
      const isMeant = form.get('scope') === 'https://graph.microsoft.com/.default';
      const isClient = form.get('client_secret') === 'obviously-fake';
      return isMeant && isClient ? issueToken() : { status: 401, body: { error: 'invalid_client' } };
    }
    if (!hasToken(call)) return error(401, 'InvalidAuthenticationToken');
    const [user] = partsOf(path, /^\/v1\.0\/users\/([^/]+)\/revokeSignInSessions$/);
    if (method !== 'POST' || user === undefined) return undefined;
    if (!grants.some((grant) => grant.user === user)) return error(404, 'Request_ResourceNotFound');
    end((grant) => grant.user === user);
    return { status: 200, body: { '@odata.context': `${path}#Edm.Boolean`, value: true } };
  },
  forbidden: error(403, 'Authorization_RequestDenied'),
  tooMany: error(429, 'TooManyRequests'),
  ...{ keepsNewer: false, namesGrant: false, reach: 'upstream_all_clients', showsLies: false },
  right: /User\.RevokeSessions\.All/,
};

function rowOf(origin: string, client_secret: string) {
  const token_endpoint = `${origin}${ENTRA.tokenPath}`;
  return {
    ...{ api: `${origin}/v1.0`, reaches: 'all_clients' },
    authorization: { client_id: 'unlink-functions', client_secret, token_endpoint },
  };
}

function error(status: number, code: string) {
  return { status, body: { error: { code, message: 'obviously fake' } } };
}
