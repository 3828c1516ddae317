import { expect } from 'vitest';
import { monotonicMs } from '#shared/clock.ts';
import { isStoreUnavailable, type StoreFault } from '#shared/errors.ts';
import type { TestedStore } from './tested-store.ts';

/** What a call came to: done, or refused for a fault of the store. */
export type Outcome = 'done' | StoreFault;

/** What was asked of a store and what it answered. Each answer is held to what was acknowledged before it was asked. */
export interface History {
  /** The writes of an id, one by one or all in their order. */
  readonly writes: TestedStore['writes'];
  writeAll(id: string, timeoutMs?: number): Promise<void>;
  /** Looks at an id. Fails the test when a write of it was acknowledged before and does not show. */
  read(id: string, timeoutMs?: number): Promise<void>;
  /** The ids of which all writes were acknowledged. */
  acknowledged(): readonly string[];
}

/** Begins the history of one or more stores that have the same server. */
export function createHistory({ writes, read }: TestedStore, known: Iterable<string> = []): History {
  const acknowledged = writes.map(() => new Set(known));
  const noted = writes.map((write, index): (typeof writes)[number] => async (id, timeoutMs) => {
    await write(id, timeoutMs);
    acknowledged[index]?.add(id);
  });
  return {
    writes: noted,
    async writeAll(id, timeoutMs) {
      for (const write of noted) await write(id, timeoutMs);
    },
    async read(id, timeoutMs) {
      const mustShow = acknowledged.map((ids) => ids.has(id));
      const shows = await read(id, timeoutMs);
      const lost = mustShow.flatMap((must, index) => (must && !shows[index] ? [index] : []));
      expect(lost, `the writes of ${id} that were acknowledged and do not show`).toEqual([]);
    },
    acknowledged: () => [...(acknowledged[0] ?? [])].filter((id) => acknowledged.every((ids) => ids.has(id))),
  };
}

/** A busy machine may take this much longer than a deadline, in milliseconds. */
const GRACE_MS = 1500;

/** What a call comes to that has this much time. It must not take longer, whatever it comes to. */
export async function outcomeOf(timeoutMs: number, call: (timeoutMs: number) => Promise<unknown>): Promise<Outcome> {
  const begin = monotonicMs();
  try {
    await call(timeoutMs);
    return 'done';
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    return error.fault;
  } finally {
    expect(monotonicMs() - begin, `a call with ${timeoutMs} ms`).toBeLessThan(timeoutMs + GRACE_MS);
  }
}
