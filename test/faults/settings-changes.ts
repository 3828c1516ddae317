import { vi } from 'vitest';
import type { Expected, NetworkFault } from './faults.ts';
import type { Outcome } from './history.ts';
import type { ChangeName } from './network-store.ts';

/** When a change of a server's settings is noticed: the columns of the document's table. */
export const MOMENTS = ['a new connection', 'a live connection', 'a live connection, 5 s later'] as const;
type Moment = (typeof MOMENTS)[number];

/** A change of a server's settings, and what a store answers after it. */
interface SettingsChange {
  readonly name: ChangeName;
  readonly expected: Readonly<Record<Moment, Exclude<Expected, { impossible: string }>>>;
}

const both = (outcome: Outcome) => ({ write: outcome, read: outcome });
const write = (outcome: Outcome) => ({ write: outcome, read: 'done' as const });
const change = (
  name: ChangeName,
  onNew: SettingsChange['expected'][Moment],
  onLive: SettingsChange['expected'][Moment],
  later = onNew,
): SettingsChange => ({
  name,
  expected: { 'a new connection': onNew, 'a live connection': onLive, 'a live connection, 5 s later': later },
});

/** How long a driver takes settings to be as they were, in milliseconds. */
const SAFE_FOR_MS = 5000;

/** By the store. */
const SETTINGS_CHANGES = {
  postgres: [
    // The write itself asks for what it needs.
    change('synchronous_commit off', both('unsafe'), both('done')),
    // A write that fails leaves its connection, and so does what follows.
    change('fsync off', both('unsafe'), both('unsafe')),
    change('default_transaction_isolation repeatable read', both('unsafe'), both('unsafe')),
    change('default_transaction_read_only on', both('read_only'), both('read_only')),
    change('tables UNLOGGED', both('unsafe'), both('unsafe')),
    change('row security without a policy', both('unsafe'), both('unsafe')),
    change('another password', both('refused'), both('done'), both('done')),
    change('no more connections', both('busy'), both('done'), both('done')),
  ],
  redis: [
    change('appendonly no', both('unsafe'), write('unsafe')),
    // Until the file is rewritten.
    change('appendonly no and yes again', write('timed_out'), write('timed_out')),
    change('appendfsync everysec', both('unsafe'), write('unsafe')),
    change('no-appendfsync-on-rewrite yes', both('unsafe'), write('unsafe')),
    change('maxmemory-policy allkeys-lru', both('unsafe'), write('unsafe')),
    change('a replica, with replica-read-only no', both('read_only'), both('read_only')),
    change('another password', both('refused'), both('done'), both('done')),
    change('no more connections', both('busy'), both('done'), both('done')),
  ],
} as const satisfies Readonly<Record<string, readonly SettingsChange[]>>;

/** The changes of a store; DynamoDB's API has no such settings. */
export function settingsChangesOf(name: 'postgres' | 'redis' | 'dynamodb'): readonly SettingsChange[] {
  return name === 'dynamodb' ? [] : SETTINGS_CHANGES[name];
}

/** Each change as a fault, at each moment. Before it the clock is stopped: when settings are asked for again is ours. */
export function settingsFaultsOf(
  name: 'postgres' | 'redis' | 'dynamodb',
): { fault: Pick<NetworkFault, 'name' | 'begin'>; expected: SettingsChange['expected'][Moment] }[] {
  return settingsChangesOf(name).flatMap(({ name: changeName, expected }) =>
    MOMENTS.map((moment) => ({
      fault: {
        name: `has changed its settings (${changeName}), ${moment}`,
        begin: async (store) => {
          vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
          const end = await store.change(changeName);
          if (moment === 'a new connection') store.proxy.cut();
          if (moment === 'a live connection, 5 s later') vi.setSystemTime(Date.now() + SAFE_FOR_MS);
          return async () => {
            vi.useRealTimers();
            await end();
          };
        },
      },
      expected: expected[moment],
    })),
  );
}
