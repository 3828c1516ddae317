/**
 * The tokens of real authorization servers, as data: what each server writes into its access tokens (`at*`), the tokens of
 * its clients (`cc`), ID tokens (`id*`), refresh tokens (`rt*`) and logout tokens (`lo`), and what its introspection
 * answers about them (`i_*`). All values are invented. What is typical of the servers is not.
 *
 * A case lists only what differs from the base of its kind ({@link BASES}); `without` then removes members.
 */

import type { RefusalReason } from '#shared/access-token/verify.ts';
import type { JsonObject } from '#shared/json.ts';

/**
 * What must become of a token: accepted for a user; accepted, but it names no user; accepted with a subject that its
 * server gave to a client (nothing in the token tells it from a user's, and no user has that subject); or rejected.
 */
export type Wanted = 'user' | 'no_user' | 'own_subject' | 'inactive' | RefusalReason;

interface Entry {
  readonly wanted: Wanted;
  /** The header `typ`: `JWT` if not given, none if null. */
  readonly typ?: string | null;
  /** The header `alg`: the algorithm of the issuer's published key if not given. */
  readonly alg?: string;
  /** The text of an introspected token: opaque, and made up for each, if not given. */
  readonly text?: string | { readonly jwt: JsonObject } | { readonly sameAs: string };
  readonly claims?: JsonObject;
  readonly without?: readonly string[];
}

interface Server {
  /** The row of `ISSUERS`, but for the issuer and its keys or endpoint. An introspection row has no `audience`. */
  readonly row: JsonObject;
  readonly cases: Readonly<Record<string, Entry>>;
}

/** The issuer of every case. */
export const CORPUS_ISSUER = 'https://as.test';

/** What the kinds have in common, by the prefix of a case's name, besides `iss`, `sub`, `iat` and `exp`. */
const BASES: Readonly<Record<string, JsonObject>> = {
  at: { aud: 'home', client_id: 'spk', scope: 'devices' },
  cc: { aud: 'home', sub: 'bot', client_id: 'bot' },
  id: { aud: 'spk', nonce: 'n', at_hash: 'h' },
  lo: { aud: 'spk', sid: 's1', events: { 'http://schemas.openid.net/event/backchannel-logout': {} } },
  i: { active: true, client_id: 'spk', scope: 'devices', token_type: 'Bearer' },
  i_cc: { active: true, sub: 'bot', client_id: 'bot', scope: 'devices', token_type: 'Bearer' },
};

