import { setImmediate } from 'node:timers/promises';
import { isStoreUnavailable } from '#shared/errors.ts';
import type { ReadRow } from './csv-rows.ts';
import { workInParallel } from './parallel.ts';
import { endProgress, showProgress, tell } from './terminal.ts';
import { Unfinished } from './verb.ts';

/** How many rows are written at a time. */
const AT_ONCE = 8;

/** How often the progress is shown, in rows. */
const PROGRESS_ROWS = 100;

/** How the rows of a file are brought in. */
export interface RowImport<Row> {
  /** Rows that share one of these are taken one after another, in their order. */
  readonly keysOf: (row: Row) => readonly string[];
  /** Takes one row, and counts what came of it; returns why it cannot be. */
  readonly importRow: (row: Row) => Promise<string | undefined>;
  /** What has become of the rows so far. */
  readonly tally: { refused: number };
  /** The same in words. */
  readonly formatTally: () => string;
}

/**
 * Brings the rows of a file in, several at a time, tells of each that is skipped by its line, and shows how far it is.
 *
 * @returns How many rows were skipped for each reason.
 * @throws {Unfinished}
 */
export async function importRows<Row>(
  rows: AsyncIterable<ReadRow<Row>>,
  { keysOf, importRow, tally, formatTally }: RowImport<Row>,
): Promise<ReadonlyMap<string, number>> {
  let count = 0;
  const reasons = new Map<string, number>();
  const show = () => showProgress(`${count} rows: ${formatTally()}`);
  try {
    await workInParallel(rows, {
      atOnce: AT_ONCE,
      keysOf: ({ row }) => (row === undefined ? [] : keysOf(row)),
      async work({ line, row, fault: unfit }) {
        const fault = row === undefined ? unfit : await importRow(row);
        if (fault !== undefined) {
          tally.refused += 1;
          reasons.set(fault, (reasons.get(fault) ?? 0) + 1);
          tell(`line ${line}: ${fault}`);
        }
        count += 1;
        if (count % PROGRESS_ROWS !== 0) return;
        // The store ends several at once: those that are in the tally already are counted first.
        await setImmediate();
        show();
      },
    });
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    throw new Unfinished(`${count} rows were done (${formatTally()}). Repeat the command.`, { cause: error });
  } finally {
    if (count > 0) {
      show();
      endProgress();
    }
  }
  return reasons;
}

/** What came of all rows, in a sentence. */
export function concludeImport({ refused }: { readonly refused: number }): string {
  return refused === 0 ? 'Every row was taken.' : `${refused} rows were skipped.`;
}
