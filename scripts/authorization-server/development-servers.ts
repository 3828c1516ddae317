import { join } from 'node:path';
import { type DemoApplication, startDemoApplication } from '../demo/server.ts';
import { type AuthorizationServer, startAuthorizationServer } from './server.ts';

/** Where the servers listen, and how the browser reaches the functions. */
export interface DevelopmentServersOptions {
  readonly authPort: number;
  readonly providerPort: number;
  readonly demoPort: number;
  /** Where the two authorization servers keep what they know. */
  readonly dataDir: string;
  readonly gatewayUrl: string;
  readonly contextPrefix: string;
}

/** What stands around the functions: the issuer of their users' tokens, external providers, an application. */
export interface DevelopmentServers {
  readonly authUrl: string;
  readonly providerUrl: string;
  readonly demoUrl: string;
  close(): Promise<void>;
}

/**
 * Starts them, or none of them.
 *
 * @throws {StartError}
 */
export async function startDevelopmentServers(options: DevelopmentServersOptions): Promise<DevelopmentServers> {
  const { dataDir, gatewayUrl, contextPrefix } = options;
  const bindUrl = `${gatewayUrl}${contextPrefix}/api/users/current/fps/bind`;
  const started: (AuthorizationServer | DemoApplication)[] = [];
  const close = async () => void (await Promise.all(started.map((server) => server.close())));
  const keep = <Server extends AuthorizationServer | DemoApplication>(server: Server): Server => {
    started.push(server);
    return server;
  };
  try {
    const auth = keep(
      await startAuthorizationServer({
        port: options.authPort,
        database: join(dataDir, 'authorization-server.sqlite'),
        introspectionUrl: () => `${gatewayUrl}/oauth/introspect`,
        browserClients: [{ clientId: 'account-page', redirectUri: `${bindUrl}/sign-in`, isFirstParty: true }],
      }),
    );
    const provider = keep(
      await startAuthorizationServer({
        port: options.providerPort,
        // Not the issuer's: whoever is signed in there is not signed in here.
        host: 'localhost',
        database: join(dataDir, 'external-provider.sqlite'),
        introspectionUrl: () => undefined,
        // Two providers in one: two clients, hence two grants.
        browserClients: ['dev_1', 'dev_2'].map((name) => ({
          clientId: name,
          redirectUri: `${bindUrl}/cb/oidc/${name}`,
        })),
      }),
    );
    const demo = keep(
      await startDemoApplication({
        port: options.demoPort,
        authUrl: auth.url,
        gatewayUrl,
        contextPrefix,
        countGivenAtProvider: provider.countGiven,
      }),
    );
    return { authUrl: auth.url, providerUrl: provider.url, demoUrl: demo.url, close };
  } catch (error) {
    await close();
    throw error;
  }
}
