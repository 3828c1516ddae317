import { execFileSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The services that tests run on, and what they are called in each system's packages. */
const SERVICES = {
  postgresql: { debian: 'postgresql', fedora: 'postgresql-server', macos: 'postgresql' },
  pgbouncer: { debian: 'pgbouncer', fedora: 'pgbouncer', macos: 'pgbouncer' },
  redis: { debian: 'redis-server', fedora: 'valkey', macos: 'redis' },
  chromium: { debian: 'chromium-headless-shell', fedora: 'chromium', macos: 'chromium' },
  curl: { debian: 'curl', fedora: 'curl', macos: 'curl' },
  openssl: { debian: 'openssl', fedora: 'openssl', macos: 'openssl' },
  java: { debian: 'openjdk-17-jre-headless', fedora: 'java-latest-openjdk-headless', macos: 'openjdk' },
} as const;
export type Service = keyof typeof SERVICES;

/** Where a program is: on the PATH, where servers are, or where Debian keeps PostgreSQL's, the newest version first. */
export function findProgram(...names: readonly string[]): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', ...postgresqlFolders()];
  const candidates = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  return candidates.find(isExecutable);
}

/** Where Chromium is: best without windows, which take half of its time; Fedora calls it chromium-browser. */
export function findChromium(): string | undefined {
  return findProgram('chromium-headless-shell', 'chromium', 'chromium-browser');
}

function postgresqlFolders(): string[] {
  const root = '/usr/lib/postgresql';
  try {
    const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(root, version, 'bin'));
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const INSTALL = fileURLToPath(new URL('../../scripts/install-test-services.sh', import.meta.url));

/** The services that this machine lacks, without those for which the environment names a server. */
export function missingServices(): Service[] {
  const programs = {
    postgresql: process.env.TEST_POSTGRES_URL ?? findProgram('postgres'),
    pgbouncer: findProgram('pgbouncer'),
    redis: process.env.TEST_REDIS_URL ?? findProgram('redis-server', 'valkey-server'),
    chromium: findChromium(),
    curl: findProgram('curl'),
    openssl: findProgram('openssl'),
    java: process.env.TEST_DYNAMODB_URL ?? findProgram('java'),
  };
  return (Object.keys(SERVICES) as Service[]).filter((service) => programs[service] === undefined); // its own keys
}

/** Installs what is missing where that can be done unasked: with apt, as root. Else throws the sentence that does it. */
export function ensureServices(): void {
  const missing = missingServices();
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0 || findProgram('apt-get') === undefined) throw new Error(howToInstall(missing));
  execFileSync(INSTALL, { stdio: ['ignore', 'inherit', 'inherit'] });
  const still = missingServices();
  if (still.length > 0) throw new Error(howToInstall(still));
}

/** What to type, on each system. */
export function howToInstall(missing: readonly Service[]): string {
  const packages = (system: 'debian' | 'fedora' | 'macos') =>
    missing.map((service) => SERVICES[service][system]).join(' ');
  return `The tests need ${missing.join(', ')}. Install with
  Debian, Ubuntu: sudo apt-get install -y ${packages('debian')}
  Fedora:         sudo dnf install -y ${packages('fedora')}
  macOS:          brew install ${packages('macos')}`;
}
