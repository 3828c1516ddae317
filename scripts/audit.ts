import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { type AuditVerdict, readAdvisories, readSignatures } from './audit/audit-answers.ts';

/** The longest that npm is waited for, in milliseconds: it tries again by itself where nothing answers. */
const DEADLINE_MS = 60_000;

const AUDITS = [
  {
    name: 'advisories',
    title: 'known weaknesses of what is deployed',
    args: ['audit', '--omit=dev', '--audit-level=high'],
    read: readAdvisories,
  },
  {
    name: 'signatures',
    title: "the registry's signatures of all packages",
    args: ['audit', 'signatures'],
    read: readSignatures,
  },
] as const;

/**
 * The command line: `npm run audit [-- advisories] [signatures] [--require]`, by default both. Fails on a finding; where the registry cannot be asked it says so
 * and goes on, or fails with `--require`, as a release does.
 */
function main(): void {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { require: { type: 'boolean', default: false } },
  });
  const isNamed = (name: string) => positionals.length === 0 || positionals.includes(name);
  for (const { title, args, read } of AUDITS.filter(({ name }) => isNamed(name))) {
    const { status, lines } = read(runNpm(args));
    if (status === 'findings' || (status === 'unknown' && values.require)) process.exitCode = 1;
    console.log(`${MARKS[status]} ${title}`);
    for (const line of lines) console.log(`  ${line}`);
  }
}

const MARKS: Readonly<Record<AuditVerdict['status'], string>> = {
  clean: styleText('green', 'clean:'),
  findings: styleText('red', 'found:'),
  unknown: styleText('yellow', 'not checked, the registry could not be asked:'),
};

function runNpm(args: readonly string[]): string {
  const { stdout, error } = spawnSync(
    'npm',
    [...args, '--json', '--fetch-retries=1', '--fetch-retry-mintimeout=1000'],
    {
      cwd: fileURLToPath(new URL('../', import.meta.url)),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: DEADLINE_MS,
    },
  );
  // Without npm nothing is known; cut off by the deadline, what it printed cannot be read.
  return error === undefined ? stdout : JSON.stringify({ message: error.message });
}

main();
