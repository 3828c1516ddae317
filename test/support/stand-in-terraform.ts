import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What a plan of the stand-in says. */
export interface StandInPlan {
  /** Address → actions. */
  readonly changes?: Readonly<Record<string, readonly string[]>>;
  readonly storeUrl?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, unknown>>;
}

/** What a stand-in is told. */
export interface StandInSettings {
  /** terraform.tfvars of the configuration; none if not given. */
  readonly variables?: string;
  /** What is planned first, and after that. */
  readonly plans?: readonly StandInPlan[];
  readonly outputs?: Readonly<Record<string, unknown>>;
  /** The command that fails, with status 3. */
  readonly failing?: string;
}

/** A program called `terraform` that does nothing but write down its calls and print what it was told to. */
export interface StandInTerraform {
  /** The folder of the configuration. */
  readonly infra: string;
  /** The environment in which it is found first. */
  readonly environment: Readonly<Record<string, string>>;
  /** What it was called with, a call each, without what differs from run to run. */
  calls(): string[];
}

const PROGRAM = `#!/bin/sh
# $1 is -chdir=…, $2 the command, the last one the file of a plan.
cd "$STAND_IN" || exit 9
echo "$*" >> calls
command="$2"
for last in "$@"; do :; done
if [ "$(cat failing)" = "$command" ]; then echo "the stand-in fails" >&2; exit 3; fi
case "$command" in
  init) mkdir -p infra/.terraform ;;
  plan) number=$(grep -c ' plan ' calls); echo "$number" > "\${last#-out=}"; echo "Plan number $number of the stand-in" ;;
  show) cat "plan-$(cat "$last").json" ;;
  output) cat outputs.json ;;
esac
`;

/** Puts the program into a folder, with a configuration beside it. */
export function createStandInTerraform(folder: string, settings: StandInSettings = {}): StandInTerraform {
  const { variables, plans = [{}], outputs = {}, failing = '' } = settings;
  const infra = join(folder, 'infra');
  mkdirSync(infra);
  if (variables !== undefined) writeFileSync(join(infra, 'terraform.tfvars'), variables);
  for (const [index, plan] of plans.entries()) {
    writeFileSync(join(folder, `plan-${index + 1}.json`), JSON.stringify(planJson(plan)));
  }
  writeFileSync(join(folder, 'outputs.json'), JSON.stringify(outputs));
  writeFileSync(join(folder, 'failing'), failing);
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/terraform'), PROGRAM);
  chmodSync(join(folder, 'bin/terraform'), 0o755);
  const calls = join(folder, 'calls');
  return {
    infra,
    environment: { STAND_IN: folder, PATH: `${join(folder, 'bin')}${delimiter}${process.env.PATH}` },
    calls: () =>
      existsSync(calls)
        ? readFileSync(calls, 'utf8')
            .trim()
            .split('\n')
            .map((line) => line.replace(/^-chdir=\S+ /, '').replace(/\S*\/(\w+)$/, '$1'))
        : [],
  };
}

/** As `terraform show -json` prints it. */
function planJson({ changes = {}, storeUrl, environment = {}, secrets = {} }: StandInPlan): object {
  return {
    variables: { environment: { value: environment }, secrets: { value: secrets } },
    planned_values: { outputs: { store_url: { value: storeUrl } } },
    resource_changes: Object.entries(changes).map(([address, actions]) => ({ address, change: { actions } })),
  };
}