const SERVERS: Readonly<Record<string, Server>> = {
  keycloak: {
    row: { audience: 'home' },
    cases: {
      at: {
        wanted: 'user',
        claims: {
          typ: 'Bearer',
          azp: 'spk',
          aud: ['home', 'account'],
          jti: 'onrtac:11',
          sid: 's1',
          auth_time: 1,
          scope: 'openid devices',
        },
        without: ['client_id'],
      },
      at_v24: {
        wanted: 'user',
        claims: { typ: 'Bearer', azp: 'spk', jti: '11', nonce: 'n', sid: 's1' },
        without: ['client_id'],
      },
      cc: { wanted: 'own_subject', claims: { sub: 'svc9', typ: 'Bearer', azp: 'bot', scope: 'devices' } },
      id: { wanted: 'wrong_type', claims: { typ: 'ID', azp: 'spk', sid: 's1' } },
      rt: {
        wanted: 'algorithm_not_allowed',
        alg: 'HS512',
        claims: { typ: 'Refresh', aud: 'https://as.test', azp: 'spk', sid: 's1', scope: 'devices' },
      },
      lo: { wanted: 'wrong_type', typ: 'logout+jwt', claims: { typ: 'Logout' } },
      i_at: { wanted: 'user', claims: { typ: 'Bearer', azp: 'spk', aud: ['home'], jti: 'onrtac:11', sid: 's1' } },
      i_rt: {
        wanted: 'refresh_token',
        claims: { typ: 'Refresh', token_type: 'Refresh', azp: 'spk', aud: 'https://as.test' },
      },
      i_id: {
        wanted: 'wrong_type',
        text: { sameAs: 'id' },
        claims: { typ: 'ID', aud: 'spk', azp: 'spk', nonce: 'n' },
        without: ['scope', 'token_type'],
      },
      i_cc: {
        wanted: 'own_subject',
        claims: { sub: 'svc9', typ: 'Bearer', azp: 'bot', username: 'service-account-bot' },
      },
    },
  },
  hydra: {
    row: { audience: 'none', clients: ['spk', 'bot'], grant: { claim: 'ext.grant_id' } },
    cases: {
      at: { wanted: 'user', claims: { aud: ['home'], scp: ['devices'], ext: { grant_id: 'g1' } }, without: ['scope'] },
      cc: { wanted: 'no_user', claims: { aud: [], scp: ['devices'], ext: {} } },
      id: { wanted: 'id_token', claims: { aud: ['spk'], auth_time: 1, sid: 's1' } },
      lo: { wanted: 'wrong_type', without: ['sub', 'exp'] },
      i_at: { wanted: 'user', claims: { aud: [], token_use: 'access_token', ext: { grant_id: 'g1' } } },
      i_rt: { wanted: 'refresh_token', claims: { aud: [], token_use: 'refresh_token', ext: { grant_id: 'g1' } } },
      i_cc: { wanted: 'no_user', claims: { aud: [], token_use: 'access_token', ext: {} } },
    },
  },
  spring: {
    row: { audience: ['spk', 'bot'], client_claim: 'aud', forbid: ['azp', 'sid'], grant: { claim: 'grant_id' } },
    cases: {
      at: {
        wanted: 'user',
        typ: null,
        claims: { aud: 'spk', scope: ['devices'], grant_id: 'g1' },
        without: ['client_id'],
      },
      at_bare: { wanted: 'user', typ: null, claims: { aud: 'spk', grant_id: 'g1' }, without: ['client_id', 'scope'] },
      cc: { wanted: 'no_user', typ: null, claims: { aud: 'bot' }, without: ['client_id'] },
      id: {
        wanted: 'row_rule',
        typ: null,
        claims: { azp: 'spk', auth_time: 1, sid: 's1' },
        without: ['nonce', 'at_hash'],
      },
      i_at: { wanted: 'user', claims: { aud: ['spk'], grant_id: 'g1' } },
      i_rt: { wanted: 'unmarked', without: ['iss', 'sub', 'scope', 'token_type'] },
      i_id: {
        wanted: 'row_rule',
        text: { sameAs: 'id' },
        claims: { aud: ['spk'], azp: 'spk', sid: 's1' },
        without: ['scope', 'token_type'],
      },
      i_cc: { wanted: 'no_user', claims: { aud: ['bot'] } },
    },
  },
  oidc_provider: {
    row: { audience: 'home', grant: { claim: 'grant_id' } },
    cases: {
      at: { wanted: 'user', typ: 'at+jwt', claims: { grant_id: 'g1' } },
      cc: { wanted: 'no_user', typ: 'at+jwt' },
      id: { wanted: 'id_token', typ: null, claims: { sid: 's1' } },
      userinfo: { wanted: 'unmarked', typ: null, claims: { aud: 'spk' }, without: ['exp'] },
      lo: { wanted: 'wrong_type', typ: 'logout+jwt' },
      i_at: { wanted: 'user', claims: { grant_id: 'g1' } },
      i_rt: { wanted: 'unmarked', without: ['token_type'] },
      i_cc: { wanted: 'no_user', without: ['sub'] },
    },
  },
  logto: {
    row: { audience: 'home' },
    cases: {
      at: { wanted: 'user', typ: 'at+jwt', claims: { jti: '11' } },
      id: { wanted: 'id_token', claims: { sid: 's1' } },
    },
  },
  zitadel: {
    row: { audience: '770', grant: { claim: 'jti', match: '^(V2_[^.-]+)' } },
    cases: {
      at: {
        wanted: 'user',
        claims: { aud: ['771', '770'], client_id: '771', jti: 'V2_551-at_552' },
        without: ['scope'],
      },
      id: {
        wanted: 'id_token',
        claims: { aud: ['771', '770'], azp: '771', client_id: '771', auth_time: 1, sid: 'V1_1' },
      },
      i_at: { wanted: 'user', claims: { client_id: '771', aud: ['771', '770'], jti: 'V2_551-at_552', auth_time: 1 } },
    },
  },
  authentik: {
    row: { audience: 'spk', token_type: 'optional', client_claim: 'aud', require: ['uid'] },
    cases: {
      at: {
        wanted: 'user',
        claims: { aud: 'spk', azp: 'spk', uid: 'w1', acr: 'x', amr: ['pwd'], auth_time: 1, sid: 's1' },
        without: ['client_id', 'scope'],
      },
      id: { wanted: 'row_rule', claims: { acr: 'x', sid: 's1' } },
      id_cc: { wanted: 'row_rule', claims: { acr: 'x' }, without: ['nonce', 'at_hash'] },
      i_at: {
        wanted: 'user',
        claims: { client_id: 'caller', aud: 'spk', azp: 'spk', uid: 'w1', auth_time: 1 },
        without: ['token_type'],
      },
      i_rt: {
        wanted: 'row_rule',
        claims: { client_id: 'caller', aud: 'spk', at_hash: 'h', nonce: 'n' },
        without: ['token_type'],
      },
      i_no: { wanted: 'inactive', claims: { client_id: 'caller' } },
    },
  },
  duende: {
    row: { audience: 'home', token_type: 'optional' },
    cases: {
      at: { wanted: 'user', typ: 'at+jwt', claims: { scope: ['openid', 'devices'], sid: '5A' } },
      at_is4v2: { wanted: 'user', claims: { aud: ['https://as.test/resources', 'home'], scope: ['devices'] } },
      cc: { wanted: 'no_user', typ: 'at+jwt', claims: { scope: ['devices'] }, without: ['sub'] },
      id: { wanted: 'id_token', claims: { sid: '5A' } },
      lo: { wanted: 'wrong_type', typ: 'logout+jwt' },
      i_at: { wanted: 'user', claims: { aud: 'home' }, without: ['token_type'] },
      i_at_own: { wanted: 'user', claims: { token_type: 'access_token' } },
      i_rt: { wanted: 'refresh_token', claims: { token_type: 'refresh_token' } },
      i_cc: { wanted: 'no_user', claims: { scope: '', aud: 'home' }, without: ['sub', 'token_type'] },
    },
  },
  casdoor: {
    row: { audience: 'spk', jti: false, client_claim: 'azp' },
    cases: {
      at_is_id: {
        wanted: 'user',
        claims: {
          tokenType: 'access-token',
          azp: 'spk',
          aud: ['spk'],
          scope: '',
          nonce: 'n',
          address: [],
          jti: 'adm/81',
        },
        without: ['client_id'],
      },
      rt: { wanted: 'refresh_token', claims: { tokenType: 'refresh-token', azp: 'spk', aud: ['spk'] } },
      rt_custom: {
        wanted: 'refresh_token',
        claims: { tokenType: 'access-token', TokenType: 'refresh-token', azp: 'spk', aud: ['spk'] },
      },
      i_at: { wanted: 'user', text: { sameAs: 'at_is_id' }, claims: { scope: '', aud: ['spk'], jti: 'adm/81' } },
      i_rt_unmarked: {
        wanted: 'refresh_token',
        text: { sameAs: 'rt' },
        claims: { scope: '', aud: ['spk'], jti: 'adm/81' },
      },
    },
  },
  dex: {
    row: { audience: 'spk', id_tokens_too: true, client_claim: 'aud' },
    cases: {
      at_is_id: {
        wanted: 'user',
        typ: null,
        claims: { aud: 'spk', at_hash: 'h', nonce: 'n', auth_time: 1 },
        without: ['client_id', 'scope'],
      },
      i_at: { wanted: 'user', claims: { token_use: 'access_token', ext: {} } },
      i_rt: { wanted: 'refresh_token', claims: { token_use: 'refresh_token' } },
    },
  },
  gluu: {
    row: { audience: 'spk' },
    cases: {
      at: { wanted: 'user', claims: { aud: 'spk', scope: ['devices'], token_type: 'bearer', username: 'ann' } },
      id: { wanted: 'id_token' },
      lo: { wanted: 'wrong_type' },
      i_at: { wanted: 'user', claims: { aud: 'spk', username: null, jti: null, acr_values: null } },
      i_no: { wanted: 'inactive', claims: { client_id: null, exp: null, jti: null } },
    },
  },
  fusionauth: {
    row: {
      audience: 'spk',
      grant: { claim: 'sid' },
      session_names_grant: true,
      client_claim: 'aud',
      token_type: 'optional',
    },
    cases: {
      at: {
        wanted: 'user',
        claims: {
          aud: 'spk',
          applicationId: 'spk',
          authenticationType: 'PASSWORD',
          roles: [],
          scope: 'openid offline_access',
          sid: 'rt1',
        },
        without: ['client_id'],
      },
      id: { wanted: 'id_token', claims: { scope: 'openid', sid: 'sso1' } },
      i_at: {
        wanted: 'user',
        claims: { scope: 'openid offline_access', aud: 'spk', sid: 'rt1' },
        without: ['client_id', 'token_type'],
      },
    },
  },
  better_auth: {
    row: { audience: 'home', require: ['azp'] },
    cases: {
      at: { wanted: 'user', typ: 'at+jwt', claims: { azp: 'spk', sid: 's1' } },
      id: { wanted: 'row_rule', claims: { acr: '1', sid: 's1' }, without: ['at_hash'] },
      i_at: { wanted: 'user', claims: { azp: 'spk', sid: 's1' } },
      i_rt_unmarked: { wanted: 'row_rule', claims: { sid: 's1' } },
    },
  },
  auth0: {
    row: { audience: 'home' },
    cases: {
      at: {
        wanted: 'user',
        claims: { sub: 'auth0|1', aud: ['home', 'https://as.test/userinfo'], azp: 'spk', scope: 'openid devices' },
        without: ['client_id'],
      },
      at_9068: { wanted: 'user', typ: 'at+jwt' },
      cc: {
        wanted: 'no_user',
        claims: { sub: 'bot@clients', azp: 'bot', gty: 'client-credentials' },
        without: ['client_id'],
      },
      id: { wanted: 'id_token', claims: { sub: 'auth0|1', sid: 's1' }, without: ['at_hash'] },
      id_bare: { wanted: 'unmarked', claims: { sub: 'auth0|1', sid: 's1' }, without: ['nonce', 'at_hash'] },
      lo: { wanted: 'wrong_type', typ: 'logout+jwt' },
    },
  },
  entra: {
    row: { audience: ['api', 'api://home'] },
    cases: {
      at_v2: {
        wanted: 'user',
        claims: { sub: 'p1', ver: '2.0', oid: 'o1', aud: 'api', azp: 'app', scp: 'Use', uti: 'f1' },
        without: ['client_id', 'scope'],
      },
      at_v1: {
        wanted: 'user',
        claims: { sub: 'p1', ver: '1.0', oid: 'o1', aud: 'api://home', appid: 'app', scp: 'Use' },
        without: ['client_id', 'scope'],
      },
      cc: {
        wanted: 'no_user',
        claims: { sub: 'sp1', ver: '2.0', oid: 'sp1', aud: 'api', azp: 'app2', roles: ['Run'] },
        without: ['client_id'],
      },
      id: {
        wanted: 'id_token',
        claims: { sub: 'p2', ver: '2.0', oid: 'o1', aud: 'app', sid: 's1' },
        without: ['at_hash'],
      },
      id_roles: {
        wanted: 'unmarked',
        claims: { sub: 'p2', ver: '2.0', oid: 'o1', aud: 'app', roles: ['Admin'] },
        without: ['nonce', 'at_hash'],
      },
    },
  },
  cognito: {
    row: { audience: 'none', clients: ['spk', 'bot'], grant: { claim: 'origin_jti' } },
    cases: {
      at: {
        wanted: 'user',
        typ: null,
        claims: { token_use: 'access', username: 'ann', scope: 'openid home/devices', version: 2, origin_jti: 'oj1' },
        without: ['aud'],
      },
      cc: {
        wanted: 'no_user',
        typ: null,
        claims: { token_use: 'access', scope: 'home/devices', version: 2 },
        without: ['aud'],
      },
      id: {
        wanted: 'wrong_type',
        typ: null,
        claims: { token_use: 'id', 'cognito:username': 'ann', origin_jti: 'oj1' },
        without: ['nonce'],
      },
    },
  },
  google: {
    row: { audience: 'spk' },
    cases: {
      id: { wanted: 'id_token', claims: { azp: 'spk' }, without: ['nonce'] },
    },
  },
  yandex: {
    row: { audience: 'home', secret: 'obviously-fake-secret-of-an-issuer' },
    cases: {
      info: { wanted: 'unmarked', alg: 'HS256', claims: { uid: 123456, login: 'ann' }, without: ['sub'] },
    },
  },
  others: {
    row: { audience: ['home', 'spk', 'authenticated'] },
    cases: {
      at_kanidm: {
        wanted: 'user',
        typ: 'at+jwt',
        claims: { aud: 'spk', nonce: 'n', auth_time: 1, session_id: 'g1' },
        without: ['scope'],
      },
      at_openiddict: { wanted: 'user', typ: 'at+jwt', claims: { oi_au_id: 'g1' } },
      rt_openiddict: { wanted: 'refresh_token', typ: 'oi_reft+jwt', claims: { oi_au_id: 'g1' } },
      at_supabase: {
        wanted: 'user',
        claims: {
          aud: 'authenticated',
          role: 'authenticated',
          session_id: 'g1',
          amr: [{ method: 'oauth' }],
          phone: '',
        },
        without: ['scope'],
      },
      i_rt_doorkeeper: { wanted: 'refresh_token', claims: { token_type: 'refresh_token' }, without: ['iss'] },
    },
  },
  okta: {
    row: { audience: 'home', jti: '^AT[.]', grant: { claim: 'jti', match: '^AT[.][^.]+[.](oar.+)$' } },
    cases: {
      at: {
        wanted: 'user',
        typ: null,
        claims: {
          sub: 'ann@home.test',
          cid: 'spk',
          scp: ['devices'],
          uid: '00u1',
          ver: 1,
          auth_time: 1,
          jti: 'AT.Zm9v.oar1',
        },
        without: ['client_id', 'scope'],
      },
      cc: {
        wanted: 'no_user',
        typ: null,
        claims: { cid: 'bot', scp: ['devices'], ver: 1, jti: 'AT.YmFy' },
        without: ['client_id', 'scope'],
      },
      id: {
        wanted: 'wrong_type',
        typ: null,
        claims: { sub: '00u1', ver: 1, amr: ['pwd'], idp: '00o1', auth_time: 1, jti: 'ID.Zm9v' },
      },
      i_at: {
        wanted: 'user',
        claims: { sub: 'ann@home.test', username: 'ann@home.test', uid: '00u1', aud: 'home', jti: 'AT.Zm9v.oar1' },
      },
      i_rt: {
        wanted: 'row_rule',
        claims: { sub: 'ann@home.test', username: 'ann@home.test', uid: '00u1', jti: 'oar1.Zm9v' },
      },
    },
  },
  supertokens: {
    row: { audience: 'home', grant: { claim: 'gid' } },
    cases: {
      at: {
        wanted: 'user',
        claims: { aud: ['home'], scp: ['devices'], stt: 1, gid: 'g1', sessionHandle: 'h1' },
        without: ['scope'],
      },
      id: { wanted: 'wrong_type', claims: { aud: ['spk'], stt: 2 }, without: ['nonce'] },
      i_at: { wanted: 'user', claims: { token_use: 'access_token', stt: 1, gid: 'g1' } },
    },
  },
  authelia: {
    row: { audience: 'home', token_type: 'optional', prefix: 'authelia_at_' },
    cases: {
      at: { wanted: 'user', typ: 'at+jwt', claims: { aud: ['home'] } },
      id: { wanted: 'id_token', claims: { azp: 'spk', amr: ['pwd'] }, without: ['at_hash'] },
      i_at: { wanted: 'user', text: 'authelia_at_1', claims: { aud: ['home'] }, without: ['token_type'] },
      i_rt: { wanted: 'row_rule', text: 'authelia_rt_1', without: ['token_type'] },
    },
  },
  gitea: {
    row: { client_claim: 'aud', token_type: 'optional' },
    cases: {
      i_at: {
        wanted: 'user',
        text: { jwt: { gnt: 7, tt: 0 } },
        claims: { username: 'ann', aud: 'spk', sub: '42' },
        without: ['client_id', 'iat', 'exp', 'token_type', 'iss'],
      },
      i_rt: {
        wanted: 'refresh_token',
        text: { jwt: { gnt: 7, tt: 1 } },
        claims: { username: 'ann', aud: 'spk', sub: '42' },
        without: ['client_id', 'iat', 'exp', 'token_type', 'iss'],
      },
    },
  },
};

