import { statSync } from 'node:fs';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification, type Vite } from 'vitest/node';

/** Runs small files first: the first test that notices a mutant ends its run. */
class SmallestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sizeOf = ({ moduleId }: TestSpecification) => statSync(moduleId).size;
    return files.toSorted((a, b) => sizeOf(a) - sizeOf(b));
  }
}

/** A `z.lazy` that keeps nothing. */
const LAZY_ANEW = `
function lazyAnew(getter) {
  const schema = z.lazy(getter);
  Object.defineProperty(schema._zod, 'innerType', { get: getter });
  return schema;
}`;

/** Makes the schemas of `z.lazy` at each use: those made once would be seen by the first test alone. */
const withoutKeptSchemas: Vite.Plugin = {
  name: 'without-kept-schemas',
  enforce: 'pre',
  transform: (code, id) =>
    id.includes('/shared/') && code.includes('z.lazy(') ? code.replaceAll('z.lazy(', 'lazyAnew(') + LAZY_ANEW : null,
};

/** The tests that `npm run check:mutants` runs: of the sources themselves, for a bundle holds no mutant. */
export default defineConfig({
  plugins: [withoutKeptSchemas],
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
