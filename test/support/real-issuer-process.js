/**
 * An authorization server of npm in a process of its own, in which `Date.now` is the test's to move: which one is the
 * first argument. It is set up as its documentation does it, on a store in memory. In JavaScript: the declarations of both
 * packages do not compile under this project's compiler options.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { oauthProvider } from '@better-auth/oauth-provider';
import { AuthorizationServer, DateInterval, JwtService, OAuthRequest } from '@jmondi/oauth2-server';
import { handleVanillaError, responseToVanilla } from '@jmondi/oauth2-server/vanilla';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';
import { listenOnLoopback } from '#scripts/authorization-server/listen.ts';
import { ISSUER_API, ISSUER_REDIRECT_URI, ISSUER_SCOPES } from './real-issuers.ts';

let aheadS = 0;
const now = Date.now;
Date.now = () => now() + aheadS * 1000;
// What `new Date()` is, which both take the time from.
globalThis.Date = new Proxy(Date, {
  construct: (date, values) => (values.length === 0 ? new date(date.now()) : Reflect.construct(date, values)),
});

const CLIENT_SECRET = 'obviously-fake-secret-of-a-client';

/** With its own OAuth 2.1 provider: opaque access tokens, and JWTs for a resource. */
async function startBetterAuth(http, url) {
  const models = ['user', 'session', 'account', 'verification', 'jwks', 'oauthClient', 'oauthConsent'];
  const ofTokens = ['oauthAccessToken', 'oauthRefreshToken', 'oauthResource', 'oauthClientResource'];
  const auth = betterAuth({
    baseURL: url,
    secret: 'obviously-fake-secret-of-a-server',
    database: memoryAdapter(Object.fromEntries([...models, ...ofTokens].map((name) => [name, []]))),
    logger: { disabled: true },
    telemetry: { enabled: false },
    rateLimit: { enabled: false },
    emailAndPassword: { enabled: true },
    plugins: [
      jwt(),
      oauthProvider({
        loginPage: '/login',
        consentPage: '/consent',
        scopes: ISSUER_SCOPES,
        resources: [ISSUER_API],
        enforcePerClientResources: false,
        silenceWarnings: { oauthAuthServerConfig: true, openidConfig: true },
      }),
    ],
  });
  const { adapter } = await auth.$context;
  const serve = toNodeHandler(auth);
  http.on('request', (request, response) => {
    const [, userId, clientId] = /^\/own\/users\/([^/]+)\/clients\/([^/]+)\/grants$/.exec(request.url ?? '') ?? [];
    if (userId === undefined) void serve(request, response);
    else void endGrants({ adapter, userId, clientId }, request, response);
  });
  const { headers } = await auth.api.signUpEmail({
    body: { email: 'ann@example.test', password: 'obviously-fake', name: 'Ann' },
    returnHeaders: true,
  });
  const cookie = headers.getSetCookie().map((one) => one.split(';')[0]);
  const { adminCreateOAuthClient } = auth.api;
  const client = await adminCreateOAuthClient({
    headers: new Headers({ cookie: cookie.join('; ') }),
    body: {
      redirect_uris: [ISSUER_REDIRECT_URI],
      scope: ISSUER_SCOPES.join(' '),
      grant_types: ['authorization_code', 'refresh_token'],
      token_endpoint_auth_method: 'client_secret_basic',
      skip_consent: true,
    },
  });
  const endpoint = (path) => `${url}/api/auth${path}`;
  return {
    issuer: endpoint(''),
    jwksUri: endpoint('/jwks'),
    authorizationEndpoint: endpoint('/oauth2/authorize'),
    tokenEndpoint: endpoint('/oauth2/token'),
    introspectionEndpoint: endpoint('/oauth2/introspect'),
    revocationEndpoint: endpoint('/oauth2/revoke'),
    ownApi: { url: `${url}/own/users/{subject}/clients/{client}/grants`, authorization: `Bearer ${CLIENT_SECRET}` },
    clientId: client.client_id,
    clientSecret: client.client_secret ?? '',
    cookie: cookie.join('; '),
  };
}

/** A route of the application's own, as docs/authorization-server.md tells one to have. */
async function endGrants({ adapter, userId, clientId }, { method, headers }, response) {
  if (headers.authorization !== `Bearer ${CLIENT_SECRET}` || method !== 'DELETE') return response.writeHead(401).end();
  const where = [
    { field: 'userId', value: userId },
    { field: 'clientId', value: clientId },
  ];
  const deleted = await adapter.deleteMany({ model: 'oauthRefreshToken', where });
  await adapter.deleteMany({ model: 'oauthAccessToken', where });
  return response.writeHead(deleted === 0 ? 404 : 204).end();
}

