/** The events of the product's functions, which the smallest handlers take too. */
import { generateKeyPairSync } from 'node:crypto';
import { exportJWK, type JWK, SignJWT } from 'jose';
import { KNOWN_TOKENS, SUBJECTS } from './side.ts';

/** The issuer of all tokens. */
export const ISSUER = 'https://auth.example';
/** The audience of all tokens. */
export const AUDIENCE = 'https://api.example.test';

/** The subject of a call. */
export function subjectOf(index: number): string {
  return `subject-${Math.abs(index) % SUBJECTS}`;
}

/** The opaque access token of a subject. */
export function accessTokenOf(subject: string): string {
  return `opaque-access-token-of-${subject}`;
}

/** What introspection says of a subject's opaque token (RFC 7662). */
export function introspectionOf(token: string): object {
  const sub = /^opaque-access-token-of-(.+)$/.exec(token)?.[1];
  if (sub === undefined) return { active: false };
  const scope = 'blitz_api_ufa blitz_api_ufa_chg';
  return { active: true, iss: ISSUER, aud: AUDIENCE, sub, client_id: 'page', scope, token_type: 'Bearer' };
}

/** The external account of a call. */
export function accountOf(index: number): { fpType: string; fpName: string; sid: string } {
  return { fpType: 'vk', fpName: 'vk_1', sid: `sid-${index}` };
}

function raw(request_type: string, token: string, payload?: object): object {
  return {
    headers: { request_id: '1111-aaaa-2222-bbbb', authorization: `Bearer ${token}` },
    request_type,
    api_version: 1,
    ...(payload !== undefined && { payload }),
  };
}

/** What API Gateway asks its authorizer about a token. */
export function authorizerEvent(token: string): object {
  return { headers: { Authorization: `Bearer ${token}` }, requestContext: {} };
}

/** The operations whose tokens are opaque. */
export type OpaqueOperation = 'revoke' | 'revoke-again' | 'check' | 'list' | 'link' | 'delete';

/** The event of a call. */
export function eventOf(operation: OpaqueOperation, index: number, subject = subjectOf(index)): object {
  switch (operation) {
    case 'revoke':
      return raw('unlink', `opaque-token-that-is-new-${index}`);
    case 'revoke-again':
      return raw('unlink', `opaque-token-that-was-revoked-${Math.abs(index) % SUBJECTS}`);
    case 'check':
      return authorizerEvent(`opaque-token-that-is-good-${Math.abs(index) % KNOWN_TOKENS}`);
    case 'list':
      return raw('external-provider.list', accessTokenOf(subject), { subjectId: subject });
    case 'link':
    case 'delete':
      return raw(`external-provider.${operation}`, accessTokenOf(subject), {
        subjectId: subject,
        ...accountOf(index),
      });
  }
}

/** Access tokens in the form of JWTs, and the keys that verify them. */
export async function issueJwts(): Promise<{ tokens: string[]; jwks: { keys: [JWK] } }> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const tokens = Array.from({ length: SUBJECTS }, (_, index) =>
    new SignJWT({ iss: ISSUER, aud: AUDIENCE, sub: subjectOf(index), client_id: 'page', jti: `jti-${index}` })
      .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid: 'bench' })
      .setIssuedAt()
      .setExpirationTime('24h')
      .sign(privateKey),
  );
  const jwk = { ...(await exportJWK(publicKey)), kid: 'bench', alg: 'RS256', use: 'sig' };
  return { tokens: await Promise.all(tokens), jwks: { keys: [jwk] } };
}
