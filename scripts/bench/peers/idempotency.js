import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency';
import { CachePersistenceLayer } from '@aws-lambda-powertools/idempotency/cache';

const KNOWN = 1000;

/** Powertools' idempotency on its cache layer, whose cache is a Map: a handler that does nothing, once for each event. */
export async function openPeer() {
  const rows = new Map();
  const cache = {
    get: async (key) => rows.get(key) ?? null,
    set: async (key, value, { NX } = {}) => {
      if (NX !== undefined && rows.has(key)) return null;
      rows.set(key, value);
      return 'OK';
    },
    del: async (keys) => keys.filter((key) => rows.delete(key)).length,
  };
  const handler = makeIdempotent(async ({ request_id }) => ({ request_id }), {
    persistenceStore: new CachePersistenceLayer({ client: cache }),
    config: new IdempotencyConfig({ eventKeyJmesPath: 'authorization' }),
  });
  const context = { functionName: 'bench', awsRequestId: 'bench', getRemainingTimeInMillis: () => 5000 };
  const call = (name) => handler({ request_id: 'bench', authorization: `Bearer ${name}` }, context);
  for (let number = 0; number < KNOWN; number += 1) await call(`known-${number}`);
  return {
    operations: {
      revoke: { call: (index) => call(`new-${index}`) },
      'revoke-again': { call: (index) => call(`known-${index % KNOWN}`) },
    },
  };
}
