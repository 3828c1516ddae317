import { monotonicMs } from '../clock.ts';
import { CallerError, isFailure } from '../errors.ts';
import { isJsonObject } from '../json.ts';
import type { Platform } from '../platform.ts';
import type { Settings, Variables } from '../settings.ts';
import type { Handler } from './define-function.ts';
import { readEnvironment } from './environment.ts';
import { createFailure } from './failure.ts';
import { assertEventShape, headerOf, httpCredential, requestIdsOf } from './http-transport.ts';
import { createInvocations } from './invocation.ts';
import { readRequestId } from './request-id.ts';

/** What deciding about a call takes, in milliseconds, at the most: every call of every resource waits for it. */
const MAX_DECISION_MS = 1000;

/** A function authorizer as its handler declares it. */
export interface AuthorizerDefinition<Asked extends Variables, Ports> {
  readonly name: string;
  readonly environment: Asked;
  readonly ports: (settings: Settings<Asked>, platform: Platform) => Ports;
  /** Whether the credential may pass. */
  readonly isAuthorized: (
    request: {
      readonly authorization: string | undefined;
      readonly traceparent: string;
      readonly remainingMs: () => number;
      readonly note: (fields: Record<string, unknown>) => void;
    },
    ports: Ports,
  ) => Promise<boolean>;
}

/**
 * Makes a handler for API Gateway's function authorizer. Every refusal is alike; the credential is handed on, for the
 * next function verifies it again; a failure is thrown, since a refusal would read as "revoked" and could be cached.
 *
 * @see https://yandex.cloud/en/docs/api-gateway/concepts/extensions/function-authorizer
 */
export function defineAuthorizer<Asked extends Variables, Ports>(
  definition: AuthorizerDefinition<Asked, Ports>,
): Handler {
  const invocations = createInvocations(definition.name);
  let ports: Ports | undefined;

  return async (event, context) => {
    const traceparent = isJsonObject(event) ? headerOf(event, 'traceparent') : undefined;
    const invocation = invocations.begin(context, traceparent);
    const requestIds = isJsonObject(event) ? requestIdsOf(event) : [];
    invocation.note({ transport: 'authorizer', request_id: readRequestId(requestIds, context.requestId).value });
    try {
      ports ??= definition.ports(readEnvironment(definition.environment), invocations.platform);
      const authorization = readCredential(event);
      const endsAt = monotonicMs() + MAX_DECISION_MS;
      const remainingMs = () => Math.min(invocation.remainingMs(), endsAt - monotonicMs());
      const { note, traceparent } = invocation;
      const isAuthorized = await definition.isAuthorized({ authorization, traceparent, remainingMs, note }, ports);
      invocation.end({ outcome: isAuthorized ? 'ok' : 'denied' });
      return isAuthorized ? { isAuthorized, context: { authorization } } : { isAuthorized };
    } catch (error) {
      const code = isFailure(error) ? error.code : 'server_error';
      invocation.end({ outcome: 'error', code, error });
      throw createFailure(code);
    }
  };
}

/** The credential of an authorizer event. Two that differ are none; an event beyond the limits has none. */
function readCredential(event: unknown): string | undefined {
  if (!isJsonObject(event)) return undefined;
  try {
    assertEventShape(event);
    return httpCredential(event);
  } catch (error) {
    if (error instanceof CallerError) return undefined;
    throw error;
  }
}
