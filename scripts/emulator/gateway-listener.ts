import type { IncomingMessage, Server } from 'node:http';
import createRouter from 'find-my-way';
import { createAuthorization } from './authorization.ts';
import { corsHeaders, isPreflight } from './cors.ts';
import type { DummyIntegration, GatewayPath, Operation, Parameter } from './gateway-file.ts';
import {
  canonicalHeaderName,
  cookiesOf,
  createReplyServer,
  encodeBody,
  errorReply,
  type HttpReply,
  type HttpRequest,
  lastValue,
  lastValues,
  type MultiValues,
  type RequestContext,
  readRequest,
  replyOf,
  requestContextOf,
  type SingleValues,
  without,
} from './http-event.ts';
import type { InstancePool, Outcome } from './instance-pool.ts';
import { StartError } from './start-error.ts';

/** The documented limit of a gateway's request in bytes: 2.5 MB. */
const REQUEST_LIMIT = 2_621_440;

const CREDENTIAL_HEADERS = new Set(['Authorization', 'Cookie']);
const HOP_BY_HOP_HEADERS = new Set([
  'Connection',
  'Keep-Alive',
  'Proxy-Authenticate',
  'Proxy-Authorization',
  'Te',
  'Trailer',
  'Transfer-Encoding',
  'Upgrade',
]);

export interface GatewayListenerOptions {
  paths: GatewayPath[];
  pools: Map<string, InstancePool>;
  /** Withhold Authorization and Cookie from the integrated function; its authorizer gets them all the same. */
  stripCredentialHeaders: boolean;
  now: () => Date;
}

/** A request that has found its operation. */
interface Routed {
  request: HttpRequest;
  resource: string;
  operation: Operation;
  pathParameters: SingleValues;
  requestContext: RequestContext;
}

/** The gateway's host; what it serves is said by its specification. */
export function createGatewayListener(options: GatewayListenerOptions): Server {
  const findPath = createPathFinder(options.paths);
  const invoke = async (name: string, requestId: string, event: string): Promise<Outcome> =>
    // Names were checked when the specification was read.
    (await options.pools.get(name)?.invoke(requestId, event)) ?? { status: 'overloaded' };
  const authorize = createAuthorization(invoke, options.now);
  const withheldHeaders = options.stripCredentialHeaders
    ? new Set([...HOP_BY_HOP_HEADERS, ...CREDENTIAL_HEADERS])
    : HOP_BY_HOP_HEADERS;

  async function answer(message: IncomingMessage): Promise<HttpReply> {
    const request = await readRequest(message, REQUEST_LIMIT);
    if (request === undefined) {
      return errorReply(413, `request entity is larger than limits (${REQUEST_LIMIT})`, 'ProxyIntegrationError');
    }
    if (!isUnambiguous(request.path)) return errorReply(400, 'Bad Request');
    const found = findPath(request.path);
    if (found === undefined) return errorReply(404, 'Not Found');
    const { template, operations, cors } = found.path;
    if (cors && isPreflight(request)) {
      return { status: cors.optionsSuccessStatus, headers: corsHeaders(cors, request), body: '' };
    }
    const operation = operations.get(request.method) ?? operations.get('ANY');
    if (operation === undefined) return methodNotAllowed(operations);
    const requestContext = requestContextOf(request, options.now());
    const { pathParameters } = found;
    const reply = await serve({ request, resource: template, operation, pathParameters, requestContext });
    if (cors) Object.assign(reply.headers, corsHeaders(cors, request));
    return reply;
  }

  async function serve(routed: Routed): Promise<HttpReply> {
    const { request, operation } = routed;
    const authorization = await authorize(operation, routed);
    if ('refusal' in authorization) return authorization.refusal;
    const { integration } = operation;
    if (integration.type === 'dummy') return dummyReply(integration, routed);
    const headers = without(request.headers, withheldHeaders);
    const parameters = declaredParameters(operation.parameters, { ...routed, request: { ...request, headers } });
    const event = functionEvent(routed, headers, parameters, {
      ...routed.requestContext,
      ...(authorization.context && { authorizer: authorization.context }),
      ...(integration.context && {
        apiGateway: { operationContext: substitute(integration.context, lastValues(parameters)) },
      }),
    });
    const reply = replyOf(await invoke(integration.functionName, request.requestId, event));
    for (const name of HOP_BY_HOP_HEADERS) delete reply.headers[name];
    return reply;
  }

  return createReplyServer(answer);
}

type PathFinder = (path: string) => { path: GatewayPath; pathParameters: SingleValues } | undefined;

function createPathFinder(paths: GatewayPath[]): PathFinder {
  const router = createRouter({ maxParamLength: 16_384 });
  const routes = paths.map((path) => ({
    path,
    names: [...path.template.matchAll(/\{([^}+]+)\+?\}/g)].map(([, name]) => name ?? ''),
  }));
  for (const route of routes) {
    try {
      // The method is looked up later: a known path with another method is a 405.
      router.on('GET', routerPattern(route.path.template), () => {}, route);
    } catch (error) {
      // The router throws Errors.
      throw new StartError(`The path ${route.path.template} is not emulated: ${(error as Error).message}.`);
    }
  }
  return (requestPath) => {
    const found = router.find('GET', requestPath);
    if (found === null) return undefined;
    // The store is what was registered with the route above.
    const { path, names } = found.store as (typeof routes)[number];
    const values = names.map((_, at) => found.params[`p${at}`] ?? found.params['*'] ?? '');
    if (values.includes('')) return undefined;
    return { path, pathParameters: Object.fromEntries(names.map((name, at) => [name, values[at] ?? ''])) };
  };
}

