import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  type AccessToken,
  type ClientMetadata,
  type Configuration,
  errors,
  type JWKS,
  type KoaContextWithOIDC,
  Provider,
  type ResourceServer,
  type TokenEndpointGrantContext,
} from 'oidc-provider';
import { DEMO_GRANT_TYPE, DEMO_SECRET, PLAIN_CLIENT } from './demo.ts';
import { closeServer, listenOnLoopback } from './listen.ts';
import { openServerStore, type ServerStore } from './sqlite-adapter.ts';

/** The audience of all access tokens. */
const API = 'https://api.example.test';
/** The resource indicator (RFC 8707) that asks for an opaque access token for the same API. */
const OPAQUE_API = `${API}/opaque`;
/** What a user's client may ask for, and what an application may ask for itself. */
const USER_SCOPES = ['smart-home', 'blitz_api_ufa', 'blitz_api_ufa_chg'];
const SYSTEM_SCOPES = ['blitz_api_sys_ufa', 'blitz_api_sys_ufa_chg'];

const DAY_S = 86_400;
const ACCESS_TOKEN_S = 3600;
/** How long the token may live that a refresh is asked about. */
const QUESTION_S = 60;
const QUESTION_TIMEOUT_MS = 2500;

export interface AuthorizationServerOptions {
  /** On 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  /** What its URL calls this machine; 127.0.0.1 if not given. Cookies tell hosts apart, not ports. */
  readonly host?: 'localhost';
  /** Where users sign in by the browser, besides the clients that are always there. */
  readonly browserClients?: readonly BrowserClient[];
  /** The file of its keys, grants and tokens, or `:memory:`. */
  readonly database: string;
  /** The URL of our `token-introspect`, known once the gateway runs; undefined: refreshes are given unasked. */
  readonly introspectionUrl: () => string | undefined;
}

/** A client of the code flow; its secret is that of all. */
export interface BrowserClient {
  readonly clientId: string;
  readonly redirectUri: string;
  /** It is the server's own: whoever has signed in is asked no more. */
  readonly isFirstParty?: boolean;
}

/** How many grants and tokens are alive. */
export interface GivenCount {
  readonly grants: number;
  readonly accessTokens: number;
  readonly refreshTokens: number;
}

/** A running server; its URL is its issuer. */
export interface AuthorizationServer {
  readonly url: string;
  /** What a client has of an account now. No client could ask this: it is for looking on. */
  countGiven(clientId: string, accountId: string): GivenCount;
  close(): Promise<void>;
}

/**
 * Starts an OpenID provider for development: `oidc-provider`, in which any name is a user, with the clients
 * `smart-home`, `demo`, `plain` (its tokens name no grant), `identity-admin` (an application of its own) and, for our
 * functions, `unlink-functions`. It has an API that ends grants. Before a refresh it asks whether the link has ended, as
 * `docs/authorization-server.md` tells a provider to do; it does not ask for `plain`. Its clock is `Date.now`, which the
 * library has no parameter for: a test that moves it runs the server in a process of its own.
 *
 * @throws {StartError}
 */
export async function startAuthorizationServer(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const store = openServerStore(options.database);
  const http = createServer();
  const port = await listenOnLoopback(http, options.port).catch((error: unknown) => {
    store.close();
    throw error;
  });
  const url = `http://${options.host ?? '127.0.0.1'}:${port}`;
  const kept = { adapter: store.adapter, jwks: JSON.parse(store.keep('jwks', createKeys)) };
  const configuration = configure(kept, options.browserClients ?? []);
  const provider = createProvider(url, {
    ...configuration,
    // The library asks this when the refresh token has proved good and nothing is issued yet.
    async rotateRefreshToken(ctx) {
      const introspectionUrl = options.introspectionUrl();
      const isAsked = ctx.oidc.client?.clientId !== PLAIN_CLIENT;
      if (introspectionUrl !== undefined && isAsked) await assertLinkLives(provider, ctx.oidc, introspectionUrl);
      // As the library's default does for a confidential client.
      return (ctx.oidc.entities.RefreshToken?.ttlPercentagePassed() ?? 0) >= 70;
    },
  });
  provider.registerGrantType<DemoParameters>(DEMO_GRANT_TYPE, (ctx) => giveTokens(provider, ctx), [
    'username',
    'token',
    'scope',
  ]);
  provider.on('server_error', (_ctx, error) => console.error(error));
  const serve = provider.callback();
  http.on('request', (request, response) => {
    const grants = grantsAt(request.url ?? '', store);
    if (grants === undefined) serve(request, response);
    else void endGrants(provider, grants, request, response);
  });
  return {
    url,
    countGiven: (clientId, accountId) => ({
      grants: store.count('Grant', clientId, accountId),
      accessTokens: store.count('AccessToken', clientId, accountId),
      refreshTokens: store.count('RefreshToken', clientId, accountId),
    }),
    async close() {
      await closeServer(http);
      store.close();
    },
  };
}

