/**
 * Deploys: builds, shows the plan, asks, makes the database, migrates, applies, smokes. In this order: a function that
 * goes live before its store has the schema answers every call with an error.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs, styleText } from 'node:util';
import { driversOf } from './deploy/drivers.ts';
import { runProgram } from './deploy/program.ts';
import { StepFailure } from './deploy/step-failure.ts';
import { openTerraform, type ShownPlan, type Terraform } from './deploy/terraform.ts';
import { hasSchema, migrate } from './migrate.ts';
import { describeMigration } from './migration-files.ts';

const USAGE = `npm run deploy -- [options] [-- options of npm run smoke]

  --plan            builds and shows the plan, and changes nothing
  --yes             applies without asking
  --store <driver>  the drivers to build in; repeatable. Default: what terraform.tfvars names
  --infra <folder>  the Terraform configuration, with its terraform.tfvars. Default: infra; the zips go to dist beside it
  --no-build        deploys the zips that are in dist, such as those of a release
  --no-migrate      the stores have this version's schema already
  --new-store       a store that has no schema is meant to be new, though functions are deployed: every token that was
                    revoked so far is let in
  --no-smoke        ends with the apply

  -- --token-stdin  standard input is the smoke's: an access token of your issuer, which it revokes. Takes --yes

The environment gives the provider's credentials (YC_TOKEN, or YC_SERVICE_ACCOUNT_KEY_FILE), YC_TOKEN also for the tables
in YDB; in DEPLOY_STORE_URLS the URLs of stores that Lockbox keeps, with spaces between; SMOKE_CLIENT and SMOKE_BIND_CLIENT for the
smoke.
`;

/** The database. It is made before everything else, so that it can be migrated before a function is there. */
const DATABASE = 'yandex_ydb_database_serverless.store';

const OPTIONS = {
  plan: { type: 'boolean', default: false },
  yes: { type: 'boolean', default: false },
  store: { type: 'string', multiple: true },
  infra: { type: 'string', default: fileURLToPath(new URL('../infra', import.meta.url)) },
  'no-build': { type: 'boolean', default: false },
  'no-migrate': { type: 'boolean', default: false },
  'new-store': { type: 'boolean', default: false },
  'no-smoke': { type: 'boolean', default: false },
} as const;

type Options = ReturnType<typeof readCommandLine>;

function readCommandLine() {
  try {
    const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
    if (positionals.includes('--token-stdin') && !values.yes) {
      throw new Error(
        'With -- --token-stdin, standard input holds the token and no answer: --yes must be given as well.',
      );
    }
    return { ...values, infra: resolve(values.infra), smokeOptions: positionals };
  } catch (error) {
    throw new StepFailure(`${error instanceof Error ? error.message : error}\n\n${USAGE}`, 2);
  }
}

