import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createSbom } from '#scripts/release/sbom.ts';
import { startScript } from './support/script-process.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';

const HANDLER = 'functions/small/handler.ts';

const PACKAGES = {
  '': { name: 'small-project', version: '1.2.3', dependencies: { fake: '1.0.0' }, devDependencies: { tool: '1.0.0' } },
  'node_modules/fake': { version: '1.0.0', license: 'MIT' },
  'node_modules/tool': { version: '1.0.0', license: 'MIT', dev: true, dependencies: { fake: '1.0.0' } },
};

const FILES = {
  [HANDLER]: 'export const handler = async () => 1;',
  'package.json': JSON.stringify(PACKAGES['']),
  'package-lock.json': JSON.stringify({ name: 'small-project', lockfileVersion: 3, packages: PACKAGES }),
  '.gitignore': 'dist/\nagain/\n',
  LICENSE: 'The terms.\n',
  NOTICE: 'The notices.\n',
};

/** A project with one function, committed, and what makes its release. */
function createProject() {
  const { path: root, remove } = createTemporaryFolder();
  onTestFinished(remove);
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const git = (...args: string[]) =>
    `${execFileSync('git', ['-c', 'user.name=Test', '-c', 'user.email=test@example.com', ...args], { cwd: root })}`;
  git('init', '--quiet');
  git('add', '--all');
  git('commit', '--quiet', '--message', 'begin');
  const release = async (...args: string[]) => {
    const script = startScript('release', ['--root', root, '--store', 'sqlite', ...args]);
    return { status: await script.ended, stderr: script.printed.stderr };
  };
  return { root, commit: git('rev-parse', 'HEAD').trim(), release };
}

test('a release names its commit, and lists each file that it is made of', async () => {
  const { root, commit, release } = createProject();

  expect((await release()).status).toBe(0);

  const made = JSON.parse(readFileSync(join(root, 'dist/release.json'), 'utf8'));
  const file = { sha256: expect.stringMatching(/^[0-9a-f]{64}$/), bytes: expect.any(Number) };
  expect(made).toEqual({
    name: 'small-project',
    version: '1.2.3',
    commit,
    target: 'node22',
    stores: ['sqlite'],
    files: { 'small.zip': { ...file, drivers: [] }, 'sbom.json': file, NOTICE: file, LICENSE: file },
  });
});

test('sha256sum checks what was downloaded, and a changed zip fails', async () => {
  const { root, release } = createProject();
  await release();
  const check = () => `${execFileSync('sha256sum', ['--check', 'SHA256SUMS'], { cwd: join(root, 'dist') })}`;

  expect(check().split('\n').sort()).toEqual([
    '',
    'LICENSE: OK',
    'NOTICE: OK',
    'release.json: OK',
    'sbom.json: OK',
    'small.zip: OK',
  ]);
  writeFileSync(join(root, 'dist/small.zip'), 'changed');
  expect(check).toThrow('1 computed checksum did NOT match');
});

test('whoever makes it again of the same commit gets the same bytes', async () => {
  const { root, release } = createProject();
  await release();
  await release('--out-dir', join(root, 'again'));

  const released = readdirSync(join(root, 'dist')).filter((path) => path !== 'small');
  expect(released).toContain('SHA256SUMS');
  for (const path of released) {
    expect(readFileSync(join(root, 'again', path), 'utf8')).toBe(readFileSync(join(root, 'dist', path), 'utf8'));
  }
});

test('the bill of materials lists what is deployed, and no tool', async () => {
  const { root, release } = createProject();
  await release();

  const sbom = JSON.parse(readFileSync(join(root, 'dist/sbom.json'), 'utf8'));

  expect(sbom).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'small-project' } } });
  expect(sbom.components.map(({ name }: { name: string }) => name)).toEqual(['fake']);
  expect(JSON.stringify(sbom)).not.toMatch(/timestamp|serialNumber/);
});

test('the bill of materials of this project holds every package that is not for tools and tests alone', () => {
  const locked: Record<string, { dev?: boolean }> = JSON.parse(readFileSync('package-lock.json', 'utf8')).packages;
  const paths = Object.keys(locked).filter((path) => path !== '' && locked[path]?.dev !== true);

  const { components } = JSON.parse(createSbom('.'));

  expect(components.map(({ name }: { name: string }) => name).sort()).toEqual(
    paths.map((path) => path.replace(/^.*node_modules\//, '')).sort(),
  );
});

test('a change that is not committed is refused, by its path', async () => {
  const { root, release } = createProject();
  writeFileSync(join(root, HANDLER), 'export const handler = async () => 2;');

  const { status, stderr } = await release();

  expect(status).toBe(1);
  expect(stderr).toContain(HANDLER);
  expect(readdirSync(root)).not.toContain('dist');
});
