import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { compareBlock, readProviderArguments, unknownAttributes, unknownIn } from './provider-arguments.ts';
import {
  entries,
  infraDirectory,
  objects,
  parseHcl,
  readInfraFile,
  readTerraformFiles,
  resourcesOf,
  stringsIn,
} from './terraform-files.ts';
import { hasTerraform, unlessTerraform } from './terraform-run.ts';

const known = await readProviderArguments();
const files = await readTerraformFiles();
const resources = files.flatMap((file) => resourcesOf(file.document));
const expressions = files.flatMap((file) => stringsIn(file.document));

/** A resource as `text` says it. */
const resourceOf = async (text: string) => {
  const [resource] = resourcesOf(await parseHcl('fixture.tf', text));
  if (resource === undefined) throw new Error('the fixture has no resource');
  return resource;
};

describe('the Terraform files', () => {
  test('every resource type, argument, block and attribute is in provider-arguments.json', () => {
    expect(resources.length).toBeGreaterThan(0);
    expect([
      ...resources.flatMap((resource) => unknownIn(resource, known)),
      ...unknownAttributes(expressions, known),
    ]).toEqual([]);
  });

  test('provider-arguments.json has no resource type that is not used', () => {
    const used = new Set(resources.map(({ type }) => type));

    expect(Object.keys(known.resources).filter((type) => !used.has(type))).toEqual([]);
  });

  test('the provider is the one of provider-arguments.json, at its version, and is given nothing unknown', () => {
    const documents = files.map((file) => file.document);
    const [required] = documents.flatMap((document) =>
      objects(document.terraform).flatMap((block) => objects(block.required_providers)),
    );
    const blocks = documents.flatMap((document) => entries(document.provider));

    expect(required).toEqual({ yandex: { source: known.provider, version: `~> ${known.version}` } });
    expect(
      blocks.flatMap(([name, bodies]) =>
        objects(bodies).flatMap((body) => compareBlock(name, body, known.providerConfiguration)),
      ),
    ).toEqual([]);
  });

  test('both metadata endpoints of every function are off', () => {
    const functions = resources.filter(({ type }) => type === 'yandex_function');

    expect(functions.length).toBeGreaterThan(0);
    for (const { body } of functions) {
      expect(body.metadata_options).toEqual([{ gce_http_endpoint: 2, aws_v1_http_endpoint: 2 }]);
    }
  });

  test('every variable, and each that the example sets, is declared and described', async () => {
    const variables = files.flatMap((file) => entries(file.document.variable));
    const example = await parseHcl('example.tfvars', await readInfraFile('terraform.tfvars.example'));
    const referenced = expressions.flatMap((text) => [...text.matchAll(/\bvar\.(\w+)/g)].map(([, name]) => name));

    const declared = variables.map(([name]) => name);

    expect([...referenced, ...Object.keys(example)].filter((name) => !declared.includes(name ?? ''))).toEqual([]);
    expect(declared.filter((name) => !referenced.includes(name))).toEqual([]);
    expect(variables.filter(([, bodies]) => !objects(bodies)[0]?.description).map(([name]) => name)).toEqual([]);
  });

  test.skipIf(!hasTerraform)(`are formatted as terraform fmt does${unlessTerraform}`, () => {
    const { status, stdout } = spawnSync('terraform', ['fmt', '-check', '-recursive', '-diff', infraDirectory], {
      encoding: 'utf8',
    });

    expect(stdout).toBe('');
    expect(status).toBe(0);
  });
});

describe('the comparison with the provider', () => {
  test('an unknown resource type is named', async () => {
    const resource = await resourceOf('resource "yandex_funktion" "f" {}');

    expect(unknownIn(resource, known)).toEqual(['yandex_funktion.f: unknown resource type']);
  });

  test('unknown and lacking arguments are named, in nested and generated blocks too', async () => {
    const resource = await resourceOf(`resource "yandex_function" "f" {
      name       = "f"
      runtime    = "nodejs22"
      entrypoint = "index.handler"
      user_hash  = "1"
      timeout    = 5
      content {
        zip = "f.zip"
      }
      dynamic "secrets" {
        for_each = var.secrets
        content {
          id   = secrets.value.id
          name = secrets.key
        }
      }
    }`);

    expect(unknownIn(resource, known)).toEqual([
      'yandex_function.f: lacks memory',
      'yandex_function.f.content: unknown argument or block zip',
      'yandex_function.f: unknown argument or block timeout',
      'yandex_function.f.secrets: lacks version_id',
      'yandex_function.f.secrets: lacks key',
      'yandex_function.f.secrets: lacks environment_variable',
      'yandex_function.f.secrets: unknown argument or block name',
    ]);
  });

  test('a block written as an argument is named', async () => {
    const resource = await resourceOf(
      'resource "yandex_api_gateway" "g" {\n name = "g"\n spec = ""\n log_options = {}\n}',
    );

    expect(unknownIn(resource, known)).toEqual(['yandex_api_gateway.g: log_options is a block, not an argument']);
  });

  test('an unknown attribute is named', () => {
    expect(
      unknownAttributes(['one(yandex_api_gateway.this[*].domian)', 'yandex_message_queue.q[0].arn'], known),
    ).toEqual(['yandex_api_gateway.this[*].domian: unknown attribute domian']);
  });

  test('text that is not HCL is refused', async () => {
    await expect(parseHcl('broken.tf', 'resource "x" {')).rejects.toThrow('Unclosed configuration block');
  });
});
