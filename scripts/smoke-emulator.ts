import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEMO_SECRET, linkDemoUser } from './authorization-server/demo.ts';
import { endEmulator, startEmulatorProcess } from './emulator-process.ts';

/** The smoke calls against an emulator that is started for them, on free ports and an empty store, with what is built. */
const dataDir = mkdtempSync(join(tmpdir(), 'unlink-smoke-'));
try {
  const emulator = await startEmulatorProcess(dataDir);
  try {
    const program = fileURLToPath(new URL('./smoke.ts', import.meta.url));
    const urls = ['--functions-url', emulator.functionsUrl, '--gateway-url', emulator.gatewayUrl];
    const { authUrl = '', demoUrl = '' } = emulator;
    // With the scope that social-unlink asks for.
    const { accessToken } = await linkDemoUser(authUrl, 'ann', 'jwt', 'smart-home blitz_api_ufa_chg');
    const shop = ['--shop-origin', demoUrl];
    const bind = ['--bind-provider', 'oidc:dev_1', '--bind-callback', `${demoUrl}/callback`];
    const smoke = spawn(process.execPath, [program, ...urls, ...shop, ...bind, '--token-stdin'], {
      stdio: ['pipe', 'inherit', 'inherit'],
      env: {
        ...process.env,
        SMOKE_CLIENT: `smart-home:${DEMO_SECRET}`,
        SMOKE_BIND_CLIENT: `demo:${DEMO_SECRET}`,
      },
    });
    smoke.stdin.on('error', () => {}); // It ended before it read the token; its exit status says so.
    smoke.stdin.end(accessToken);
    const [status] = await once(smoke, 'exit');
    process.exitCode = status ?? 1;
  } finally {
    await endEmulator(emulator, 'SIGINT');
  }
} finally {
  rmSync(dataDir, { recursive: true, force: true });
}
