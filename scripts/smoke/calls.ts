/** What each function is called with, in this order: one entry a call. A new function adds its own. */
export interface SmokeCall {
  /** The functions that it takes; it is tried where all of them are deployed. */
  readonly functions: readonly [string, ...string[]];
  readonly title: string;
  /** Where it is tried; on both, if not given. */
  readonly where?: 'emulator' | 'deployment';
  /** It shows that nobody may call the function directly, so it is tried although nobody may. */
  readonly isForbidden?: true;
  /** The step of the token's life that an expected answer shows, unless `isReached` of the answer says otherwise. */
  readonly step?: LifeStep;
  readonly isReached?: (answer: SmokeAnswer, run: Run) => boolean;
  readonly request: (run: Run) => SmokeRequest | NotGiven;
  /** What is expected, as it is printed. */
  readonly expected: string;
  readonly isExpected: (answer: SmokeAnswer, run: Run) => boolean;
  /** What the answer tells of the platform where its documentation is silent; it is no verdict. */
  readonly observe?: (answer: SmokeAnswer) => string;
  /** What the operator can do about another answer. */
  readonly advice?: (run: Run) => string;
}

/** The life of the run's token, in this order. */
export type LifeStep = 'accepted' | 'unlinked' | 'refused';

/** The functions that the life of a token takes. */
export const LIFE_FUNCTIONS = ['token-authorize', 'smart-home-unlink'] as const;

/** What a run is given. */
export interface Run {
  /** A token of its own, to be revoked. */
  readonly token: string;
  /** Whether the operator gave the token; it is a random one otherwise. */
  readonly isTokenGiven: boolean;
  readonly requestId: string;
  /** `Authorization` of a client that the token was issued to. */
  readonly client?: string | undefined;
  /** What the gateway's paths of the Blitz API begin with, such as `/blitz`. */
  readonly contextPrefix: string;
  /** An origin that SHOP_ORIGINS lists. */
  readonly shopOrigin?: string | undefined;
  /** What a bind is started with: `Authorization` of an application, a callback of it, `type:name` of a provider. */
  readonly bind: {
    readonly client?: string | undefined;
    readonly callback?: string | undefined;
    readonly provider?: string | undefined;
  };
}

/** `raw` and `https` go to a function's own URL, with `?integration=raw` and without; `gateway` goes to a path. */
export type SmokeRequest =
  | { readonly via: 'raw'; readonly headers?: Readonly<Record<string, string>>; readonly body: string }
  | { readonly via: 'https'; readonly headers: Readonly<Record<string, string>> }
  | {
      readonly via: 'gateway';
      readonly method: string;
      readonly path: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    };

/** The run was not given what the call takes; `give` names it. */
export interface NotGiven {
  readonly via: 'nothing';
  readonly give: string;
}

/** An answer; `json` is undefined where the body is not JSON. */
export interface SmokeAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: unknown;
}

const unlinkEnvelope = ({ token, requestId }: Run) => ({
  headers: { request_id: requestId, authorization: `Bearer ${token}` },
  request_type: 'unlink',
  api_version: 1.0,
});
const raw = (event: unknown): SmokeRequest => ({ via: 'raw', body: JSON.stringify(event) });
const whoAmI = (headers: Record<string, string> = {}): SmokeRequest => ({
  via: 'gateway',
  method: 'GET',
  path: '/whoami',
  headers,
});
const bearer = ({ token }: Run) => ({ Authorization: `Bearer ${token}` });

const nothing = (give: string): NotGiven => ({ via: 'nothing', give });
const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };
const JSON_BODY = { 'Content-Type': 'application/json' };

const oauth =
  (operation: 'revoke' | 'introspect', by: 'client' | 'nobody') =>
  ({ token, client }: Run): SmokeRequest | NotGiven => {
    if (by === 'client' && client === undefined) return nothing('SMOKE_CLIENT');
    return {
      via: 'gateway',
      method: 'POST',
      path: `/oauth/${operation}`,
      headers: { ...FORM, ...(by === 'client' && client !== undefined && { Authorization: client }) },
      body: new URLSearchParams({ token }).toString(),
    };
  };

