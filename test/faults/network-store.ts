import { DYNAMODB_CREDENTIALS } from '#test/support/dynamodb-server.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import type { NetworkStoreName } from './faults.ts';
import type { KillableServer } from './killable-server.ts';
import { loadTestedStores, type StoreKind, type TestedStore } from './tested-store.ts';

/** Ends a fault. */
export type End = () => void | Promise<void>;

/** A change of a server's settings. */
export type ChangeName =
  | 'a replica, with replica-read-only no'
  | 'another password'
  | 'appendfsync everysec'
  | 'appendonly no'
  | 'appendonly no and yes again'
  | 'default_transaction_isolation repeatable read'
  | 'default_transaction_read_only on'
  | 'fsync off'
  | 'maxmemory-policy allkeys-lru'
  | 'no more connections'
  | 'no-appendfsync-on-rewrite yes'
  | 'row security without a policy'
  | 'synchronous_commit off'
  | 'tables UNLOGGED';

/** What a server has of its own: above all faults, each brought about in its own way. */
export interface ServerFaults {
  /** It takes the next connection, or request, for one too many. */
  refuseMore(): Promise<End>;
  /** It refuses the credentials that the store has. */
  refuseCredentials(): Promise<End>;
  /** Another writer is in the way and does not let go. */
  block(): Promise<End>;
  /** Its schema markers are of an older version. */
  ageSchema(): Promise<End>;
  /** What it keeps of this id, of each kind, cannot be read. */
  corrupt(id: string): Promise<End>;
  /** The proxy leads to another server, which has no schema. */
  failOver(): Promise<End>;
  /** Matches the request that commits a write, where others come before it. */
  readonly commit?: RegExp;
  /** It has no room left. */
  fill?(): Promise<End>;
  /** It acknowledges what is not durable yet. */
  loseDurability?(): Promise<End>;
  /** It is a replica. */
  becomeReplica?(): Promise<End>;
  /** How its settings are changed, without a word to those who are connected. */
  readonly changes?: Readonly<Partial<Record<ChangeName, () => Promise<End>>>>;
}

/** A migrated store on a private server, with a proxy in front of it. */
export interface NetworkStore extends ServerFaults {
  readonly proxy: FaultProxy;
  readonly server: KillableServer;
  /** A store object that reaches the server through the proxy. */
  open(kind: StoreKind): TestedStore;
  /** A store object that reaches it directly. */
  openDirectly(kind: StoreKind): TestedStore;
  /** Changes settings. @throws {Error} The server has no such. */
  change(name: ChangeName): Promise<End>;
  stop(): Promise<void>;
}

/** Puts a proxy in front of a server. */
export async function createNetworkStore(
  name: NetworkStoreName,
  server: KillableServer,
  urlAt: (port: number) => string,
  createFaults: (proxy: FaultProxy) => ServerFaults,
): Promise<NetworkStore> {
  const proxy = await startFaultProxy(server.port);
  const openTestedStore = await loadTestedStores(name);
  const open = (kind: StoreKind, port: number) =>
    openTestedStore(kind, {
      STORE_URL: urlAt(port),
      AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
    });
  const faults = createFaults(proxy);
  return {
    ...faults,
    proxy,
    server,
    open: (kind) => open(kind, proxy.port),
    openDirectly: (kind) => open(kind, server.port),
    change(name) {
      const begin = faults.changes?.[name];
      if (begin === undefined) throw new Error(`the server has no change "${name}"`);
      return begin();
    },
    async stop() {
      await proxy.stop();
      await server.stop();
    },
  };
}

/** Leads the proxy to another port until the fault ends. */
export function leadAstray(proxy: FaultProxy, port: number): End {
  const before = proxy.leadTo(port);
  return () => void proxy.leadTo(before);
}