/** Its tokens are JWTs, signed by HMAC; they and the codes are rows of a `Map`. */
async function startJmondi(http, url) {
  const signingSecret = 'obviously-fake-secret-of-a-server';
  const client = {
    id: 'smart-home',
    name: 'smart-home',
    secret: CLIENT_SECRET,
    redirectUris: [ISSUER_REDIRECT_URI],
    allowedGrants: ['authorization_code', 'refresh_token', 'client_credentials'],
    scopes: [],
  };
  const tokens = new Map();
  const codes = new Map();
  const inAnHour = () => new Date(Date.now() + 3_600_000);
  const found = (row) => {
    if (row === undefined) throw new Error('there is no such row');
    return row;
  };
  class NamingTheGrant extends JwtService {
    /** Of the code that began the authorization: its refreshes keep it, the next authorization has another. */
    extraTokenFields({ originatingAuthCodeId }) {
      return originatingAuthCodeId === undefined ? {} : { grant_id: originatingAuthCodeId };
    }
  }
  const server = new AuthorizationServer(
    {
      getByIdentifier: async () => client,
      isClientValid: async (_grant, { secret }, presented) => secret === presented,
    },
    {
      issueToken: async (of, scopes, user) => ({
        accessToken: randomUUID(),
        accessTokenExpiresAt: inAnHour(),
        client: of,
        scopes,
        ...(user && { user }),
      }),
      async issueRefreshToken(token) {
        Object.assign(token, { refreshToken: randomUUID(), refreshTokenExpiresAt: inAnHour() });
        return token;
      },
      async persist(token) {
        tokens.set(token.accessToken, token);
      },
      async revoke({ accessToken }) {
        tokens.delete(accessToken);
      },
      isRefreshTokenRevoked: async ({ accessToken }) => !tokens.has(accessToken),
      getByRefreshToken: async (name) => found([...tokens.values()].find(({ refreshToken }) => refreshToken === name)),
      getByAccessToken: async (name) => found(tokens.get(name)),
    },
    { getAllByIdentifiers: async (names) => names.map((name) => ({ name })), finalize: async (scopes) => scopes },
    new NamingTheGrant(signingSecret),
    { issuer: url },
  );
  server.enableGrantTypes(['refresh_token', new DateInterval('1h')], {
    grant: 'authorization_code',
    userRepository: { getUserByCredentials: async (id) => ({ id }) },
    authCodeRepository: {
      getByIdentifier: async (code) => found(codes.get(code)),
      issueAuthCode: (of, user, scopes) => ({
        code: randomUUID(),
        expiresAt: inAnHour(),
        client: of,
        scopes,
        ...(user && { user }),
      }),
      async persist(code) {
        codes.set(code.code, code);
      },
      isRevoked: async (code) => !codes.has(code),
      async revoke(code) {
        codes.delete(code);
      },
    },
  });
  const answer = async (request, path) => {
    if (path === '/token') return await server.respondToAccessTokenRequest(request);
    if (path === '/token/introspect') return await server.introspect(request);
    if (path === '/token/revoke') return await server.revoke(request);
    const authorization = await server.validateAuthorizationRequest(request);
    // As after its login page, which is the user's of the library to make.
    authorization.user = { id: 'ann' };
    authorization.isAuthorizationApproved = true;
    return await server.completeAuthorizationRequest(authorization);
  };
  http.on('request', async (incoming, outgoing) => {
    const { pathname, searchParams } = new URL(incoming.url ?? '/', url);
    const body = Object.fromEntries(new URLSearchParams(await text(incoming)));
    const headers = { authorization: incoming.headers.authorization ?? '' };
    const request = new OAuthRequest({ headers, query: Object.fromEntries(searchParams), body });
    const response = responseToVanilla(await answer(request, pathname).catch(handleVanillaError));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text());
  });
  return {
    issuer: url,
    signingSecret,
    authorizationEndpoint: `${url}/authorize`,
    tokenEndpoint: `${url}/token`,
    introspectionEndpoint: `${url}/token/introspect`,
    revocationEndpoint: `${url}/token/revoke`,
    clientId: client.id,
    clientSecret: CLIENT_SECRET,
    cookie: '',
  };
}

const http = createServer();
const url = `http://127.0.0.1:${await listenOnLoopback(http, 0)}`;
const description = await (process.argv[2] === 'better-auth' ? startBetterAuth : startJmondi)(http, url);
process.on('message', (message) => {
  // Nobody else sends any.
  ({ aheadS } = message);
  process.send?.('done');
});
process.on('disconnect', () => process.exit());
process.send?.(description);