async function main(): Promise<void> {
  const options = readCommandLine();
  const terraform = openTerraform(options.infra);
  const folder = mkdtempSync(join(tmpdir(), 'unlink-deploy-'));
  try {
    if (!options['no-build']) await build(options);
    await terraform.prepare();
    say('Planning: what follows is what would change');
    const plan = await terraform.plan(join(folder, 'plan'));
    if (options.plan) return say('This is the plan. Nothing was changed.');
    assertKeepsDatabase(plan);
    const newStores = options['no-migrate'] || options['new-store'] ? [] : await findNewStores(plan);
    if (newStores.length > 0) warnOfNewStores(newStores, options);
    const answer = newStores.length > 0 ? 'new store' : 'yes';
    if (!options.yes && !(await isAgreed(answer))) return say('Not applied. Nothing was changed.');
    await deploy(plan, terraform, folder, { ...options, 'new-store': options['new-store'] || newStores.length > 0 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function build({ infra, store }: Options): Promise<void> {
  const drivers = store ?? (await driversOf(infra));
  say(`Building the functions for ${drivers.join(' and ')}`);
  const args = ['--out-dir', join(infra, '../dist'), ...drivers.flatMap((driver) => ['--store', driver])];
  await runScript('build', args);
}

async function deploy(shown: ShownPlan, terraform: Terraform, folder: string, options: Options): Promise<void> {
  const plan = makesDatabase(shown) ? await makeDatabase(shown, terraform, join(folder, 'rest')) : shown;
  if (options['no-migrate']) say('Not migrating: --no-migrate says that the stores have their schema');
  else await migrateStores(plan, options);
  say('Applying the plan');
  await terraform.apply(plan.file);
  const outputs = join(folder, 'outputs.json');
  writeFileSync(outputs, await terraform.outputs());
  if (options['no-smoke']) return say('Deployed, and not tried: --no-smoke.');
  say('Trying what is deployed');
  const stdin = options.smokeOptions.includes('--token-stdin') ? 'inherit' : 'ignore';
  await runScript('smoke', ['--outputs', outputs, ...options.smokeOptions], stdin);
  say('Deployed, and every smoke call was answered as expected.');
}

function assertKeepsDatabase({ changes }: ShownPlan): void {
  const lost = [...changes].find((change) => /^\S*delete\S* /.test(change) && change.includes(` ${DATABASE}[`));
  if (lost !== undefined) {
    throw new StepFailure(
      'The plan takes the database away, and with it every revocation. Nothing was changed. If you mean it: terraform apply.',
    );
  }
}

const makesDatabase = ({ changes }: ShownPlan) => changes.has(`create ${DATABASE}[0]`);

/** Makes the database alone, and plans the rest: a saved plan is of no use once anything has changed. */
async function makeDatabase(shown: ShownPlan, terraform: Terraform, file: string): Promise<ShownPlan> {
  say('Making the database, before anything that uses it');
  await terraform.applyOnly(DATABASE);
  say('Planning the rest');
  const rest = await terraform.plan(file);
  const added = [...rest.changes].find((change) => !shown.changes.has(change));
  if (added !== undefined) {
    throw new StepFailure(
      `The rest is more than what you agreed to: ${added}. The database is there, nothing else was changed. Start again.`,
    );
  }
  return rest;
}

/**
 * The stores that have no schema though functions are deployed, in words. A migration would make each of them a store
 * that knows of no revocation, and the functions would let in what was revoked.
 */
async function findNewStores(plan: ShownPlan): Promise<string[]> {
  if (!plan.hasFunctions) return [];
  const isMade = makesDatabase(plan);
  const urls = isMade ? knownUrls(plan) : storeUrls(plan);
  const found = isMade ? ['the database that this plan makes'] : [];
  for (const url of urls) {
    if (!(await atStore(url, hasSchema))) found.push(placeOf(url));
  }
  return found;
}

/** @throws {StepFailure} Nobody can be asked whether it is meant. */
function warnOfNewStores(stores: readonly string[], { yes }: Options): void {
  const warning = `There is no schema in: ${stores.join(', ')}. Functions are deployed already, so this is a new store or an empty copy. Once it is migrated, every token that was revoked so far is let in.`;
  if (yes) {
    throw new StepFailure(
      `${warning} Nothing was changed. If the store is meant to be new, give --new-store. If not, restore its content first (docs/operations.md, "Restore").`,
    );
  }
  console.log(`\n${warning}`);
}

async function migrateStores(plan: ShownPlan, options: Options): Promise<void> {
  const mayBeNew = options['new-store'] || !plan.hasFunctions;
  for (const url of storeUrls(plan)) {
    say(`Migrating ${placeOf(url)}`);
    const report = await atStore(url, async () => {
      // It had one when the plan was shown. Since then a failover may have put an empty copy in its place.
      if (!mayBeNew && !(await hasSchema(url))) throw new Error('it has lost its schema meanwhile');
      return await migrate(url);
    });
    console.log(describeMigration(report));
  }
}

/** Works with the schema of a store; a failure is a sentence with its place. */
async function atStore<Result>(url: string, work: (url: string) => Promise<Result>): Promise<Result> {
  if (/[?&]auth=iam(&|$)/.test(url) && process.env.YC_TOKEN === undefined) {
    throw new StepFailure('YC_TOKEN is needed to make the tables: export YC_TOKEN="$(yc iam create-token)".');
  }
  try {
    return await work(url);
  } catch (error) {
    const { message, cause } = error instanceof Error ? error : new Error(String(error));
    const reason = cause instanceof Error ? `${message} (${cause.message})` : message;
    throw new StepFailure(`${placeOf(url)} was not migrated: ${reason}. No function was changed.`);
  }
}

/** A store's URL without what it may hold: a user and a password. */
function placeOf(url: string): string {
  return url.replace(/\/\/[^/]*@/, '//').replace(/\?.*$/s, '');
}

/** @throws {StepFailure} There is none. */
function storeUrls(plan: ShownPlan): string[] {
  const urls = knownUrls(plan);
  if (urls.length === 0) throw new StepFailure('The plan names no store to migrate. No function was changed.');
  return urls;
}

function knownUrls({ storeUrl, environment, secretNames }: ShownPlan): string[] {
  const hidden = ['STORE_URL', 'DIRECTORY_URL'].filter((name) => secretNames.includes(name));
  const given = process.env.DEPLOY_STORE_URLS?.split(/\s+/).filter((url) => url !== '') ?? [];
  if (hidden.length > given.length) {
    throw new StepFailure(
      `Lockbox has ${hidden.join(' and ')}: give it in DEPLOY_STORE_URLS to have it migrated, or say --no-migrate. No function was changed.`,
    );
  }
  const known = [storeUrl, secretNames.includes('DIRECTORY_URL') ? undefined : environment.DIRECTORY_URL, ...given];
  return [...new Set(known.filter((url) => url !== undefined))];
}

/** Whether the operator types the answer that agrees. */
async function isAgreed(answer: string): Promise<boolean> {
  console.log(`\nApply this plan? Only '${answer}' is taken for it.`);
  const input = createInterface({ input: process.stdin });
  // An interrupt is a no, after which the saved plan is removed: it can hold what the state keeps secret.
  const close = () => input.close();
  process.once('SIGINT', close);
  try {
    for await (const line of input) return line.trim() === answer;
    return false;
  } finally {
    process.off('SIGINT', close);
    input.close();
  }
}

async function runScript(name: string, args: readonly string[], stdin: 'ignore' | 'inherit' = 'ignore'): Promise<void> {
  const program = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  await runProgram(`npm run ${name}`, process.execPath, [program, ...args], stdin);
}

function say(text: string): void {
  console.log(styleText('bold', `\n== ${text}`));
}

try {
  await main();
} catch (error) {
  console.error(error instanceof StepFailure ? `deploy: ${error.message}` : error);
  process.exitCode = error instanceof StepFailure ? error.exitCode : 1;
}