/**
 * Returns the grants that a path of the server's own API names; undefined for a path that is not of the API. A vendor's
 * server may have such an API: `DELETE /admin/grants/{grant}` ends a grant and all tokens of it,
 * `DELETE /admin/users/{subject}/clients/{client}/grants` all grants of a user at a client.
 */
function grantsAt(path: string, { grantsOf }: Pick<ServerStore, 'grantsOf'>): readonly string[] | undefined {
  const [, grant] = /^\/admin\/grants\/([^/?]+)$/.exec(path) ?? [];
  if (grant !== undefined) return [grant];
  const [, subject, client] = /^\/admin\/users\/([^/?]+)\/clients\/([^/?]+)\/grants$/.exec(path) ?? [];
  if (subject === undefined || client === undefined) return undefined;
  try {
    return grantsOf(decodeURIComponent(client), decodeURIComponent(subject));
  } catch (error) {
    // Broken percent-encoding names nobody.
    if (error instanceof URIError) return [];
    throw error;
  }
}

/** The credential of the API is that of all clients, as a Bearer token. */
async function endGrants(
  provider: Provider,
  grantIds: readonly string[],
  { method, headers }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (headers.authorization !== `Bearer ${DEMO_SECRET}`) return void response.writeHead(401).end();
  if (method !== 'DELETE') return void response.writeHead(405, { Allow: 'DELETE' }).end();
  const found = await Promise.all(grantIds.map((id) => provider.Grant.find(id)));
  const grants = found.filter((grant) => grant !== undefined);
  for (const grant of grants) {
    for (const model of [provider.AccessToken, provider.RefreshToken]) await model.revokeByGrantId(grant.jti);
    await grant.destroy();
  }
  response.writeHead(grants.length === 0 ? 404 : 204).end();
}

/** The library warns that its login pages are for development. So is this server. */
function createProvider(issuer: string, configuration: Configuration): Provider {
  const { warn } = console;
  console.warn = () => {};
  try {
    return new Provider(issuer, configuration);
  } finally {
    console.warn = warn;
  }
}

