import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, inject, onTestFinished, test } from 'vitest';
import { migrateSqlite } from '#scripts/migrate.ts';
import { openDynamodbStore } from '#shared/token-revocation/drivers/dynamodb.ts';
import { openSqliteStore } from '#shared/token-revocation/drivers/sqlite.ts';
import { hasTerraform, unlessTerraform, writeRehearsal } from './infra/terraform-run.ts';
import { DYNAMODB_CREDENTIALS, urlOfNewTable } from './support/dynamodb-server.ts';
import { startProject } from './support/emulated-project.ts';
import { createDatabase } from './support/postgres-server.ts';
import { claimDatabase } from './support/redis-server.ts';
import { startScript } from './support/script-process.ts';
import { createStandInTerraform, type StandInSettings } from './support/stand-in-terraform.ts';
import { createTemporaryFolder } from './support/temporary-folder.ts';
import { ISSUER, ISSUER_SETTINGS, issueToken } from './support/test-issuer.ts';

function temporaryFolder(): string {
  const { path, remove } = createTemporaryFolder();
  onTestFinished(remove);
  return path;
}

/** A configuration whose store is a SQLite file, which can be migrated anywhere. */
function withSqlite(settings: StandInSettings = {}): StandInSettings & { database: string } {
  const database = join(temporaryFolder(), 'unlink.sqlite');
  const environment = { STORE_URL: `sqlite:${database}` };
  const variables = `ydb_store = false\nenvironment = ${JSON.stringify(environment)}\n`;
  return { variables, plans: [{ environment, storeUrl: environment.STORE_URL }], ...settings, database };
}

async function deploy(
  settings: StandInSettings,
  args: readonly string[],
  env: Record<string, string> = {},
  input?: string,
) {
  const folder = temporaryFolder();
  const terraform = createStandInTerraform(folder, settings);
  const environment = { ...terraform.environment, ...env };
  const script = startScript('deploy', ['--infra', terraform.infra, ...args], environment, input);
  const status = await script.ended;
  const { stdout, stderr } = script.printed;
  return { status, text: stdout + stderr, stderr, calls: terraform.calls(), dist: join(folder, 'dist') };
}

const FIRST_LOOK = ['init -input=false', 'plan -input=false plan', 'show -json plan'];
const APPLY = ['apply -input=false plan', 'output -json'];