/** A token of the corpus, or the answer of its server's introspection. */
export interface CorpusCase {
  readonly server: string;
  readonly name: string;
  /** The row of `ISSUERS` without `issuer`, keys and endpoint. */
  readonly row: JsonObject;
  readonly wanted: Wanted;
  readonly isIntrospected: boolean;
  readonly alg: string | undefined;
  /** The header of the JWT, but for its algorithm and key. */
  readonly header: JsonObject;
  /** The claims of the JWT, or the answer. */
  readonly claims: JsonObject;
  /** The text of an introspected token: as it stands, or a JWT of these claims, which nobody here can verify. */
  readonly text: string | { readonly header: JsonObject; readonly claims: JsonObject };
}

/**
 * All cases, server by server.
 *
 * @param nowS The time, in seconds since the epoch: tokens were issued ten seconds ago, and expire in an hour.
 */
export function corpusAt(nowS: number): CorpusCase[] {
  return Object.entries(SERVERS).flatMap(([server, { row, cases }]) =>
    Object.entries(cases).map(([name, entry]) => {
      const { audience: _audience, ...askedRow } = row;
      const isIntrospected = name.startsWith('i_');
      return {
        ...{ server, name, isIntrospected, wanted: entry.wanted, alg: entry.alg },
        row: isIntrospected ? askedRow : row,
        header: headerOf(entry),
        claims: claimsOf(name, entry, nowS),
        text: textOf(`${server}_${name}`, entry, cases, nowS),
      };
    }),
  );
}

