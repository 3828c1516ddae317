import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What of `package.json` this reads. */
interface Manifest {
  readonly name: string;
  readonly devDependencies?: unknown;
}

/** What of `package-lock.json` this reads; the project itself has the path `''`. */
interface Lockfile {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devDependencies?: unknown }>>;
}

/** What of npm's bill of materials this changes. */
interface Sbom {
  serialNumber?: string;
  readonly metadata: { timestamp?: string; readonly component: { name: string } };
}

/**
 * The bill of materials of what is deployed, as npm makes it of the lockfile: CycloneDX, JSON. Without the number and
 * the time that npm invents, so that one lockfile and one npm make equal bytes.
 *
 * @param root The folder of `package-lock.json`.
 */
export function createSbom(root: string): string {
  const { devDependencies: _, ...manifest }: Manifest = readJson(join(root, 'package.json'));
  const lockfile: Lockfile = readJson(join(root, 'package-lock.json'));
  const folder = mkdtempSync(join(tmpdir(), 'unlink-sbom-'));
  try {
    writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify(withoutTools(lockfile)));
    const sbom = runNpmSbom(folder);
    delete sbom.serialNumber;
    delete sbom.metadata.timestamp;
    // npm names the folder that it runs in.
    sbom.metadata.component.name = manifest.name;
    return `${JSON.stringify(sbom, null, 2)}\n`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Not by `--omit dev`: npm 11 leaves out what a tool needs as well, though it is deployed (jose, zod). */
function withoutTools(lockfile: Lockfile): Lockfile {
  const deployed = Object.entries(lockfile.packages).filter(([, { dev }]) => dev !== true);
  const packages = deployed.map(([path, { devDependencies: _, ...locked }]) => [path, locked]);
  return { ...lockfile, packages: Object.fromEntries(packages) };
}

function runNpmSbom(folder: string): Sbom {
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only'];
  const { status, stdout, stderr, error } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm sbom failed: ${error?.message ?? stderr}`);
  return JSON.parse(stdout);
}

function readJson<Content>(path: string): Content {
  return JSON.parse(readFileSync(path, 'utf8'));
}
