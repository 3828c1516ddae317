import type { DescribeProvider } from './provider-mock.ts';

/** https://docs.discord.com/developers/topics/oauth2: all tokens of the user end with any that is valid. */
export const discord: DescribeProvider = (grant) => ({
  'POST discord.com/api/oauth2/token/revoke': ({ isOurBasic, form }) => {
    if (!isOurBasic) return { status: 401, body: { error: 'invalid_client' } };
    if (!['access_token', 'refresh_token', null].includes(form.get('token_type_hint'))) {
      return { status: 400, body: { error: 'unsupported_token_type' } };
    }
    if (grant.endToken(form.get('token'))) grant.end();
    return { status: 200, body: {} };
  },
});
