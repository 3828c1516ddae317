/**
 * How each provider withdraws a grant, or that it does not: data, with the few functions that data cannot be. The
 * sources, and what is not certain, are in docs/providers.md. None of it has been tried against the provider itself.
 */
import { createHmac } from 'node:crypto';
import { isJsonObject } from '../json.ts';
import { basicAuthorization } from '../outgoing/json.ts';
import { sentenceOf } from './read-answer.ts';
import type { RevocationClient, RevocationProtocol, TokenCall } from './revoke-grant.ts';

/** A provider as `preset` of `revocation` names it; its name is that of the preset of `bind`. */
export interface CatalogueRow {
  /** By whom this is said: the vendor, or the code of public clients and the talk of developers. */
  readonly known: 'documented' | 'best_effort';
  /** The page where a user sees and ends what the account is connected with. */
  readonly manageUrl?: string;
  /** Absent: the provider offers no way. */
  readonly revocation?: CatalogueRevocation;
}

/** What our client at a provider is made of, but for its credentials. */
export interface CatalogueRevocation extends Pick<RevocationClient, 'endpoint' | 'isDiscovered' | 'authMethod'> {
  /** What authenticates our client; `nothing`: a secret may be given, and is used where it helps. */
  readonly needs: 'secret' | 'signing_key' | 'nothing';
  /** What `issuer` is if it is not given: `endpoint` is a path there. */
  readonly issuer?: string;
  /** Which clients have their grants in common: those with the same id if not given. */
  readonly familyOf?: (clientId: string) => string;
  readonly protocol: RevocationProtocol;
}

const VK_APPS = 'https://vk.com/settings?act=apps';

