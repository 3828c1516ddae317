import { spawnSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse as parseYaml } from 'yaml';
import * as z from 'zod';
import { Clients } from '#shared/access-token/clients.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';
import { createTemporaryFolder } from '#test/support/temporary-folder.ts';
import { readRows, readTerraformFiles } from './terraform-files.ts';

const document = readFileSync('docs/deploy.md', 'utf8');

/** What is told to run at a marked place. */
function commandsAt(name: string): string {
  const [, after = ''] = document.split(`<!-- run: ${name} -->\n`);
  const lines = after.split('\n').slice(1);
  const end = lines.findIndex((line) => line !== '' && !line.startsWith('       '));
  return lines.slice(0, end).join('\n');
}

/** The workflow of the deploy job. */
function deployJob(): string {
  const [, after = ''] = document.split('<!-- yaml: deploy job -->\n\n```yaml\n');
  return after.split('```')[0] ?? '';
}

describe('docs/deploy.md', () => {
  test('the secrets are made as told, are good, and are in no argument', () => {
    const { path: folder, remove } = createTemporaryFolder();
    onTestFinished(remove);
    writeFileSync(join(folder, 'yc'), `#!/bin/sh\necho "$*" > '${folder}/arguments'\ncat > '${folder}/payload'\n`);
    chmodSync(join(folder, 'yc'), 0o755);

    const { status, stdout, stderr } = spawnSync('bash', ['--norc', '-eu', '-c', commandsAt('secrets')], {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}` },
    });

    expect(stderr).toBe('');
    expect(status).toBe(0);
    expect(readFileSync(join(folder, 'arguments'), 'utf8')).toBe(
      'lockbox secret create --name unlink --deletion-protection --payload -\n',
    );
    const payload = z
      .array(z.object({ key: z.string(), text_value: z.string() }))
      .parse(JSON.parse(readFileSync(join(folder, 'payload'), 'utf8')));
    const values = new Map(payload.map(({ key, text_value }) => [key, text_value]));
    expect(TokenPeppers.safeParse(values.get('TOKEN_PEPPERS')).success).toBe(true);
    expect(EncryptionKeys.safeParse(values.get('ENCRYPTION_KEYS')).success).toBe(true);
    expect(Clients.parse(values.get('CLIENTS'))).toMatchObject([{ id: 'smart-home' }]);
    expect(stdout).toMatch(/^secret of the application smart-home: [0-9a-f]{64}\n$/);
  });

  test('the deploy job has its actions pinned, those of the CI at the same commits', () => {
    const uses: readonly string[] = deployJob().match(/uses:.*/g) ?? [];
    const workflow = readFileSync('.github/workflows/ci.yml', 'utf8').match(/uses:.*/g) ?? [];

    expect(uses.filter((line) => !/^uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(line))).toEqual([]);
    expect(workflow.filter((line) => !uses.includes(line))).toEqual([]);
    expect(parseYaml(deployJob())).toMatchObject({ permissions: { contents: 'read' } });
  });

  test('the deploy job gives the token on standard input, in no argument, and deploys without a question', () => {
    const Step = z.object({ run: z.optional(z.string()), env: z.optional(z.record(z.string(), z.string())) });
    const Workflow = z.object({ jobs: z.object({ deploy: z.object({ steps: z.array(Step) }) }) });
    const { steps } = Workflow.parse(parseYaml(deployJob())).jobs.deploy;
    const runs = steps.flatMap(({ run }) => run ?? []);
    const { path: folder, remove } = createTemporaryFolder();
    onTestFinished(remove);
    writeFileSync(join(folder, 'npm'), `#!/bin/sh\necho "$*" > '${folder}/arguments'\ncat > '${folder}/input'\n`);
    chmodSync(join(folder, 'npm'), 0o755);

    const { status } = spawnSync('bash', ['--norc', '-eu', '-c', runs.at(-1) ?? ''], {
      env: { PATH: `${folder}${delimiter}${process.env.PATH}`, SMOKE_TOKEN: 'token-of-a-test' },
    });

    expect(status).toBe(0);
    expect(runs).toEqual(['npm ci', expect.stringContaining('npm run deploy')]);
    expect(readFileSync(join(folder, 'arguments'), 'utf8')).toBe('run deploy -- --yes -- --token-stdin\n');
    expect(readFileSync(join(folder, 'input'), 'utf8')).toBe('token-of-a-test');
    expect(steps.at(-1)?.env?.SMOKE_TOKEN).toMatch(/^\$\{\{ secrets\.SMOKE_TOKEN \}\}$/);
  });

  test('the table of profiles is what functions.yaml says', async () => {
    const rows = Object.entries(await readRows());
    const profiles = [...new Set(rows.flatMap(([, { profiles = [] }]) => profiles))];

    for (const profile of profiles) {
      const [, functions = '', secrets = ''] =
        new RegExp(`^ *\\| \`${profile}\` \\| (.*?) \\| (.*?) \\|`, 'm').exec(document) ?? [];
      // A name that begins with a hyphen goes on from the first one's.
      const told = [...functions.matchAll(/`([\w-]+)`/g)].map(([, name = '']) =>
        name.replace(/^-/, 'external-provider-'),
      );
      const enabled = rows.filter(([, row]) => row.profiles?.includes(profile)).map(([name]) => name);
      expect(told.sort()).toEqual(enabled.sort());
      const needed = rows.flatMap(([, row]) => (row.profiles?.includes(profile) ? (row.secrets ?? []) : []));
      const same = new RegExp(`^ *\\| \`${/^as `([\w-]+)`$/.exec(secrets)?.[1] ?? profile}\` .* \\| (.*?) \\|$`, 'm');
      const named = [...(same.exec(document)?.[1] ?? '').matchAll(/`([A-Z_]+)`/g)].map(([, name = '']) => name);
      expect(named.sort()).toEqual([...new Set(needed)].sort());
    }
    expect(profiles).toHaveLength(4);
  });

  test('the options, npm scripts, variables and outputs that it names are there', async () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
    const usage = ['deploy', 'smoke', 'migrate'].map((name) => readFileSync(`scripts/${name}.ts`, 'utf8')).join();
    const files = (await readTerraformFiles()).map(({ text }) => text).join('\n');

    const named = [...document.matchAll(/\bnpm run ([a-z][\w:-]*)/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
    const options = [...document.matchAll(/`--([a-z-]+)/g)].map(([, name = '']) => name);
    expect(options.filter((name) => !usage.includes(`--${name}`))).toEqual([]);
    expect(options).toContain('no-build');
    for (const name of [
      'folder_id',
      'profiles',
      'enabled_functions',
      'public_functions',
      'ydb_store',
      'network_id',
      'deletion_protection',
    ]) {
      expect(document).toContain(`\`${name}`);
      expect(files).toContain(`variable "${name}"`);
    }
    for (const name of ['raw_urls', 'gateway_url']) expect(files).toContain(`output "${name}"`);
  });

  test('what it says of the quota of functions is what the plan warns of', async () => {
    expect(Object.keys(await readRows())).toHaveLength(12);
    expect(document).toContain('all twelve need more');
    expect((await readTerraformFiles()).map(({ text }) => text).join()).toContain('length(local.functions) <= 10');
  });
});
