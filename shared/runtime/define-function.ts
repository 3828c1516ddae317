import { CallerError, isFailure } from '../errors.ts';
import type { Variables } from '../settings.ts';
import { readEnvironment } from './environment.ts';
import { type Answer, errorAnswer, type FunctionDefinition, type Transport } from './function-definition.ts';
import { httpTransport, isHttpEvent } from './http-transport.ts';
import { createInvocations, type Invocation, type PlatformContext } from './invocation.ts';
import { rawTransport } from './raw-transport.ts';
import { type RequestId, readRequestId } from './request-id.ts';

/** A handler as the platform calls it. */
export type Handler = (event: unknown, context: PlatformContext) => Promise<unknown>;

/**
 * Makes a handler that answers raw calls and the gateway, and logs one line a call. A caller's mistake is an answer on
 * every transport; a failure is an answer on the gateway and thrown in raw, where nothing else shows as one.
 */
export function defineFunction<Asked extends Variables, Ports>(definition: FunctionDefinition<Asked, Ports>): Handler {
  const invocations = createInvocations(definition.name);
  let ports: Ports | undefined;

  async function run(transport: Transport<Ports>, id: RequestId, invocation: Invocation): Promise<Answer> {
    ports ??= definition.ports(readEnvironment(definition.environment), invocations.platform);
    if (id.isUnusable) {
      throw new CallerError('invalid_request', 'The request id is not 1 to 255 printable characters.');
    }
    const { operation, ...read } = transport.read(invocation);
    const { traceparent, remainingMs, note, warn, audit, alert } = invocation;
    return await operation(
      { requestId: id.value, traceparent, remainingMs, note, warn, audit, alert, header: transport.header, ...read },
      ports,
    );
  }

  function answerError(error: unknown, invocation: Invocation): Answer {
    if (error instanceof CallerError) {
      invocation.end({ outcome: 'denied', code: error.code });
      return errorAnswer(error, definition);
    }
    const code = isFailure(error) ? error.code : 'server_error';
    // A limit that holds is no failure: a stranger must not make the alerts of failures ring.
    const outcome = isFailure(error) && 'isLimit' in error ? 'denied' : 'error';
    invocation.end({ outcome, code, error });
    return errorAnswer(code, definition);
  }

  return async (event, context) => {
    const transport = isHttpEvent(event) ? httpTransport(event, definition) : rawTransport(event, definition);
    const invocation = invocations.begin(context, transport.header('traceparent'));
    const id = readRequestId(transport.requestIds, context.requestId);
    invocation.note({ request_id: id.value });
    let answer: Answer;
    try {
      answer = await run(transport, id, invocation);
      const { status, failure: code, cause: error } = answer;
      invocation.end({ outcome: status >= 500 ? 'error' : status >= 400 ? 'denied' : 'ok', code, error });
    } catch (error) {
      answer = answerError(error, invocation);
    }
    const headers = definition.headers?.(transport.header, ports);
    return transport.encode(
      id.value,
      headers === undefined ? answer : { ...answer, headers: { ...headers, ...answer.headers } },
    );
  };
}
