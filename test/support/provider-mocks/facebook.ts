import { createHmac } from 'node:crypto';
import { type DescribeProvider, MOCK_CLIENT_ID, MOCK_CLIENT_SECRET, MOCK_SID } from './provider-mock.ts';

const refusal = (code: number, message: string, error_subcode?: number) => ({
  status: 400,
  body: { error: { message, type: 'OAuthException', code, error_subcode, fbtrace_id: 'A1' } },
});

/** Of code 190: the user has removed the application, or the token has expired. */
const REMOVED = 458;
const EXPIRED = 463;

/**
 * https://developers.facebook.com/docs/graph-api/reference/user/permissions, and for the errors
 * https://developers.facebook.com/docs/graph-api/guides/error-handling
 */
export const facebook: DescribeProvider = (grant) => ({
  [`DELETE graph.facebook.com/v23.0/${MOCK_SID}/permissions`]: ({ query }) => {
    const token = query.get('access_token') ?? '';
    const proof = createHmac('sha256', MOCK_CLIENT_SECRET).update(token).digest('hex');
    const isProved = [null, proof].includes(query.get('appsecret_proof'));
    if (!isProved) return refusal(100, 'Invalid appsecret_proof provided in the API argument');
    const isAppToken = token === `${MOCK_CLIENT_ID}|${MOCK_CLIENT_SECRET}`;
    const isRemoved = grant.refresh.size + grant.access.size === 0;
    if (!isAppToken && !grant.access.has(token)) {
      return refusal(190, 'Error validating access token', isRemoved ? REMOVED : EXPIRED);
    }
    if (isAppToken && isRemoved) return refusal(100, 'Unsupported delete request');
    grant.end();
    return { status: 200, body: { success: true } };
  },
});
