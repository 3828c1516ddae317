import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { startScript } from './support/script-process.ts';

async function checkOutbox(...args: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  const script = startScript('check-outbox', args);
  const status = await script.ended;
  return { status, ...script.printed };
}

/** The number of a row. */
function count(stdout: string, text: string): number {
  return Number(new RegExp(`^ *([\\d,]+)  ${text}`, 'm').exec(stdout)?.[1]?.replaceAll(',', ''));
}

test('no job is lost while the provider is down for a day and runners are killed', { timeout: 60_000 }, async () => {
  const { status, stdout, stderr } = await checkOutbox('--jobs', '500', '--seed', '1');

  expect(stderr).toBe('');
  expect(stdout).toMatch(/^seed 1\n/);
  expect(count(stdout, 'jobs')).toBe(500);
  expect(count(stdout, 'done')).toBe(495);
  expect(count(stdout, 'given up')).toBe(5);
  expect(count(stdout, 'of them with a token that was revoked before')).toBeGreaterThan(0);
  expect(count(stdout, 'runners killed')).toBeGreaterThanOrEqual(6);
  expect(count(stdout, 'lost')).toBe(0);
  expect(status).toBe(0);
});

describe('a loss is found of a store that', { concurrent: true }, () => {
  test.each([
    ['drops a job that is claimed', import.meta.resolve('./support/broken-stores/drops-claimed-jobs.ts'), 2, 'is gone'],
    [
      'says that it has recorded a success',
      import.meta.resolve('./support/broken-stores/forgets-records.ts'),
      20,
      'is never settled',
    ],
    [
      'takes a job for done that is to be tried again',
      import.meta.resolve('./support/broken-stores/records-success-early.ts'),
      20,
      'is done, but not at the provider',
    ],
  ])('%s', { timeout: 60_000 }, async (_, url, lost, sentence) => {
    const module = fileURLToPath(url);
    const { status, stdout, stderr } = await checkOutbox('--jobs', '20', '--directory-module', module);

    expect(count(stdout, 'lost')).toBeLessThanOrEqual(lost);
    expect(count(stdout, 'lost')).toBeGreaterThan(0);
    expect(stderr).toMatch(new RegExp(`^Lost: job-\\d+ ${sentence}`));
    expect(status).toBe(1);
  });
});

test.each([
  ['--jobs=0', '--jobs must be a whole number from 1 to 100000.'],
  ['--seed=x', '--seed must be a whole number from 0 to 4294967295.'],
  ['--sede=1', "Unknown option '--sede'"],
])('%s is a mistake', async (option, sentence) => {
  const { status, stderr } = await checkOutbox(option);
  expect(status).toBe(2);
  expect(stderr).toContain(`${sentence}\n\nnpm run check:outbox`);
});
