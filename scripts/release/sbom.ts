import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

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
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--omit', 'dev', '--package-lock-only'];
  const { status, stdout, stderr, error } = spawnSync('npm', args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm sbom failed: ${error?.message ?? stderr}`);
  const sbom: Sbom = JSON.parse(stdout);
  delete sbom.serialNumber;
  delete sbom.metadata.timestamp;
  // npm names the folder that the clone is in.
  sbom.metadata.component.name = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).name;
  return `${JSON.stringify(sbom, null, 2)}\n`;
}
