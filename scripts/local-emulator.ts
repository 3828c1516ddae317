/** What `npm start` and `npm run dev` share: their command line, the data folder, the emulator on it. */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { EncryptionKeys } from '#shared/encryption.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';
import type { DevelopmentServers } from './authorization-server/development-servers.ts';
import { findFreePort } from './authorization-server/listen.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from './emulator/emulator.ts';
import { readFunctionsFile } from './emulator/functions-file.ts';
import { DECLARED_PREFIX } from './emulator/gateway-file.ts';
import { StartError } from './emulator/start-error.ts';
import { migrateSqlite } from './migrate.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

const USAGE = `[--port 8080] [--gateway-port 8081] [--auth-port 8082] [--provider-port 8084] [--demo-port 8085] [--data-dir .data] [--context-prefix /blitz] [--strip-credential-headers]
The same in the environment: PORT, GATEWAY_PORT, AUTH_PORT, PROVIDER_PORT, DEMO_PORT, DATA_DIR, CONTEXT_PREFIX, STRIP_CREDENTIAL_HEADERS=1.`;

/** Where the emulator listens, what it keeps, and which files it runs. */
export interface LocalSettings {
  readonly port: number;
  readonly gatewayPort: number;
  /** Of the authorization server, the external provider and the demo application, in a project that has them. */
  readonly authPort: number;
  readonly providerPort: number;
  readonly demoPort: number;
  readonly dataDir: string;
  /** The folder of the built functions. */
  readonly bundles: string;
  /** The project that runs. */
  readonly root: string;
  /** What the gateway's paths of the Blitz API begin with. */
  readonly contextPrefix: string;
  readonly stripCredentialHeaders: boolean;
}

/**
 * The settings of the command line and the environment.
 *
 * @param command How the program is called, for the usage.
 * @throws {StartError}
 */
export function readLocalSettings(command: string): LocalSettings {
  const options = {
    port: { type: 'string', default: process.env.PORT ?? '8080' },
    'gateway-port': { type: 'string', default: process.env.GATEWAY_PORT ?? '8081' },
    'auth-port': { type: 'string', default: process.env.AUTH_PORT ?? '8082' },
    'provider-port': { type: 'string', default: process.env.PROVIDER_PORT ?? '8084' },
    'demo-port': { type: 'string', default: process.env.DEMO_PORT ?? '8085' },
    'data-dir': { type: 'string', default: process.env.DATA_DIR || join(ROOT, '.data') },
    root: { type: 'string', default: ROOT },
    bundles: { type: 'string' },
    'context-prefix': { type: 'string', default: process.env.CONTEXT_PREFIX ?? DECLARED_PREFIX },
    'strip-credential-headers': { type: 'boolean', default: process.env.STRIP_CREDENTIAL_HEADERS === '1' },
  } as const;
  try {
    const { values } = parseArgs({ options });
    return {
      port: portNumber('port', values.port),
      gatewayPort: portNumber('gateway-port', values['gateway-port']),
      authPort: portNumber('auth-port', values['auth-port']),
      providerPort: portNumber('provider-port', values['provider-port']),
      demoPort: portNumber('demo-port', values['demo-port']),
      dataDir: resolve(values['data-dir']),
      bundles: resolve(values.bundles ?? join(values.root, 'dist')),
      root: resolve(values.root),
      contextPrefix: values['context-prefix'],
      stripCredentialHeaders: values['strip-credential-headers'],
    };
  } catch (error) {
    throw new StartError(`${error instanceof Error ? error.message : error}\n${command} ${USAGE}`);
  }
}

function portNumber(name: string, text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new Error(`The ${name} must be a number from 0 to 65535.`);
  return port;
}

/** The emulator, and what it trusts and serves; undefined in a project whose functions verify no tokens of it. */
export interface LocalEmulator extends Emulator {
  readonly authUrl: string | undefined;
  readonly providerUrl: string | undefined;
  readonly demoUrl: string | undefined;
}

/**
 * Starts the emulator on the SQLite store of the data folder, which is made or migrated where need be, and the
 * authorization server, the external provider and the demo application if `functions.yaml` names the server's URL.
 *
 * @throws {StartError}
 */
export async function startLocalEmulator(
  given: LocalSettings,
  onOutput?: NonNullable<EmulatorOptions['onOutput']>,
): Promise<LocalEmulator> {
  // The functions and the other servers must know the gateway's URL before it listens.
  const settings = { ...given, gatewayPort: given.gatewayPort || (await findFreePort()) };
  const { dataDir, bundles, port, gatewayPort, contextPrefix, stripCredentialHeaders } = settings;
  openDataFolder(dataDir);
  const placeholders = placeholderValues(settings);
  try {
    migrateSqlite(databasePath(settings));
  } catch (error) {
    throw new StartError(`The store in the data folder ${dataDir} cannot be opened or migrated.`, { cause: error });
  }
  const servers = await startServers(settings);
  try {
    const values = { ...placeholders, ...(servers && urlValues(servers)) };
    const emulator = await startEmulator({
      ...configurationFiles(settings),
      bundles,
      port,
      gatewayPort,
      values,
      contextPrefix,
      stripCredentialHeaders,
      ...(onOutput && { onOutput }),
    });
    writeVerification(settings, values);
    return {
      ...emulator,
      authUrl: servers?.authUrl,
      providerUrl: servers?.providerUrl,
      demoUrl: servers?.demoUrl,
      async close() {
        await Promise.all([emulator.close(), servers?.close()]);
      },
    };
  } catch (error) {
    await servers?.close();
    throw error;
  }
}

