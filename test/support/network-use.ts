import { createHook } from 'node:async_hooks';

/** What a run asked of the network. */
export interface NetworkUse {
  /** How often a name was looked up, in whatever way. */
  readonly lookups: number;
  /** The addresses and ports that were connected to, or tried. */
  readonly connections: readonly string[];
}

/** Watches, underneath every library, what a run asks of the network. */
export async function networkUseOf(run: () => unknown): Promise<NetworkUse> {
  let lookups = 0;
  const attempts: { address?: string; port?: number }[] = [];
  const hook = createHook({
    init(_id, type, _trigger, resource) {
      if (type === 'GETADDRINFOREQWRAP' || type === 'QUERYWRAP') lookups += 1;
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
