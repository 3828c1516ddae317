import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import { MAX_REVOCATION_ITEMS } from '#shared/token-revocation/store.ts';
import { type Cell, type Effort, inProcess, measureCells, type OpenedSide, openSide } from './calls.ts';
import type { Figure } from './figures.ts';
import type { Measured } from './measure-calls.ts';
import { idOf } from './raw-client.ts';
import type { LINK_COUNTS, Operation, Store } from './side.ts';
import type { Surroundings } from './surroundings.ts';

/** One operation of the product where there is more and more: medians. */
export interface GrowthRow extends Measured {
  readonly store: Store;
  readonly operation: string;
  readonly of: 'revocations' | 'links of the subject';
  readonly size: number;
}

/** DynamoDB Local takes hours for a million rows, and finds each by the hash of its key. */
const STORES_OF_REVOCATIONS = ['memory', 'sqlite', 'postgres', 'redis'] as const;
const STORES_OF_LINKS = ['memory', 'sqlite', 'postgres', 'dynamodb'] as const;

/** How much there is: of the smallest and of the largest the ratio is told. */
export interface GrowthSizes {
  /** Of revocations in a store. */
  readonly sizes: readonly number[];
  /** Of links of a subject. */
  readonly linkCounts: readonly (typeof LINK_COUNTS)[number][];
}

/** Checks and revokes in stores of such sizes, and reads and changes the links of a subject with few and many; in turns. */
export async function measureGrowth(
  surroundings: Surroundings,
  { sizes, linkCounts }: GrowthSizes,
  effort: Effort,
): Promise<GrowthRow[]> {
  const sides: OpenedSide[] = [];
  const cells: { cell: Cell; of: GrowthRow['of']; size: number; operation: string }[] = [];
  try {
    for (const store of STORES_OF_REVOCATIONS) {
      for (const size of sizes) {
        const side = await openSide('product', store, surroundings, `growth-${size}`);
        sides.push(side);
        await fill(side, size);
        for (const operation of ['check', 'revoke'] as const) {
          cells.push({ cell: inProcess(side, operation), of: 'revocations', size, operation });
        }
      }
    }
    for (const store of STORES_OF_LINKS) {
      const side = await openSide('product', store, surroundings, 'growth-links');
      sides.push(side);
      for (const [kind, operation] of [
        ['list of', 'list'],
        ['link and delete among', 'link and delete'],
      ] as const) {
        for (const size of linkCounts)
          cells.push({ cell: inProcess(side, `${kind} ${size}`), of: 'links of the subject', size, operation });
      }
    }
    const rows = await measureCells(
      cells.map(({ cell }) => cell),
      effort,
    );
    return cells.map(({ cell, ...of }, index) => {
      const { perSecond, p50Us, p99Us } = rows[index] ?? {
        perSecond: Number.NaN,
        p50Us: Number.NaN,
        p99Us: Number.NaN,
      };
      return { store: cell.store, ...of, perSecond, p50Us, p99Us };
    });
  } finally {
    for (const { process } of sides) process.end();
  }
}

/** How many writes are under way at once. */
const FILLERS = 8;

/** Puts so many revoked ids into the store of a side. */
async function fill({ store, url, process }: OpenedSide, size: number): Promise<void> {
  if (store === 'memory') {
    const revoke: Operation = 'revoke';
    await process.ask<Measured>({ kind: 'measure', operation: revoke, from: FIRST_FILLED, count: size, callers: 1 });
    return;
  }
  const revocations = openTokenRevocationStore({ STORE_URL: url }, LOCAL_PLATFORM);
  const expiresAt = Math.floor(Date.now() / 1000) + 86_400;
  let next = 0;
  async function revokeOn(): Promise<void> {
    while (next < size) {
      const first = next;
      next = Math.min(size, next + MAX_REVOCATION_ITEMS);
      const tokenIds = Array.from({ length: next - first }, (_, offset) => idOf('filled', first + offset));
      await revocations.revoke({ tokenIds, grants: [], cutOffs: [], expiresAt }, FILL_MS);
    }
  }
  await Promise.all(Array.from({ length: FILLERS }, revokeOn));
  await revocations.close();
}

/** Numbers that no measured call has. */
const FIRST_FILLED = 1_000_000_000;
/** How long one of these writes may take: nobody waits for it. */
const FILL_MS = 10_000;

/** How much slower the largest is than the smallest. */
export function growthFigures(rows: readonly GrowthRow[]): Figure[] {
  return rows.flatMap((row): Figure[] => {
    const same = rows.filter(({ store, operation }) => store === row.store && operation === row.operation);
    const [smallest, largest] = [same[0], same.at(-1)];
    if (row !== smallest || largest === undefined) return [];
    const name = `${row.operation}, ${row.store}: with ${largest.size} ${row.of} / with ${row.size}`;
    const value = largest.perSecond / row.perSecond;
    // A list is as long as it is; a store is to find a token as fast among a million.
    return [{ name, value, unit: '×', better: 'more', goal: row.of === 'revocations' ? 0.8 : undefined }];
  });
}