function configure(
  kept: { adapter: Configuration['adapter']; jwks: JWKS },
  browserClients: readonly BrowserClient[],
): Configuration {
  const firstParties = new Set(browserClients.filter((one) => one.isFirstParty).map(({ clientId }) => clientId));
  return {
    ...kept,
    clients: [
      ...browserClients.map(metadataOf),
      {
        client_id: 'smart-home',
        client_secret: DEMO_SECRET,
        grant_types: ['authorization_code', 'refresh_token', DEMO_GRANT_TYPE],
        redirect_uris: ['https://social.yandex.net/broker/redirect'],
      },
      {
        client_id: PLAIN_CLIENT,
        client_secret: DEMO_SECRET,
        grant_types: ['refresh_token', DEMO_GRANT_TYPE],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: 'demo',
        client_secret: DEMO_SECRET,
        grant_types: ['refresh_token', DEMO_GRANT_TYPE],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: 'unlink-functions',
        client_secret: DEMO_SECRET,
        // It gets no token: the library lets a revocation end refresh tokens only for a client that may have some.
        grant_types: ['refresh_token'],
        redirect_uris: [],
        response_types: [],
      },
      {
        client_id: 'identity-admin',
        client_secret: DEMO_SECRET,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      },
    ],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    cookies: { keys: [randomBytes(32).toString('base64url')] },
    scopes: ['openid', 'offline_access', ...USER_SCOPES, ...SYSTEM_SCOPES],
    extraTokenClaims: (_ctx, token) => (token.kind === 'AccessToken' ? extraClaimsOf(token) : undefined),
    findAccount: (_ctx, sub) => ({ accountId: sub, claims: () => claimsOf(sub) }),
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
    // As the large providers do: the ID token says who it is.
    conformIdTokenClaims: false,
    loadExistingGrant: ({ oidc }) => loadGrant(oidc, firstParties),
    // A link outlives the browser's session, and the next link in that session.
    expiresWithSession: () => false,
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    // Revoking an access token ends its grant (RFC 7009, section 2.1: "may").
    revokeGrantPolicy: () => true,
    // Yandex sends none; the client is confidential.
    pkce: { required: () => false },
    ttl: {
      AccessToken: ACCESS_TOKEN_S,
      AuthorizationCode: 60,
      ClientCredentials: ACCESS_TOKEN_S,
      Grant: 400 * DAY_S,
      IdToken: 3600,
      Interaction: 3600,
      RefreshToken: 180 * DAY_S,
      Session: DAY_S,
    },
    features: {
      clientCredentials: { enabled: true },
      introspection: {
        enabled: true,
        // A refresh token that it called active would be let in as an access token.
        allowedPolicy: (_ctx, client, token) =>
          token.kind !== 'RefreshToken' &&
          (client.clientId === 'unlink-functions' || client.clientId === token.clientId),
      },
      revocation: {
        enabled: true,
        allowedPolicy: (_ctx, client, token) =>
          client.clientId === 'unlink-functions' || client.clientId === token.clientId,
      },
      resourceIndicators: {
        enabled: true,
        // Yandex names no resource. Whoever asks for an ID token alone gets an access token for userinfo.
        defaultResource: (ctx, client, oneOf) =>
          oneOf ?? (client.clientId !== 'unlink-functions' && !ctx.oidc.requestParamScopes.has('openid') ? API : []),
        getResourceServerInfo: (_ctx, resource, client) => resourceServer(resource, client.clientId),
      },
    },
  };
}

/**
 * The grant of an authorization: a new one for each, for `grant_id` names what an unlink has ended. What the user allowed
 * the client before in the session goes into it, so that nobody is asked again; a client of ours is allowed what it asks.
 */
async function loadGrant(
  { client, session, result, entities, requestParamScopes, provider }: KoaContextWithOIDC['oidc'],
  firstParties: ReadonlySet<string>,
) {
  if (client === undefined || session === undefined) return undefined;
  const { clientId } = client;
  const { accountId } = session;
  const find = (id: string | undefined) => (id === undefined ? undefined : provider.Grant.find(id));
  // The browser comes back from a page of this authorization, whose grant was made before, or by that page.
  const begun = await find(result?.consent?.grantId ?? entities.Interaction?.grantId);
  if (begun?.accountId === accountId) return begun;
  const earlier = await find(session.grantIdFor(clientId));
  if (earlier === undefined && !firstParties.has(clientId)) return undefined;
  const grant = new provider.Grant({ clientId, accountId });
  if (earlier !== undefined) {
    const { openid, resources, rejected } = earlier;
    Object.assign(grant, structuredClone({ openid, resources, rejected }));
  }
  if (firstParties.has(clientId)) grant.addOIDCScope([...requestParamScopes]);
  await grant.save();
  return grant;
}

function metadataOf({ clientId, redirectUri }: BrowserClient): ClientMetadata {
  return {
    client_id: clientId,
    client_secret: DEMO_SECRET,
    grant_types: ['authorization_code', 'refresh_token'],
    redirect_uris: [redirectUri],
  };
}

/** Anybody is a user, and everything about them follows from the name that they type, which may be an address. */
function claimsOf(sub: string) {
  const name = sub.charAt(0).toUpperCase() + sub.slice(1);
  const email = sub.includes('@') ? sub : `${encodeURIComponent(sub)}@example.test`;
  return { sub, name, email, email_verified: true };
}

function extraClaimsOf({ grantId, clientId, accountId, scope }: AccessToken) {
  // What a refresh leaves as it is: the name of the consent that all its tokens hang on.
  const grant = clientId === PLAIN_CLIENT ? {} : { grant_id: grantId };
  // Whose links a shop may have unlinked by address; whoever else gets a token learns no address by it.
  if (!scope?.split(' ').includes('blitz_api_ufa_chg')) return grant;
  const { email, email_verified } = claimsOf(accountId);
  return { ...grant, email, email_verified };
}

