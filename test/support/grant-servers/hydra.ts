import type { Grant, GrantServerKind } from './grant-server.ts';

/** Ory Hydra behind its admin port, whose consent dialog puts no id of the consent request into the tokens. */
export const HYDRA: GrantServerKind = {
  preset: 'hydra',
  issuerPath: '',
  endingRow: (origin) => ({ api: origin, authorization: 'Bearer obviously-fake' }),
  wrongRow: (origin) => ({ api: origin, authorization: 'Bearer obviously-wrong' }),
  claimsOf: ({ user, client, id }) => ({ sub: user, client_id: client, scp: ['devices'], ext: { grant_id: id } }),
  answer({ method, path, query, headers }, { grants, end }) {
    // Hydra asks for no credential: what stands before it does.
    if (headers.authorization !== 'Bearer obviously-fake') return { status: 401 };
    if (path !== '/admin/oauth2/auth/sessions/consent') return undefined;
    const [subject, client, id] = [query.get('subject'), query.get('client'), query.get('consent_request_id')];
    if (method === 'GET') {
      // What a remembered consent has granted without a dialog is not listed, not even once that consent has ended.
      const listed = grants.filter(({ user, isAgain }) => user === subject && !isAgain);
      return { status: 200, body: listed.map(sessionOf) };
    }
    if (method !== 'DELETE' || (id === null) === (subject === null || client === null)) return { status: 400 };
    end((grant) => (id === null ? grant.user === subject && grant.client === client : grant.id === id));
    return { status: 204 };
  },
  ...{ keepsNewer: false, namesGrant: false, reach: 'upstream_grant', showsLies: true, showsNothing: false },
  right: /the right to pass to the admin API/,
};

/** The same with tokens that name the consent request. */
export const HYDRA_WITH_GRANT: GrantServerKind = {
  ...HYDRA,
  title: 'hydra, with the consent request in its tokens',
  issuerRow: { grant: { claim: 'ext.grant_id' } },
  ...{ keepsNewer: true, namesGrant: true, showsLies: false },
};

function sessionOf({ id, user, client, madeAt }: Grant) {
  return {
    consent_request_id: id,
    consent_request: { subject: user, client: { client_id: client } },
    handled_at: new Date(madeAt).toISOString(),
  };
}
