import { COMMON_OPTIONS } from './stryker.config.ts';

/** `npm run check:mutants:drivers`: what takes a server to test, with the contracts of these drivers. */
export default {
  ...COMMON_OPTIONS,
  mutate: ['shared/{token-revocation,outbox}/drivers/{dynamodb,postgres,redis}.ts'],
  vitest: { configFile: 'scripts/check-mutants/vitest.drivers.config.ts', pool: 'forks' },
  htmlReporter: { fileName: '.mutants/drivers-report.html' },
  jsonReporter: { fileName: '.mutants/drivers-report.json' },
  incrementalFile: '.mutants/drivers-incremental.json',
};
