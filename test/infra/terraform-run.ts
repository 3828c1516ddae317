/**
 * Runs the real terraform without the provider, which cannot be had offline. In a temporary copy of `infra/` every
 * resource of the provider becomes a `terraform_data` (built into terraform) whose input is the resource's arguments,
 * and every attribute read from it becomes its id. What remains is real: variables, validations, preconditions,
 * for_each, references, the order of things and every expression. Nothing leaves the temporary folder.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import * as z from 'zod';
import { metaArguments } from './provider-arguments.ts';
import {
  entries,
  type Json,
  type JsonObject,
  objects,
  parseRows,
  readInfraFile,
  readTerraformFiles,
  resourcesOf,
  type TerraformFile,
} from './terraform-files.ts';

/** Whether there is a terraform on the PATH; the tests that need it say so in their titles when there is none. */
export const hasTerraform = spawnSync('terraform', ['version'], { stdio: 'ignore' }).status === 0;

/** The end of a title of tests that cannot run here. */
export const unlessTerraform = hasTerraform ? '' : ': no terraform binary here, not checked';

export type Rehearsal =
  | { status: 'applied'; resources: Map<string, JsonObject>; ids: Map<string, string>; outputs: JsonObject }
  | { status: 'refused'; message: string };

/** What a deployment would make, by address (`yandex_function.this["name"]`), or why terraform refuses it. */
export async function rehearse(
  variables: JsonObject,
  replaced: { functions?: JsonObject; openapi?: JsonObject; providers?: Json } = {},
): Promise<Rehearsal> {
  const folder = await mkdtemp(join(tmpdir(), 'unlink-infra-'));
  try {
    await writeRehearsal(folder, variables, replaced);
    const applied = await terraform(folder, ['apply', '-auto-approve', '-compact-warnings']);
    if (applied.status !== 0) return { status: 'refused', message: applied.output };
    return readState(await terraform(folder, ['show', '-json']));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes what is rehearsed: `infra/` in a folder, the zips in `dist/` beside it, and an empty `terraformrc`. */
export async function writeRehearsal(
  folder: string,
  variables: JsonObject,
  replaced: Parameters<typeof rehearse>[1] = {},
): Promise<void> {
  const functions = replaced.functions ? stringify(replaced.functions) : await readInfraFile('functions.yaml');
  const openapi = replaced.openapi ? stringify(replaced.openapi) : await readInfraFile('openapi.yaml');
  const providers = JSON.stringify(replaced.providers ?? []);
  await writeConfiguration(folder, { functions, openapi, providers, variables });
}

async function writeConfiguration(
  folder: string,
  content: { functions: string; openapi: string; providers: string; variables: JsonObject },
): Promise<void> {
  const infra = join(folder, 'infra');
  await Promise.all([mkdir(infra), mkdir(join(folder, 'dist'))]);
  const files = (await readTerraformFiles()).filter((file) => file.name !== 'versions.tf');
  await Promise.all([
    ...files.map(async (file) => {
      const pure = resourcesOf(file.document).length === 0;
      await writeFile(join(infra, pure ? file.name : `${file.name}.json`), pure ? redirect(file.text) : standIn(file));
    }),
    ...Object.keys(parseRows(content.functions)).map((name) => writeFile(join(folder, 'dist', `${name}.zip`), name)),
    writeFile(join(infra, 'functions.yaml'), content.functions),
    writeFile(join(infra, 'openapi.yaml'), content.openapi),
    writeFile(join(folder, 'providers.json'), content.providers),
    writeFile(join(infra, 'terraform.tfvars.json'), JSON.stringify(content.variables)),
    writeFile(join(folder, 'terraformrc'), ''),
  ]);
}

/** References to the provider's resources, led to the ones that stand in for them. */
const redirect = (text: string): string =>
  text
    .replaceAll(/\b(yandex_\w+)\.(\w+)/g, 'terraform_data.$1__$2')
    .replaceAll(/\b(terraform_data\.\w+(?:\[[^\]]*\])?)\.\w+/g, '$1.id');

/** A file with resources, in Terraform's JSON syntax, each resource replaced by its stand-in. */
function standIn(file: TerraformFile): string {
  const replacements = resourcesOf(file.document).map(({ type, name, body }): [string, JsonObject] => {
    const meta = Object.entries(body).filter(([key]) => metaArguments.has(key));
    const dependsOn = objects([body]).flatMap(({ depends_on }) => (Array.isArray(depends_on) ? depends_on : []));
    return [
      `${type}__${name}`,
      {
        ...Object.fromEntries(meta),
        depends_on: dependsOn.map((item) => String(item).replaceAll(/^\$\{|\}$/g, '')),
        input: inputOf(body),
      },
    ];
  });
  return redirect(JSON.stringify({ ...file.document, resource: { terraform_data: Object.fromEntries(replacements) } }));
}

/** A resource's arguments and blocks as one value; a dynamic block as the list that it makes, after those that are written out. */
function inputOf(body: JsonObject): JsonObject {
  const { dynamic, ...fixed } = body;
  const generated = entries(dynamic).flatMap(([name, blocks]) =>
    objects(blocks).map(({ for_each, content }): [string, Json] => {
      const value = expression(objects(content)[0] ?? {}).replaceAll(`${name}.value`, `${name}_value`);
      const made = `[for ${name}_value in ${expression(for_each ?? [])} : ${value}]`;
      return [name, `\${concat(${expression(fixed[name] ?? [])}, ${made})}`];
    }),
  );
  return Object.fromEntries([...Object.entries(fixed), ...generated].filter(([key]) => !metaArguments.has(key)));
}

/** A parsed value as HCL text. */
function expression(value: Json): string {
  if (typeof value === 'string') return /^\$\{(.*)\}$/s.exec(value)?.[1] ?? JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(expression).join(', ')}]`;
  const inner = entries(value).map(([key, item]) => `${key} = ${expression(item)}`);
  return inner.length > 0 ? `{ ${inner.join(', ')} }` : JSON.stringify(value);
}

type Run = { status: number; output: string };

const terraform = (folder: string, parameters: string[]): Promise<Run> =>
  new Promise((resolve) => {
    const environment = { PATH: process.env.PATH, TF_CLI_CONFIG_FILE: join(folder, 'terraformrc') };
    const options = { cwd: join(folder, 'infra'), env: { ...environment, CHECKPOINT_DISABLE: '1', TF_INPUT: '0' } };
    execFile('terraform', [...parameters, '-no-color'], { ...options, maxBuffer: 1e8 }, (error, stdout, stderr) => {
      // Terraform frames and wraps what it says; the tests look for sentences.
      const said = error ? `${stdout}${stderr}`.replaceAll(/[\s│╷╵]+/g, ' ') : stdout;
      resolve({ status: error ? 1 : 0, output: said });
    });
  });

const Value: z.ZodType<Json> = z.json();
const State = z.object({
  values: z.object({
    outputs: z.record(z.string(), z.object({ value: z.optional(Value) })),
    root_module: z.object({
      resources: z.array(
        z.object({
          name: z.string(),
          index: z.optional(z.union([z.string(), z.number()])),
          values: z.object({ id: z.string(), input: z.record(z.string(), Value) }),
        }),
      ),
    }),
  }),
});

function readState(shown: Run): Rehearsal {
  const { outputs, root_module } = State.parse(JSON.parse(shown.output)).values;
  const resources = new Map<string, JsonObject>();
  const ids = new Map<string, string>();
  for (const { name, index, values } of root_module.resources) {
    const address = `${name.replace('__', '.')}${index === undefined ? '' : `[${JSON.stringify(index)}]`}`;
    resources.set(address, values.input);
    ids.set(address, values.id);
  }
  const given = Object.entries(outputs).map(([name, { value }]): [string, Json] => [name, value ?? null]);
  return { status: 'applied', resources, ids, outputs: Object.fromEntries(given) };
}
