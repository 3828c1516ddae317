import satisfies from 'spdx-satisfies';

/** What the code of a deployed function may be under: nothing that asks for more than a notice. */
export const DEPLOYED_LICENSES = [
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Unlicense',
] as const;

/** What tools and tests may be under besides: they are run, not handed on. */
export const TOOL_LICENSES = [
  ...DEPLOYED_LICENSES,
  // Shares changes to its own files; lightningcss, which vitest brings.
  'MPL-2.0',
  // Asks for its notice; the lists of licences that spdx-satisfies reads.
  'CC-BY-3.0',
  // Asks for its notice; the table of browsers that Babel brings, which Stryker changes code with.
  'CC-BY-4.0',
  // Asks for its notice; argparse, which Redocly's OpenAPI linter brings.
  'PSF-2.0',
] as const;

/** What of `package-lock.json` this needs. */
export interface Lockfile {
  /** Path → package; the project itself has the path `''`. */
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

interface LockedPackage {
  readonly version?: string;
  /** An SPDX expression, as the package states it. */
  readonly license?: string;
  /** Only tools and tests need it. */
  readonly dev?: boolean;
}

/** Packages under a licence that is not allowed, or under none that is known, one sentence each. */
export function findRefusedLicenses({ packages }: Lockfile): string[] {
  const dependencies = Object.entries(packages).filter(([path]) => path !== '');
  return dependencies.flatMap(([path, { version, license, dev = false }]) => {
    if (isAllowed(license, dev ? TOOL_LICENSES : DEPLOYED_LICENSES)) return [];
    return `${path.replace(/^.*node_modules\//, '')} ${version} is under ${license ?? 'no licence that it names'}`;
  });
}

function isAllowed(license: string | undefined, allowed: readonly string[]): boolean {
  if (license === undefined) return false;
  try {
    return satisfies(license, [...allowed]);
  } catch {
    // It is no SPDX expression: "SEE LICENSE IN …", "UNLICENSED".
    return false;
  }
}
