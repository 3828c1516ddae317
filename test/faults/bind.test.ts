import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, inject, onTestFinished, test } from 'vitest';
import { linkDemoUser } from '#scripts/authorization-server/demo.ts';
import { FREE_PORTS } from '#scripts/emulator-process.ts';
import { startOpenidProvider } from '#test/support/openid-provider.ts';
import { type ScriptProcess, startScript } from '#test/support/script-process.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';

/** The project with this provider in place of `oidc:dev_1`, which links without a confirmation. */
function writeProject(root: string, issuer: string): void {
  mkdirSync(join(root, 'infra'));
  const functions = readFileSync('infra/functions.yaml', 'utf8');
  const changed = functions
    .replace(/"issuer":"\$\{PROVIDER_URL\}","client_id":"dev_1"/, `"issuer":"${issuer}","client_id":"client-1"`)
    .replace(/^local:\n/m, 'local:\n  BIND_CONFIRMATION: none\n');
  expect(changed.length).not.toBe(functions.length);
  writeFileSync(join(root, 'infra/functions.yaml'), changed);
  writeFileSync(join(root, 'infra/openapi.yaml'), readFileSync('infra/openapi.yaml'));
}

/** The emulator on the folder's store, and the calls of a bind of ann's. */
async function start(folder: string) {
  const options = [`--bundles=${inject('bundles')}`, `--root=${folder}`, `--data-dir=${join(folder, 'data')}`];
  const emulator = startScript('emulate', [...FREE_PORTS, ...options]);
  onTestFinished(() => kill(emulator));
  const [, gateway] = await emulator.next(/gateway {4}(http:\/\/\S+)/);
  const [, auth = ''] = await emulator.next(/auth {7}(http:\/\/\S+)/);
  const [, demo] = await emulator.next(/demo {7}(http:\/\/\S+)/);
  await emulator.next(/Ctrl-C/);
  const authUrl = auth.replace('localhost', '127.0.0.1');
  const { accessToken } = await linkDemoUser(authUrl, 'ann', 'jwt', 'blitz_api_ufa blitz_api_ufa_chg', 'demo');
  const headers = { Authorization: `Bearer ${accessToken}`, 'Content-Type': 'application/json' };
  return {
    emulator,
    async begin(): Promise<URL> {
      const body = JSON.stringify({ fp: 'oidc:dev_1', callback: `${demo}/callback` });
      const started = await fetch(`${gateway}/blitz/api/v2/users/current/fa/bind`, { method: 'POST', headers, body });
      // As the API's documentation has it.
      return new URL(((await started.json()) as { redirectTo: string }).redirectTo);
    },
    callback: (redirectTo: URL) => {
      const query = new URLSearchParams({ code: 'code-1', state: redirectTo.searchParams.get('state') ?? '' });
      const url = `${gateway}/blitz/api/users/current/fps/bind/cb/oidc/dev_1?${query}`;
      return fetch(url, { redirect: 'manual' });
    },
    links: async () => (await fetch(`${gateway}/blitz/api/v3/users/current/fa`, { headers })).json(),
  };
}

/** With all processes that it has started, as a power cut would. */
async function kill(emulator: ScriptProcess): Promise<void> {
  emulator.signal('SIGKILL');
  await emulator.ended;
}

test('killed between the state and the link, a bind has linked nothing, its state is used, and a new one works', async () => {
  const folder = createTemporaryFolder();
  onTestFinished(folder.remove);
  const provider = await startOpenidProvider();
  writeProject(folder.path, provider.issuer);
  const asked = new Promise<void>((resolve) => {
    provider.answers.token = () => resolve();
  });

  const before = await start(folder.path);
  const redirectTo = await before.begin();
  const callback = before.callback(redirectTo).then(
    () => 'answered',
    () => 'gone',
  );
  await asked;
  await kill(before.emulator);
  expect(await callback).toBe('gone');

  provider.answers.token = undefined;
  const after = await start(folder.path);
  expect(await after.links()).toEqual([]);
  const again = await after.callback(redirectTo);
  expect(again.status).toBe(400);
  expect(await again.text()).toContain('This page works only once');
  expect(provider.calls.filter((call) => call === 'token')).toHaveLength(1);

  const anew = await after.begin();
  provider.nonce = anew.searchParams.get('nonce') ?? '';
  const nowS = Math.floor(Date.now() / 1000);
  provider.claims = { iat: nowS, exp: nowS + 300, name: 'Ann Remote' };
  const linked = await after.callback(anew);
  expect(new URL(linked.headers.get('location') ?? '').searchParams.get('fa_status')).toBe('success');
  expect(await after.links()).toEqual([{ sid: 'sub-1', fpType: 'oidc', fpName: 'dev_1', userName: 'Ann Remote' }]);
}, 40_000);
