import type { DescribeProvider, MockCall } from './provider-mock.ts';

/** https://docs.gitlab.com/api/oauth2/#revoke-a-token, which is the gem Doorkeeper. */
export const gitlab: DescribeProvider = (grant) => {
  const revoke = ({ isOurPost, form }: MockCall) => {
    if (!isOurPost) return { status: 403, body: { error: 'unauthorized_client' } };
    grant.endToken(form.get('token'));
    return { status: 200, body: {} };
  };
  return { 'POST gitlab.com/oauth/revoke': revoke, 'POST git.example/gitlab/oauth/revoke': revoke };
};
