import { generateKeyPairSync } from 'node:crypto';
import { jwtVerify } from 'jose';
import { START_MS } from '../outbox-run.ts';
import { type DescribeProvider, MOCK_CLIENT_ID, type MockCall } from './provider-mock.ts';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** What our client signs its secrets with. */
export const APPLE_KEY = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

async function isOurs({ form }: MockCall): Promise<boolean> {
  try {
    const { payload, protectedHeader } = await jwtVerify(form.get('client_secret') ?? '', publicKey, {
      algorithms: ['ES256'],
      issuer: 'team-1',
      subject: MOCK_CLIENT_ID,
      audience: 'https://appleid.apple.com',
      currentDate: new Date(START_MS),
      requiredClaims: ['iat', 'exp'],
    });
    // Half a year, says Apple.
    const isShort = (payload.exp ?? 0) - (payload.iat ?? 0) <= 15_777_000;
    return isShort && protectedHeader.kid === 'key-1' && form.get('client_id') === MOCK_CLIENT_ID;
  } catch {
    return false;
  }
}

/** https://developer.apple.com/documentation/signinwithapplerestapi/revoke-tokens */
export const apple: DescribeProvider = (grant) => ({
  'POST appleid.apple.com/auth/revoke': async (call) => {
    if (!(await isOurs(call))) return { status: 400, body: { error: 'invalid_client' } };
    if (!call.form.has('token')) return { status: 400, body: { error: 'invalid_request' } };
    if (grant.endToken(call.form.get('token'))) grant.end();
    return { status: 200, body: '' };
  },
});
