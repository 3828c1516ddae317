/** What `npm start` and `npm run dev` share: their command line, the data folder, the emulator on it. */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { OlderSchema } from '#shared/databases/store-schema.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { MatrixSigningKey } from '#shared/threepid/signing.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';
import type { DevelopmentServers } from './authorization-server/development-servers.ts';
import { findFreePort } from './authorization-server/listen.ts';
import { type Emulator, type EmulatorOptions, startEmulator } from './emulator/emulator.ts';
import { readFunctionsFile } from './emulator/functions-file.ts';
import { DECLARED_PREFIX } from './emulator/gateway-file.ts';
import { StartError } from './emulator/start-error.ts';
import { identityCaFile } from './matrix/kept-certificates.ts';
import type { MatrixServers } from './matrix/matrix-servers.ts';
import { createSigningKey } from './matrix/signing-key.ts';
import { hasSchema, migrateSqlite } from './migrate.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

const USAGE = `[--port 8080] [--gateway-port 8081] [--auth-port 8082] [--provider-port 8084] [--demo-port 8085] [--homeserver-port 8086] [--identity-port 8087] [--data-dir .data] [--context-prefix /blitz] [--strip-credential-headers]
The same in the environment: PORT, GATEWAY_PORT, AUTH_PORT, PROVIDER_PORT, DEMO_PORT, HOMESERVER_PORT, IDENTITY_PORT, DATA_DIR, CONTEXT_PREFIX, STRIP_CREDENTIAL_HEADERS=1.`;

