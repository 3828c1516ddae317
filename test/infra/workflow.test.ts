import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';

const text = await readFile(join(import.meta.dirname, '../../.github/workflows/ci.yml'), 'utf8');

describe('the workflow for forks', () => {
  test('may only read the repository, and runs what runs everywhere', () => {
    expect(parse(text)).toMatchObject({
      on: { push: null, pull_request: null },
      permissions: { contents: 'read' },
      jobs: { check: { 'timeout-minutes': 30, steps: expect.arrayContaining([{ run: 'bash .ci/run' }]) } },
    });
    expect(text.match(/permissions:/g)).toHaveLength(1);
  });

  test('pins every action by its full commit, with the version beside it', () => {
    const uses = text.match(/uses:.*/g) ?? [];

    expect(uses.length).toBeGreaterThan(0);
    expect(uses.filter((line) => !/^uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line))).toEqual([]);
  });
});
