import { startHomeserver } from './homeserver.ts';
import { startIdentityServer } from './identity-server.ts';
import { identityCaFile, keepCertificates } from './kept-certificates.ts';

/** Where the two servers listen, and what they keep. */
export interface MatrixServersOptions {
  readonly homeserverPort: number;
  readonly identityPort: number;
  /** The line of the homeserver's `signing.key`. */
  readonly signingKey: string;
  /** Where the identity server's certificates are kept. */
  readonly dataDir: string;
}

/** A homeserver and an identity server, which knows that one alone. */
export interface MatrixServers {
  readonly homeserverUrl: string;
  readonly homeserverName: string;
  readonly identityUrl: string;
  readonly identityName: string;
  /** What the identity server is to be trusted by, in PEM. */
  readonly caFile: string;
  close(): Promise<void>;
}

/**
 * Starts them, or none of them.
 *
 * @throws {StartError}
 */
export async function startMatrixServers(options: MatrixServersOptions): Promise<MatrixServers> {
  const { homeserverPort, identityPort, signingKey, dataDir } = options;
  const homeserver = await startHomeserver({ port: homeserverPort, signingKey });
  try {
    const identity = await startIdentityServer({
      port: identityPort,
      certificates: await keepCertificates(dataDir),
      homeserverUrl: (name) => (name === homeserver.serverName ? homeserver.url : undefined),
    });
    return {
      homeserverUrl: homeserver.url,
      homeserverName: homeserver.serverName,
      identityUrl: identity.url,
      identityName: identity.name,
      caFile: identityCaFile(dataDir),
      close: async () => void (await Promise.all([homeserver.close(), identity.close()])),
    };
  } catch (error) {
    await homeserver.close();
    throw error;
  }
}