describe('npm run deploy', () => {
  test('with --plan builds and shows, and changes nothing', async () => {
    const settings = withSqlite();

    const { status, text, calls, dist } = await deploy(settings, ['--plan']);

    expect(status).toBe(0);
    expect(calls).toEqual(FIRST_LOOK);
    expect(text).toContain('== Building the functions for sqlite');
    expect(text).toContain('Plan number 1 of the stand-in');
    expect(text).toContain('== This is the plan. Nothing was changed.');
    expect(existsSync(join(dist, 'smart-home-unlink.zip'))).toBe(true);
    expect(existsSync(settings.database)).toBe(false);
  });

  test('makes a new database first, migrates it, applies the rest, and tries what is deployed', async () => {
    const project = await startProject();
    onTestFinished(() => project.close());
    const storeUrl = urlOfNewTable(inject('dynamodbUrl'));
    const database = { 'yandex_ydb_database_serverless.store[0]': ['create'] };
    const functions = { 'yandex_function.this["smart-home-unlink"]': ['create'] };
    const outputs = {
      functions_url: { value: project.functionsUrl },
      gateway_url: { value: project.gatewayUrl },
      function_ids: { value: { 'smart-home-unlink': 'smart-home-unlink' } },
      public_functions: { value: ['smart-home-unlink'] },
    };

    const { status, text, calls } = await deploy(
      { plans: [{ changes: { ...database, ...functions } }, { changes: functions, storeUrl }], outputs },
      ['--no-build', '--yes', '--', '--request-id', 'smoke-deploy'],
      {
        AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
      },
    );

    expect(calls).toEqual([
      ...FIRST_LOOK,
      'apply -input=false -auto-approve -target=yandex_ydb_database_serverless.store',
      'plan -input=false rest',
      'show -json rest',
      'apply -input=false rest',
      'output -json',
    ]);
    expect(text).toMatch(/raw unlink: .* got 200 {"request_id":"smoke-deploy"}/);
    expect(text).toMatch(/^[1-9]\d* passed, 0 failed$/m);
    expect(status).toBe(0);
    const store = await openDynamodbStore(storeUrl, { credentials: DYNAMODB_CREDENTIALS });
    onTestFinished(() => store.close());
    expect(await store.check({ tokenIds: ['k1:unknown'], grants: [], cutOffKeys: [] })).toMatchObject({
      revoked: false,
    });
  });

  test('hands the token on its standard input to the smoke, and prints no token', async () => {
    const project = await startProject({ local: { ...ISSUER_SETTINGS, ISSUER } });
    onTestFinished(() => project.close());
    const outputs = {
      functions_url: { value: project.functionsUrl },
      gateway_url: { value: project.gatewayUrl },
      function_ids: { value: { 'smart-home-unlink': 'smart-home-unlink', 'token-authorize': 'token-authorize' } },
      public_functions: { value: ['smart-home-unlink'] },
    };
    const token = await issueToken();

    const args = ['--no-build', '--yes', '--', '--token-stdin'];
    const { status, text } = await deploy({ ...withSqlite(), outputs }, args, {}, `${token}\n`);

    expect(text).toContain('info the token was accepted, then unlinked, then refused');
    expect(text).toContain('== Deployed, and every smoke call was answered as expected.');
    expect(text).not.toContain(token);
    expect(status).toBe(0);
  });

  test('takes no token on its standard input where the answer would stand there', async () => {
    const { status, calls, stderr } = await deploy(withSqlite(), ['--no-build', '--', '--token-stdin'], {}, 'yes\n');

    expect(stderr).toMatch(/^deploy: With -- --token-stdin, standard input holds the token and no answer: --yes must/);
    expect(calls).toEqual([]);
    expect(status).toBe(2);
  });

  test('migrates what is there already, then applies the plan that was shown', async () => {
    const settings = withSqlite();

    const { status, calls, text } = await deploy(settings, ['--no-build', '--yes', '--no-smoke']);

    expect(status).toBe(0);
    expect(calls).toEqual([...FIRST_LOOK, ...APPLY]);
    expect(text).toContain('== Deployed, and not tried');
    await (await openSqliteStore(settings.database)).close();
  });

  test('applies nothing unless the answer is yes', async () => {
    const { status, calls, text } = await deploy(withSqlite(), ['--no-build']);

    expect(status).toBe(0);
    expect(calls).toEqual(FIRST_LOOK);
    expect(text).toContain('== Not applied. Nothing was changed.');
  });

  test.each([
    ['yes\n', APPLY],
    ['y\n', []],
  ])('takes %j for an answer and does what follows from it', (input, rest) => {
    const terraform = createStandInTerraform(temporaryFolder(), withSqlite());
    const args = ['scripts/deploy.ts', '--infra', terraform.infra, '--no-build', '--no-smoke'];

    const { status } = spawnSync(process.execPath, args, { input, env: { ...process.env, ...terraform.environment } });

    expect(status).toBe(0);
    expect(terraform.calls()).toEqual([...FIRST_LOOK, ...rest]);
  });

  test('changes no function when a store cannot be migrated, and shows no password', async () => {
    const url = 'postgres://operator:obviously-fake@127.0.0.1:9/unlink';
    const plans = [{ secrets: { STORE_URL: { id: 'e6qexample' } } }];

    const { status, calls, text } = await deploy({ plans }, ['--no-build', '--yes'], {
      DEPLOY_STORE_URLS: url,
    });

    expect(status).toBe(1);
    expect(calls).toEqual(FIRST_LOOK);
    expect(text).toMatch(
      /deploy: postgres:\/\/127\.0\.0\.1:9\/unlink was not migrated: .+\. No function was changed\.$/m,
    );
    expect(text).not.toContain('obviously-fake');
  });

  /** A plan of a deployment that has a function already. */
  const DEPLOYED = { 'yandex_function.this["token-authorize"]': ['no-op'] };

  /** The same store, where functions are deployed. */
  function withFunctions(): ReturnType<typeof withSqlite> {
    const settings = withSqlite();
    return { ...settings, plans: (settings.plans ?? []).map((plan) => ({ ...plan, changes: DEPLOYED })) };
  }

  test('with --yes makes no new store for functions that are deployed, and says which flag does', async () => {
    const settings = withFunctions();

    const { status, calls, stderr } = await deploy(settings, ['--no-build', '--yes']);

    expect(status).toBe(1);
    expect(calls).toEqual(FIRST_LOOK);
    expect(stderr).toContain(
      `deploy: There is no schema in: sqlite:${settings.database}. Functions are deployed already`,
    );
    expect(stderr).toContain('every token that was revoked so far is let in. Nothing was changed.');
    expect(stderr).toContain('If the store is meant to be new, give --new-store.');
    expect(existsSync(settings.database)).toBe(false);
  });

  test('makes no new database for functions that are deployed, unless --new-store says so', async () => {
    const plans = [{ changes: { ...DEPLOYED, 'yandex_ydb_database_serverless.store[0]': ['create'] } }];

    const { status, calls, stderr } = await deploy({ plans }, ['--no-build', '--yes']);

    expect(status).toBe(1);
    expect(calls).toEqual(FIRST_LOOK);
    expect(stderr).toContain('deploy: There is no schema in: the database that this plan makes.');
  });

  test('with --new-store makes it, and says that nothing revoked is known in it', async () => {
    const settings = withFunctions();

    const { status, calls, text } = await deploy(settings, ['--no-build', '--yes', '--new-store', '--no-smoke']);

    expect(status).toBe(0);
    expect(calls).toEqual([...FIRST_LOOK, ...APPLY]);
    expect(text).toContain('Every token that was revoked so far is unknown in this store, and is let in.');
    await (await openSqliteStore(settings.database)).close();
  });

  test.each([
    ['yes\n', []],
    ['new store\n', APPLY],
  ])('asks whether the store is meant to be new, and takes %j for an answer', (input, rest) => {
    const settings = withFunctions();
    const terraform = createStandInTerraform(temporaryFolder(), settings);
    const args = ['scripts/deploy.ts', '--infra', terraform.infra, '--no-build', '--no-smoke'];

    const { status, stdout } = spawnSync(process.execPath, args, {
      input,
      env: { ...process.env, ...terraform.environment },
      encoding: 'utf8',
    });

    expect(status).toBe(0);
    expect(terraform.calls()).toEqual([...FIRST_LOOK, ...rest]);
    expect(stdout).toContain("Apply this plan? Only 'new store' is taken for it.");
    expect(existsSync(settings.database)).toBe(rest.length > 0);
  });

  test('makes no new store where an empty copy has taken its place before the answer', async () => {
    const settings = withFunctions();
    migrateSqlite(settings.database);
    const terraform = createStandInTerraform(temporaryFolder(), settings);
    const args = ['scripts/deploy.ts', '--infra', terraform.infra, '--no-build', '--no-smoke'];
    const script = spawn(process.execPath, args, { env: { ...process.env, ...terraform.environment } });
    const stderr = text(script.stderr);
    let printed = '';
    script.stdout.on('data', function answer(chunk) {
      printed += chunk;
      if (!printed.includes("Only 'yes' is taken for it.")) return;
      script.stdout.off('data', answer).resume();
      writeFileSync(settings.database, '');
      script.stdin.end('yes\n');
    });

    expect((await once(script, 'close'))[0]).toBe(1);

    expect(await stderr).toContain('was not migrated: it has lost its schema meanwhile. No function was changed.');
    expect(terraform.calls()).toEqual(FIRST_LOOK);
  });

  test('asks nothing more where the store of the functions has its schema', async () => {
    const settings = withFunctions();
    migrateSqlite(settings.database);

    const { status, calls, text } = await deploy(settings, ['--no-build', '--yes', '--no-smoke']);

    expect(status).toBe(0);
    expect(calls).toEqual([...FIRST_LOOK, ...APPLY]);
    expect(text).toContain('Nothing was changed: the store has the schema of this version already.');
  });

  test.each([
    ['PostgreSQL', async () => await createDatabase(inject('postgresUrl'))],
    ['Redis', async () => await claimDatabase(inject('redisUrl'))],
    ['DynamoDB', async () => ({ url: urlOfNewTable(inject('dynamodbUrl')), drop: async () => {} })],
  ])('tells an empty store in %s from one that has its schema', async (_name, create) => {
    const { url, drop } = await create();
    onTestFinished(drop);
    const plans = [{ changes: DEPLOYED, secrets: { STORE_URL: { id: 'e6qexample' } } }];
    const env = {
      DEPLOY_STORE_URLS: url,
      AWS_ACCESS_KEY_ID: DYNAMODB_CREDENTIALS.accessKeyId,
      AWS_SECRET_ACCESS_KEY: DYNAMODB_CREDENTIALS.secretAccessKey,
    };
    const run = (...args: string[]) => deploy({ plans }, ['--no-build', '--yes', '--no-smoke', ...args], env);

    const refused = await run();
    expect(refused).toMatchObject({ status: 1, calls: FIRST_LOOK });
    expect(refused.stderr).toContain('give --new-store');
    expect(await run('--new-store')).toMatchObject({ status: 0, calls: [...FIRST_LOOK, ...APPLY] });
    expect(await run()).toMatchObject({ status: 0, calls: [...FIRST_LOOK, ...APPLY] });
  });

  test('changes nothing when the plan takes the database away', async () => {
    const changes = { 'yandex_ydb_database_serverless.store[0]': ['delete', 'create'] };

    const { status, calls, stderr } = await deploy({ plans: [{ changes }] }, ['--no-build', '--yes']);

    expect(status).toBe(1);
    expect(calls).toEqual(FIRST_LOOK);
    expect(stderr).toContain('deploy: The plan takes the database away, and with it every revocation.');
  });

  test('stops after the database when the rest is more than what was agreed to', async () => {
    const database = { 'yandex_ydb_database_serverless.store[0]': ['create'] };
    const plans = [{ changes: database }, { changes: { 'yandex_function.this["token-revoke"]': ['delete'] } }];

    const { status, calls, stderr } = await deploy({ plans }, ['--no-build', '--yes']);

    expect(status).toBe(1);
    expect(calls.at(-1)).toBe('show -json rest');
    expect(stderr).toContain('more than what you agreed to: delete yandex_function.this["token-revoke"].');
  });

  test('ends with the status of the step that failed, and says which', async () => {
    const { status, calls, stderr } = await deploy(withSqlite({ failing: 'apply' }), ['--no-build', '--yes']);

    expect(status).toBe(3);
    expect(calls.at(-1)).toBe('apply -input=false plan');
    expect(stderr).toContain('deploy: terraform apply ended with status 3.');
  });

  test('says that terraform is not installed', async () => {
    const { status, stderr } = await deploy(withSqlite(), ['--no-build', '--plan'], { PATH: temporaryFolder() });

    expect(status).toBe(127);
    expect(stderr).toContain('deploy: terraform init is not installed: there is no terraform on the PATH.');
  });

  test.each<[string, StandInSettings, string[], string]>([
    ['with an unknown driver', { variables: '' }, ['--store', 'etcd'], 'npm run build ended with status 1.'],
    ['without terraform.tfvars', {}, [], 'There is no terraform.tfvars in'],
    [
      'without any store',
      { variables: 'ydb_store = false' },
      [],
      'terraform.tfvars names no store: ydb_store is false, and there is no STORE_URL.',
    ],
    [
      'without the driver of an URL that Lockbox keeps',
      { variables: 'secrets = { STORE_URL = {} }' },
      [],
      'Lockbox has STORE_URL: name the driver, such as --store postgres.',
    ],
    [
      'without the URL that Lockbox keeps',
      { variables: '', plans: [{ secrets: { DIRECTORY_URL: {} } }] },
      ['--no-build'],
      'Lockbox has DIRECTORY_URL: give it in DEPLOY_STORE_URLS',
    ],
    [
      'without a token for the tables in YDB',
      { variables: '', plans: [{ storeUrl: 'dynamodb+https://docapi.example/x?region=r&table=t&auth=iam' }] },
      ['--no-build'],
      'YC_TOKEN is needed to make the tables',
    ],
    ['with an unknown option', { variables: '' }, ['--dry-run'], "Unknown option '--dry-run'"],
  ])('is refused %s, with what is missing', async (_what, settings, args, message) => {
    const { status, stderr, calls } = await deploy(settings, ['--yes', ...args]);

    expect(status).not.toBe(0);
    expect(stderr).toContain(`deploy: ${message}`);
    expect(calls.filter((call) => call.startsWith('apply'))).toEqual([]);
  });

  test.skipIf(!hasTerraform)(
    `goes through with the real terraform, the provider's resources replaced${unlessTerraform}`,
    async () => {
      const folder = temporaryFolder();
      const database = join(folder, 'unlink.sqlite');
      const secret = { id: 'e6qexample', version_id: 'e6qexample', key: 'key' };
      await writeRehearsal(folder, {
        folder_id: 'b1gfolder',
        enabled_functions: ['token-authorize'],
        ydb_store: false,
        environment: { STORE_URL: `sqlite:${database}` },
        secrets: { TOKEN_PEPPERS: secret },
      });

      const script = startScript('deploy', ['--infra', join(folder, 'infra'), '--no-build', '--yes', '--no-smoke'], {
        TF_CLI_CONFIG_FILE: join(folder, 'terraformrc'),
        CHECKPOINT_DISABLE: '1',
        TF_CLI_ARGS: '-no-color',
      });

      expect(await script.ended, script.printed.stderr).toBe(0);
      expect(script.printed.stdout).toMatch(/Apply complete! Resources: [1-9]\d* added/);
      await (await openSqliteStore(database)).close();
      expect(JSON.parse(readFileSync(join(folder, 'infra/terraform.tfstate'), 'utf8'))).toMatchObject({
        outputs: { store_url: { value: `sqlite:${database}` } },
      });
    },
  );
});
