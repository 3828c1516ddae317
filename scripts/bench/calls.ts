import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Child, startChild } from './child.ts';
import type { Figure } from './figures.ts';
import { CONNECTIONS, type LoadOrder } from './load-order.ts';
import type { Measured } from './measure-calls.ts';
import { OPERATIONS, type Operation, type SideName, STORES, type Store } from './side.ts';
import type { Calls, Opened, Order } from './side-process.ts';
import { median, shuffled } from './statistics.ts';
import type { Surroundings } from './surroundings.ts';

/** How long calls are measured. */
export interface Effort {
  /** Rounds before the first that counts. Over HTTP the last of them are enough: the code is the same. */
  readonly warmUps: number;
  readonly rounds: number;
  readonly roundMs: number;
}

/** One operation of one side on one store, called in one way: medians of the rounds. */
export interface CallRow extends Measured {
  readonly operation: Operation;
  readonly store: Store;
  readonly side: SideName;
  readonly transport: 'in process' | 'HTTP';
  readonly callers: number;
  /** Calls a second of each round, for ratios round by round. */
  readonly rounds: readonly number[];
}

const EVERYWHERE: readonly SideName[] = ['product', 'limit', 'limit + logger'];

/** Who takes part on which store. A library and a raw statement are no handlers: they are called in process alone. */
const PARTICIPANTS: Readonly<Record<Store, readonly SideName[]>> = {
  memory: [...EVERYWHERE, 'library', 'better-auth', 'jmondi', 'oidc-provider', 'idempotency'],
  sqlite: [...EVERYWHERE, 'raw', 'better-auth'],
  postgres: EVERYWHERE,
  redis: EVERYWHERE,
  dynamodb: EVERYWHERE,
};

const IN_PROCESS_ALONE: ReadonlySet<SideName> = new Set(['library', 'raw', 'idempotency']);

/** So many callers at once share what a store does for all of them … */
const TOGETHER = 32;
/** … where it must write. */
const WRITES: readonly Operation[] = ['revoke', 'link', 'delete'];

/** A side that was opened in a process of its own. */
export interface OpenedSide {
  readonly side: SideName;
  readonly store: Store;
  /** Of its store. */
  readonly url: string;
  readonly opened: Opened;
  readonly process: Child<Order>;
}

/** Opens a side on a store of its own in a process of its own. */
export async function openSide(
  side: SideName,
  store: Store,
  { folder, bundles: build, introspection, openStore }: Surroundings,
  name: string = side,
): Promise<OpenedSide> {
  const own = join(folder, `${store}-${name}`.replaceAll(' ', ''));
  mkdirSync(own, { recursive: true });
  const [url, bundles] = await Promise.all([openStore(store, own), build()]);
  const process = startChild<Order>('side-process.ts');
  const opened = await process.ask<Opened>({ kind: 'open', side, store, url, folder: own, bundles, introspection });
  return { side, store, url, opened, process };
}

/** Measures every operation of every side on every store, in process and over HTTP, in turns. */
export async function measureAllCalls(surroundings: Surroundings, effort: Effort): Promise<CallRow[]> {
  const load = startChild<LoadOrder>('load.ts');
  const sides: OpenedSide[] = [];
  try {
    for (const store of STORES) {
      sides.push(...(await Promise.all(PARTICIPANTS[store].map((side) => openSide(side, store, surroundings)))));
    }
    return await measureCells(
      sides.flatMap((side) => cellsOf(side, load)),
      effort,
    );
  } finally {
    for (const { process } of sides) process.end();
    load.end();
  }
}

/** What is measured in turns with others. */
export interface Cell extends Pick<CallRow, 'operation' | 'store' | 'side' | 'transport' | 'callers'> {
  readonly of: OpenedSide;
  /** Calls of one number: a `delete` has those of the `link` before it. */
  run(calls: Calls): Promise<Measured>;
}

/** Calls in the process of a side. */
export function inProcess(of: OpenedSide, operation: Operation, callers = 1): Cell {
  const { side, store, process } = of;
  return {
    ...{ of, operation, store, side, transport: 'in process', callers },
    run: (calls) => process.ask<Measured>({ kind: 'measure', callers, ...calls }),
  };
}

function overHttp(of: OpenedSide, operation: Operation, load: Child<LoadOrder>): Cell {
  const { side, store, opened, process } = of;
  return {
    ...{ of, operation, store, side, transport: 'HTTP', callers: CONNECTIONS },
    run: async (calls) => {
      const requests: LoadOrder['calls'] = await process.ask({ kind: 'requests', ...calls });
      return load.ask<Measured>({ port: opened.port, calls: requests });
    },
  };
}

function cellsOf(of: OpenedSide, load: Child<LoadOrder>): Cell[] {
  const { side, store, opened } = of;
  const known = OPERATIONS.filter((operation) => opened.operations.includes(operation));
  return [
    ...known.map((operation) => inProcess(of, operation)),
    ...(store === 'memory' || side === 'raw'
      ? []
      : known.filter((name) => WRITES.includes(name)).map((name) => inProcess(of, name, TOGETHER))),
    ...(IN_PROCESS_ALONE.has(side)
      ? []
      : known.filter((name) => name !== 'sign').map((name) => overHttp(of, name, load))),
  ];
}

/**
 * Rounds of all cells in turns, each time in another order but for the operations, as what is deleted must have been
 * linked; the first are to warm up, and tell how many calls make a round.
 */
