/**
 * How the API of each known authorization server ends the grant of one user at one client: data, with the few functions
 * that data cannot be. The sources, and what is not certain, are in docs/authorization-server.md. None of it has been tried
 * against the server itself.
 */
import { isJsonObject, type JsonObject } from '../json.ts';
import { jsonOf } from '../outgoing/json.ts';
import type { ApiCredential } from './api-credentials.ts';
import type { EndingCall, EndingList, GrantApi, ListedGrant } from './grant-api.ts';
import type { ClientAuthMethod } from './token-request.ts';

/** What is known of the credentials of an API: what a row need not say. */
export interface KnownCredentials {
  /** Which it takes; none, a header or a token of our client if not given. */
  readonly kinds?: readonly ApiCredential['kind'][];
  /** Where our client gets a token, how it authenticates there, and what it sends beside. */
  readonly token?: {
    readonly endpoint: string;
    readonly authMethod: ClientAuthMethod;
    readonly fields?: Readonly<Record<string, string>>;
  };
  /** What requests are signed for. */
  readonly signed?: { readonly service: string; readonly region: string };
}

/** A known authorization server. */
export interface GrantPreset {
  /** The base of its API, where that follows from the issuer. */
  readonly baseOf?: (issuer: string) => string | undefined;
  readonly apiOf: (issuer: string) => GrantApi;
  readonly credentialOf: (issuer: string, base: string) => KnownCredentials;
  /** The claim of the id that its API knows the user by; the subject if not given. */
  readonly userClaim?: string;
  /**
   * What it ends: the grant at the client, the grants of the user at all clients, or the grant where that suffices, and what
   * all clients have where the row allows it.
   */
  readonly reaches: 'grant' | 'all_clients' | 'grant_or_all_clients';
}

const HYDRA_CONSENTS = '/admin/oauth2/auth/sessions/consent';

/** The names that `preset` takes. */
export const GRANT_PRESET_NAMES = [
  ...(['keycloak', 'auth0', 'okta', 'hydra', 'fusionauth', 'authentik', 'logto', 'cognito', 'entra'] as const),
];

