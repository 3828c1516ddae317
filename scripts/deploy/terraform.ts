import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod';
import { askProgram, runProgram } from './program.ts';

/** What is read of `terraform show -json` of a saved plan; what is not known before the apply is not there. */
const Plan = z.object({
  variables: z.object({
    environment: z.optional(z.object({ value: z.record(z.string(), z.string()) })),
    secrets: z.optional(z.object({ value: z.record(z.string(), z.unknown()) })),
  }),
  planned_values: z.object({
    outputs: z.optional(z.record(z.string(), z.object({ value: z.optional(z.unknown()) }))),
  }),
  resource_changes: z.optional(
    z.array(z.object({ address: z.string(), change: z.object({ actions: z.array(z.string()) }) })),
  ),
});

/** A plan that was made and shown. */
export interface ShownPlan {
  /** Where it is saved. */
  readonly file: string;
  /** What it changes: `create address`, `delete+create address`; nothing of what stays. */
  readonly changes: ReadonlySet<string>;
  /** Whether functions are deployed already, be they changed by it or not. */
  readonly hasFunctions: boolean;
  /** Values of the variable `environment`. */
  readonly environment: Readonly<Record<string, string>>;
  /** The names that Lockbox has the values of. */
  readonly secretNames: readonly string[];
  /** The URL of the store once it is applied; undefined where Lockbox has it, or where it is not known before. */
  readonly storeUrl: string | undefined;
}

/** What the address of a function begins with (`infra/functions.tf`). */
const FUNCTION = 'yandex_function.this[';

/** The steps of Terraform in a folder with a configuration. Each rejects with a StepFailure. */
export interface Terraform {
  /** Fetches the provider, where that was not done yet. */
  prepare(): Promise<void>;
  /** Saves a plan in `file` and shows it. */
  plan(file: string): Promise<ShownPlan>;
  /** Does what a saved plan says. */
  apply(file: string): Promise<void>;
  /** Makes one resource and what it needs. */
  applyOnly(address: string): Promise<void>;
  /** What `terraform output -json` prints. */
  outputs(): Promise<string>;
}

/** Terraform, as it is found on the PATH. */
export function openTerraform(folder: string): Terraform {
  const inFolder = `-chdir=${folder}`;
  return {
    async prepare() {
      if (existsSync(join(folder, '.terraform'))) return;
      await runProgram('terraform init', 'terraform', [inFolder, 'init', '-input=false']);
    },
    async plan(file) {
      await runProgram('terraform plan', 'terraform', [inFolder, 'plan', '-input=false', `-out=${file}`]);
      return readPlan(file, await askProgram('terraform show', 'terraform', [inFolder, 'show', '-json', file]));
    },
    async apply(file) {
      await runProgram('terraform apply', 'terraform', [inFolder, 'apply', '-input=false', file]);
    },
    async applyOnly(address) {
      const options = ['-input=false', '-auto-approve', `-target=${address}`];
      await runProgram('terraform apply', 'terraform', [inFolder, 'apply', ...options]);
    },
    outputs: () => askProgram('terraform output', 'terraform', [inFolder, 'output', '-json']),
  };
}

function readPlan(file: string, json: string): ShownPlan {
  const { variables, planned_values, resource_changes = [] } = Plan.parse(JSON.parse(json));
  const changes = resource_changes.map(({ address, change }) => ({ address, actions: change.actions.join('+') }));
  const storeUrl = planned_values.outputs?.store_url?.value;
  return {
    file,
    changes: new Set(
      changes
        .filter(({ actions }) => actions !== 'no-op' && actions !== 'read')
        .map(({ address, actions }) => `${actions} ${address}`),
    ),
    // Those that it does not change are listed too, as `no-op`.
    hasFunctions: changes.some(({ address, actions }) => address.startsWith(FUNCTION) && actions !== 'create'),
    environment: variables.environment?.value ?? {},
    secretNames: Object.keys(variables.secrets?.value ?? {}),
    storeUrl: typeof storeUrl === 'string' ? storeUrl : undefined,
  };
}