/** Where the emulator listens, what it keeps, and which files it runs. */
export interface LocalSettings {
  readonly port: number;
  readonly gatewayPort: number;
  /** Of the authorization server, the external provider and the demo application, in a project that has them. */
  readonly authPort: number;
  readonly providerPort: number;
  readonly demoPort: number;
  /** Of the Matrix homeserver and the identity server, in a project that has them. */
  readonly homeserverPort: number;
  readonly identityPort: number;
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
    'homeserver-port': { type: 'string', default: process.env.HOMESERVER_PORT ?? '8086' },
    'identity-port': { type: 'string', default: process.env.IDENTITY_PORT ?? '8087' },
    'data-dir': { type: 'string', default: process.env.DATA_DIR || join(ROOT, '.data') },
    root: { type: 'string', default: ROOT },
    bundles: { type: 'string' },
    'context-prefix': { type: 'string', default: process.env.CONTEXT_PREFIX ?? DECLARED_PREFIX },
    help: { type: 'boolean', short: 'h' },
    'strip-credential-headers': { type: 'boolean', default: process.env.STRIP_CREDENTIAL_HEADERS === '1' },
  } as const;
  try {
    const { values } = parseArgs({ options });
    if (values.help) {
      console.log(`${command} ${USAGE}`);
      process.exit(0);
    }
    return {
      port: portNumber('port', values.port),
      gatewayPort: portNumber('gateway-port', values['gateway-port']),
      authPort: portNumber('auth-port', values['auth-port']),
      providerPort: portNumber('provider-port', values['provider-port']),
      demoPort: portNumber('demo-port', values['demo-port']),
      homeserverPort: portNumber('homeserver-port', values['homeserver-port']),
      identityPort: portNumber('identity-port', values['identity-port']),
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
  /** Undefined in a project without them. */
  readonly matrix: MatrixServers | undefined;
}

/**
 * Starts the emulator on the SQLite store of the data folder, which is made or migrated where need be, and the
 * authorization server, the external provider and the demo application if `functions.yaml` names the server's URL; the
 * homeserver and the identity server if it names those.
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
  const isFirstStart = !existsSync(join(dataDir, 'peppers'));
  const placeholders = placeholderValues(settings);
  try {
    if (!isFirstStart && !(await hasSchema(`sqlite:${databasePath(settings)}`))) throw storeLost(dataDir);
    migrateSqlite(databasePath(settings));
  } catch (error) {
    if (error instanceof StartError) throw error;
    if (error instanceof OlderSchema) throw storeOutdated(dataDir, error);
    throw new StartError(`The store in the data folder ${dataDir} cannot be opened or migrated.`, { cause: error });
  }
  const servers = await startServers(settings);
  try {
    const { development, matrix } = servers;
    const values = {
      ...placeholders,
      ...(development && urlValues(development)),
      ...(matrix && matrixValues(matrix)),
    };
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
      authUrl: development?.authUrl,
      providerUrl: development?.providerUrl,
      demoUrl: development?.demoUrl,
      matrix,
      async close() {
        await Promise.all([emulator.close(), servers.close()]);
      },
    };
  } catch (error) {
    await servers.close();
    throw error;
  }
}

/** What the operator's command line beside this emulator must know: whose tokens, which providers, how grants end. */
function writeVerification(settings: LocalSettings, values: Record<string, string>): void {
  const definitions = readFunctionsFile(configurationFiles(settings).functionsFile, values);
  const environmentOf = (name: string) => definitions.find((row) => row.name === name)?.environment ?? {};
  const { ISSUERS, GRANT_CLAIM } = environmentOf('token-authorize');
  const { PROVIDERS } = environmentOf('external-provider-link');
  const { END_GRANT } = environmentOf('smart-home-unlink');
  const text = JSON.stringify({ ISSUERS, GRANT_CLAIM, PROVIDERS, END_GRANT });
  writeFileSync(join(settings.dataDir, 'verification.json'), text, { mode: 0o600 });
}

interface Servers {
  readonly development: DevelopmentServers | undefined;
  readonly matrix: MatrixServers | undefined;
  close(): Promise<void>;
}

/** Starts what `functions.yaml` names, all of it or nothing, and at once: they do not know each other. */
async function startServers(settings: LocalSettings): Promise<Servers> {
  const { functionsFile } = configurationFiles(settings);
  const text = existsSync(functionsFile) ? readFileSync(functionsFile, 'utf8') : '';
  const starting = [
    text.includes('{AUTH_URL}') ? startDevelopmentServersOf(settings) : undefined,
    text.includes('{IDENTITY_SERVER}') ? startMatrixServersOf(settings) : undefined,
  ] as const;
  async function close(): Promise<void> {
    const started = await Promise.allSettled(starting);
    await Promise.all(started.map((one) => (one.status === 'fulfilled' ? one.value?.close() : undefined)));
  }
  try {
    const [development, matrix] = await Promise.all(starting);
    return { development, matrix, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startDevelopmentServersOf(settings: LocalSettings): Promise<DevelopmentServers> {
  // Loaded on demand: its library takes 200 ms.
  const { startDevelopmentServers } = await import('./authorization-server/development-servers.ts');
  return await startDevelopmentServers({ ...settings, gatewayUrl: publicUrl(settings.gatewayPort) });
}

async function startMatrixServersOf(settings: LocalSettings): Promise<MatrixServers> {
  const { startMatrixServers } = await import('./matrix/matrix-servers.ts');
  const signingKey = readFileSync(join(settings.dataDir, 'signing.key'), 'utf8');
  return await startMatrixServers({ ...settings, signingKey });
}

type ServerUrls = Pick<DevelopmentServers, 'authUrl' | 'providerUrl' | 'demoUrl'>;

function urlValues({ authUrl, providerUrl, demoUrl }: ServerUrls): Record<string, string> {
  return { AUTH_URL: authUrl, PROVIDER_URL: providerUrl, DEMO_URL: demoUrl };
}

type MatrixNames = Pick<MatrixServers, 'homeserverUrl' | 'homeserverName' | 'identityName'>;

function matrixValues({ homeserverUrl, homeserverName, identityName }: MatrixNames): Record<string, string> {
  return { HOMESERVER_URL: homeserverUrl, HOMESERVER_NAME: homeserverName, IDENTITY_SERVER: identityName };
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
 * What stands for the placeholders of `functions.yaml`. The peppers and keys are this data folder's alone: what is
 * revoked stays so over a restart, and nothing secret is in the project.
 *
 * @throws {StartError}
 */
export function placeholderValues(settings: LocalSettings): Record<string, string> {
  const { dataDir, gatewayPort, contextPrefix, authPort, providerPort, demoPort } = settings;
  try {
    const peppers = keepSecret(dataDir, 'peppers', TokenPeppers, () => makePeppers(dataDir));
    const keys = keepSecret(dataDir, 'encryption-keys', EncryptionKeys, makeKey);
    const signingKey = keepSecret(dataDir, 'signing.key', MatrixSigningKey, createSigningKey);
    return {
      ...{ DATA_DIR: dataDir, DEVELOPMENT_PEPPERS: peppers, DEVELOPMENT_KEYS: keys, MATRIX_SIGNING_KEY: signingKey },
      ...{ GATEWAY_URL: publicUrl(gatewayPort), CONTEXT_PREFIX: contextPrefix || '/' },
      ...urlValues({
        authUrl: `http://127.0.0.1:${authPort}`,
        providerUrl: publicUrl(providerPort),
        demoUrl: publicUrl(demoPort),
      }),
      ...matrixValues({
        homeserverUrl: `http://127.0.0.1:${settings.homeserverPort}`,
        homeserverName: `localhost:${settings.homeserverPort}`,
        identityName: `localhost:${settings.identityPort}`,
      }),
      IDENTITY_CA_FILE: identityCaFile(dataDir),
    };
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(`The keys in the data folder ${dataDir} cannot be read or written.`, { cause: error });
  }
}

/** Reads what is kept in a file of the data folder; makes it, all of the file or none of it, where there is none. */
function keepSecret(
  dataDir: string,
  name: 'peppers' | 'encryption-keys' | 'signing.key',
  schema: { safeParse(text: string): { success: boolean } },
  make: () => string,
): string {
  const file = join(dataDir, name);
  if (!existsSync(file)) {
    writeFileSync(`${file}.new`, make(), { mode: 0o600, flush: true });
    renameSync(`${file}.new`, file);
  }
  const text = readFileSync(file, 'utf8');
  if (schema.safeParse(text).success) return text;
  throw new StartError(
    `The file ${name} in the data folder ${dataDir} holds no ${name === 'peppers' ? name : 'keys'}.`,
  );
}

/** A store that no migration can upgrade. */
function storeOutdated(dataDir: string, cause: OlderSchema): StartError {
  return new StartError(
    `The store in the data folder ${dataDir} was made by an older version and cannot be upgraded. Remove the folder, and start again.`,
    { cause },
  );
}

/** With new peppers nothing that is revoked in a store would ever be found again. */
function makePeppers(dataDir: string): string {
  if (existsSync(databasePath({ dataDir }))) {
    throw new StartError(
      `The data folder ${dataDir} has a store but no peppers: nothing revoked in it could be found. Bring the file peppers back, or remove the folder.`,
    );
  }
  return makeKey();
}

/** In a new store nothing would be revoked that was revoked in the one before. */
function storeLost(dataDir: string): StartError {
  return new StartError(
    `The data folder ${dataDir} has peppers but no store: what was revoked in it would be let in. Bring the file unlink.sqlite back, or remove the folder.`,
  );
}

function makeKey(): string {
  return `k1:${randomBytes(32).toString('base64')}`;
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
