import { type DescribeProvider, MOCK_CLIENT_ID, MOCK_DEVICE_ID } from './provider-mock.ts';

const refusal = (error: string, description: string) => ({
  // An error may come with 200.
  status: 200,
  body: { error, error_description: description, state: '' },
});

/** https://id.vk.com/about/business/go/docs/ru/vkid/latest/vk-id/connection/tokens/access-token */
export const vkId: DescribeProvider = (grant) => ({
  'POST id.vk.com/oauth2/revoke': ({ form }) => {
    if (form.get('client_id') !== MOCK_CLIENT_ID) return refusal('invalid_client', 'client_id is missing or invalid');
    if (!grant.access.has(form.get('access_token') ?? '')) {
      return refusal('invalid_token', 'access_token is missing or invalid');
    }
    grant.end();
    return { status: 200, body: { response: 1 } };
  },
  'POST id.vk.com/oauth2/auth': ({ form }) => {
    if (form.get('client_id') !== MOCK_CLIENT_ID) return refusal('invalid_client', 'client_id is missing or invalid');
    if (form.get('device_id') !== MOCK_DEVICE_ID) return refusal('invalid_request', 'device_id is invalid');
    if ((form.get('state') ?? '').length < 32) return refusal('invalid_request', 'state is invalid');
    const tokens = grant.exchange(form.get('refresh_token'));
    if (tokens === undefined) return refusal('invalid_token', 'refresh_token is invalid');
    return {
      status: 200,
      body: { ...tokens, token_type: 'Bearer', expires_in: 3600, user_id: 1, state: '', scope: '' },
    };
  },
});
