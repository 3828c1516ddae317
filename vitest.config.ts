import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/stripped-modules.ts', 'test/support/build-bundles.ts', 'test/support/services.ts'],
    pool: 'forks',
    isolate: false,
    // Tests wait for servers more than they compute: one worker on two cores would leave half of them idle.
    maxWorkers: 2,
    execArgv: ['--disable-warning=ExperimentalWarning'],
    testTimeout: 20_000,
    hookTimeout: 30_000,
  },
});
