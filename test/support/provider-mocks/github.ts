import { type DescribeProvider, MOCK_CLIENT_ID } from './provider-mock.ts';

/**
 * https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-authorization, and for tokens that expire
 * https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/refreshing-user-access-tokens
 */
export const github: DescribeProvider = (grant) => ({
  [`DELETE api.github.com/applications/${MOCK_CLIENT_ID}/grant`]: ({ headers, isOurBasic, body }) => {
    if (!headers['user-agent']) return { status: 403, body: 'Request forbidden by administrative rules.' };
    if (!isOurBasic) return { status: 401, body: { message: 'Bad credentials' } };
    const { access_token: token } = JSON.parse(body);
    if (typeof token !== 'string') return { status: 422, body: { message: 'Validation Failed' } };
    if (!grant.access.has(token)) return { status: 404, body: { message: 'Not Found' } };
    grant.end();
    return { status: 204, body: '' };
  },
  'POST github.com/login/oauth/access_token': ({ headers, isOurPost, form }) => {
    if (headers.accept !== 'application/json') return { status: 200, body: 'access_token=in-a-form' };
    // Errors come with 200.
    if (!isOurPost) return { status: 200, body: { error: 'incorrect_client_credentials' } };
    const tokens = grant.exchange(form.get('refresh_token'));
    return { status: 200, body: tokens ?? { error: 'bad_refresh_token', error_description: 'incorrect or expired' } };
  },
});
