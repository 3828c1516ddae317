import { type Grant, type GrantServerKind, partsOf } from './grant-server.ts';

/** Okta, a custom authorization server: refresh tokens of a user and a client, by the API of the organization. */
export const OKTA: GrantServerKind = {
  preset: 'okta',
  issuerPath: '/oauth2/default',
  issuerRow: { subject_claim: 'uid' },
  endingRow: () => ({ authorization: 'SSWS obviously-fake' }),
  wrongRow: () => ({ authorization: 'SSWS obviously-wrong' }),
  claimsOf: ({ user, client }) => ({ sub: `${user}@example.test`, uid: user, cid: client, scp: ['devices'] }),
  answer({ method, path, headers }, { grants, end, origin }) {
    if (headers.authorization !== 'SSWS obviously-fake') return error(401, 'E0000011');
    const [user, client, id] = partsOf(path, /^\/api\/v1\/users\/([^/]+)\/clients\/([^/]+)\/tokens(?:\/([^/]+))?$/);
    const isOf = (grant: Grant) => grant.user === user && grant.client === client;
    if (method === 'GET' && id === undefined) {
      return { status: 200, body: grants.filter(isOf).map((grant) => tokenOf(grant, origin)) };
    }
    if (method !== 'DELETE') return undefined;
    return end((grant) => isOf(grant) && grant.id === id) === 0 ? error(404, 'E0000007') : { status: 204 };
  },
  forbidden: error(403, 'E0000006'),
  tooMany: error(429, 'E0000047'),
  ...{ keepsNewer: true, namesGrant: false, reach: 'upstream_grant', showsLies: true },
  right: /okta\.users\.manage/,
};

/** The same with the scope `offline_access`: the id of the refresh token is in `jti`. */
export const OKTA_WITH_GRANT: GrantServerKind = {
  ...OKTA,
  title: 'okta, with the refresh token in jti',
  issuerRow: { ...OKTA.issuerRow, grant: { claim: 'jti', match: '^AT[.][^.]+[.](.+)' } },
  claimsOf: (grant) => ({ ...OKTA.claimsOf(grant), jti: `AT.${crypto.randomUUID()}.${grant.id}` }),
  namesGrant: true,
};

function tokenOf({ id, user, client, madeAt }: Grant, origin: string) {
  const created = new Date(madeAt).toISOString();
  return { id, status: 'ACTIVE', created, clientId: client, userId: user, issuer: `${origin}/oauth2/default` };
}

function error(status: number, errorCode: string) {
  return { status, body: { errorCode, errorSummary: 'obviously fake', errorLink: errorCode, errorCauses: [] } };
}
