import { createRequire } from 'node:module';
import { join } from 'node:path';

/** The stores that users deploy, and what tests use of each. */
export interface Ports {
  readonly sqlite: typeof import('./ports/sqlite.ts');
  readonly postgres: typeof import('./ports/postgres.ts');
  readonly redis: typeof import('./ports/redis.ts');
  readonly dynamodb: typeof import('./ports/dynamodb.ts');
}

export const PORTS: readonly (keyof Ports)[] = ['sqlite', 'postgres', 'redis', 'dynamodb'];

/**
 * Loads what tests use of a store from a bundle that is built as `npm run build -- --store <name>` builds a function.
 * `TEST_PORTS=source` loads it from the source instead, for runs that change the source, such as mutation tests.
 */
export async function loadPorts<Name extends keyof Ports>(name: Name): Promise<Ports[Name]> {
  const { TEST_PORTS } = process.env;
  if (TEST_PORTS === undefined) throw new Error('TEST_PORTS names no folder: build-bundles.ts sets it');
  if (TEST_PORTS === 'source') return await import(`./ports/${name}.ts`);
  return createRequire(import.meta.url)(join(TEST_PORTS, name, 'index.js'));
}
