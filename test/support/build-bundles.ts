import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { build, bundleEntry } from '#scripts/build.ts';
import { PORTS } from './load-ports.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder of the functions with every driver in a file of its own, as `npm start` builds them. */
    readonly bundles: string;
    /** The folder of the functions with the SQLite driver alone, as `npm run build -- --store sqlite` builds them. */
    readonly sqliteBundles: string;
  }
}

/**
 * Builds once for the whole test run: the functions, and for each store what tests use of it (`load-ports.ts`), unless
 * `TEST_PORTS` is set.
 */
export async function setup(project: TestProject): Promise<() => void> {
  const folder = await mkdtemp(join(tmpdir(), 'unlink-bundles-'));
  const bundles = join(folder, 'every-driver');
  const sqliteBundles = join(folder, 'sqlite');
  const ports = join(folder, 'ports');
  const setsPorts = process.env.TEST_PORTS === undefined;
  await Promise.all([
    build({ outDir: bundles }),
    build({ outDir: sqliteBundles, stores: ['sqlite'] }),
    ...(setsPorts ? PORTS.map((name) => buildPorts(name, ports)) : []),
  ]);
  project.provide('bundles', bundles);
  project.provide('sqliteBundles', sqliteBundles);
  // The environment, and not the context: processes that tests start load the ports, too.
  if (setsPorts) process.env.TEST_PORTS = ports;
  return () => {
    if (setsPorts) delete process.env.TEST_PORTS;
    rmSync(folder, { recursive: true, force: true });
  };
}

async function buildPorts(name: (typeof PORTS)[number], outDir: string): Promise<void> {
  await bundleEntry(name, join(import.meta.dirname, 'ports', `${name}.ts`), { outDir, stores: [name] });
}
