import { defineConfig } from 'vitest/config';

/** The tests that `npm run check:mutants:drivers` runs. */
export default defineConfig({
  test: {
    include: ['test/contract/**/*.test.ts'],
    globalSetup: ['test/support/services.ts'],
    env: { TEST_PORTS: 'source' },
    isolate: false,
    unstubEnvs: true,
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
