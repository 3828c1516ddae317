import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linkDemoUser } from '../authorization-server/demo.ts';
import { endEmulator, startEmulatorProcess } from '../emulator-process.ts';
import { startChild } from './child.ts';
import type { LoadOrder } from './load-order.ts';
import type { Measured } from './measure-calls.ts';

const DIST = join(import.meta.dirname, '../../dist');
const SECONDS = 5;

/** What is called: the first is answered without the store, the second waits for the disk. */
const CALLS = [
  ['refused, no store', 'no-such-type'],
  ['unlink, durable', 'unlink'],
] as const;

/** Time until the emulator is ready on what is built, and raw calls a second from 8 connections of another process. */
async function main(): Promise<void> {
  if (!existsSync(DIST)) throw new Error('nothing is built: npm run build');
  const dataDir = mkdtempSync(join(tmpdir(), 'unlink-bench-'));
  try {
    const startedAt = performance.now();
    const emulator = await startEmulatorProcess(dataDir);
    console.log(`ready after ${Math.round(performance.now() - startedAt)} ms`);
    const load = startChild<LoadOrder>('load.ts');
    try {
      const { accessToken } = await linkDemoUser(emulator.authUrl ?? '', 'ann');
      const headers = { request_id: '1111-aaaa-2222-bbbb', authorization: `Bearer ${accessToken}` };
      for (const [title, request_type] of CALLS) {
        const event = { headers, request_type, api_version: 1.0 };
        const call = {
          method: 'POST',
          path: '/smart-home-unlink?integration=raw',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(event),
        };
        const port = Number(new URL(emulator.functionsUrl).port);
        const { perSecond } = await load.ask<Measured>({ port, calls: [call], seconds: SECONDS });
        console.log(`${title.padEnd(20)} ${Math.round(perSecond).toString().padStart(6)} calls a second`);
      }
    } finally {
      load.end();
      await endEmulator(emulator, 'SIGINT');
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

await main();