/** The known servers. */
export const GRANT_PRESETS: Readonly<Record<(typeof GRANT_PRESET_NAMES)[number], GrantPreset>> = {
  keycloak: {
    // https://kc.example/realms/home, or with a path before `realms`.
    baseOf: (issuer) => replaced(issuer, /\/realms\/([^/]+)$/, '/admin/realms/$1'),
    credentialOf: (issuer) => ({
      kinds: ['client'],
      token: { endpoint: `${issuer}/protocol/openid-connect/token`, authMethod: 'client_secret_basic' },
    }),
    reaches: 'grant_or_all_clients',
    apiOf: () => ({
      right: 'the role manage-users of the client realm-management',
      errorOf: (body) => sentenceAsWord(textAt(body, 'error')),
      steps: [
        {
          method: 'DELETE',
          path: '/users/{subject}/consents/{client}',
          // Without a consent and without an offline token there is nothing of it; an online session may be left.
          reading: nothingAt('consent_nor_offline_token_not_found', 'user_not_found'),
        },
        {
          list: '/users/{subject}/sessions',
          isOfUser: true,
          absent: ['user_not_found'],
          itemsOf: (body) =>
            listOf(body, ({ id, clients, start }) => ({
              id,
              clients: isJsonObject(clients) ? Object.values(clients).map(String) : [],
              madeAt: numberOf(start),
            })),
          end: {
            method: 'DELETE',
            path: '/sessions/{id}',
            reading: nothingAt('sesssion_not_found', 'session_not_found'),
          },
          isShared: true,
        },
      ],
    }),
  },
  auth0: {
    baseOf: (issuer) => `${issuer.replace(/\/$/, '')}/api/v2`,
    credentialOf: (issuer, base) => ({
      kinds: ['client'],
      token: {
        endpoint: `${issuer.replace(/\/$/, '')}/oauth/token`,
        authMethod: 'client_secret_post',
        fields: { audience: `${base}/` },
      },
    }),
    reaches: 'grant',
    apiOf: () => ({
      right: 'the permissions read:grants and delete:grants',
      errorOf: (body) => textAt(body, 'errorCode')?.replace(/[^a-z_]/g, '_'),
      steps: [
        {
          list: '/grants?user_id={subject}&client_id={client}&per_page=100',
          itemsOf: (body) => listOf(body, ({ id }) => ({ id })),
          end: { method: 'DELETE', path: '/grants/{id}' },
        },
      ],
    }),
  },
  okta: {
    // https://org.okta.example/oauth2/default, or without a path: the server of the organization itself.
    baseOf: (issuer) => `${issuer.replace(/\/oauth2\/[^/]+$/, '')}/api/v1`,
    credentialOf: () => ({ kinds: ['header'] }),
    userClaim: 'uid',
    reaches: 'grant',
    apiOf: (issuer) => ({
      right: 'the right to read and revoke the tokens of users (okta.users.manage)',
      namesGrant: true,
      showsAge: true,
      errorOf: (body) => textAt(body, 'errorCode')?.match(/^E\d{7}$/)?.[0],
      steps: [
        {
          list: '/users/{subject}/clients/{client}/tokens?limit=200',
          absent: ['E0000007'],
          itemsOf: (body) =>
            // Of the same authorization server: another of the organization may have the same client.
            listOf(body, ({ id, created, issuer: of, status }) =>
              status === 'REVOKED' || (typeof of === 'string' && pathOf(of) !== pathOf(issuer))
                ? undefined
                : { id, madeAt: dateOf(created) },
            ),
          nextOf: linkOf('after'),
          end: {
            method: 'DELETE',
            path: '/users/{subject}/clients/{client}/tokens/{id}',
            reading: nothingAt('E0000007'),
          },
        },
      ],
    }),
  },
  hydra: {
    // Its API has a port of its own, which nothing but the operator knows.
    credentialOf: () => ({}),
    reaches: 'grant',
    apiOf: () => ({
      right: 'the right to pass to the admin API',
      // The claim of the grant must be the id of the consent request.
      namesGrant: true,
      steps: [
        { method: 'DELETE', path: `${HYDRA_CONSENTS}?consent_request_id={grant}`, only: 'with_grant' },
        {
          list: `${HYDRA_CONSENTS}?subject={subject}&page_size=500`,
          only: 'without_grant',
          isOfUser: true,
          itemsOf: (body) =>
            listOf(body, ({ consent_request_id: id, consent_request: asked, handled_at }) => ({
              id,
              clients: [textAt(isJsonObject(asked) ? asked.client : undefined, 'client_id') ?? ''],
              madeAt: dateOf(handled_at),
            })),
          nextOf: linkOf('page_token'),
          end: { method: 'DELETE', path: `${HYDRA_CONSENTS}?consent_request_id={id}` },
          // It does not list what a remembered consent has granted without asking again.
          rest: { method: 'DELETE', path: `${HYDRA_CONSENTS}?subject={subject}&client={client}` },
        },
      ],
    }),
  },
  fusionauth: {
    // The issuer is a text of the tenant's; it is the server's address only if somebody has made it so.
    credentialOf: () => ({ kinds: ['header'] }),
    reaches: 'grant',
    apiOf: () => ({
      right: 'an API key with GET and DELETE of /api/jwt/refresh',
      namesGrant: true,
      showsAge: true,
      steps: [
        {
          list: '/api/jwt/refresh?userId={subject}',
          isOfUser: true,
          absent: ['status 404'],
          itemsOf: (body) =>
            listOf(
              isJsonObject(body) ? (isEmpty(body) ? [] : body.refreshTokens) : undefined,
              ({ id, applicationId, insertInstant, startInstant }) => ({
                id,
                clients: [String(applicationId)],
                // The latter moves with each use where the tokens' life is a sliding window.
                madeAt: numberOf(insertInstant) ?? numberOf(startInstant),
              }),
            ),
          end: {
            method: 'DELETE',
            path: '/api/jwt/refresh/{id}',
            reading: { ...nothingAt('status 404'), successStatuses: [200] },
          },
        },
      ],
    }),
  },
  authentik: {
    // https://authentik.example/application/o/home/
    baseOf: (issuer) => replaced(issuer, /\/application\/o\/[^/]+\/?$/, '/api/v3'),
    credentialOf: () => ({ kinds: ['header'] }),
    reaches: 'grant',
    apiOf: () => ({
      right: 'the permissions to view and delete refresh tokens and access tokens',
      steps: [authentikTokens('refresh_tokens'), authentikTokens('access_tokens')],
    }),
  },
  logto: {
    // https://tenant.logto.app/oidc
    baseOf: (issuer) => replaced(issuer, /\/oidc$/, '/api'),
    credentialOf: (issuer, base) => ({
      kinds: ['client'],
      token: {
        endpoint: `${issuer}/token`,
        authMethod: 'client_secret_basic',
        // Of Logto Cloud; one that runs elsewhere has another.
        fields: { resource: base, scope: 'all' },
      },
    }),
    reaches: 'grant',
    apiOf: () => ({
      right: 'access to the Management API (the permission all)',
      // A grant is used again by the next link in the same session: that it is old does not mean that the link is.
      errorOf: (body) => textAt(body, 'code'),
      steps: [
        {
          list: '/users/{subject}/grants',
          isOfUser: true,
          itemsOf: (body) =>
            listOf(isJsonObject(body) ? body.grants : undefined, ({ id, payload }) => ({
              id,
              clients: [textAt(payload, 'clientId') ?? ''],
              madeAt: isJsonObject(payload) ? secondsOf(payload.iat) : undefined,
            })),
          end: { method: 'DELETE', path: '/users/{subject}/grants/{id}' },
        },
      ],
    }),
  },
  cognito: {
    // https://cognito-idp.eu-north-1.amazonaws.com/eu-north-1_pool
    baseOf: (issuer) => issuer.replace(/\/[^/]+$/, ''),
    credentialOf: (issuer) => ({
      kinds: ['sigv4'],
      signed: { service: 'cognito-idp', region: poolOf(issuer).region },
    }),
    userClaim: 'username',
    reaches: 'all_clients',
    apiOf: (issuer) => ({
      right: 'the action cognito-idp:AdminUserGlobalSignOut on the user pool',
      errorOf: (body) => textAt(body, '__type')?.match(/([A-Za-z]{1,64})(?::.*)?$/)?.[1],
      steps: [
        {
          method: 'POST',
          path: '/',
          headers: {
            'Content-Type': 'application/x-amz-json-1.1',
            'X-Amz-Target': 'AWSCognitoIdentityProviderService.AdminUserGlobalSignOut',
          },
          body: { UserPoolId: poolOf(issuer).id, Username: '{subject}' },
          reading: {
            successStatuses: [200],
            successOf: (body) => (body === undefined || (isJsonObject(body) && isEmpty(body)) ? 'revoked' : undefined),
            verdicts: {
              already_revoked: ['UserNotFoundException'],
              our_fault: [
                ...['AccessDeniedException', 'NotAuthorizedException', 'UnrecognizedClientException'],
                ...['InvalidSignatureException', 'IncompleteSignatureException', 'MissingAuthenticationTokenException'],
                ...['ExpiredTokenException', 'ResourceNotFoundException', 'OperationNotEnabledException'],
              ],
              retry: ['TooManyRequestsException', 'ThrottlingException', 'InternalErrorException'],
            },
          },
        },
      ],
    }),
  },
  entra: {
    baseOf: () => 'https://graph.microsoft.com/v1.0',
    credentialOf: (issuer) => ({
      kinds: ['client'],
      token: {
        // Of version 1 the issuer is https://sts.windows.net/{tenant}/.
        endpoint: `https://login.microsoftonline.com/${pathOf(issuer).split('/')[1]}/oauth2/v2.0/token`,
        authMethod: 'client_secret_post',
        fields: { scope: 'https://graph.microsoft.com/.default' },
      },
    }),
    userClaim: 'oid',
    reaches: 'all_clients',
    apiOf: () => ({
      right: 'the application permission User.RevokeSessions.All',
      errorOf: (body) => textAt(isJsonObject(body) ? body.error : undefined, 'code')?.match(/^[A-Za-z_]{1,64}$/)?.[0],
      steps: [
        {
          method: 'POST',
          path: '/users/{subject}/revokeSignInSessions',
          // Without a body it has been refused.
          body: {},
          reading: {
            successStatuses: [200, 204],
            // It has answered 204 without a body, too.
            successOf: (body) =>
              body === undefined || (isJsonObject(body) && body.value === true) ? 'revoked' : undefined,
            verdicts: { already_revoked: ['Request_ResourceNotFound'] },
          },
        },
      ],
    }),
  },
};

