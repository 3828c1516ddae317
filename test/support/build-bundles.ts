import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { build } from '#scripts/build.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder of the functions as they are deployed, every driver in a file of its own. */
    readonly bundles: string;
  }
}

/** Builds the functions once for the whole test run. */
export async function setup(project: TestProject): Promise<() => void> {
  const bundles = await mkdtemp(join(tmpdir(), 'unlink-bundles-'));
  await build({ outDir: bundles });
  project.provide('bundles', bundles);
  return () => rmSync(bundles, { recursive: true, force: true });
}
