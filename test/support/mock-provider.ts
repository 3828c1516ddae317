import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { SignJWT } from 'jose';
import { startHttpServer } from './http-server.ts';

/** An OpenID provider of which a test says who signs in: it has no pages, the test is the browser. */
export interface MockProvider {
  /** Its issuer. */
  readonly url: string;
  /**
   * What the browser would bring back from `authorizationUrl`, once this person has signed in there. The code is good
   * once, and only with the verifier of the request's challenge.
   */
  answer(authorizationUrl: string, person: Person): URLSearchParams;
  /** An access token for our API of this user. */
  accessToken(claims: object): Promise<string>;
  /** The bodies of the calls of its token endpoint. */
  readonly exchanges: URLSearchParams[];
  /** What the token endpoint answers in place of tokens, while it is set. */
  trouble: { status: number; body: string; type?: string } | undefined;
}

/** Who signs in. */
export interface Person {
  readonly sub: string;
  readonly name?: string;
  readonly email?: string;
  readonly email_verified?: boolean;
}

/** The audience of its access tokens. */
export const MOCK_AUDIENCE = 'https://api.example';

/** The credentials of every client. */
export const MOCK_CLIENT = { client_id: 'our-client', client_secret: 'our-secret' };

/** Starts it for one test. */
export async function startMockProvider(): Promise<MockProvider> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = { ...publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'k' };
  const codes = new Map<string, { person: Person; request: URLSearchParams }>();
  const exchanges: URLSearchParams[] = [];
  let trouble: MockProvider['trouble'];

  const sign = (claims: object, header: object) =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k', ...header })
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(privateKey);

  async function exchange(form: URLSearchParams): Promise<{ status: number; body: object }> {
    exchanges.push(form);
    const code = codes.get(form.get('code') ?? '');
    codes.delete(form.get('code') ?? '');
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url');
    if (
      code === undefined ||
      code.request.get('code_challenge') !== challenge ||
      code.request.get('redirect_uri') !== form.get('redirect_uri')
    ) {
      return { status: 400, body: { error: 'invalid_grant' } };
    }
    const { sub } = code.person;
    const nonce = code.request.get('nonce') ?? undefined;
    const claims = { iss: url, aud: MOCK_CLIENT.client_id, ...code.person, nonce };
    const id_token = await sign(claims, { typ: 'JWT' });
    const tokens = { access_token: `access-${randomBytes(9).toString('hex')}`, token_type: 'Bearer' };
    return { status: 200, body: { ...tokens, refresh_token: `refresh-${sub}`, expires_in: 300, id_token } };
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (status: number, body: object) =>
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    if (request.url === '/.well-known/openid-configuration') {
      send(200, {
        issuer: url,
        authorization_endpoint: `${url}/authorize`,
        token_endpoint: `${url}/token`,
        jwks_uri: `${url}/jwks`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['ES256'],
        code_challenge_methods_supported: ['S256'],
        authorization_response_iss_parameter_supported: true,
      });
    } else if (request.url === '/jwks') {
      send(200, { keys: [jwk] });
    } else if (request.url === '/token') {
      let body = '';
      for await (const chunk of request) body += chunk;
      if (trouble !== undefined) {
        response.writeHead(trouble.status, { 'Content-Type': trouble.type ?? 'application/json' }).end(trouble.body);
        return;
      }
      const answer = await exchange(new URLSearchParams(body));
      send(answer.status, answer.body);
    } else {
      send(404, {});
    }
  }

  const url = await startHttpServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  return {
    url,
    exchanges,
    get trouble() {
      return trouble;
    },
    set trouble(value) {
      trouble = value;
    },
    answer(authorizationUrl, person) {
      const request = new URL(authorizationUrl).searchParams;
      const code = randomBytes(16).toString('hex');
      codes.set(code, { person, request });
      return new URLSearchParams({ code, state: request.get('state') ?? '', iss: url });
    },
    accessToken: (claims) => sign({ iss: url, aud: MOCK_AUDIENCE, ...claims }, { typ: 'at+jwt' }),
  };
}