function authentikTokens(kind: 'refresh_tokens' | 'access_tokens'): EndingList {
  return {
    list: `/oauth2/${kind}/?user={subject}&page_size=100`,
    isOfUser: true,
    itemsOf: (body) =>
      listOf(isJsonObject(body) ? body.results : undefined, ({ pk, provider, id_token, revoked }) => {
        if (revoked === true) return undefined;
        const clients = authentikClients(provider, id_token);
        // Without a client it would be nobody's, and taken for nothing to end.
        return { id: clients.length === 0 ? undefined : pk, clients };
      }),
    nextOf: (answer, path) => {
      const body = jsonOf(answer);
      const next = isJsonObject(body) && isJsonObject(body.pagination) ? body.pagination.next : undefined;
      // 0: there is none.
      return Number.isSafeInteger(next) && next !== 0 ? `${path}&page=${next}` : undefined;
    },
    end: { method: 'DELETE', path: `/oauth2/${kind}/{id}/`, reading: nothingAt('status 404') },
  };
}

/** The client of a token: by its provider in some versions, in others by the audience of its ID token, which is JSON. */
function authentikClients(provider: unknown, idToken: unknown): readonly string[] {
  const named = textAt(provider, 'client_id');
  if (named !== undefined) return [named];
  try {
    const claims: unknown = typeof idToken === 'string' ? JSON.parse(idToken) : undefined;
    return isJsonObject(claims) ? [claims.aud].flat().filter((one) => typeof one === 'string') : [];
  } catch {
    return [];
  }
}

