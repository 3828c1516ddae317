/** What each function is called with, in this order: one entry a call. A new function adds its own. */
export interface SmokeCall {
  /** The functions that it takes; it is tried where all of them are deployed. */
  readonly functions: readonly [string, ...string[]];
  readonly title: string;
  readonly request: (run: Run) => SmokeRequest;
  /** It is tried where a client is given. */
  readonly needsClient?: boolean;
  /** What is expected, as it is printed. */
  readonly expected: string;
  readonly isExpected: (answer: SmokeAnswer, run: Run) => boolean;
  /** What the answer tells of the platform where its documentation is silent; it is no verdict. */
  readonly observe?: (answer: SmokeAnswer) => string;
}

/** What a run is given. */
export interface Run {
  /** A token of its own, to be revoked. */
  readonly token: string;
  readonly requestId: string;
  /** `Authorization` of a client that the token was issued to. */
  readonly client?: string | undefined;
  /** What the gateway's paths of the Blitz API begin with, such as `/blitz`. */
  readonly contextPrefix: string;
}

/** `raw` and `https` go to a function's own URL, with `?integration=raw` and without; `gateway` goes to a path. */
export type SmokeRequest =
  | { readonly via: 'raw'; readonly body: string }
  | { readonly via: 'https'; readonly headers: Readonly<Record<string, string>> }
  | {
      readonly via: 'gateway';
      readonly method: string;
      readonly path: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    };

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

const oauth =
  (operation: 'revoke' | 'introspect', isClient: boolean) =>
  ({ token, client = '' }: Run): SmokeRequest => ({
    via: 'gateway',
    method: 'POST',
    path: `/oauth/${operation}`,
    headers: {
      'Content-Type': 'application/x-www-form-urlencoded',
      ...(isClient && { Authorization: client }),
    },
    body: new URLSearchParams({ token }).toString(),
  });

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

/** The calls of the Matrix API that need no user: what there is beside an unbind or a bind, and one without a token. */
const matrixCall = (operation: 'unbind' | 'bind', method: string): SmokeRequest => ({
  via: 'gateway',
  method,
  path: `/_matrix/client/v3/account/3pid/${operation}`,
  ...(method === 'POST' && { headers: { 'Content-Type': 'application/json' }, body: '{}' }),
});

/** Whether JSON holds at least these fields. */
function holds(json: unknown, fields: Readonly<Record<string, unknown>>): boolean {
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
    title: 'GET /whoami with a token',
    request: (run) => whoAmI(bearer(run)),
    expected: '200',
    isExpected: ({ status }) => status === 200,
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
    title: 'raw, a request_type that there is not',
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
    needsClient: true,
    request: oauth('introspect', true),
    expected: '200 {"active":true,…}',
    isExpected: ({ status, json }) => status === 200 && holds(json, { active: true }),
  },
  {
    functions: ['smart-home-unlink'],
    title: 'raw unlink',
    request: (run) => raw(unlinkEnvelope(run)),
    expected: '200 {"request_id":"<the same>"}',
    isExpected: isUnlinked,
    observe: ({ headers }) => `a raw answer has Content-Type ${headers.get('content-type')}`,
  },
  {
    functions: ['smart-home-unlink'],
    title: 'POST /v1.0/user/unlink',
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
  ...(['revoke', 'introspect'] as const).map(
    (operation): SmokeCall => ({
      functions: [`token-${operation}`],
      title: `POST /oauth/${operation} without a client`,
      request: oauth(operation, false),
      expected: '401 {"error":"invalid_client"}',
      isExpected: ({ status, json }) => status === 401 && holds(json, { error: 'invalid_client' }),
    }),
  ),
  {
    functions: ['token-revoke'],
    title: 'POST /oauth/revoke by the client',
    needsClient: true,
    request: oauth('revoke', true),
    expected: '200 without a body',
    isExpected: ({ status, text }) => status === 200 && text === '',
  },
  {
    functions: ['token-introspect', 'token-revoke'],
    title: 'POST /oauth/introspect by the client, once it is revoked',
    needsClient: true,
    request: oauth('introspect', true),
    expected: '200 {"active":false}',
    isExpected: ({ status, json }) => status === 200 && JSON.stringify(json) === '{"active":false}',
  },
  {
    functions: ['token-authorize', 'smart-home-unlink'],
    title: 'GET /whoami with the token, now revoked',
    request: (run) => whoAmI(bearer(run)),
    expected: '403',
    isExpected: ({ status }) => status === 403,
  },
];

function isUnlinked({ status, json }: SmokeAnswer, { requestId }: Run): boolean {
  return status === 200 && JSON.stringify(json) === JSON.stringify({ request_id: requestId });
}
