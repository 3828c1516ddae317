import type * as z from 'zod/mini';
import { CallerError, isFailure } from '../errors.ts';
import { isDeployed, readEnvironment } from './environment.ts';
import { type FunctionDefinition, STATUS } from './function-definition.ts';
import { httpTransport, isHttpEvent } from './http-transport.ts';
import { createInvocations, type PlatformContext } from './invocation.ts';
import { rawTransport } from './raw-transport.ts';

/** A handler as the platform calls it. */
export type Handler = (event: unknown, context: PlatformContext) => Promise<unknown>;

/**
 * Makes a handler that answers raw calls and the gateway, and logs one line a call. A caller's mistake is an answer on
 * every transport; a failure is an answer on the gateway and thrown in raw, where nothing else shows as one.
 */
export function defineFunction<Schema extends z.ZodMiniObject, Ports>(
  definition: FunctionDefinition<Schema, Ports>,
): Handler {
  const begin = createInvocations(definition.name);
  let ports: Ports | undefined;

  return async (event, context) => {
    const invocation = begin(context);
    const transport = isHttpEvent(event) ? httpTransport(event, definition) : rawTransport(event, definition);
    const id = readRequestId(transport.requestIds, context.requestId);
    invocation.note({ request_id: id.value });
    try {
      ports ??= definition.ports(readEnvironment(definition.environment), isDeployed());
      if (id.isUnusable) {
        throw new CallerError('invalid_request', 'The request id is not 1 to 255 printable characters.');
      }
      const { operation, authorization } = transport.read(invocation);
      const answer = await operation(
        { requestId: id.value, authorization, remainingMs: invocation.remainingMs(), note: invocation.note },
        ports,
      );
      invocation.end({ outcome: 'ok' });
      return transport.encode(id.value, answer);
    } catch (error) {
      if (error instanceof CallerError) {
        invocation.end({ outcome: 'denied', code: error.code });
        const body = definition.errorBody(error.code, error.message);
        return transport.encode(id.value, { status: STATUS[error.code], body });
      }
      const code = isFailure(error) ? error.code : 'server_error';
      invocation.end({ outcome: 'error', code, error });
      return transport.fail(id.value, code);
    }
  };
}

/** The caller's id when it is one of 1 to 255 printable characters, else the platform's. */
function readRequestId(given: readonly unknown[], platformId: string): { value: string; isUnusable: boolean } {
  if (given.length === 0) return { value: platformId, isUnusable: false };
  const [id, ...others] = given;
  const isUsable = others.length === 0 && typeof id === 'string' && /^[^\p{C}\p{Zl}\p{Zp}]{1,255}$/u.test(id);
  return isUsable ? { value: id, isUnusable: false } : { value: platformId, isUnusable: true };
}
