import type { DescribeProvider } from './provider-mock.ts';

/** T-ID: https://tinkoff.github.io/tinkoff-id/tokens: RFC 7009 with HTTP Basic. */
export const tcs: DescribeProvider = (grant) => ({
  'POST id.tinkoff.ru/auth/revoke': ({ isOurBasic, form }) => {
    if (!isOurBasic) return { status: 401, body: { error: 'invalid_client' } };
    if (!form.has('token') || !form.has('token_type_hint')) return { status: 400, body: { error: 'invalid_request' } };
    grant.endToken(form.get('token'));
    return { status: 200, body: '' };
  },
});
