/** How work on many items is done. */
export interface Parallel<Item> {
  /** The most items that are worked on at a time. */
  readonly atOnce: number;
  /** Items that share one of these are worked on one after another, in their order. */
  readonly keysOf?: (item: Item) => readonly string[];
  /** When it is aborted, nothing more is begun. */
  readonly signal?: AbortSignal;
  readonly work: (item: Item) => Promise<void>;
}

/**
 * Works on each item, several at a time, and takes the next one only when it can be begun. After a failure none is
 * begun; rejects with the first one when all that were begun have ended. After an abort it resolves when they have.
 */
export async function workInParallel<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  { atOnce, keysOf = () => [], signal, work }: Parallel<Item>,
): Promise<void> {
  const running = new Map<Promise<unknown>, readonly string[]>();
  const failures: unknown[] = [];
  try {
    for await (const item of items) {
      const keys = keysOf(item);
      const before = [...running].filter(([, others]) => keys.some((key) => others.includes(key)));
      await Promise.all(before.map(([ended]) => ended));
      if (running.size >= atOnce) await Promise.race(running.keys());
      if (failures.length > 0 || signal?.aborted === true) break;
      const ended = work(item)
        .catch((error: unknown) => failures.push(error))
        .finally(() => running.delete(ended));
      running.set(ended, keys);
    }
  } finally {
    await Promise.all(running.keys());
  }
  if (failures.length > 0) throw failures[0];
}
