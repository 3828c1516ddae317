import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { linkDemoUser } from '../authorization-server/demo.ts';
import { endEmulator, startEmulatorProcess } from '../emulator-process.ts';

const LOAD = join(import.meta.dirname, 'load.ts');
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
    try {
      const { accessToken } = await linkDemoUser(emulator.authUrl ?? '', 'ann');
      const headers = { request_id: '1111-aaaa-2222-bbbb', authorization: `Bearer ${accessToken}` };
      for (const [title, request_type] of CALLS) {
        const event = { headers, request_type, api_version: 1.0 };
        const url = `${emulator.functionsUrl}/smart-home-unlink?integration=raw`;
        const load = await promisify(execFile)(process.execPath, [LOAD, url, JSON.stringify(event), `${SECONDS}`]);
        console.log(`${title.padEnd(20)} ${Math.round(Number(load.stdout)).toString().padStart(6)} calls a second`);
      }
    } finally {
      await endEmulator(emulator, 'SIGINT');
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

await main();
