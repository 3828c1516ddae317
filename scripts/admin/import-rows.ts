import { setImmediate } from 'node:timers/promises';
import { isStoreUnavailable } from '#shared/errors.ts';
import type { ReadRow } from './csv-rows.ts';
import { doLongWork, type WorkControl } from './long-work.ts';
import { workInParallel } from './parallel.ts';
import { tell } from './terminal.ts';
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
  /** How far the file is read, for rows that come only when all of it is. */
  readonly formatReading?: () => string;
  /** What the audit records of the rows have, where there are any. */
  readonly requestId?: string;
}

/**
 * Brings the rows of a file in, several at a time, tells of each that is skipped by its line, and shows how far it is.
 *
 * @param rows Is given what is aborted when nothing more is to be read.
 * @returns How many rows were skipped for each reason.
 * @throws {Unfinished}
 * @throws {Interrupted}
 */
export async function importRows<Row>(
  rows: (signal: AbortSignal) => AsyncIterable<ReadRow<Row>>,
  { keysOf, importRow, tally, formatTally, formatReading, requestId }: RowImport<Row>,
): Promise<ReadonlyMap<string, number>> {
  let count = 0;
  const reasons = new Map<string, number>();
  const done = () => `${count} rows were done (${formatTally()}). Repeat the command.`;
  const report = {
    progress: () => (count === 0 && formatReading !== undefined ? formatReading() : `${count} rows: ${formatTally()}`),
    done: () => (requestId === undefined ? done() : `${done()} The request id of these rows is ${requestId}.`),
  };
  const work = async ({ signal, show }: WorkControl) => {
    await workInParallel(rows(signal), {
      atOnce: AT_ONCE,
      signal,
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
    }).finally(() => {
      if (count > 0) show();
    });
  };
  try {
    await doLongWork(report, work);
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    throw new Unfinished(done(), { cause: error });
  }
  return reasons;
}

/** What came of all rows, in a sentence. */
export function concludeImport({ refused }: { readonly refused: number }): string {
  return refused === 0 ? 'Every row was taken.' : `${refused} rows were skipped.`;
}