/** The calls of the Blitz API, about a provider and an account that there need not be. */
const LINK_CALLS = [
  { name: 'list', method: 'GET', rest: '' },
  { name: 'link', method: 'POST', rest: '/smoke/smoke/smoke' },
  { name: 'delete', method: 'DELETE', rest: '/smoke/smoke/smoke' },
] as const;

const linkCall = (
  { method, rest }: (typeof LINK_CALLS)[number],
  { contextPrefix }: Run,
  subject: string,
  headers: Readonly<Record<string, string>> = {},
): SmokeRequest => ({
  via: 'gateway',
  method,
  path: `${contextPrefix}/api/v3/users/${subject}/fa${rest}`,
  headers,
});

/** A state or a page's token that no bind has. */
const UNKNOWN_SECRET = 'smoke'.padEnd(43, '-');

const bindStart = (
  { contextPrefix }: Run,
  headers: Readonly<Record<string, string>>,
  { provider, callback }: { readonly provider: string; readonly callback: string },
): SmokeRequest => ({
  via: 'gateway',
  method: 'POST',
  path: `${contextPrefix}/api/v2/users/current/fa/bind`,
  headers: { ...JSON_BODY, ...headers },
  body: JSON.stringify({ fp: provider, callback }),
});

/** A bind that nothing is known of: no provider and no application has these. */
const UNKNOWN_BIND = { provider: 'smoke:smoke', callback: 'https://smoke.invalid/callback' };

const socialUnlink = (headers: Readonly<Record<string, string>> = {}): SmokeRequest => ({
  via: 'gateway',
  method: 'POST',
  path: '/social/unlink',
  headers: { ...JSON_BODY, ...headers },
  // Reserved by RFC 2606: nobody has it.
  body: JSON.stringify({ email: 'nobody@smoke.invalid' }),
});

const socialPreflight = (origin: string): SmokeRequest => ({
  via: 'gateway',
  method: 'OPTIONS',
  path: '/social/unlink',
  headers: {
    Origin: origin,
    'Access-Control-Request-Method': 'POST',
    'Access-Control-Request-Headers': 'authorization,content-type',
  },
});

/** The calls of the Matrix API that need no user: what there is beside an unbind or a bind, and one without a token. */
const matrixCall = (operation: 'unbind' | 'bind', method: string): SmokeRequest => ({
  via: 'gateway',
  method,
  path: `/_matrix/client/v3/account/3pid/${operation}`,
  ...(method === 'POST' && { headers: JSON_BODY, body: '{}' }),
});

/** Whether JSON holds at least these fields. */
export function holds(json: unknown, fields: Readonly<Record<string, unknown>>): boolean {
  if (typeof json !== 'object' || json === null) return false;
  return Object.entries(fields).every(([name, value]) => {
    const found: unknown = Object.getOwnPropertyDescriptor(json, name)?.value;
    return typeof value === 'object' && value !== null ? holds(found, { ...value }) : found === value;
  });
}

/** A caller's mistake as a raw answer tells it. */
const isRawRefusal =
  (status: number, error: string) =>
  ({ status: http, json }: SmokeAnswer) =>
    http === 200 && holds(json, { status, payload: { error } });

function descriptionOf(json: unknown): string {
  // Called for answers that were found to have this shape.
  const payload = json as { payload?: { error_description?: unknown } } | undefined;
  return `${payload?.payload?.error_description}`;
}

/** A page of ours that tells the browser's user of a mistake. */
const isMistakePage = ({ status, headers }: SmokeAnswer) =>
  status === 400 &&
  /^text\/html\b/.test(headers.get('content-type') ?? '') &&
  (headers.get('content-security-policy') ?? '').includes("default-src 'none'");

/** Nothing proves the user there, so that an application must name the subject of a bind (docs/external-providers.md). */
const asksForSubject = ({ status, json }: SmokeAnswer) =>
  status === 400 && holds(json, { error: 'wrong_values' }) && JSON.stringify(json).includes('subjectId');

const isProviderUrl = (json: unknown) =>
  typeof json === 'object' &&
  json !== null &&
  'redirectTo' in json &&
  typeof json.redirectTo === 'string' &&
  /^https?:$/.test(URL.parse(json.redirectTo)?.protocol ?? '');

/** The function was not called: the platform answered. Its 404 and 429 do not say who may call. */
const isForbiddenByPlatform = ({ status, headers, json }: SmokeAnswer) =>
  status >= 400 && status < 500 && status !== 404 && status !== 429 && !isOurs(headers, json);

