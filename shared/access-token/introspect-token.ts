import type { JsonObject } from '../json.ts';
import { type AuthorizePorts, type AuthorizeRequest, verifyUnrevoked } from './authorize.ts';
import { authenticateClient, type Client } from './clients.ts';
import { tokenField } from './revoke-token.ts';
import type { VerifiedToken } from './verify.ts';

/** With this scope in `CLIENTS` a client is a resource server, and may ask about the tokens of others. */
const INTROSPECT_SCOPE = 'introspect';

/** What telling a client about a token needs. */
export interface IntrospectTokenPorts extends AuthorizePorts {
  readonly clients: readonly Client[];
}

/** An introspection request with the fields `token`, and `token_type_hint`, which is ignored. */
export interface IntrospectTokenRequest extends AuthorizeRequest {
  readonly fields: JsonObject;
}

/**
 * What is known of a token (RFC 7662): its claims, or its issuer's own introspection of it – or `active: false` and
 * nothing else for one that does not verify, has expired, or is revoked here.
 *
 * @throws {CallerError} `invalid_client`, `invalid_request`
 * @throws {Failure} Never "not active" when the issuer or the store cannot say.
 */
export async function introspectToken(
  request: IntrospectTokenRequest,
  ports: IntrospectTokenPorts,
): Promise<JsonObject & { active: boolean }> {
  const client = authenticateClient(request.authorization, request.fields, ports.clients);
  request.note({ client_id: client.id });
  const token = tokenField(request.fields);
  if (token === undefined) {
    request.note({ reason: 'malformed' });
    return { active: false };
  }
  const verification = await verifyUnrevoked(token, request, ports);
  if (verification?.status !== 'verified') return { active: false };
  const { client: tokenClient } = verification.token;
  // RFC 7662, section 4: a client that is no resource server learns of its own tokens alone.
  if (tokenClient !== client.id && !client.scopes.includes(INTROSPECT_SCOPE)) return { active: false };
  return describe(verification.token);
}

/** What is told of a token: its own members, those that RFC 7662, section 2.2, defines in the form that it defines. */
function describe(token: VerifiedToken): JsonObject & { active: true } {
  const { issuer, subject, client, scopes, issuedAt, expiresAt, claims } = token;
  // Not told by the token's own members: what one names that is no client, and no user's subject.
  const { sub: _sub, client_id: _clientId, scope: _scope, ...others } = claims;
  const words = scopes.filter((scope) => scope !== '');
  return {
    ...others,
    active: true,
    token_type: 'Bearer',
    iss: issuer,
    ...(subject !== undefined && { sub: subject }),
    ...(client !== undefined && { client_id: client }),
    ...(words.length > 0 && { scope: words.join(' ') }),
    ...(issuedAt !== undefined && { iat: issuedAt }),
    ...(expiresAt !== undefined && { exp: expiresAt }),
  };
}
