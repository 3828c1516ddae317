import { type DescribeProvider, MOCK_CLIENT_ID } from './provider-mock.ts';

/** https://dev.twitch.tv/docs/authentication/revoke-tokens and https://dev.twitch.tv/docs/authentication/refresh-tokens */
export const twitch: DescribeProvider = (grant) => ({
  'POST id.twitch.tv/oauth2/revoke': ({ form }) => {
    if (form.get('client_id') !== MOCK_CLIENT_ID) {
      return { status: 404, body: { status: 404, message: 'client does not exist' } };
    }
    if (!grant.access.delete(form.get('token') ?? '')) {
      return { status: 400, body: { status: 400, message: 'Invalid token' } };
    }
    return { status: 200, body: '' };
  },
  'POST id.twitch.tv/oauth2/token': ({ isOurPost, form }) => {
    if (!isOurPost) return { status: 403, body: { status: 403, message: 'invalid client secret' } };
    const tokens = grant.exchange(form.get('refresh_token'));
    if (tokens !== undefined) return { status: 200, body: { ...tokens, expires_in: 14_000, token_type: 'bearer' } };
    return { status: 400, body: { error: 'Bad Request', status: 400, message: 'Invalid refresh token' } };
  },
});
