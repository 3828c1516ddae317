import type { DescribeProvider } from './provider-mock.ts';

/** https://developers.google.com/identity/protocols/oauth2/web-server#tokenrevoke */
export const google: DescribeProvider = (grant) => ({
  'POST oauth2.googleapis.com/revoke': ({ form }) => {
    if ([...form.keys()].join() !== 'token') return { status: 400, body: { error: 'invalid_request' } };
    if (!grant.endToken(form.get('token'))) {
      return { status: 400, body: { error: 'invalid_token', error_description: 'Token expired or revoked' } };
    }
    grant.end();
    return { status: 200, body: {} };
  },
});
