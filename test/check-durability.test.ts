import { describe, expect, test } from 'vitest';
import { startScript } from './support/script-process.ts';

async function checkDurability(...args: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  const script = startScript('check-durability', args);
  const status = await script.ended;
  return { status, ...script.printed };
}

/** A row of the table: the store, acknowledged, unknown, kills of the server, its settings changed, kills of writers, lost, time. */
function row(stdout: string): string[] {
  return stdout.trimEnd().split('\n').at(-1)?.replaceAll(',', '').split(/ +/) ?? [];
}

describe('acknowledged revocations outlive kill -9 of server and writers', {
  concurrent: true,
  timeout: 120_000,
}, () => {
  test.each([
    ['sqlite', 1000, '–', '–'],
    ['postgres', 1000, '2', '1'],
    ['redis', 1000, '2', '1'],
    // The slowest by far. What is lost is lost at a kill, of which there are as many.
    ['dynamodb', 250, '2', '–'],
  ])('on %s', async (store, revocations, serverKills, settings) => {
    const { status, stdout, stderr } = await checkDurability('--store', store, '--revocations', String(revocations));
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^seed \d+\n/);
    const [name, acknowledged, , ofServer, changes, ofWriters, lost] = row(stdout);
    expect([name, ofServer, changes, lost]).toEqual([store, serverKills, settings, '0']);
    expect(Number(acknowledged)).toBeGreaterThanOrEqual(revocations);
    expect(Number(ofWriters)).toBeGreaterThanOrEqual(4);
    expect(status).toBe(0);
  });
});

test('a loss is found', async () => {
  const { status, stdout, stderr } = await checkDurability('--store', 'redis-without-disk', '--revocations', '50');
  const [, acknowledged, , , , , lost] = row(stdout);
  expect(Number(acknowledged)).toBeGreaterThanOrEqual(50);
  expect(lost).toBe(acknowledged); // it keeps nothing, and the last kill comes after the last acknowledgement
  expect(stderr).toMatch(/^Lost: writer-\d+\.\d+, /m);
  expect(status).toBe(1);
});

test.each([
  ['--revocations=0', '--revocations must be a whole number from 1 to 1000000.'],
  ['--store=memory', '--store must be sqlite, postgres, redis, dynamodb, redis-without-disk.'],
  ['--seed=x', '--seed must be a whole number from 0 to 4294967295.'],
  ['--sede=1', "Unknown option '--sede'"],
])('%s is a mistake', async (option, sentence) => {
  const { status, stderr } = await checkDurability(option);
  expect(status).toBe(2);
  expect(stderr).toContain(`${sentence}\n\nnpm run check:durability`);
});
