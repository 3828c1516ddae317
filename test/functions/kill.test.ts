import { expect, onTestFinished, test } from 'vitest';
import { killEmulator, startEmulatorProcess } from '#test/support/emulator-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

const LANES = 2;
const KILLS = 25;

/** What is called: that all others start as well would be all that a restart takes. */
const CALLED = ['smart-home-unlink', 'token-authorize'];

test(`a token stays refused when everything is killed right after the answer, ${LANES * KILLS} times over`, {
  timeout: 240_000,
}, async () => {
  await Promise.all(Array.from({ length: LANES }, () => unlinkAndKill(KILLS)));
});

async function unlinkAndKill(kills: number): Promise<void> {
  const folder = createTemporaryFolder();
  let emulator = await startEmulatorProcess(folder.path, CALLED);
  onTestFinished(async () => {
    await killEmulator(emulator);
    folder.remove();
  });
  for (let round = 0; round < kills; round += 1) {
    const authorization = `Bearer round-${round}`;
    expect(await askWhoAmI(emulator.gatewayUrl, authorization)).toBe(200);
    const answer = await fetch(`${emulator.functionsUrl}/smart-home-unlink?integration=raw`, {
      method: 'POST',
      body: JSON.stringify({ headers: { request_id: 'x', authorization }, request_type: 'unlink', api_version: 1 }),
    });
    expect(answer.status).toBe(200);
    await killEmulator(emulator);

    emulator = await startEmulatorProcess(folder.path, CALLED);
    expect(await askWhoAmI(emulator.gatewayUrl, authorization)).toBe(403);
    expect(await askWhoAmI(emulator.gatewayUrl, 'Bearer round-0')).toBe(403);
  }
}

async function askWhoAmI(gatewayUrl: string, authorization: string): Promise<number> {
  const response = await fetch(`${gatewayUrl}/whoami`, { headers: { authorization } });
  await response.arrayBuffer();
  return response.status;
}
