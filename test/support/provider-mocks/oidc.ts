import type { DescribeProvider } from './provider-mock.ts';

/** The issuer of the mock. */
export const OIDC_ISSUER = 'https://login.example/realm';

/** RFC 7009, and its endpoint by https://openid.net/specs/openid-connect-discovery-1_0.html */
export const oidc: DescribeProvider = (grant) => ({
  'GET login.example/realm/.well-known/openid-configuration': () => ({
    status: 200,
    body: { issuer: OIDC_ISSUER, revocation_endpoint: 'https://api.login.example/revocation' },
  }),
  'POST api.login.example/revocation': ({ isOurBasic, form }) => {
    if (!isOurBasic) return { status: 401, body: { error: 'invalid_client' } };
    grant.endToken(form.get('token'));
    return { status: 200, body: '' };
  },
});
