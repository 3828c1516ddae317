import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { type Expected, NETWORK_FAULTS, type NetworkFault, type NetworkStoreName } from './faults.ts';
import { createHistory, type History, type Outcome, outcomeOf } from './history.ts';
import type { End, NetworkStore } from './network-store.ts';
import { settingsFaultsOf } from './settings-changes.ts';
import type { StoreKind, TestedStore } from './tested-store.ts';

/** What a call gets when it will use all of it, and when it will not, in milliseconds. */
const SHORT_MS = 500;
const LONG_MS = 10_000;
const TIMEOUTS: Partial<Record<Outcome, number>> = { timed_out: SHORT_MS, busy: 2 * SHORT_MS };

/** How long the store may take to work again once a fault is over, as a function tries: with pauses. */
const RECOVERY_MS = 10_000;
const WRITERS = 4;

/** How long a server may take to start on a busy machine: a Java machine may need ten seconds. */
const START_TIMEOUT_MS = 90_000;

/** What is kept in each store; the directory is not kept in Redis. */
const KINDS: Readonly<Record<NetworkStoreName, readonly StoreKind[]>> = {
  postgres: ['revocations', 'directory'],
  redis: ['revocations'],
  dynamodb: ['revocations', 'directory'],
};

/** Runs each fault of the table that a store can have against one server. */
export function holdToTable(name: NetworkStoreName, start: () => Promise<NetworkStore>): void {
  describe(`while the server of a ${name} store`, () => {
    let backend: NetworkStore;
    beforeAll(async () => {
      backend = await start();
    }, START_TIMEOUT_MS);
    afterAll(() => backend?.stop());

    for (const { fault, kind, expected } of [...cellsOf(name), ...settingsCellsOf(name)]) {
      const title = `${fault.name}: ${sentence(expected)} (${kind})`;
      test(title, () => runCell(backend, kind, fault, expected), START_TIMEOUT_MS);
    }
  });
}

/** What is run for a store: each fault that it can have, with each kind that is kept in it. */
export function cellsOf(name: NetworkStoreName) {
  return NETWORK_FAULTS.flatMap((fault) => {
    const expected = fault.expected[name];
    return 'impossible' in expected ? [] : KINDS[name].map((kind) => ({ fault, kind, expected }));
  });
}

/** What is run for a store besides: each change of its settings, at each moment. */
export function settingsCellsOf(name: NetworkStoreName) {
  return settingsFaultsOf(name).flatMap(({ fault, expected }) =>
    KINDS[name].map((kind) => ({ fault, kind, expected })),
  );
}

/** What a cell of the table says. */
export function sentence(expected: Expected): string {
  if ('impossible' in expected) return expected.impossible;
  const { write, read } = expected;
  return write === read ? write : `write ${write}, read ${read}`;
}

async function runCell(
  backend: NetworkStore,
  kind: StoreKind,
  fault: Cell,
  expected: Exclude<Expected, { impossible: string }>,
): Promise<void> {
  const store = backend.open(kind);
  onTestFinished(() => store.close());
  const run = crypto.randomUUID(); // the cells share one server
  const [before, during, after, never] = ['before', 'during', 'after', 'never'].map((when) => `${when}-${run}`) as Ids;
  const known = await prepareDirectly(backend, kind, { prepared: [before, during, after, never], fault, before });
  const history = createHistory(store, known);
  if (!fault.isCold) await history.writeAll(before);
  const load = fault.isUnderLoad && startLoad(store, history);
  await load?.isUnderWay;

  let end = await fault.begin(backend, before, 'write');
  try {
    const writes = [];
    for (const [index, write] of history.writes.entries()) {
      writes.push(await outcomeOf(timeFor(expected.write), (timeoutMs) => write(during, timeoutMs)));
      const next = index + 1 < history.writes.length ? 'write' : 'read';
      if (fault.isMomentary) end = await beginAgain(backend, fault, { history, before, next });
    }
    const read = await outcomeOf(timeFor(expected.read), (timeoutMs) => history.read(before, timeoutMs));
    expect({ writes, read }).toEqual({ writes: history.writes.map(() => expected.write), read: expected.read });
  } finally {
    await end?.();
  }

  await recovered((timeoutMs) => history.read(before, timeoutMs));
  if (fault.isRecorded) expect(await store.read(during)).not.toContain(false);
  // Whatever was answered, and whatever was done: again, as whoever was refused does.
  for (const id of [during, after]) {
    for (const write of history.writes) await recovered((timeoutMs) => write(id, timeoutMs));
  }
  await load?.stop();
  for (const id of history.acknowledged()) {
    await recovered((timeoutMs) => history.read(id, timeoutMs));
    await store.assertWhole(id);
  }
  expect(await store.read(never)).not.toContain(true);
}

/** A fault without what each store makes of it. */
type Cell = Omit<NetworkFault, 'expected'>;

type Ids = [before: string, during: string, after: string, never: string];

function timeFor(outcome: Outcome): number {
  return TIMEOUTS[outcome] ?? LONG_MS;
}

/** With a connection that works, as the first time. */
async function beginAgain(
  backend: NetworkStore,
  fault: Cell,
  { history, before, next }: { history: History; before: string; next: 'write' | 'read' },
): Promise<End | undefined> {
  await recovered((timeoutMs) => history.read(before, timeoutMs));
  return fault.begin(backend, before, next);
}

function recovered<Result>(call: (timeoutMs: number) => Promise<Result>): Promise<Result> {
  return retryWhileUnavailable(RECOVERY_MS, call);
}

/** Not through the store object that is tested. Returns what was written as well, which it is where that one is cold. */
async function prepareDirectly(
  backend: NetworkStore,
  kind: StoreKind,
  { prepared, fault, before }: { prepared: readonly string[]; fault: Cell; before: string },
): Promise<readonly string[]> {
  const direct = backend.openDirectly(kind);
  const history = createHistory(direct);
  for (const id of prepared) await direct.prepare(id);
  if (fault.isCold) await history.writeAll(before);
  await direct.close();
  return history.acknowledged();
}

/** Writes one id after another, each until that is acknowledged, and reads each. */
function startLoad(store: TestedStore, history: History): { isUnderWay: Promise<void>; stop: () => Promise<void> } {
  let isStopped = false;
  let resolve = () => {};
  const isUnderWay = new Promise<void>((settle) => {
    resolve = settle;
  });
  const writers = Array.from({ length: WRITERS }, async () => {
    while (!isStopped) {
      const id = crypto.randomUUID();
      for (const step of [store.prepare, ...history.writes, history.read]) {
        await retryWhileUnavailable(START_TIMEOUT_MS, () => step(id, LONG_MS));
      }
      if (history.acknowledged().length > 5 * WRITERS) resolve();
    }
  });
  const ended = Promise.all(writers);
  ended.catch(() => {}); // told by `stop`
  return {
    isUnderWay: Promise.race([isUnderWay, ended.then(() => {})]),
    stop: async () => {
      isStopped = true;
      await ended;
    },
  };
}
