import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/stripped-modules.ts', 'test/support/build-bundles.ts', 'test/support/services.ts'],
    pool: 'forks',
    // A process for each file would spend a sixth of the time on starting and loading.
    isolate: false,
    unstubEnvs: true,
    // A test that needs its neighbours fails. The run prints its seed; `--sequence.seed=<seed>` repeats the order.
    sequence: { shuffle: true },
    // Tests also wait for servers: as many workers as cores would leave the cores idle for a fifth of the time.
    maxWorkers: availableParallelism() + 1,
    execArgv: ['--disable-warning=ExperimentalWarning'],
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
