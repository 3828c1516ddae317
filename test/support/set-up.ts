import type { TestProject } from 'vitest/node';
import { buildBundles } from './build-bundles.ts';
import { startServices } from './services.ts';
import { stripModules } from './stripped-modules.ts';

/** Makes what all tests share, all of it at once. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const ends = await Promise.all([stripModules(), buildBundles(project), startServices(project)]);
  return async () => void (await Promise.all(ends.map((end) => end())));
}
