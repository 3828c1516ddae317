import { defineConfig } from 'vitest/config';

/** The tests that `npm run check:mutants` runs: of the sources themselves, for a bundle holds no mutant. */
export default defineConfig({
  test: {
    include: ['test/shared/**/*.test.ts', 'test/contract/{memory,sqlite,directory-memory,directory-sqlite}.test.ts'],
    env: { TEST_PORTS: 'source' },
    isolate: false,
    unstubEnvs: true,
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 60_000,
  },
});
