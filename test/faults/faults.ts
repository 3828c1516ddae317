import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type { Treatment } from './fault-proxy.ts';
import type { Outcome } from './history.ts';
import { type End, leadAstray, type NetworkStore } from './network-store.ts';

export type NetworkStoreName = 'postgres' | 'redis' | 'dynamodb';

/** A fault of a store behind a network, what is done to bring it about, and what the store must answer meanwhile. */
export interface NetworkFault {
  /** What the server, or the way to it, does. */
  readonly name: string;
  /** Brings it about and returns what ends it, if it does not end by itself. `id` is one that was written. */
  readonly begin: (
    store: NetworkStore,
    id: string,
    /** What the store object is asked next. */
    next: 'write' | 'read',
  ) => End | undefined | Promise<End | undefined>;
  /** The store object has no connection yet. Otherwise it has one that works. */
  readonly isCold?: true;
  /** It is over with one call: brought about for each. */
  readonly isMomentary?: true;
  /** Writes go on all the time, before it, under it and after it. */
  readonly isUnderLoad?: true;
  /** The server has done what it was asked, whatever the store answers. */
  readonly isRecorded?: true;
  readonly expected: Readonly<Record<NetworkStoreName, Expected>>;
}

/** What a write and a read come to meanwhile, or why there is no such fault. */
export type Expected = { readonly write: Outcome; readonly read: Outcome } | { readonly impossible: string };

const both = (outcome: Outcome): Expected => ({ write: outcome, read: outcome });
const impossible = (reason: string): Expected => ({ impossible: reason });
const everywhere = (outcome: Outcome) => ({
  postgres: both(outcome),
  redis: both(outcome),
  dynamodb: both(outcome),
});

const INDISTINGUISHABLE =
  'no client can tell it from the store itself: replicate synchronously, or take its marker away';

