import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

interface LockedPackage {
  readonly version: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

const manifest = JSON.parse(readFileSync('package.json', 'utf8'));
const lockfile = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const locked = Object.entries<LockedPackage>(lockfile.packages).filter(([path]) => path !== '');

/** Paths of the locked packages that are so. */
const pathsOf = (isSo: (locked: LockedPackage) => boolean) =>
  locked.flatMap(([path, entry]) => (isSo(entry) ? path : []));

describe('docs/dependencies.md', () => {
  const rows = readFileSync('docs/dependencies.md', 'utf8').matchAll(/^\| `([^`]+)` \| (.+) \| (.+) \|$/gm);
  const dependencies = [...rows].map(([, name, why, exit]) => ({ name, why, exit }));

  test('says of each runtime dependency, and of no other, why it is there and what would be in its place', () => {
    const names = dependencies.map(({ name }) => name).filter((name) => !name?.startsWith('npm run'));

    expect(names).toEqual(Object.keys(manifest.dependencies));
  });
});

describe('a dependency', () => {
  test('of ours is pinned to one version, which is the one that is locked', () => {
    const { dependencies, devDependencies, optionalDependencies } = manifest;
    const pinned = { ...dependencies, ...devDependencies, ...optionalDependencies };

    for (const [name, version] of Object.entries(pinned)) {
      expect([name, lockfile.packages[`node_modules/${name}`]?.version]).toEqual([name, version]);
    }
  });

  test('is locked with its integrity, SHA-512', () => {
    expect(lockfile.lockfileVersion).toBe(3);
    expect(pathsOf(({ integrity }) => !integrity?.startsWith('sha512-'))).toEqual([]);
  });

  // Without an address, npm asks the registry that the user has chosen.
  test('comes from a registry by https, all from one, and from nowhere else', () => {
    const hosts = locked.flatMap(([, { resolved }]) => (resolved === undefined ? [] : new URL(resolved).host));

    expect(pathsOf(({ resolved = 'https:' }) => !resolved.startsWith('https:'))).toEqual([]);
    expect(pathsOf(({ link }) => link === true)).toEqual([]);
    expect(new Set(hosts).size).toBeLessThan(2);
  });

  test('that is deployed runs no script at its installation, and npm would not let it', () => {
    expect(pathsOf(({ dev, hasInstallScript }) => hasInstallScript === true && dev !== true)).toEqual([]);
    expect(readFileSync('.npmrc', 'utf8')).toMatch(/^ignore-scripts=true$/m);
  });
});