/** Whether a function of ours answered a raw call: a timer's answer is `{}`, an error is marked by the platform. */
const isOurs = (headers: Headers, json: unknown) =>
  headers.has('x-function-error') ||
  (typeof json === 'object' &&
    json !== null &&
    (Object.keys(json).length === 0 || ['request_id', 'payload', 'error'].some((name) => name in json)));

const isWithheld = ({ status, json }: SmokeAnswer) => status === 401 && holds(json, { error: 'invalid_token' });

export const SMOKE_CALLS: readonly SmokeCall[] = [
  {
    functions: ['token-authorize'],
    title: 'GET /whoami without a credential',
    request: () => whoAmI(),
    expected: '401',
    isExpected: ({ status }) => status === 401,
  },
  {
    functions: ['token-authorize'],
    title: 'GET /whoami with the token',
    step: 'accepted',
    request: (run) => whoAmI(bearer(run)),
    expected: '200',
    isExpected: ({ status }) => status === 200,
    advice: ({ isTokenGiven }) =>
      isTokenGiven
        ? 'The token of --token-stdin is not accepted: it must be of an issuer in ISSUERS, not expired, not revoked.'
        : 'A random token is accepted only where tokens are not verified. Give one of your issuer by --token-stdin.',
  },
  // Whether a gateway tells the two apart is nowhere said.
  ...['/v1.0', '/v1.0/'].map(
    (path): SmokeCall => ({
      functions: ['smart-home-unlink'],
      title: `HEAD ${path}`,
      request: () => ({ via: 'gateway', method: 'HEAD', path }),
      expected: '200 without a body',
      isExpected: ({ status, text }) => status === 200 && text === '',
      observe: ({ headers }) =>
        `an answer to HEAD has Content-Type ${headers.get('content-type')}, Content-Length ${headers.get('content-length')}`,
    }),
  ),
  {
    functions: ['smart-home-unlink'],
    title: 'raw, no credential',
    request: (run) => raw({ ...unlinkEnvelope(run), headers: { request_id: run.requestId } }),
    expected: '200 {"status":401,"payload":{"error":"invalid_token"}}',
    isExpected: isRawRefusal(401, 'invalid_token'),
  },
  {
    functions: ['smart-home-unlink'],
    title: 'raw, an unknown request_type',
    request: (run) => raw({ ...unlinkEnvelope(run), request_type: 'no-such-type' }),
    expected: '200 {"status":400,"payload":{"error":"invalid_request"}}',
    isExpected: isRawRefusal(400, 'invalid_request'),
  },
  {
    functions: ['smart-home-unlink'],
    title: 'raw, empty body',
    request: () => ({ via: 'raw', body: '' }),
    expected: '200 {"status":400,"payload":{"error":"invalid_request"}}',
    isExpected: isRawRefusal(400, 'invalid_request'),
    observe: ({ json }) => `an empty raw body is told to be: ${descriptionOf(json)}`,
  },
  {
    functions: ['smart-home-unlink'],
    title: 'raw, body null',
    request: () => raw(null),
    expected: '200 {"status":400,"payload":{"error":"invalid_request"}}',
    isExpected: isRawRefusal(400, 'invalid_request'),
    observe: ({ json }) => `a raw body null is told to be: ${descriptionOf(json)}`,
  },
  {
    functions: ['smart-home-unlink'],
    title: 'HTTPS without integration=raw',
    request: (run) => ({ via: 'https', headers: bearer(run) }),
    expected: '401 {"error":"invalid_token"}',
    isExpected: isWithheld,
    observe: ({ headers }) =>
      `WWW-Authenticate of a direct call arrives as ${headers.has('www-authenticate') ? 'itself' : headers.has('x-yf-remapped-www-authenticate') ? 'X-Yf-Remapped-Www-Authenticate' : 'nothing'}`,
  },
  {
    functions: ['smart-home-unlink'],
    title: 'POST /v1.0/user/unlink without a credential',
    request: ({ requestId }) => ({
      via: 'gateway',
      method: 'POST',
      path: '/v1.0/user/unlink',
      headers: { 'X-Request-Id': requestId },
    }),
    expected: '401 {"error":"invalid_token"}',
    isExpected: isWithheld,
  },
  {
    functions: ['smart-home-unlink'],
    title: 'POST /v1.0/user/unlink with an unusable X-Request-Id',
    request: (run) => ({
      via: 'gateway',
      method: 'POST',
      path: '/v1.0/user/unlink',
      headers: { ...bearer(run), 'X-Request-Id': 'x'.repeat(256) },
    }),
    expected: '400 {"error":"invalid_request"}',
    isExpected: ({ status, json }) => status === 400 && holds(json, { error: 'invalid_request' }),
  },
  ...LINK_CALLS.flatMap((call): SmokeCall[] => [
    {
      functions: [`external-provider-${call.name}`],
      title: `raw external-provider.${call.name} without a credential`,
      request: ({ requestId }) =>
        raw({ headers: { request_id: requestId }, request_type: `external-provider.${call.name}`, api_version: 1 }),
      expected: '200 {"status":401,"payload":{"error":"invalid_token"}}',
      isExpected: isRawRefusal(401, 'invalid_token'),
    },
    {
      functions: [`external-provider-${call.name}`],
      title: `${call.method} …/users/current/fa${call.rest} without a credential`,
      request: (run) => linkCall(call, run, 'current'),
      expected: '401 {"type":"security_error","error":"invalid_token"}',
      isExpected: ({ status, json }) =>
        status === 401 && holds(json, { type: 'security_error', error: 'invalid_token' }),
    },
    {
      // Not the token's own subject: whatever scopes a user's token has, they are not for this.
      functions: [`external-provider-${call.name}`],
      title: `${call.method} …/users/smoke/fa${call.rest} with a token`,
      request: (run) => linkCall(call, run, 'smoke', bearer(run)),
      expected: '403 or 401 {"type":"security_error"}',
      isExpected: ({ status, json }) =>
        (status === 403 && holds(json, { type: 'security_error', error: 'insufficient_scope' })) ||
        (status === 401 && holds(json, { type: 'security_error', error: 'invalid_token' })),
    },
  ]),
  {
    functions: ['external-provider-bind'],
    title: 'raw external-provider.bind without a credential',
    request: ({ requestId }) =>
      raw({ headers: { request_id: requestId }, request_type: 'external-provider.bind', api_version: 1 }),
    expected: '200 {"status":401,"payload":{"error":"invalid_token"}}',
    isExpected: isRawRefusal(401, 'invalid_token'),
  },
  {
    functions: ['external-provider-bind'],
    title: 'POST …/fa/bind without a credential',
    request: (run) => bindStart(run, {}, UNKNOWN_BIND),
    expected: '401 {"type":"security_error","error":"invalid_token"}',
    isExpected: ({ status, json }) => status === 401 && holds(json, { type: 'security_error', error: 'invalid_token' }),
  },
  {
    functions: ['external-provider-bind'],
    title: 'POST …/fa/bind by the application',
    request: (run) => {
      const { client, callback, provider } = run.bind;
      if (client === undefined || callback === undefined || provider === undefined) {
        return nothing('SMOKE_BIND_CLIENT, --bind-callback and --bind-provider');
      }
      return bindStart(run, { Authorization: client }, { provider, callback });
    },
    expected:
      '200 {"redirectTo":"<at the provider>"}, or 400 that asks for subjectId where BIND_CONFIRMATION is not page',
    isExpected: (answer) => (answer.status === 200 && isProviderUrl(answer.json)) || asksForSubject(answer),
  },
  {
    functions: ['external-provider-bind'],
    title: 'GET …/bind/cb/smoke/smoke with an unknown state',
    request: ({ contextPrefix }) => ({
      via: 'gateway',
      method: 'GET',
      path: `${contextPrefix}/api/users/current/fps/bind/cb/smoke/smoke?state=${UNKNOWN_SECRET}&code=smoke`,
    }),
    expected: '400 with a page of ours',
    isExpected: isMistakePage,
  },
  {
    functions: ['external-provider-bind'],
    title: 'POST …/bind/page without its cookie',
    request: ({ contextPrefix }) => ({
      via: 'gateway',
      method: 'POST',
      path: `${contextPrefix}/api/users/current/fps/bind/page`,
      headers: FORM,
      body: new URLSearchParams({ token: UNKNOWN_SECRET }).toString(),
    }),
    expected: '400 with a page of ours',
    isExpected: isMistakePage,
  },
  {
    functions: ['social-unlink'],
    title: 'raw social.unlink without a token',
    request: ({ requestId }) =>
      raw({ headers: { request_id: requestId }, request_type: 'social.unlink', api_version: 1 }),
    expected: '200 {"status":401,"payload":{"error":true}}',
    isExpected: ({ status, json }) => status === 200 && holds(json, { status: 401, payload: { error: true } }),
  },
  {
    functions: ['social-unlink'],
    title: 'POST /social/unlink without a token',
    request: () => socialUnlink(),
    expected: '401 {"error":true}',
    isExpected: ({ status, json }) => status === 401 && holds(json, { error: true }),
  },
  {
    functions: ['social-unlink'],
    title: 'POST /social/unlink of an address that nobody has',
    request: (run) => socialUnlink(bearer(run)),
    expected: '200 with both false, or 401 or 403 {"error":true} where the token is not for it',
    isExpected: ({ status, json }) =>
      (status === 200 && holds(json, { is_unlinked: false, is_permissions_revoked: false })) ||
      ((status === 401 || status === 403) && holds(json, { error: true })),
    observe: ({ status }) =>
      status === 200
        ? 'the token may unlink a social login'
        : 'the token may not unlink a social login: that takes a token of ISSUER with the scope blitz_api_ufa_chg',
  },
  {
    functions: ['social-unlink'],
    title: 'OPTIONS /social/unlink from an origin that is listed',
    request: ({ shopOrigin }) => (shopOrigin === undefined ? nothing('--shop-origin') : socialPreflight(shopOrigin)),
    expected: '204 for that origin, with Authorization allowed',
    isExpected: ({ status, headers }, { shopOrigin }) =>
      status === 204 &&
      headers.get('access-control-allow-origin') === shopOrigin &&
      /\bauthorization\b/i.test(headers.get('access-control-allow-headers') ?? ''),
    advice: ({ shopOrigin }) => `SHOP_ORIGINS of the function must list ${shopOrigin}.`,
  },
  {
    functions: ['social-unlink'],
    title: 'OPTIONS /social/unlink from an origin that is not listed',
    request: () => socialPreflight('https://smoke.invalid'),
    expected: '204 for no origin',
    isExpected: ({ status, headers }) => status === 204 && !headers.has('access-control-allow-origin'),
  },
  {
    functions: ['social-unlink'],
    title: 'GET /ss_mi.js',
    request: () => ({ via: 'gateway', method: 'GET', path: '/ss_mi.js' }),
    expected: '200 with a script of type text/javascript',
    isExpected: ({ status, headers, text }) =>
      status === 200 && /^text\/javascript\b/.test(headers.get('content-type') ?? '') && text.includes('ss_mi'),
  },
  {
    functions: ['maintenance'],
    title: 'raw, an event that is none of a timer',
    where: 'emulator',
    request: ({ requestId }) => raw({ headers: { request_id: requestId }, request_type: 'maintenance' }),
    expected: '200 {}: it reads nothing of its event, and does its work',
    isExpected: ({ status, text }) => status === 200 && text === '{}',
  },
  ...(['no', 'a made-up'] as const).map(
    (which): SmokeCall => ({
      functions: ['maintenance'],
      title: `raw with ${which} IAM token`,
      where: 'deployment',
      isForbidden: true,
      request: ({ requestId }) => ({
        via: 'raw',
        ...(which === 'a made-up' && { headers: { Authorization: `Bearer t1.${requestId}` } }),
        body: '{}',
      }),
      expected: 'a refusal by the platform: 4xx, not 404 or 429',
      isExpected: isForbiddenByPlatform,
      advice: () =>
        'Nobody but its timer may call it. Anybody can make it work at will if "All users" have the role functions.functionInvoker: npm run deploy takes it away.',
    }),
  ),
  ...(['unbind', 'bind'] as const).flatMap((operation): SmokeCall[] => [
    {
      functions: [`threepid-${operation}`],
      title: `OPTIONS …/account/3pid/${operation}`,
      request: () => matrixCall(operation, 'OPTIONS'),
      expected: '204 for any origin',
      isExpected: ({ status, headers }) => status === 204 && headers.get('access-control-allow-origin') === '*',
    },
    {
      functions: [`threepid-${operation}`],
      title: `POST …/account/3pid/${operation} without a token`,
      request: () => matrixCall(operation, 'POST'),
      expected: '401 {"errcode":"M_MISSING_TOKEN"} for any origin',
      isExpected: ({ status, headers, json }) =>
        status === 401 &&
        holds(json, { errcode: 'M_MISSING_TOKEN' }) &&
        headers.get('access-control-allow-origin') === '*',
    },
    {
      functions: [`threepid-${operation}`],
      title: `GET …/account/3pid/${operation}`,
      request: () => matrixCall(operation, 'GET'),
      expected: '405 {"errcode":"M_UNRECOGNIZED"}',
      isExpected: ({ status, json }) => status === 405 && holds(json, { errcode: 'M_UNRECOGNIZED' }),
    },
    {
      functions: [`threepid-${operation}`],
      title: `raw 3pid.${operation} without a token`,
      request: ({ requestId }) =>
        raw({ headers: { request_id: requestId }, request_type: `3pid.${operation}`, api_version: 1 }),
      expected: '200 {"status":401,"payload":{"errcode":"M_MISSING_TOKEN"}}',
      isExpected: ({ status, json }) =>
        status === 200 && holds(json, { status: 401, payload: { errcode: 'M_MISSING_TOKEN' } }),
    },
  ]),
  {
    functions: ['token-introspect'],
    title: 'POST /oauth/introspect by the client',
    request: oauth('introspect', 'client'),
    expected: '200 {"active":true,…}',
    isExpected: ({ status, json }) => status === 200 && holds(json, { active: true }),
  },
  {
    functions: ['smart-home-unlink'],
    title: 'raw unlink',
    step: 'unlinked',
    request: (run) => raw(unlinkEnvelope(run)),
    expected: '200 {"request_id":"<the same>"}',
    isExpected: isUnlinked,
    observe: ({ headers }) => `a raw answer has Content-Type ${headers.get('content-type')}`,
  },
  {
    functions: ['smart-home-unlink'],
    title: 'POST /v1.0/user/unlink',
    step: 'unlinked',
    isReached: isUnlinked,
    request: (run) => ({
      via: 'gateway',
      method: 'POST',
      path: '/v1.0/user/unlink',
      headers: { ...bearer(run), 'X-Request-Id': run.requestId },
    }),
    expected: '200 {"request_id":"<the same>"}, or 401 where the gateway withholds Authorization',
    isExpected: (answer, run) => isUnlinked(answer, run) || isWithheld(answer),
    observe: (answer) =>
      isWithheld(answer)
        ? 'the gateway withholds Authorization from functions: only raw calls and operations behind an authorizer carry a credential'
        : 'the gateway hands Authorization on to functions',
  },
  // Before another function revokes it too: it must be the unlink that ends it.
  {
    functions: LIFE_FUNCTIONS,
    title: 'GET /whoami with the token, now revoked',
    step: 'refused',
    request: (run) => whoAmI(bearer(run)),
    expected: '403',
    isExpected: ({ status }) => status === 403,
  },
  ...(['revoke', 'introspect'] as const).map(
    (operation): SmokeCall => ({
      functions: [`token-${operation}`],
      title: `POST /oauth/${operation} without a client`,
      request: oauth(operation, 'nobody'),
      expected: '401 {"error":"invalid_client"}',
      isExpected: ({ status, json }) => status === 401 && holds(json, { error: 'invalid_client' }),
    }),
  ),
  {
    functions: ['token-revoke'],
    title: 'POST /oauth/revoke by the client',
    request: oauth('revoke', 'client'),
    expected: '200 without a body',
    isExpected: ({ status, text }) => status === 200 && text === '',
  },
  {
    functions: ['token-introspect', 'token-revoke'],
    title: 'POST /oauth/introspect by the client, once it is revoked',
    request: oauth('introspect', 'client'),
    expected: '200 {"active":false}',
    isExpected: ({ status, json }) => status === 200 && JSON.stringify(json) === '{"active":false}',
  },
];

function isUnlinked({ status, json }: SmokeAnswer, { requestId }: Run): boolean {
  return status === 200 && JSON.stringify(json) === JSON.stringify({ request_id: requestId });
}