/** Whether a path is the same to everyone on its way: it decodes, and has no segment that some would resolve. */
function isUnambiguous(path: string): boolean {
  try {
    return path.split('/').every((segment) => !/^\.{1,2}$/.test(decodeURIComponent(segment)));
  } catch {
    return false;
  }
}

/** Parameters by position, since OpenAPI allows more names than the router; only a last one may be greedy. */
function routerPattern(template: string): string {
  let position = -1;
  return template.replaceAll(':', '::').replace(/\{[^}]+\}/g, (parameter, at: number) => {
    position += 1;
    if (!parameter.endsWith('+}')) return `:p${position}`;
    if (at + parameter.length < template.length) throw new Error('a greedy parameter must come last');
    return '*';
  });
}

function functionEvent(
  { request, resource, operation, pathParameters }: Routed,
  headers: MultiValues,
  parameters: MultiValues,
  requestContext: RequestContext,
): string {
  return JSON.stringify({
    version: '1.0',
    resource,
    path: request.path,
    httpMethod: request.method,
    headers: lastValues(headers),
    multiValueHeaders: headers,
    queryStringParameters: lastValues(request.query),
    multiValueQueryStringParameters: request.query,
    requestContext,
    pathParameters,
    ...encodeBody(request),
    parameters: lastValues(parameters),
    multiValueParameters: parameters,
    operationId: operation.operationId,
  });
}

/** The values of the parameters that the specification declares, as far as the request has them. */
function declaredParameters(declared: Parameter[], { request, pathParameters }: Routed): MultiValues {
  const cookies = cookiesOf(request);
  const single = (value: string | undefined) => (value === undefined ? undefined : [value]);
  const sources = {
    path: (name: string) => single(pathParameters[name]),
    query: (name: string) => request.query[name],
    header: (name: string) => request.headers[canonicalHeaderName(name)],
    cookie: (name: string) => single(cookies[name]),
  };
  const values: MultiValues = {};
  for (const parameter of declared) {
    const list = sources[parameter.in](parameter.name);
    if (list) values[parameter.name] = list;
  }
  return values;
}

function dummyReply(dummy: DummyIntegration, routed: Routed): HttpReply {
  const accept = lastValue(routed.request.headers, 'Accept');
  const chosen =
    accept === undefined ? Object.keys(dummy.content)[0] : acceptedType(Object.keys(dummy.content), accept);
  if (chosen === undefined && Object.keys(dummy.content).length > 0) return errorReply(415, 'Media not supported');
  const parameters = lastValues(declaredParameters(routed.operation.parameters, routed));
  const body = substitute(dummy.content[chosen ?? ''] ?? '', parameters);
  const headers: HttpReply['headers'] = chosen && chosen !== '*' ? { 'Content-Type': chosen } : {};
  for (const [name, value] of Object.entries(dummy.http_headers)) headers[canonicalHeaderName(name)] ??= value;
  return { status: dummy.http_code, headers, body };
}

/** The offered media type that an Accept header likes best; `*` when it likes none. */
function acceptedType(offered: string[], accept: string): string | undefined {
  const wanted = accept
    .split(',')
    .map((range) => {
      const [type = '', ...attributes] = range.split(';').map((part) => part.trim().toLowerCase());
      const quality = attributes.find((attribute) => attribute.startsWith('q='));
      return { type, quality: quality ? Number(quality.slice(2)) : 1 };
    })
    .filter(({ quality }) => quality > 0)
    .sort((one, other) => other.quality - one.quality);
  for (const { type } of wanted) {
    const prefix = type === '*/*' ? '' : type.endsWith('/*') ? type.slice(0, -1) : undefined;
    const match = offered.find(
      (offer) => offer !== '*' && (offer === type || (prefix !== undefined && offer.startsWith(prefix))),
    );
    if (match) return match;
  }
  return offered.includes('*') ? '*' : undefined;
}

/** Puts the values of declared parameters in place of `{name}`, in all strings of a value. */
function substitute<Value>(value: Value, parameters: SingleValues): Value {
  const text = JSON.stringify(value).replace(/\{([^{}"]+)\}/g, (whole, name: string) => {
    const replacement = parameters[name];
    return replacement === undefined ? whole : JSON.stringify(replacement).slice(1, -1);
  });
  // The same value but for parts of its strings.
  return JSON.parse(text) as Value;
}

function methodNotAllowed(operations: Map<string, Operation>): HttpReply {
  const reply = errorReply(405, 'Method Not Allowed');
  reply.headers.Allow = [...operations.keys()].join(', ');
  return reply;
}
