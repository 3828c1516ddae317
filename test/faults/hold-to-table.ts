import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { retryWhileUnavailable } from '#shared/databases/retry.ts';
import { type Expected, NETWORK_FAULTS, type NetworkFault, type NetworkStoreName } from './faults.ts';
import { createHistory, type History, type Outcome, outcomeOf } from './history.ts';
import type { End, NetworkStore } from './network-store.ts';

/** What a call gets when it will use all of it, and when it will not, in milliseconds. */
const SHORT_MS = 500;
const LONG_MS = 10_000;
const TIMEOUTS: Partial<Record<Outcome, number>> = { timed_out: SHORT_MS, busy: 2 * SHORT_MS };

/** How long the store may take to work again once a fault is over, as a function tries: with pauses. */
const RECOVERY_MS = 10_000;
const WRITERS = 4;

/** How long a server may take to start on a busy machine: a Java machine may need ten seconds. */
const START_TIMEOUT_MS = 90_000;

/** Runs each fault of the table that a store can have against one server. */
export function holdToTable(name: NetworkStoreName, start: () => Promise<NetworkStore>): void {
  describe(`while the server of a ${name} store`, () => {
    let backend: NetworkStore;
    beforeAll(async () => {
      backend = await start();
    }, START_TIMEOUT_MS);
    afterAll(() => backend?.stop());

    for (const fault of NETWORK_FAULTS) {
      const expected = fault.expected[name];
      if ('impossible' in expected) continue;
      test(`${fault.name}: ${sentence(expected)}`, () => runCell(backend, fault, expected), START_TIMEOUT_MS);
    }
  });
}

/** What a cell of the table says. */
export function sentence(expected: Expected): string {
  if ('impossible' in expected) return expected.impossible;
  const { revoke, check } = expected;
  return revoke === check ? revoke : `revoke ${revoke}, check ${check}`;
}

async function runCell(
  backend: NetworkStore,
  fault: NetworkFault,
  { revoke, check }: Exclude<Expected, { impossible: string }>,
): Promise<void> {
  const store = backend.open();
  onTestFinished(() => store.close());
  const run = crypto.randomUUID(); // the cells share one server
  const [before, during, after] = [`before-${run}`, `during-${run}`, `after-${run}`] as const;
  const known = fault.isCold ? await revokeDirectly(backend, before) : [];
  const history = createHistory(store, known);
  if (!fault.isCold) await history.revoke(before);
  const load = fault.isUnderLoad && startLoad(history);
  await load?.isUnderWay;

  let end = await fault.begin(backend, before);
  try {
    const revoked = await outcomeOf(TIMEOUTS[revoke] ?? LONG_MS, (timeoutMs) => history.revoke(during, timeoutMs));
    if (fault.isMomentary) end = await beginAgain(backend, fault, history, before);
    const checked = await outcomeOf(TIMEOUTS[check] ?? LONG_MS, (timeoutMs) => history.check(before, timeoutMs));
    expect({ revoke: revoked, check: checked }).toEqual({ revoke, check });
  } finally {
    await end?.();
  }

  await recovered((timeoutMs) => history.check(before, timeoutMs));
  await recovered((timeoutMs) => history.revoke(after, timeoutMs));
  await load?.stop();
  for (const id of history.acknowledged()) await recovered((timeoutMs) => history.check(id, timeoutMs));
  if (fault.isRecorded) expect(await store.check(token(during))).toMatchObject({ revoked: true });
  expect(await store.check(token(`never-${run}`))).toEqual({ revoked: false });
}

/** With a connection that works, as the first time. */
async function beginAgain(
  backend: NetworkStore,
  fault: NetworkFault,
  history: History,
  before: string,
): Promise<End | undefined> {
  await recovered((timeoutMs) => history.check(before, timeoutMs));
  return fault.begin(backend, before);
}

function recovered<Result>(call: (timeoutMs: number) => Promise<Result>): Promise<Result> {
  return retryWhileUnavailable(RECOVERY_MS, call);
}

async function revokeDirectly(backend: NetworkStore, id: string): Promise<readonly string[]> {
  const direct = backend.openDirectly();
  const history = createHistory(direct);
  await history.revoke(id);
  await direct.close();
  return history.acknowledged();
}

const token = (id: string) => ({ tokenIds: [id], grants: [], cutOffKeys: [] });

/** Revokes one token after another, each until that is acknowledged, and checks each. */
function startLoad(history: History): { isUnderWay: Promise<void>; stop: () => Promise<void> } {
  let isStopped = false;
  let resolve = () => {};
  const isUnderWay = new Promise<void>((settle) => {
    resolve = settle;
  });
  const writers = Array.from({ length: WRITERS }, async () => {
    while (!isStopped) {
      const id = crypto.randomUUID();
      await retryWhileUnavailable(START_TIMEOUT_MS, () => history.revoke(id, LONG_MS));
      await retryWhileUnavailable(START_TIMEOUT_MS, () => history.check(id, LONG_MS));
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
