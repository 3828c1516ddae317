import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { KEPT_LINKS, type Side, type SideName, type SideSettings, SUBJECTS } from './side.ts';

/** Their package.json is one of their own, below a folder of their own: nothing else is to find what they need. */
const FOLDER = join(import.meta.dirname, 'peers');

/** Installs the peers as their lockfile has them, unless they are there. */
export function installPeers(): void {
  const installed = join(FOLDER, 'node_modules/.package-lock.json');
  const isThere =
    existsSync(installed) && lockedPackages(installed) === lockedPackages(join(FOLDER, 'package-lock.json'));
  if (isThere) return;
  console.error('Installing the peers, once …');
  execFileSync('npm', ['ci', '--prefix', FOLDER, '--no-audit', '--no-fund', '--loglevel=error'], { stdio: 'inherit' });
}

/** What a lockfile locks, without the package itself. */
function lockedPackages(lockfile: string): string {
  const { packages } = JSON.parse(readFileSync(lockfile, 'utf8')) as { packages: Record<string, { version: string }> };
  return JSON.stringify(
    Object.entries(packages)
      .filter(([path]) => path !== '')
      .map(([path, { version }]) => `${path}@${version}`)
      .sort(),
  );
}

/** The peers' versions, and those of what the product is made of. */
export function versions(): Record<string, string> {
  const { dependencies } = JSON.parse(readFileSync(join(FOLDER, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const project = createRequire(import.meta.url);
  const own = ['iovalkey', 'jose', 'pg'].map((name) => [name, versionOf(project, name)] as const);
  return { ...dependencies, ...Object.fromEntries(own) };
}

function versionOf(load: NodeJS.Require, name: string): string {
  const [folder = ''] = load.resolve.paths(name)?.filter((path) => existsSync(join(path, name))) ?? [];
  return String(JSON.parse(readFileSync(join(folder, name, 'package.json'), 'utf8')).version);
}

/** Opens a peer, whose half is JavaScript beside what it needs. */
export async function openPeer(name: SideName, { store, folder }: SideSettings): Promise<Side> {
  const { openPeer } = await import(join(FOLDER, `${name}.js`));
  return openPeer({ store, folder, subjects: SUBJECTS, keptLinks: KEPT_LINKS });
}
