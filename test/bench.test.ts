import { expect, test } from 'vitest';
import { drawChart } from '#scripts/bench/chart.ts';
import { compareFigures, type Figure, isReached } from '#scripts/bench/figures.ts';
import { measureCalls } from '#scripts/bench/measure-calls.ts';
import { median, percentile, shuffled } from '#scripts/bench/statistics.ts';
import { figuresTable } from '#scripts/bench/tables.ts';

const ratio = (value: number, more: Partial<Figure> = {}): Figure => ({
  ...{ name: 'list, sqlite / better-auth', value, unit: '×', better: 'more' },
  ...more,
});

test('the median of an odd number of values is the middle one, of an even number between the two in the middle', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([4, 1, 9, 2])).toBe(3);
  expect(median([])).toBeNaN();
});

test('a percentile is the value that its share does not exceed, and of all of them the largest', () => {
  const sorted = Array.from({ length: 100 }, (_, index) => index + 1);

  expect(percentile(sorted, 0.5)).toBe(51);
  expect(percentile(sorted, 0.99)).toBe(100);
  expect(percentile([7], 0.99)).toBe(7);
});

test('what is shuffled keeps its items, in the order of what chance says', () => {
  const chances = [0.3, 0.1, 0.2];
  let at = 0;
  const random = () => {
    at += 1;
    return chances[at - 1] ?? 0;
  };

  expect(shuffled(['a', 'b', 'c'], random)).toEqual(['b', 'c', 'a']);
});

test('a goal is reached from itself on, upwards where more is better and downwards where less is', () => {
  expect(isReached(ratio(30, { goal: 30 }))).toBe(true);
  expect(isReached(ratio(29.9, { goal: 30 }))).toBe(false);
  expect(isReached(ratio(1.25, { goal: 1.25, better: 'less' }))).toBe(true);
  expect(isReached(ratio(1.26, { goal: 1.25, better: 'less' }))).toBe(false);
  expect(isReached(ratio(Number.NaN, { goal: 30 }))).toBe(false);
});

test('a ratio has worsened when it is more than a quarter worse than it was', () => {
  const worsened = (now: Figure, before: Figure) => compareFigures([now], [before])[0]?.worsened;

  expect(worsened(ratio(40), ratio(50))).toBe(false);
  expect(worsened(ratio(39), ratio(50))).toBe(true);
  expect(worsened(ratio(90), ratio(50))).toBe(false);
  expect(worsened(ratio(1.25, { better: 'less' }), ratio(1))).toBe(false);
  expect(worsened(ratio(1.26, { better: 'less' }), ratio(1))).toBe(true);
  expect(worsened(ratio(Number.NaN), ratio(50))).toBe(true);
});

test('a figure that was never measured before has not worsened', () => {
  expect(compareFigures([ratio(1)], [ratio(50, { name: 'another' })])).toEqual([
    { figure: ratio(1), before: undefined, worsened: false },
  ]);
});

test('the table says whether a goal is reached, and what it was before', () => {
  const table = figuresTable(compareFigures([ratio(29, { goal: 30 })], [ratio(31)]));

  expect(table).toMatch(/list, sqlite \/ better-auth +29\.00 × +≥ 30 × +not reached +31\.00 ×/);
});

test('calls are numbered without a gap, however many callers there are', async () => {
  const called: number[] = [];

  const { perSecond, p50Us } = await measureCalls(async (index) => called.push(index), {
    from: 5,
    count: 7,
    callers: 3,
  });

  expect(called.toSorted((one, other) => one - other)).toEqual([5, 6, 7, 8, 9, 10, 11]);
  expect(perSecond).toBeGreaterThan(0);
  expect(p50Us).toBeGreaterThanOrEqual(0);
});

test('a call that fails ends the measurement', async () => {
  const failing = async () => {
    throw new Error('refused');
  };

  await expect(measureCalls(failing, { from: 0, count: 2, callers: 1 })).rejects.toThrow('refused');
});

test('the chart has a bar for each of ours and of the peers, as long as the logarithm of its calls a second', () => {
  const call = (side: 'product' | 'better-auth', perSecond: number) => ({
    ...({ operation: 'list', store: 'sqlite', side, transport: 'in process', callers: 1, perSecond } as const),
  });

  const chart = drawChart([call('product', 10_000), call('better-auth', 100)], 'an example <machine>');

  const widths = [...chart.matchAll(/<rect class="(\w+)" .*? width="([\d.]+)"/g)].map(([, kind, width]) => [
    kind,
    width,
  ]);
  expect(widths).toEqual([
    ['product', '250.0'],
    ['peer', '0.0'],
  ]);
  expect(chart).toContain('10,000');
  expect(chart).toContain('an example &lt;machine&gt;');
  expect(chart).toContain('prefers-color-scheme: dark');
});
