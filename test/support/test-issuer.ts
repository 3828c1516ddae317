import { createHash } from 'node:crypto';
import { SignJWT } from 'jose';

/** An issuer whose tokens a test signs itself, the clients that know it, and the settings that make functions do so. */
export const ISSUER = 'https://auth.example';
const AUDIENCE = 'https://api.example';
/** What it signs with. */
export const SECRET = 'obviously-fake-secret-of-an-issuer';

/** The claims of an access token of `user-1` at the client `skill`, issued ten seconds ago, valid for an hour. */
export const CLAIMS = () => {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: 'user-1',
    client_id: 'skill',
    iat: now - 10,
    exp: now + 3600,
    jti: `${now}-${Math.random()}`,
  };
};

/** An access token of the test's issuer. */
export function issueToken(claims: object = {}, header: object = {}): Promise<string> {
  return new SignJWT({ ...CLAIMS(), ...claims })
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', ...header })
    .sign(Buffer.from(SECRET));
}

/** An entry of `CLIENTS`. */
export const client = (id: string, secret: string) => ({
  id,
  secret_sha256: createHash('sha256').update(secret).digest('hex'),
});

/** `Authorization: Basic` as it stands, not form-encoded. */
export const basic = (id: string, secret: string) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;

/** Settings of functions that know the test's issuer. */
export const ISSUER_SETTINGS = {
  UNVERIFIED_TOKENS: null,
  ISSUERS: JSON.stringify([{ issuer: ISSUER, audience: AUDIENCE, secret: SECRET }]),
  GRANT_CLAIM: 'grant_id',
  CLIENTS: JSON.stringify([client('skill', 'skill-secret'), client('other', 'p+1%20:x')]),
};