/** The ready providers, by the name that `preset` takes. */
export const CATALOGUE: Readonly<Record<string, CatalogueRow>> = {
  oidc: {
    known: 'documented',
    revocation: {
      needs: 'secret',
      endpoint: '',
      isDiscovered: true,
      authMethod: 'client_secret_basic',
      protocol: { effect: 'token' },
    },
  },
  google: {
    known: 'documented',
    manageUrl: 'https://myaccount.google.com/connections',
    revocation: {
      needs: 'nothing',
      endpoint: 'https://oauth2.googleapis.com/revoke',
      authMethod: 'none',
      // All clients of a Google project lose the grant; the project's number is what their ids begin with.
      familyOf: (clientId) => /^\d+(?=-)/.exec(clientId)?.[0] ?? clientId,
      protocol: {
        effect: 'grant',
        fieldsOf: (token) => ({ token }),
        isAnonymous: true,
        // Said of a token that has expired or was replaced, too.
        verdicts: { dead_token: ['invalid_token', 'invalid_grant'] },
      },
    },
  },
  facebook: {
    known: 'documented',
    manageUrl: 'https://www.facebook.com/settings?tab=applications',
    revocation: {
      needs: 'nothing',
      endpoint: 'https://graph.facebook.com/v23.0',
      authMethod: 'none',
      protocol: {
        effect: 'grant',
        takes: 'access_token',
        // A user's token that is dead for another reason leaves the application installed: the app's own token ends that.
        ownToken: ({ clientId, clientSecret }) => clientSecret && `${clientId}|${clientSecret}`,
        requestOf: facebookRequest,
        successOf: (body) => (body === true || (isJsonObject(body) && body.success === true) ? 'revoked' : undefined),
        errorOf: facebookErrorOf,
        verdicts: {
          // The user has removed the application. Expiry, a new password and a checkpoint have other subcodes.
          already_revoked: ['code_190_458'],
          dead_token: ['code_190'],
          // The application, its signature, its secret.
          our_fault: ['code_101', 'code_102', 'code_104', 'appsecret_proof'],
          // Unknown, unavailable, and the limits of rates.
          retry: ['code_1', 'code_2', 'code_4', 'code_17', 'code_32', 'code_613'],
        },
      },
    },
  },
  apple: {
    known: 'documented',
    manageUrl: 'https://account.apple.com/account/manage',
    revocation: {
      needs: 'signing_key',
      endpoint: 'https://appleid.apple.com/auth/revoke',
      authMethod: 'client_secret_post',
      // 200 is the answer to any token at all.
      protocol: { effect: 'grant', successOf: () => 'accepted_unverified' },
    },
  },
  github: {
    known: 'documented',
    manageUrl: 'https://github.com/settings/applications',
    revocation: {
      needs: 'secret',
      endpoint: 'https://api.github.com/applications',
      authMethod: 'client_secret_basic',
      protocol: {
        effect: 'grant',
        takes: 'live_access_token',
        refresh: { endpoint: 'https://github.com/login/oauth/access_token', authMethod: 'client_secret_post' },
        requestOf: githubRequest,
        // Said of any token that is not known: of one of many, or that was not used for a year.
        verdicts: { dead_token: ['status 404'] },
      },
    },
  },
  gitlab: {
    known: 'documented',
    manageUrl: 'https://gitlab.com/-/user_settings/applications',
    revocation: {
      needs: 'secret',
      issuer: 'https://gitlab.com',
      endpoint: '/oauth/revoke',
      authMethod: 'client_secret_post',
      protocol: { effect: 'token', fieldsOf: (token) => ({ token }) },
    },
  },
  'vk-id': {
    known: 'documented',
    manageUrl: VK_APPS,
    revocation: {
      needs: 'nothing',
      endpoint: 'https://id.vk.com/oauth2/revoke',
      authMethod: 'none',
      protocol: {
        effect: 'grant',
        takes: 'live_access_token',
        refresh: { endpoint: 'https://id.vk.com/oauth2/auth', authMethod: 'none', needsDevice: true },
        fieldsOf: (token) => ({ access_token: token }),
        // An error may come with 200 as well.
        successOf: (body) => (isJsonObject(body) && body.response === 1 ? 'revoked' : undefined),
        verdicts: {
          dead_token: ['invalid_token'],
          retry: ['slow_down', 'server_error', 'temporarily_unavailable'],
        },
      },
    },
  },
  yandex: {
    known: 'documented',
    manageUrl: 'https://id.yandex.ru/personal/data-access',
    revocation: {
      needs: 'secret',
      endpoint: 'https://oauth.yandex.ru/revoke_token',
      authMethod: 'client_secret_basic',
      protocol: {
        effect: 'token',
        // The refresh token goes with the access token, which has to live for that.
        takes: 'live_access_token',
        refresh: { endpoint: 'https://oauth.yandex.ru/token', authMethod: 'client_secret_basic' },
        fieldsOf: (token) => ({ access_token: token }),
        // Said of another application's token: ours is not the client that it was issued to.
        verdicts: { our_fault: ['invalid_grant'] },
      },
    },
  },
  discord: {
    known: 'documented',
    manageUrl: 'https://discord.com/settings/authorized-apps',
    revocation: {
      needs: 'secret',
      endpoint: 'https://discord.com/api/oauth2/token/revoke',
      authMethod: 'client_secret_basic',
      protocol: { effect: 'grant' },
    },
  },
  twitch: {
    known: 'documented',
    manageUrl: 'https://www.twitch.tv/settings/connections',
    revocation: {
      needs: 'nothing',
      endpoint: 'https://id.twitch.tv/oauth2/revoke',
      authMethod: 'none',
      protocol: {
        effect: 'token',
        takes: 'live_access_token',
        refresh: { endpoint: 'https://id.twitch.tv/oauth2/token', authMethod: 'client_secret_post' },
        fieldsOf: (token) => ({ token }),
        errorOf: sentenceOf,
        verdicts: { our_fault: ['client_does_not_exist'] },
      },
    },
  },
  tcs: {
    known: 'documented',
    revocation: {
      needs: 'secret',
      endpoint: 'https://id.tinkoff.ru/auth/revoke',
      authMethod: 'client_secret_basic',
      protocol: { effect: 'token' },
    },
  },
  slack: {
    known: 'best_effort',
    manageUrl: 'https://my.slack.com/apps/manage',
    revocation: {
      needs: 'nothing',
      endpoint: 'https://slack.com/api/auth.revoke',
      authMethod: 'none',
      protocol: {
        effect: 'token',
        takes: 'access_token',
        requestOf: ({ token, client }) => ({
          method: 'POST',
          url: client.endpoint,
          headers: { Accept: 'application/json', Authorization: `Bearer ${token}` },
        }),
        // All errors come with 200.
        successOf: (body) => (isJsonObject(body) && body.ok === true && body.revoked === true ? 'revoked' : undefined),
        verdicts: {
          // Not `invalid_auth`: it is also said of a token that lives, to an address that is not allowed to use it.
          already_revoked: ['token_revoked', 'account_inactive'],
          // It has ended by itself: the grant may live.
          failed: ['token_expired'],
          retry: ['ratelimited', 'internal_error', 'fatal_error', 'service_unavailable', 'request_timeout'],
        },
      },
    },
  },
  x: {
    known: 'best_effort',
    manageUrl: 'https://x.com/settings/connected_apps',
    revocation: {
      needs: 'nothing',
      endpoint: 'https://api.x.com/2/oauth2/revoke',
      authMethod: 'client_secret_basic',
      protocol: {
        effect: 'token',
        successOf: (body) => (isJsonObject(body) && body.revoked === true ? 'revoked' : 'accepted_unverified'),
      },
    },
  },
  linkedin: {
    known: 'best_effort',
    manageUrl: 'https://www.linkedin.com/psettings/permitted-services',
    revocation: {
      needs: 'secret',
      endpoint: 'https://www.linkedin.com/oauth/v2/revoke',
      authMethod: 'client_secret_post',
      protocol: { effect: 'token', fieldsOf: (token) => ({ token }), successOf: () => 'accepted_unverified' },
    },
  },
  sberbusiness: {
    known: 'best_effort',
    revocation: {
      needs: 'secret',
      endpoint: 'https://fintech.sberbank.ru:9443/ic/sso/api/v2/oauth/revoke',
      authMethod: 'client_secret_post',
      protocol: { effect: 'token', takes: 'access_token', requestOf: sberbusinessRequest },
    },
  },
  microsoft: { known: 'documented', manageUrl: 'https://account.live.com/consent/Manage' },
  spotify: { known: 'best_effort', manageUrl: 'https://www.spotify.com/account/apps/' },
  esia: { known: 'best_effort', manageUrl: 'https://lk.gosuslugi.ru/settings/third-party/agreements/acting' },
  mail: { known: 'best_effort', manageUrl: 'https://id.mail.ru/security' },
  ok: { known: 'best_effort', manageUrl: 'https://ok.ru/settings' },
  'sber-id': { known: 'best_effort', manageUrl: 'https://id.sber.ru/' },
  'vk-legacy': { known: 'best_effort', manageUrl: VK_APPS },
};