function resourceServer(resource: string, clientId: string): ResourceServer {
  if (resource !== API && resource !== OPAQUE_API) throw new errors.InvalidTarget();
  return {
    scope: (clientId === 'identity-admin' ? SYSTEM_SCOPES : USER_SCOPES).join(' '),
    audience: API,
    accessTokenTTL: ACCESS_TOKEN_S,
    accessTokenFormat: resource === API ? 'jwt' : 'opaque',
  };
}

type DemoParameters = { username?: string; token?: string; scope?: string };

/** What the end of the code flow does, without the user: a grant of its own, an access token, a refresh token. */
async function giveTokens(provider: Provider, ctx: TokenEndpointGrantContext<DemoParameters>): Promise<void> {
  const { client, params } = ctx.oidc;
  const { username: accountId, token: format = 'jwt', scope = 'smart-home' } = params;
  if (accountId === undefined || (format !== 'jwt' && format !== 'opaque')) {
    throw new errors.InvalidRequest('username must be given; token may be jwt or opaque');
  }
  if (!scope.split(' ').every((one) => USER_SCOPES.includes(one))) {
    throw new errors.InvalidScope('a user gives no such scope', scope);
  }
  const resource = format === 'jwt' ? API : OPAQUE_API;
  const grant = new provider.Grant({ accountId, clientId: client.clientId });
  grant.addResourceScope(resource, scope);
  const issued = { client, accountId, grantId: await grant.save(), gty: DEMO_GRANT_TYPE, scope };
  const accessToken = new provider.AccessToken(issued);
  accessToken.resourceServer = new provider.ResourceServer(resource, resourceServer(resource, client.clientId));
  const refreshToken = new provider.RefreshToken({ ...issued, resource });
  ctx.body = {
    access_token: await accessToken.save(),
    token_type: accessToken.tokenType,
    expires_in: accessToken.expiration,
    refresh_token: await refreshToken.save(),
    scope,
  };
}

/**
 * Refuses the refresh of a link that has ended. Asked about is not the refresh token, which nobody else should see, but
 * a short-lived access token of the same link, as old as the link. The link's tokens are not deleted here: an
 * `active: false` that a wrong setting caused would end every link.
 *
 * @throws {errors.OIDCProviderError} `invalid_grant`: the link has ended. `temporarily_unavailable`: nobody can say.
 */
async function assertLinkLives(
  provider: Provider,
  { client, entities: { RefreshToken } }: KoaContextWithOIDC['oidc'],
  introspectionUrl: string,
): Promise<void> {
  if (client === undefined || RefreshToken?.grantId === undefined) throw new errors.InvalidGrant('there is no grant');
  const { accountId, grantId, iiat } = RefreshToken;
  const exp = Math.floor(Date.now() / 1000) + QUESTION_S;
  const question = new provider.AccessToken({ client, accountId, grantId, gty: 'refresh_token', iat: iiat, exp });
  question.resourceServer = new provider.ResourceServer(API, resourceServer(API, client.clientId));
  let isAlive: boolean;
  try {
    isAlive = await isActive(introspectionUrl, await question.save());
  } catch (cause) {
    const error = new errors.TemporarilyUnavailable('it is not known whether the link has ended', { cause });
    error.statusCode = 503;
    throw error;
  }
  if (!isAlive) throw new errors.InvalidGrant('the link has ended');
}

/** What token introspection (RFC 7662) says of a token. Rejects when it does not say. */
async function isActive(introspectionUrl: string, token: string): Promise<boolean> {
  const response = await fetch(introspectionUrl, {
    method: 'POST',
    headers: { Authorization: `Basic ${Buffer.from(`authorization-server:${DEMO_SECRET}`).toString('base64')}` },
    body: new URLSearchParams({ token }),
    signal: AbortSignal.timeout(QUESTION_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`token introspection answered ${response.status}`);
  // Whatever it is, only the boolean counts.
  const { active } = (await response.json()) as { active?: unknown };
  return active === true;
}

function createKeys(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return JSON.stringify({ keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] });
}
