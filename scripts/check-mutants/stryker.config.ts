import { join } from 'node:path';

// Without the types of Stryker: with `exactOptionalPropertyTypes` they contradict themselves.
const DOMAINS = ['access-token', 'token-revocation', 'account-link', 'outbox', 'threepid', 'grant-revocation'];

/** What a run is told, whatever it mutates. */
export const COMMON_OPTIONS = {
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner', join(import.meta.dirname, 'each-file-reporter.ts')],
  // Stryker's own limit, `thresholds.break`, is one for all files together: a tested file would hide another.
  reporters: ['progress-append-only', 'clear-text', 'html', 'json', 'each-file'],
  clearTextReporter: { logTests: false, reportTests: false },
  tempDirName: '.mutants/sandboxes',
  ignorePatterns: ['/dist', '/.data'],
  // Stryker changes it by TypeScript's API, which TypeScript 7 does not have; the tests do not read it.
  tsconfigFile: 'none',
  disableTypeChecks: false,
  concurrency: 2,
};

/** `npm run check:mutants`: all but what takes a server to test. */
export default {
  ...COMMON_OPTIONS,
  mutate: [...DOMAINS.map((domain) => `shared/${domain}/**/*.ts`), '!shared/*/drivers/{dynamodb,postgres,redis}.ts'],
  vitest: { configFile: 'scripts/check-mutants/vitest.config.ts', pool: 'forks' },
  htmlReporter: { fileName: '.mutants/report.html' },
  jsonReporter: { fileName: '.mutants/report.json' },
  incrementalFile: '.mutants/incremental.json',
};