/** The row of that name. */
export function findCatalogueRow(preset: string): CatalogueRow | undefined {
  return Object.hasOwn(CATALOGUE, preset) ? CATALOGUE[preset] : undefined;
}

function facebookRequest({ token, sid, client: { endpoint, clientSecret } }: TokenCall) {
  const query = new URLSearchParams({ access_token: token });
  // An application may be set to refuse calls without it.
  if (clientSecret) query.set('appsecret_proof', createHmac('sha256', clientSecret).update(token).digest('hex'));
  const url = `${endpoint}/${encodeURIComponent(sid)}/permissions?${query}`;
  return { method: 'DELETE', url, headers: { Accept: 'application/json' } } as const;
}

function facebookErrorOf(body: unknown): string | undefined {
  const error = isJsonObject(body) ? body.error : undefined;
  if (!isJsonObject(error) || !Number.isSafeInteger(error.code)) return undefined;
  // Its code is that of any wrong parameter.
  if (typeof error.message === 'string' && error.message.includes('appsecret_proof')) return 'appsecret_proof';
  const code = `code_${error.code}`;
  return error.code === 190 && error.error_subcode === 458 ? `${code}_458` : code;
}

function githubRequest({ token, client: { endpoint, clientId, clientSecret = '' } }: TokenCall) {
  return {
    method: 'DELETE',
    url: `${endpoint}/${encodeURIComponent(clientId)}/grant`,
    headers: {
      Accept: 'application/vnd.github+json',
      'Content-Type': 'application/json',
      'X-GitHub-Api-Version': '2022-11-28',
      // Without one every call is refused.
      'User-Agent': 'unlink-functions',
      Authorization: basicAuthorization(clientId, clientSecret),
    },
    body: JSON.stringify({ access_token: token }),
  } as const;
}

function sberbusinessRequest({ token, client: { endpoint, clientId, clientSecret = '' } }: TokenCall) {
  const query = new URLSearchParams({ access_token: token, client_id: clientId, client_secret: clientSecret });
  const headers = { Accept: 'application/json', 'Content-Type': 'application/x-www-form-urlencoded' };
  return { method: 'POST', url: `${endpoint}?${query}`, headers } as const;
}