export const NETWORK_FAULTS: readonly NetworkFault[] = [
  {
    name: 'refuses connections',
    isCold: true,
    begin: async ({ proxy }) => {
      await proxy.refuse();
      return proxy.accept;
    },
    expected: everywhere('unreachable'),
  },
  {
    name: 'accepts a connection and says nothing',
    isCold: true,
    begin: ({ proxy }) => treated(proxy, 'swallow-requests'),
    expected: everywhere('timed_out'),
  },
  {
    name: 'resets the connection in the middle of a request, once',
    isMomentary: true,
    begin: ({ proxy }) => void proxy.treatOpen('reset-on-request'),
    expected: everywhere('done'),
  },
  {
    name: 'resets each connection in the middle of a request',
    begin: ({ proxy }) => treated(proxy, 'reset-on-request'),
    expected: everywhere('unreachable'),
  },
  {
    name: 'commits, but its answer is lost with the connection, once',
    isMomentary: true,
    isRecorded: true,
    begin: (store, _id, next) => void store.proxy.treatOpen(fromCommit('reset-on-answer', store, next)),
    expected: everywhere('done'),
  },
  {
    name: 'commits, but no answer ever arrives',
    isMomentary: true,
    isRecorded: true,
    begin: (store, _id, next) => void store.proxy.treatOpen(fromCommit('swallow-answers', store, next)),
    expected: everywhere('timed_out'),
  },
  {
    name: 'answers slowly, but within the time',
    begin: ({ proxy }) => treated(proxy, { delayMs: 100 }),
    expected: everywhere('done'),
  },
  {
    name: 'answers after the time',
    begin: ({ proxy }) => treated(proxy, { delayMs: 1000 }),
    expected: everywhere('timed_out'),
  },
  {
    name: 'is killed (SIGKILL) while it writes, and started again',
    isUnderLoad: true,
    begin: async ({ server }) => {
      await server.end('SIGKILL');
      return server.start;
    },
    expected: everywhere('unreachable'),
  },
  {
    name: 'is frozen (SIGSTOP)',
    begin: ({ server }) => server.freeze(),
    expected: everywhere('timed_out'),
  },
  {
    name: 'is frozen (SIGSTOP) before the first connection',
    isCold: true,
    begin: ({ server }) => server.freeze(),
    expected: everywhere('timed_out'),
  },
  {
    name: 'has closed the pooled connection while the function was frozen',
    isMomentary: true,
    begin: ({ proxy }) => void proxy.cut(),
    expected: everywhere('done'),
  },
  {
    name: 'has forgotten the pooled connection, as a NAT does, and says nothing',
    isMomentary: true,
    begin: ({ proxy }) => void proxy.treatOpen('swallow-requests'),
    expected: everywhere('timed_out'),
  },
  {
    name: 'has no room left',
    begin: (store) => store.fill?.(),
    expected: {
      postgres: { write: 'full', read: 'done' },
      redis: { write: 'full', read: 'done' },
      dynamodb: impossible('the API has no such answer for a table without local secondary indexes; quotas throttle'),
    },
  },
  {
    name: 'is set to acknowledge what is not durable yet',
    begin: (store) => store.loseDurability?.(),
    expected: {
      postgres: both('unsafe'),
      redis: both('unsafe'),
      dynamodb: impossible('the API has no such setting'),
    },
  },
  {
    name: 'is a read-only replica',
    begin: (store) => store.becomeReplica?.(),
    expected: {
      postgres: both('read_only'),
      redis: both('read_only'),
      dynamodb: impossible('the replicas of a table take writes'),
    },
  },
  {
    name: 'refuses the credentials',
    begin: (store) => store.refuseCredentials(),
    expected: everywhere('refused'),
  },
  {
    name: 'takes no more connections, or requests',
    begin: (store) => store.refuseMore(),
    expected: everywhere('busy'),
  },
  {
    name: 'is held up by another writer that does not let go',
    begin: (store) => store.block(),
    expected: {
      postgres: both('timed_out'), // it waits for locks, as long as it is let
      redis: both('busy'),
      dynamodb: { write: 'busy', read: 'done' },
    },
  },
  {
    name: 'fails over to a copy that is empty',
    begin: (store) => store.failOver(),
    expected: everywhere('not_migrated'),
  },
  {
    name: 'fails over to a copy that has the schema marker and lacks the last writes',
    begin: () => undefined,
    expected: {
      postgres: impossible(INDISTINGUISHABLE),
      redis: impossible(INDISTINGUISHABLE),
      dynamodb: impossible(INDISTINGUISHABLE),
    },
  },
  {
    name: 'has a schema that is older than the code',
    begin: (store) => store.ageSchema(),
    expected: everywhere('not_migrated'),
  },
  {
    name: 'holds a row that cannot be read',
    begin: (store, id) => store.corrupt(id),
    expected: {
      postgres: both('corrupt'), // it keeps rows together in pages
      redis: { write: 'done', read: 'corrupt' },
      dynamodb: { write: 'done', read: 'corrupt' },
    },
  },
  {
    name: 'has lost its port to another program',
    begin: async ({ proxy }) => {
      const other = createServer((socket) => {
        socket.on('error', () => {}); // whoever is there may go away
        socket.end('220 ready\r\n');
      });
      await once(other.listen(0, '127.0.0.1'), 'listening');
      const comeBack = leadAstray(proxy, (other.address() as AddressInfo).port); // never a path
      return async () => {
        await comeBack();
        other.close();
      };
    },
    expected: everywhere('unreachable'),
  },
];

/** Of a write, what is asked before its commit is answered. */
function fromCommit(
  treatment: 'reset-on-answer' | 'swallow-answers',
  { commit }: NetworkStore,
  next: 'write' | 'read',
): Treatment {
  return next === 'write' && commit !== undefined ? { from: commit, treatment } : treatment;
}

function treated(proxy: NetworkStore['proxy'], treatment: Treatment): End {
  proxy.treat(treatment);
  return () => proxy.treat('pass');
}
