import { type ClientAuth, ClientSecretPost, None } from 'oauth4webapi';
import { basicAuthorization } from '../outgoing/json.ts';
import type { ClientAuthentication } from './provider-settings.ts';

const SIGNED_SECRET_S = 300;
/** Of whom Apple wants to be told that the secret is for. */
const SIGNED_SECRET_AUDIENCE = 'https://appleid.apple.com';

/** How the OAuth library shows who our client is. */
export function clientAuthOf(authentication: ClientAuthentication, now: () => number): ClientAuth {
  switch (authentication.method) {
    case 'none':
      return None();
    case 'client_secret_basic':
      // Not the library's: it escapes `-`, `_` and `.` too, which a server that does not unescape takes for others.
      return (_server, { client_id: clientId }, _body, headers) => {
        headers.set('authorization', basicAuthorization(clientId, authentication.secret));
      };
    case 'client_secret_post':
      return ClientSecretPost(authentication.secret);
    case 'signed_secret':
      return async (_server, { client_id: clientId }, body) => {
        body.set('client_id', clientId);
        body.set('client_secret', await signSecret(authentication, clientId, now));
      };
  }
}

/** @see https://developer.apple.com/documentation/accountorganizationaldatasharing/creating-a-client-secret */
async function signSecret(
  { key, keyId, teamId }: Extract<ClientAuthentication, { method: 'signed_secret' }>,
  clientId: string,
  now: () => number,
): Promise<string> {
  const { SignJWT } = await import('../packages/jose.ts');
  const issuedAt = Math.floor(now() / 1000);
  return new SignJWT()
    .setProtectedHeader({ alg: 'ES256', kid: keyId })
    .setIssuer(teamId)
    .setSubject(clientId)
    .setAudience(SIGNED_SECRET_AUDIENCE)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + SIGNED_SECRET_S)
    .sign(key);
}