function headerOf({ typ = 'JWT' }: Entry): JsonObject {
  return typ === null ? {} : { typ };
}

function claimsOf(name: string, { claims = {}, without = [] }: Entry, nowS: number): JsonObject {
  const common = { iss: CORPUS_ISSUER, sub: 'u1', iat: nowS - 10, exp: nowS + 3600 };
  // That a token is inactive is all that most servers say of it.
  const base =
    name === 'i_no' ? { active: false } : { ...common, ...(BASES[name] ?? BASES[name.split('_', 1)[0] ?? '']) };
  return Object.fromEntries(Object.entries({ ...base, ...claims }).filter(([member]) => !without.includes(member)));
}

function textOf(id: string, { text = id }: Entry, cases: Server['cases'], nowS: number): CorpusCase['text'] {
  if (typeof text === 'string') return text;
  if ('jwt' in text) return { header: { typ: 'JWT' }, claims: { ...text.jwt, iat: nowS - 10, exp: nowS + 3600 } };
  const same = cases[text.sameAs];
  if (same === undefined) throw new Error(`${id} is the same as ${text.sameAs}, which its server does not have`);
  return { header: headerOf(same), claims: claimsOf(text.sameAs, same, nowS) };
}

/** Cases as a table of tests. */
export function corpusTable(cases: readonly CorpusCase[]): [title: string, one: CorpusCase][] {
  return cases.map((one) => [`${one.server}: ${one.name}`, one]);
}
