import { styleText } from 'node:util';
import type { CallRow } from './calls.ts';
import type { ColdRow, MemoryRow } from './cold.ts';
import { type Compared, isReached } from './figures.ts';
import type { GrowthRow } from './growth.ts';

/** Columns of text: the first to the left, the others to the right. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((text, column) => Math.max(text.length, ...rows.map((row) => row[column]?.length ?? 0)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((text, column) => align(text, widths[column] ?? 0, column === 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function align(text: string, width: number, isFirst: boolean): string {
  return isFirst ? text.padEnd(width) : text.padStart(width);
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}

/** Cold starts, in milliseconds. */
export function coldTable(rows: readonly ColdRow[]): string {
  return table(
    ['entry', 'KB', 'load ms', 'call ms', 'total ms', 'above no-op', 'MB'],
    rows.map(({ store, name, bytes, load, call, total, above, megabytes }) => [
      `${store}: ${name}`,
      ...[bytes / 1000, load, call, total, above, megabytes].map((value) => value.toFixed(1)),
    ]),
  );
}

/** Calls, by operation. */
export function callsTable(rows: readonly CallRow[]): string {
  const sorted = rows.toSorted((one, other) => keyOf(one).localeCompare(keyOf(other)));
  return table(
    ['operation', 'store', 'side', 'how', 'callers', 'a second', 'p50 µs', 'p99 µs'],
    sorted.map(({ operation, store, side, transport, callers, perSecond, p50Us, p99Us }) => [
      ...[operation, store, side, transport, `${callers}`],
      ...[perSecond, p50Us, p99Us].map(whole),
    ]),
  );
}

function keyOf({ transport, operation, store }: CallRow): string {
  return `${transport} ${operation} ${store}`;
}

/** The product where there is more and more. */
export function growthTable(rows: readonly GrowthRow[]): string {
  return table(
    ['operation', 'store', 'of', 'size', 'a second', 'p50 µs', 'p99 µs'],
    rows.map(({ operation, store, of, size, perSecond, p50Us, p99Us }) => [
      ...[operation, store, of],
      ...[size, perSecond, p50Us, p99Us].map(whole),
    ]),
  );
}

/** Resident memory, in megabytes, after each tenth of the calls. */
export function memoryTable(rows: readonly MemoryRow[]): string {
  return table(
    ['function', 'calls', 'MB after each tenth'],
    rows.map(({ store, name, calls, megabytes }) => [
      `${store}: ${name}`,
      whole(calls),
      megabytes.map((value) => value.toFixed(0)).join(' '),
    ]),
  );
}

/** Every figure beside its goal and beside the committed one: in red what got more than a quarter worse. */
export function figuresTable(compared: readonly Compared[]): string {
  const [head = '', ...lines] = table(
    ['figure', 'now', 'goal', '', 'committed'],
    compared.map(({ figure, before }) => [
      figure.name,
      amount(figure.value, figure.unit),
      figure.goal === undefined ? '' : `${figure.better === 'more' ? '≥' : '≤'} ${figure.goal} ${figure.unit}`,
      figure.goal === undefined ? '' : isReached(figure) ? 'reached' : 'not reached',
      before === undefined ? '' : amount(before, figure.unit),
    ]),
  ).split('\n');
  return [head, ...lines.map((line, index) => (compared[index]?.worsened ? styleText('red', line) : line))].join('\n');
}

function amount(value: number, unit: string): string {
  return `${value.toFixed(unit === '×' ? 2 : 1)} ${unit}`;
}
