import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Emulator, startEmulator } from './emulator/emulator.ts';
import { StartError } from './emulator/start-error.ts';
import { migrateSqlite } from './migrate.ts';

const ROOT = fileURLToPath(new URL('../', import.meta.url));

const USAGE = `npm start -- [--port 8080] [--gateway-port 8081] [--data-dir .data] [--strip-credential-headers]
The same in the environment: PORT, GATEWAY_PORT, DATA_DIR, STRIP_CREDENTIAL_HEADERS=1.`;

interface Settings {
  readonly port: number;
  readonly gatewayPort: number;
  readonly dataDir: string;
  readonly bundles: string;
  readonly stripCredentialHeaders: boolean;
}

/** The command line: runs the built functions on an embedded store until it is told to stop. */
async function main(): Promise<void> {
  const settings = readSettings();
  const emulator = await start(settings);
  process.stdout.write(introduction(emulator, settings));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      emulator.close().then(
        () => process.exit(0),
        () => process.exit(1),
      );
    });
  }
}

async function start({ port, gatewayPort, dataDir, bundles, stripCredentialHeaders }: Settings): Promise<Emulator> {
  openDataFolder(dataDir);
  const values = { DATA_DIR: dataDir, DEVELOPMENT_PEPPERS: developmentPeppers(dataDir) };
  try {
    migrateSqlite(join(dataDir, 'unlink.sqlite'));
  } catch (error) {
    throw new StartError(`The store in the data folder ${dataDir} cannot be opened or migrated.`, { cause: error });
  }
  return await startEmulator({
    functionsFile: join(ROOT, 'infra/functions.yaml'),
    gatewayFile: join(ROOT, 'infra/openapi.yaml'),
    bundles,
    port,
    gatewayPort,
    values,
    stripCredentialHeaders,
  });
}

function readSettings(): Settings {
  const options = {
    port: { type: 'string', default: process.env.PORT ?? '8080' },
    'gateway-port': { type: 'string', default: process.env.GATEWAY_PORT ?? '8081' },
    'data-dir': { type: 'string', default: process.env.DATA_DIR ?? join(ROOT, '.data') },
    bundles: { type: 'string', default: join(ROOT, 'dist') },
    'strip-credential-headers': { type: 'boolean', default: process.env.STRIP_CREDENTIAL_HEADERS === '1' },
  } as const;
  try {
    const { values } = parseArgs({ options });
    return {
      port: portNumber('port', values.port),
      gatewayPort: portNumber('gateway-port', values['gateway-port']),
      dataDir: resolve(values['data-dir']),
      bundles: resolve(values.bundles),
      stripCredentialHeaders: values['strip-credential-headers'],
    };
  } catch (error) {
    throw new StartError(`${error instanceof Error ? error.message : error}\n${USAGE}`);
  }
}

function portNumber(name: string, text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) throw new Error(`The ${name} must be a number from 0 to 65535.`);
  return port;
}

function openDataFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new StartError(`The data folder ${path} cannot be made, read or written.`, { cause: error });
  }
}

/** Peppers of this data folder alone: what is revoked stays so over a restart, and nothing secret is in the project. */
function developmentPeppers(dataDir: string): string {
  const file = join(dataDir, 'peppers');
  try {
    if (!existsSync(file)) writeFileSync(file, `k1:${randomBytes(32).toString('base64')}`, { mode: 0o600 });
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new StartError(`The file peppers in the data folder ${dataDir} cannot be read or written.`, { cause: error });
  }
}

function introduction({ functionsUrl, gatewayUrl }: Emulator, { dataDir }: Settings): string {
  const functions = functionsUrl.replace('127.0.0.1', 'localhost');
  const gateway = gatewayUrl.replace('127.0.0.1', 'localhost');
  return `
unlink-functions in an emulator of Yandex Cloud Functions and API Gateway

  functions  ${functions}/<function>?integration=raw   smart-home-unlink, token-authorize
  gateway    ${gateway}   POST /v1.0/user/unlink, HEAD /v1.0/, GET /whoami (behind token-authorize)
  store      ${join(dataDir, 'unlink.sqlite')}

A user's token is let in:                         200 {"authorized":true}

  curl -i -H 'Authorization: Bearer 123qwe456a...' ${gateway}/whoami

The user unlinks the accounts:                    200 {"request_id":"1111-aaaa-2222-bbbb"}

  curl -i -X POST '${functions}/smart-home-unlink?integration=raw' -H 'Content-Type: application/json' \\
    -d '{"headers":{"request_id":"1111-aaaa-2222-bbbb","authorization":"Bearer 123qwe456a..."},"request_type":"unlink","api_version":1.0}'

From now on the first line answers 403. Over the gateway, for another token:

  curl -i -X POST ${gateway}/v1.0/user/unlink -H 'Authorization: Bearer another' -H 'X-Request-Id: 2222-cccc'
  curl -I ${gateway}/v1.0/

Each call writes a line of its log below. Ctrl-C ends it.

`;
}

main().catch((error: unknown) => {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exit(1);
});
