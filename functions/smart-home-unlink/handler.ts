import { createInactiveLimit } from '#shared/access-token/inactive-tokens.ts';
import { AuthorizeEnvironment, openAuthorizePorts } from '#shared/access-token/open-ports.ts';
import { type OutgoingResponse, send } from '#shared/outgoing/send.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';
import { type ForwardPorts, FulfilmentEnvironment, forwardRaw, forwardRest } from '#shared/smart-home/forward.ts';
import { UnlinkEnvironment, type UnlinkPorts, unlink } from '#shared/smart-home/unlink.ts';
import { openUpstream, UpstreamRevocationEnvironment } from '#shared/smart-home/upstream.ts';

type Ports = UnlinkPorts & ForwardPorts;

const unlinkAccount: Operation<Ports> = async (call, ports) => {
  await unlink(call, ports);
  return { status: 200, body: { request_id: call.requestId } };
};

const checkAvailability: Operation<Ports> = async () => ({ status: 200 });

const passOn: Operation<Ports> = async (call, ports) => ({ status: 200, body: await forwardRaw(call, ports) });

const restOperations = Object.fromEntries(
  (['devices', 'query', 'action'] as const).map((name): [string, Operation<Ports>] => [
    `smart-home-unlink.${name}`,
    async (call, ports) => {
      const { status, headers, body } = await forwardRest(name, call, ports);
      return { status, body, headers: describeBody(headers) };
    },
  ]),
);

/** The headers that say how the body is to be read. */
function describeBody(headers: OutgoingResponse['headers']): Record<string, string> {
  const { 'content-type': type, 'content-encoding': encoding } = headers;
  return {
    ...(typeof type === 'string' && { 'Content-Type': type }),
    ...(typeof encoding === 'string' && { 'Content-Encoding': encoding }),
  };
}

/**
 * The function of a Yandex Smart Home skill, raw and behind the gateway: answers `unlink`, and passes every other
 * request on to the provider's own function.
 */
export const handler = defineFunction({
  name: 'smart-home-unlink',
  environment: {
    ...AuthorizeEnvironment,
    ...UnlinkEnvironment,
    ...UpstreamRevocationEnvironment,
    ...FulfilmentEnvironment,
  },
  ports: (settings, platform) => ({
    ...openAuthorizePorts(settings, platform),
    settings,
    inactiveLimit: createInactiveLimit(),
    upstream: openUpstream(settings, platform),
    fulfilment: settings,
    send,
  }),
  raw: { unlink: unlinkAccount, discovery: passOn, query: passOn, action: passOn },
  gateway: {
    'smart-home-unlink': unlinkAccount,
    'smart-home-unlink.check': checkAvailability,
    'smart-home-unlink.check-slash': checkAvailability,
    ...restOperations,
  },
  large: ['discovery', 'query', 'action', ...Object.keys(restOperations)],
  errorBody: (error, error_description) => ({ error, error_description }),
  bareRawSuccess: true,
});
