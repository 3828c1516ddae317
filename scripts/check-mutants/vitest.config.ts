import { statSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Runs small files first: the first test that notices a mutant ends its run. */
class SmallestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sizeOf = ({ moduleId }: TestSpecification) => statSync(moduleId).size;
    return files.toSorted((a, b) => sizeOf(a) - sizeOf(b));
  }
}

/** The tests that `npm run check:mutants` runs: of the sources themselves, for a bundle holds no mutant. */
export default defineConfig({
  test: {
    include: ['test/shared/**/*.test.ts', 'test/contract/{memory,sqlite,directory-memory,directory-sqlite}.test.ts'],
    sequence: { sequencer: SmallestFirst },
    env: { TEST_PORTS: 'source' },
    isolate: false,
    unstubEnvs: true,
    expect: { poll: { timeout: 10_000 } },
    testTimeout: 60_000,
  },
});