export async function measureCells(cells: readonly Cell[], { warmUps, rounds, roundMs }: Effort): Promise<CallRow[]> {
  const measured = new Map(cells.map((cell): [Cell, Measured[]] => [cell, []]));
  const counts = new Map(cells.map((cell): [Cell, number] => [cell, WARM_UP_CALLS]));
  const numbers = createNumbers();
  for (let round = -warmUps; round < rounds; round += 1) {
    const isEarly = round < -HTTP_WARM_UPS;
    for (const cell of inTurns(cells.filter(({ transport }) => transport === 'in process' || !isEarly))) {
      const calls = numbers.next(cell, counts.get(cell) ?? WARM_UP_CALLS);
      const result = await cell.run(calls);
      if (round >= 0) measured.get(cell)?.push(result);
      else counts.set(cell, Math.min(MAX_CALLS, Math.max(MIN_CALLS, Math.round((result.perSecond * roundMs) / 1000))));
    }
  }
  return cells.map((cell) => {
    const own = measured.get(cell) ?? [];
    const { operation, store, side, transport, callers } = cell;
    return {
      ...{ operation, store, side, transport, callers },
      perSecond: median(own.map(({ perSecond }) => perSecond)),
      p50Us: median(own.map(({ p50Us }) => p50Us)),
      p99Us: median(own.map(({ p99Us }) => p99Us)),
      rounds: own.map(({ perSecond }) => perSecond),
    };
  });
}

const WARM_UP_CALLS = 40;
const HTTP_WARM_UPS = 3;
const MIN_CALLS = 10;
const MAX_CALLS = 100_000;

/** By operation, so that no link is deleted before it was made; of each operation in another order each time. */
function inTurns(cells: readonly Cell[]): Cell[] {
  const operations = [...new Set(cells.map(({ operation }) => operation))];
  return (['in process', 'HTTP'] as const).flatMap((transport) =>
    operations.flatMap((operation) =>
      shuffled(cells.filter((cell) => cell.operation === operation && cell.transport === transport)),
    ),
  );
}

/** Gives each process numbers of its own, and a `delete` those of the latest `link` by as many callers. */
function createNumbers() {
  const processes = new Map<OpenedSide, { next: number; readonly linked: Map<number, Calls> }>();
  return {
    next({ of, operation, callers }: Cell, count: number): Calls {
      const process = processes.get(of) ?? { next: 0, linked: new Map() };
      processes.set(of, process);
      const links = process.linked.get(callers);
      if (operation === 'delete' && links !== undefined) return { ...links, operation };
      const calls = { operation, from: process.next, count };
      process.next += count;
      if (operation === 'link') process.linked.set(callers, calls);
      return calls;
    },
  };
}

/** The ratios that the calls are judged by, each the median of what it was round by round. */
export function callFigures(calls: readonly CallRow[]): Figure[] {
  const ours = calls.filter(({ side }) => side === 'product');
  return ours.flatMap((row) => calls.filter((other) => isYardstick(row, other)).map((other) => compare(row, other)));
}

/** What stores nothing but in memory is compared with the product in memory and on SQLite too. */
const IN_MEMORY: ReadonlySet<SideName> = new Set(['jmondi', 'oidc-provider', 'idempotency']);

function isYardstick(row: CallRow, other: CallRow): boolean {
  if (other.operation !== row.operation || other.transport !== row.transport) return false;
  if (other.side === 'product') return other.store === row.store && row.callers === 1 && other.callers === TOGETHER;
  return other.callers === row.callers && isSameStore(row, other);
}

function isSameStore(row: CallRow, other: CallRow): boolean {
  return other.store === row.store || (IN_MEMORY.has(other.side) && row.store === 'sqlite');
}

function compare(row: CallRow, other: CallRow): Figure {
  const goal = goalOf(row, other.side);
  if (other.side === 'product') {
    const name = `${nameOf(row)}: ${other.callers} callers together / one`;
    return { name, value: ratioOf(other, row), unit: '×', better: 'more', goal };
  }
  const place = other.store === row.store ? '' : ` in ${other.store}`;
  return {
    name: `${nameOf(row)} / ${other.side}${place}`,
    value: ratioOf(row, other),
    unit: '×',
    better: 'more',
    goal,
  };
}

/** The goals of the project, as ratios inside one run. */
function goalOf(row: CallRow, yardstick: SideName): number | undefined {
  return GOALS[yardstick]?.({ ...row, isInProcess: row.transport === 'in process' });
}

const GOALS: Partial<Record<SideName, (row: CallRow & { readonly isInProcess: boolean }) => number | undefined>> = {
  'better-auth': ({ store, isInProcess }) =>
    store === 'sqlite' ? (isInProcess ? 30 : 15) : isInProcess ? 60 : undefined,
  jmondi: ({ operation, store, isInProcess }) =>
    isInProcess && (operation === 'check' || store === 'memory') ? 2 : undefined,
  'limit + logger': () => 0.6,
  library: ({ operation }) => (operation === 'sign' ? 0.85 : 0.8),
  raw: () => 0.7,
  product: ({ operation, store }) => (operation === 'revoke' && store === 'sqlite' ? 1.5 : undefined),
};

function nameOf({ operation, store, transport, callers }: CallRow): string {
  return `${operation}, ${store}, ${transport}${callers === TOGETHER ? `, ${callers} callers` : ''}`;
}

/** Round by round, since what disturbs a round disturbs both. */
function ratioOf(row: CallRow, other: CallRow): number {
  return median(row.rounds.map((perSecond, round) => perSecond / (other.rounds[round] ?? Number.NaN)));
}
