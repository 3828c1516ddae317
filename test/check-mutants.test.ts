import { expect, test } from 'vitest';
import { type MutationMetrics, weakFiles } from '#scripts/check-mutants/each-file-reporter.ts';

const file = (name: string, mutationScore: number): MutationMetrics => ({
  name,
  file: {},
  childResults: [],
  metrics: { mutationScore },
});
/** The score of a folder says nothing: it is an average. */
const folder = (name: string, ...childResults: readonly MutationMetrics[]): MutationMetrics => ({
  name,
  childResults,
  metrics: { mutationScore: 95 },
});

test('names each file below 90 % by its path, however good the others are', () => {
  const outbox = folder('outbox', file('outbox.ts', 100), folder('drivers', file('memory.ts', 89.994)));
  const all = folder('All files', outbox, file('clock.ts', 12.5));

  expect(weakFiles(all)).toEqual([
    'outbox/drivers/memory.ts: the tests notice 89.99 % of the mutants, not 90 %',
    'clock.ts: the tests notice 12.50 % of the mutants, not 90 %',
  ]);
});

test('accepts a file with 90 % and one without mutants', () => {
  expect(weakFiles(folder('All files', file('a.ts', 90), file('b.ts', Number.NaN)))).toEqual([]);
});
