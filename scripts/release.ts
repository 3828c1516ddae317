import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BUNDLE_OPTIONS, build, DRIVERS, type Driver } from './build.ts';
import { createSbom } from './release/sbom.ts';

/** What a release is made of and where it goes. */
export interface ReleaseSettings {
  readonly stores: readonly Driver[];
  readonly outDir: string;
  /** The project, a clone with nothing uncommitted. */
  readonly root: string;
}

/** What tells which commit made which bytes. No date, so that whoever makes it again gets the same. */
export interface Release {
  readonly name: string;
  readonly version: string;
  /** The whole id. */
  readonly commit: string;
  /** What the code is built for, as esbuild names it. */
  readonly target: string;
  readonly stores: readonly Driver[];
  /** Path below the folder of the release → content. */
  readonly files: Readonly<Record<string, ReleasedFile>>;
}

interface ReleasedFile {
  /** In hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
  /** Of a function: the drivers whose code is in it. */
  readonly drivers?: readonly string[];
}

/**
 * Builds the functions of the commit that is checked out, and beside them `sbom.json`, `NOTICE`, `LICENSE`,
 * `release.json`, and `SHA256SUMS`, which `sha256sum --check` reads. Rejects where something is not committed.
 */
export async function makeRelease({ stores, outDir, root }: ReleaseSettings): Promise<Release> {
  const changes = git(root, ['status', '--porcelain']);
  if (changes !== '') throw new Error(`a release is made of a commit, and this is not committed:\n${changes}`);
  await build({ stores, outDir, root });
  writeFileSync(join(outDir, 'sbom.json'), createSbom(root));
  for (const file of ['NOTICE', 'LICENSE']) copyFileSync(join(root, file), join(outDir, file));
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const release: Release = {
    name,
    version,
    commit: git(root, ['rev-parse', 'HEAD']),
    target: BUNDLE_OPTIONS.target,
    stores,
    files: {
      ...JSON.parse(readFileSync(join(outDir, 'manifest.json'), 'utf8')),
      ...Object.fromEntries(['sbom.json', 'NOTICE', 'LICENSE'].map((file) => [file, digest(join(outDir, file))])),
    },
  };
  writeFileSync(join(outDir, 'release.json'), `${JSON.stringify(release, null, 2)}\n`);
  const sums = Object.entries({ ...release.files, 'release.json': digest(join(outDir, 'release.json')) });
  writeFileSync(join(outDir, 'SHA256SUMS'), sums.map(([path, { sha256 }]) => `${sha256}  ${path}\n`).join(''));
  return release;
}

function digest(path: string): ReleasedFile {
  const content = readFileSync(path);
  return { sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length };
}

function git(root: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`git ${args[0]} failed: ${error?.message ?? stderr}`);
  return stdout.trim();
}

/** The command line: `npm run release -- [--store sqlite]… [--root .] [--out-dir dist]`. */
async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { store: { type: 'string', multiple: true }, root: { type: 'string' }, 'out-dir': { type: 'string' } },
  });
  const stores = DRIVERS.filter((driver) => values.store?.includes(driver) ?? true);
  if (values.store?.some((name) => !stores.some((driver) => driver === name))) {
    throw new Error(`--store must be one of ${DRIVERS.join(', ')}`);
  }
  const root = resolve(values.root ?? fileURLToPath(new URL('../', import.meta.url)));
  const outDir = resolve(values['out-dir'] ?? join(root, 'dist'));
  const { name, version, commit, files } = await makeRelease({ stores, outDir, root });
  console.log(`${name} ${version} of commit ${commit}: ${Object.keys(files).length} files in ${outDir}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
