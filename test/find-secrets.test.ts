import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { findSecrets } from '#scripts/find-secrets.ts';
import { startScript } from './support/script-process.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

/** A repository of its own, with what puts files into it. */
function createRepository() {
  const { path: root, remove } = createTemporaryFolder();
  onTestFinished(remove);
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=Test', '-c', 'user.email=test@example.com', ...args], { cwd: root });
  git('init', '--quiet');
  return {
    root,
    write(path: string, text: string) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    },
    remove: (path: string) => rmSync(join(root, path)),
    commit(message = 'change files') {
      git('add', '--all');
      git('commit', '--quiet', '--allow-empty', '--message', message);
    },
  };
}

// Made here, each time: a source that held one would be found.
const keys = {
  ed25519: generateKeyPairSync('ed25519').privateKey,
  rsa: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
};
const privateKey = keys.ed25519.export({ type: 'pkcs8', format: 'pem' }).toString();
const iamToken = `t1.${'fake'.repeat(10)}.${'f'.repeat(86)}`;

test.each([
  ['a private key', keys.rsa.export({ type: 'pkcs8', format: 'pem' }).toString()],
  ['a private key of 64 characters', privateKey],
  ['one in the quotes of JSON', JSON.stringify({ key: privateKey })],
  ['a private JSON Web Key', JSON.stringify(keys.ed25519.export({ format: 'jwk' }))],
  ['the signing key of a Matrix server', `ed25519 a_fake ${'f'.repeat(43)}`],
  ["Yandex Cloud's IAM token", `token = "${iamToken}"`],
  ["Yandex Cloud's API key", `key: ${`AQVN${'f'.repeat(36)}`}`],
  ["Yandex Cloud's OAuth token", `y0_${'f'.repeat(55)}`],
  ["Yandex Cloud's static access key", `YC${'f'.repeat(38)}`],
  ['the password of a database', `postgres://unlink:${'fake'.repeat(4)}@db.example.com/unlink`],
  ['a token of GitHub', `ghp_${'f1'.repeat(18)}`],
])('%s is found by file and line, and is not printed', async (_, secret) => {
  const { root, write } = createRepository();
  write('settings/production.txt', `first\n${secret}\n`);

  const script = startScript('find-secrets', ['--root', root]);

  expect(await script.ended).toBe(1);
  expect(script.printed.stderr).toMatch(/^settings\/production\.txt:2 \(working tree\) \S+: found [A-Za-z]/m);
  expect(script.printed.stdout + script.printed.stderr).not.toMatch(/f1f1f1|ffffff|fakefake|PRIVATE KEY|"d"/);
});

test('one that a later commit has taken away is found in the history, by an object that git shows', async () => {
  const { root, write, remove, commit } = createRepository();
  write('key.pem', privateKey);
  commit();
  remove('key.pem');
  commit();

  const { found } = await findSecrets(root);

  expect(found).toMatchObject([{ path: 'key.pem', line: 1, from: expect.stringMatching(/^[0-9a-f]{12}$/) }]);
  expect(`${execFileSync('git', ['cat-file', '-p', `${found[0]?.from}`], { cwd: root })}`).toBe(privateKey);
});

test('one in the message of a commit is found', async () => {
  const { root, commit } = createRepository();
  commit(`try it with ${iamToken}`);

  expect((await findSecrets(root)).found).toMatchObject([{ path: 'commit' }]);
});

test('what is allowed in a test is found anywhere else', async () => {
  const { root, write, commit } = createRepository();
  const url = 'postgres://u:canary@127.0.0.1:1/d';
  write('test/migrate.test.ts', `const url = '${url}';`);
  write('scripts/migrate.ts', `const address = '${url}';`);
  commit();

  expect((await findSecrets(root)).found).toMatchObject([{ path: 'scripts/migrate.ts' }]);
});

test('what git ignores is not looked into', async () => {
  const { root, write } = createRepository();
  write('.gitignore', 'local/\n');
  write('local/key.pem', privateKey);

  expect((await findSecrets(root)).found).toEqual([]);
});

test('a shallow clone says that a part of the history is missing', async () => {
  const { root, commit } = createRepository();
  commit('first');
  commit('second');
  const clone = createTemporaryFolder();
  onTestFinished(clone.remove);
  execFileSync('git', ['clone', '--quiet', '--depth', '1', `file://${root}`, clone.path], { stdio: 'ignore' });

  const script = startScript('find-secrets', ['--root', clone.path]);

  expect(await script.ended).toBe(0);
  expect(script.printed.stderr).toContain('the clone is shallow');
});
