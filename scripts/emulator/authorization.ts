import * as z from 'zod';
import type { Authorizer, Operation } from './gateway-file.ts';
import {
  canonicalHeaderName,
  cookiesOf,
  errorReply,
  type HttpReply,
  type HttpRequest,
  lastValue,
  lastValues,
  parseJson,
  type RequestContext,
  type SingleValues,
} from './http-event.ts';
import type { Outcome } from './instance-pool.ts';

/** What an authorizer decided: a refusal to send, or the context that goes to the integrated function. */
export type Authorization = { refusal: HttpReply } | { context: Record<string, unknown> | undefined };

/** The request of which an authorizer is asked. */
export interface AuthorizationRequest {
  request: HttpRequest;
  resource: string;
  pathParameters: SingleValues;
  requestContext: RequestContext;
}

const AuthorizerResponse = z.object({
  isAuthorized: z.boolean(),
  context: z.nullish(z.record(z.string(), z.unknown())),
});
type AuthorizerResponse = z.infer<typeof AuthorizerResponse>;

/** Makes the check of an operation's security; what authorizers answered is cached where their TTL says so. */
export function createAuthorization(
  invoke: (functionName: string, requestId: string, event: string) => Promise<Outcome>,
  now: () => Date,
): (operation: Operation, asked: AuthorizationRequest) => Promise<Authorization> {
  const cache = new Map<string, { response: AuthorizerResponse; expiresAt: number }>();

  async function ask(authorizer: Authorizer, asked: AuthorizationRequest): Promise<AuthorizerResponse | undefined> {
    const outcome = await invoke(authorizer.functionName, asked.request.requestId, authorizerEvent(asked));
    if (outcome.status !== 'returned') return undefined;
    return AuthorizerResponse.safeParse(parseJson(outcome.body)).data;
  }

  async function askOrRemember(
    authorizer: Authorizer,
    credential: string,
    asked: AuthorizationRequest,
  ): Promise<AuthorizerResponse | undefined> {
    if (authorizer.cacheTtl === 0) return ask(authorizer, asked);
    const place = authorizer.cacheMode === 'uri' ? asked.request.path : asked.resource;
    const key = JSON.stringify([authorizer.scheme, place, asked.request.method, credential]);
    const known = cache.get(key);
    if (known && now().getTime() < known.expiresAt) return known.response;
    const response = await ask(authorizer, asked);
    // A refusal is kept like a permission; a failure is not an answer.
    if (response) cache.set(key, { response, expiresAt: now().getTime() + authorizer.cacheTtl * 1000 });
    return response;
  }

  return async function authorize({ authorizers }, asked) {
    const candidates = authorizers.map((authorizer) => ({
      authorizer,
      credential: authorizer && credentialIn(asked.request, authorizer.credential),
    }));
    const chosen = candidates.find(
      ({ authorizer, credential }) => authorizer === undefined || credential !== undefined,
    );
    if (candidates.length > 0 && chosen === undefined) return { refusal: errorReply(401, 'Unauthorized') };
    if (chosen?.authorizer === undefined || chosen.credential === undefined) return { context: undefined };
    const response = await askOrRemember(chosen.authorizer, chosen.credential, asked);
    if (response === undefined) return { refusal: errorReply(500, 'Internal Server Error', 'AuthorizerError') };
    return response.isAuthorized ? { context: response.context ?? {} } : { refusal: errorReply(403, 'Forbidden') };
  };
}

function credentialIn(request: HttpRequest, credential: Authorizer['credential']): string | undefined {
  switch (credential.kind) {
    case 'authorization': {
      const value = lastValue(request.headers, 'Authorization');
      return value?.toLowerCase().startsWith(credential.prefix) ? value : undefined;
    }
    case 'header':
      return lastValue(request.headers, canonicalHeaderName(credential.name));
    case 'query':
      return request.query[credential.name]?.at(-1);
    case 'cookie':
      return cookiesOf(request)[credential.name];
  }
}

function authorizerEvent({ request, resource, pathParameters, requestContext }: AuthorizationRequest): string {
  return JSON.stringify({
    resource,
    path: request.path,
    httpMethod: request.method,
    headers: lastValues(request.headers),
    queryStringParameters: lastValues(request.query),
    pathParameters,
    requestContext,
    cookies: cookiesOf(request),
  });
}
