import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { join } from 'node:path';
import { type Emulator, type EmulatorOptions, startEmulator } from '#scripts/emulator/emulator.ts';

const FOLDER = import.meta.dirname;

/** The options that start the fixture's functions behind its gateway, on free ports. */
export const fixtureOptions: EmulatorOptions = {
  functionsFile: join(FOLDER, 'functions.yaml'),
  gatewayFile: join(FOLDER, 'openapi.yaml'),
  bundles: join(FOLDER, 'bundles'),
  port: 0,
  gatewayPort: 0,
  values: { DATA_DIR: '/nowhere' },
};

export interface Fixture extends Emulator {
  /** All lines that functions printed, as `function: line`. */
  output: string[];
  /** Calls a function raw with a JSON event. */
  call(functionName: string, event: unknown): Promise<Answer>;
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

export async function startFixture(options: Partial<EmulatorOptions> = {}): Promise<Fixture> {
  const output: string[] = [];
  const onOutput = (name: string, line: string) => output.push(`${name}: ${line}`);
  const emulator = await startEmulator({ ...fixtureOptions, onOutput, ...options });
  const call = (functionName: string, event: unknown) =>
    send(`${emulator.functionsUrl}/${functionName}?integration=raw`, { body: JSON.stringify(event) });
  return { ...emulator, output, call };
}

/** One request by node:http, which sends exactly the headers that it is given. */
export function send(
  url: string,
  options: {
    method?: string;
    headers?: OutgoingHttpHeaders;
    body?: string | Buffer;
    /** In place of the URL's: it is sent as it is, where a URL would have been tidied. */
    path?: string;
  } = {},
): Promise<Answer> {
  const { method = 'POST', headers = {}, body, path } = options;
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: false, ...(path && { path }) }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          text: Buffer.concat(chunks).toString(),
        }),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}
