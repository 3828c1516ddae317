import { blitzError } from '#shared/account-link/blitz-error.ts';
import { type ListLinksPorts, listLinks } from '#shared/account-link/list-links.ts';
import { LinkEnvironment, openLinkPorts } from '#shared/account-link/open-ports.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Operation } from '#shared/runtime/function-definition.ts';

const list =
  ({ allowsBasic }: { allowsBasic: boolean }): Operation<ListLinksPorts> =>
  async (call, ports) => ({
    status: 200,
    body: await listLinks({ ...call, allowsBasic }, ports),
    headers: { 'Cache-Control': 'private, no-cache' },
  });

/** The links of a subject (Blitz `fa`). Version 3 of the API takes access tokens alone. */
export const handler = defineFunction({
  name: 'external-provider-list',
  environment: LinkEnvironment,
  ports: openLinkPorts,
  raw: { 'external-provider.list': list({ allowsBasic: true }) },
  gateway: {
    'external-provider-list': list({ allowsBasic: false }),
    'external-provider-list.v2': list({ allowsBasic: true }),
  },
  errorBody: blitzError,
});
