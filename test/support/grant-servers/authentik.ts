import { type Grant, type GrantServerKind, partsOf } from './grant-server.ts';

/** authentik whose subject mode is the user's id: its tokens, of each kind, with the provider that they are of. */
export const AUTHENTIK: GrantServerKind = {
  preset: 'authentik',
  issuerPath: '/application/o/home/',
  issuerRow: { token_type: 'optional' },
  endingRow: () => ({ authorization: 'Bearer obviously-fake' }),
  wrongRow: () => ({ authorization: 'Bearer obviously-wrong' }),
  claimsOf: ({ user, client }) => ({ sub: user, azp: client, uid: 'session-1', scope: 'openid offline_access' }),
  answer({ method, path, query, headers }, { grants, end }) {
    if (headers.authorization !== 'Bearer obviously-fake') return { status: 403, body: { detail: 'obviously fake' } };
    const [kind, id] = partsOf(path, /^\/api\/v3\/oauth2\/(refresh|access)_tokens\/(?:([^/]+)\/)?$/);
    if (kind === undefined) return undefined;
    if (method === 'GET' && id === undefined) {
      // The access tokens go with the refresh tokens here: what the preset is for is the latter.
      const own = kind === 'refresh' ? grants.filter(({ user }) => user === query.get('user')) : [];
      return { status: 200, body: { pagination: { next: 0, count: own.length }, results: own.map(tokenOf) } };
    }
    if (method !== 'DELETE' || id === undefined) return undefined;
    const ended = end((grant) => `${numberOf(grant)}` === id);
    return ended === 0 ? { status: 404, body: { detail: 'obviously fake' } } : { status: 204 };
  },
  ...{ keepsNewer: false, namesGrant: false, reach: 'upstream_grant', showsLies: true },
  right: /view and delete refresh tokens/,
};

/** Its keys are numbers. */
function numberOf({ id }: Grant): number {
  return Number.parseInt(id.replace(/\D/g, '').slice(0, 9), 10);
}

function tokenOf(grant: Grant) {
  return {
    // Since 2026.5 the provider is named without its client.
    ...{ pk: numberOf(grant), provider: { pk: 7, name: 'home' }, scope: ['openid'], is_expired: false, revoked: false },
    ...{ user: { pk: 1, username: grant.user }, id_token: JSON.stringify({ aud: grant.client, sub: grant.user }) },
  };
}
