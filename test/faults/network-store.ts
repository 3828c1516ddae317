import { LOCAL_PLATFORM } from '#shared/platform.ts';
import { openTokenRevocationStore } from '#shared/token-revocation/open-store.ts';
import type { TokenRevocationStore } from '#shared/token-revocation/store.ts';
import { DYNAMODB_CREDENTIALS } from '#test/support/dynamodb-server.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import type { KillableServer } from './killable-server.ts';

/** Ends a fault. */
export type End = () => void | Promise<void>;

/** Faults that are the server's own: each is brought about in its own way. */
export interface ServerFaults {
  /** It takes the next connection, or request, for one too many. */
  refuseMore(): Promise<End>;
  /** It refuses the credentials that the store has. */
  refuseCredentials(): Promise<End>;
  /** Another writer is in the way and does not let go. */
  block(): Promise<End>;
  /** Its schema marker is of an older version. */
  ageSchema(): Promise<End>;
  /** What it keeps of this token cannot be read. */
  corrupt(id: string): Promise<End>;
  /** The proxy leads to another server, which has no schema. */
  failOver(): Promise<End>;
  /** It has no room left. */
  fill?(): Promise<End>;
  /** It acknowledges what is not durable yet. */
  loseDurability?(): Promise<End>;
  /** It is a replica. */
  becomeReplica?(): Promise<End>;
}

/** A migrated store on a private server, with a proxy in front of it. */
export interface NetworkStore extends ServerFaults {
  readonly proxy: FaultProxy;
  readonly server: KillableServer;
  /** A store object that reaches the server through the proxy. */
  open(): TokenRevocationStore;
  /** A store object that reaches it directly. */
  openDirectly(): TokenRevocationStore;
  stop(): Promise<void>;
}

/** Puts a proxy in front of a server. */
export async function createNetworkStore(
  server: KillableServer,
  urlAt: (port: number) => string,
  createFaults: (proxy: FaultProxy) => ServerFaults,
): Promise<NetworkStore> {
  const proxy = await startFaultProxy(server.port);
  const open = (port: number) =>
    openTokenRevocationStore(
      {
        STORE_URL: urlAt(port),
        AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
      },
      LOCAL_PLATFORM,
    );
  return {
    ...createFaults(proxy),
    proxy,
    server,
    open: () => open(proxy.port),
    openDirectly: () => open(server.port),
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