/** What the operator's command line beside this emulator must know: whose tokens and which providers there are. */
function writeVerification(settings: LocalSettings, values: Record<string, string>): void {
  const definitions = readFunctionsFile(configurationFiles(settings).functionsFile, values);
  const environmentOf = (name: string) => definitions.find((row) => row.name === name)?.environment ?? {};
  const { ISSUERS, GRANT_CLAIM } = environmentOf('token-authorize');
  const { PROVIDERS } = environmentOf('external-provider-link');
  const text = JSON.stringify({ ISSUERS, GRANT_CLAIM, PROVIDERS });
  writeFileSync(join(settings.dataDir, 'verification.json'), text, { mode: 0o600 });
}

async function startServers(settings: LocalSettings): Promise<DevelopmentServers | undefined> {
  const { functionsFile } = configurationFiles(settings);
  if (!existsSync(functionsFile) || !readFileSync(functionsFile, 'utf8').includes('{AUTH_URL}')) return undefined;
  // Loaded on demand: its library takes 200 ms.
  const { startDevelopmentServers } = await import('./authorization-server/development-servers.ts');
  return await startDevelopmentServers({ ...settings, gatewayUrl: publicUrl(settings.gatewayPort) });
}

type ServerUrls = Pick<DevelopmentServers, 'authUrl' | 'providerUrl' | 'demoUrl'>;

function urlValues({ authUrl, providerUrl, demoUrl }: ServerUrls): Record<string, string> {
  return { AUTH_URL: authUrl, PROVIDER_URL: providerUrl, DEMO_URL: demoUrl };
}

/** By the name that a browser takes for secure without TLS, and that is not the host of the authorization server. */
function publicUrl(port: number): string {
  return `http://localhost:${port}`;
}

/** The two files that say what runs. */
export function configurationFiles({ root }: LocalSettings): { functionsFile: string; gatewayFile: string } {
  return { functionsFile: join(root, 'infra/functions.yaml'), gatewayFile: join(root, 'infra/openapi.yaml') };
}

/**
 * What stands for the placeholders of `functions.yaml`. The peppers are this data folder's alone: what is revoked stays
 * so over a restart, and nothing secret is in the project.
 *
 * @throws {StartError}
 */
export function placeholderValues(settings: LocalSettings): Record<string, string> {
  const { dataDir, gatewayPort, contextPrefix, authPort, providerPort, demoPort } = settings;
  const file = join(dataDir, 'peppers');
  try {
    if (!existsSync(file)) writePeppers(file, dataDir);
    const peppers = readFileSync(file, 'utf8');
    if (!TokenPeppers.safeParse(peppers).success) {
      throw new StartError(`The file peppers in the data folder ${dataDir} holds no peppers.`);
    }
    const keysFile = join(dataDir, 'encryption-keys');
    if (!existsSync(keysFile)) writeKey(keysFile);
    const keys = readFileSync(keysFile, 'utf8');
    if (!EncryptionKeys.safeParse(keys).success) {
      throw new StartError(`The file encryption-keys in the data folder ${dataDir} holds no keys.`);
    }
    return {
      ...{ DATA_DIR: dataDir, DEVELOPMENT_PEPPERS: peppers, DEVELOPMENT_KEYS: keys },
      ...{ GATEWAY_URL: publicUrl(gatewayPort), CONTEXT_PREFIX: contextPrefix || '/' },
      ...urlValues({
        authUrl: `http://127.0.0.1:${authPort}`,
        providerUrl: publicUrl(providerPort),
        demoUrl: publicUrl(demoPort),
      }),
    };
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(`The keys in the data folder ${dataDir} cannot be read or written.`, { cause: error });
  }
}

/** Makes peppers, all of the file or none of it: with half of them no revocation would ever be found again. */
function writePeppers(file: string, dataDir: string): void {
  if (existsSync(databasePath({ dataDir }))) {
    throw new StartError(
      `The data folder ${dataDir} has a store but no peppers: nothing revoked in it could be found. Bring the file peppers back, or remove the folder.`,
    );
  }
  writeKey(file);
}

function writeKey(file: string): void {
  writeFileSync(`${file}.new`, `k1:${randomBytes(32).toString('base64')}`, { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}

/** The file of the store. */
export function databasePath({ dataDir }: Pick<LocalSettings, 'dataDir'>): string {
  return join(dataDir, 'unlink.sqlite');
}

/** Ends the process, with status 0, when it is told to. */
export function exitOnSignals(close: () => Promise<void>): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      close().then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
}

/** Runs a program; what keeps it from starting is one sentence on stderr and status 1. */
export function runProgram(main: () => Promise<void>): void {
  main().catch((error: unknown) => {
    if (!(error instanceof StartError)) throw error;
    console.error(error.message);
    process.exit(1);
  });
}

function openDataFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new StartError(`The data folder ${path} cannot be made, read or written.`, { cause: error });
  }
}
