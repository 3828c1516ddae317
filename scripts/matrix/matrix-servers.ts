import { writeFileSync } from 'node:fs';
import { createCertificateAuthority } from './certificates.ts';
import { startHomeserver } from './homeserver.ts';
import { startIdentityServer } from './identity-server.ts';

/** Where the two servers listen, and what they keep. */
export interface MatrixServersOptions {
  readonly homeserverPort: number;
  readonly identityPort: number;
  /** The line of the homeserver's `signing.key`. */
  readonly signingKey: string;
  /** The file that is written for those who are to trust the identity server, in PEM. */
  readonly caFile: string;
}

/** A homeserver and an identity server, which knows that one alone. */
export interface MatrixServers {
  readonly homeserverUrl: string;
  readonly homeserverName: string;
  readonly identityUrl: string;
  readonly identityName: string;
  readonly caFile: string;
  close(): Promise<void>;
}

/**
 * Starts them, or none of them.
 *
 * @throws {StartError}
 */
export async function startMatrixServers(options: MatrixServersOptions): Promise<MatrixServers> {
  const { homeserverPort, identityPort, signingKey, caFile } = options;
  const homeserver = await startHomeserver({ port: homeserverPort, signingKey });
  try {
    const authority = await createCertificateAuthority();
    writeFileSync(caFile, authority.ca);
    const identity = await startIdentityServer({
      port: identityPort,
      certificates: await authority.issue(['localhost']),
      homeserverUrl: (name) => (name === homeserver.serverName ? homeserver.url : undefined),
    });
    return {
      homeserverUrl: homeserver.url,
      homeserverName: homeserver.serverName,
      identityUrl: identity.url,
      identityName: identity.name,
      caFile,
      close: async () => void (await Promise.all([homeserver.close(), identity.close()])),
    };
  } catch (error) {
    await homeserver.close();
    throw error;
  }
}
