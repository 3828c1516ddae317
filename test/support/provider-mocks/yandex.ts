import type { DescribeProvider } from './provider-mock.ts';

/** Of an application's own, but of no device. */
export const TOKEN_WITHOUT_DEVICE = 'token-without-device';
/** Of another application. */
export const TOKEN_OF_ANOTHER = 'token-of-another';

const refusal = (status: number, error: string) => ({ status, body: { error, error_description: 'as documented' } });

/** https://yandex.ru/dev/id/doc/en/tokens/token-invalidate and https://yandex.ru/dev/id/doc/en/tokens/refresh-client */
export const yandex: DescribeProvider = (grant) => ({
  'POST oauth.yandex.ru/revoke_token': ({ isOurBasic, form }) => {
    const token = form.get('access_token');
    if (!isOurBasic) return refusal(401, 'invalid_client');
    if (token === null) return refusal(400, 'invalid_request');
    if (token === TOKEN_OF_ANOTHER) return refusal(400, 'invalid_grant');
    if (token === TOKEN_WITHOUT_DEVICE) return refusal(400, 'unsupported_token_type');
    // The refresh token goes with it.
    if (grant.access.has(token)) grant.end();
    // "The token was successfully revoked or was already invalid."
    return { status: 200, body: { status: 'ok' } };
  },
  'POST oauth.yandex.ru/token': ({ isOurBasic, form }) => {
    if (!isOurBasic) return refusal(401, 'invalid_client');
    const tokens = grant.exchange(form.get('refresh_token'));
    if (tokens === undefined) return refusal(400, 'invalid_grant');
    return { status: 200, body: { ...tokens, token_type: 'bearer', expires_in: 31_536_000 } };
  },
});
