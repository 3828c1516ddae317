import { createHook } from 'node:async_hooks';

/** What a run asked of the network. */
export interface NetworkUse {
  /** The lookups of names: by the system, which knows its hosts file too, or by queries to DNS. */
  readonly lookups: readonly ('system' | 'dns')[];
  /** The addresses and ports that were connected to, or tried. */
  readonly connections: readonly string[];
}

/** Watches, underneath every library, what a run asks of the network. */
export async function networkUseOf(run: () => unknown): Promise<NetworkUse> {
  const lookups: ('system' | 'dns')[] = [];
  const attempts: { address?: string; port?: number }[] = [];
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'GETADDRINFOREQWRAP') lookups.push('system');
      if (type === 'QUERYWRAP') lookups.push('dns');
      // Such a resource gets both just after it is made.
      if (type === 'TCPCONNECTWRAP') attempts.push(resource as { address?: string; port?: number });
    },
  }).enable();
  try {
    await run();
  } finally {
    hook.disable();
  }
  return { lookups, connections: attempts.map(({ address, port }) => `${address} ${port}`) };
}