/** How an answer is read of a call whose API documents how it says that there is nothing to end. */
function nothingAt(...words: readonly string[]): EndingCall['reading'] {
  return { verdicts: { already_revoked: words } };
}

/** What a list names; undefined: the value is no list of objects with ids. @param read undefined: one that has ended. */
function listOf(
  list: unknown,
  read: (item: JsonObject) => (Omit<ListedGrant, 'id'> & { readonly id: unknown }) | undefined,
): ListedGrant[] | undefined {
  if (!Array.isArray(list) || !list.every(isJsonObject)) return undefined;
  const items = list
    .flatMap((each) => read(each) ?? [])
    // A larger number has lost its last digits: it may be another's by now.
    .map((item) => ({ ...item, id: Number.isSafeInteger(item.id) ? `${item.id}` : item.id }));
  return items.every((item): item is ListedGrant => typeof item.id === 'string' && item.id !== '') ? items : undefined;
}

/** Where a `Link` header (RFC 8288) says that the next page is: the list with its parameter of that name. */
function linkOf(parameter: string): EndingList['nextOf'] {
  const next = new RegExp(`[?&]${parameter}=([^&>]+)[^>]*>;\\s*rel="?next`);
  return ({ headers: { link = [] } }, path) => {
    const [, value] = [link].flat().join().match(next) ?? [];
    // The path is a template.
    return value === undefined ? undefined : `${path}&${parameter}=${value.replace(/[{}]/g, encodeURIComponent)}`;
  };
}

/** The user pool that an issuer ends with. */
function poolOf(issuer: string): { readonly id: string; readonly region: string } {
  const id = pathOf(issuer).split('/').at(-1) ?? '';
  return { id, region: id.split('_')[0] ?? '' };
}

function pathOf(url: string): string {
  return URL.parse(url)?.pathname ?? '';
}

function replaced(text: string, pattern: RegExp, by: string): string | undefined {
  return pattern.test(text) ? text.replace(pattern, by) : undefined;
}

function textAt(value: unknown, name: string): string | undefined {
  const text = isJsonObject(value) ? value[name] : undefined;
  return typeof text === 'string' ? text : undefined;
}

/** `User not found` as a word: it is said of no secret. */
function sentenceAsWord(text: string | undefined): string | undefined {
  const word = text?.toLowerCase().replaceAll(' ', '_').replace(/\.$/, '');
  return word !== undefined && /^[a-z_]{1,64}$/.test(word) ? word : undefined;
}

function isEmpty(value: JsonObject): boolean {
  return Object.keys(value).length === 0;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function secondsOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value * 1000 : undefined;
}

function dateOf(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
