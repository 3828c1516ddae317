import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import {
  entries,
  infraDirectory,
  isObject,
  type Json,
  type JsonObject,
  objects,
  type Resource,
} from './terraform-files.ts';

const Source = z.enum(['documentation', 'repository', 'inference']);

const Block = z.strictObject({
  source: z.optional(Source),
  note: z.optional(z.string()),
  required: z.optional(z.array(z.string())),
  arguments: z.array(z.string()),
  get blocks(): z.ZodOptional<z.ZodRecord<z.ZodString, typeof Block>> {
    return z.optional(z.record(z.string(), Block));
  },
});
type Block = z.infer<typeof Block>;

const ResourceType = z.strictObject({ ...Block.shape, source: Source, attributes: z.optional(z.array(z.string())) });

const ProviderArguments = z.strictObject({
  provider: z.string(),
  version: z.string(),
  commit: z.string(),
  read: z.string(),
  sources: z.record(Source, z.string()),
  providerConfiguration: Block,
  resources: z.record(z.string(), ResourceType),
});
export type ProviderArguments = z.infer<typeof ProviderArguments>;

/** The list drawn from the provider's documentation, with its version. */
export const readProviderArguments = async (): Promise<ProviderArguments> =>
  ProviderArguments.parse(JSON.parse(await readFile(join(infraDirectory, 'provider-arguments.json'), 'utf8')));

/** Arguments of Terraform itself, the same for every resource. */
export const metaArguments = new Set(['for_each', 'count', 'depends_on', 'lifecycle', 'provider']);

/** What `resource` has that the list does not know, and what it lacks, a line each. */
export function unknownIn(resource: Resource, known: ProviderArguments): string[] {
  const address = `${resource.type}.${resource.name}`;
  const type = known.resources[resource.type];
  if (type === undefined) return [`${address}: unknown resource type`];
  const body = Object.fromEntries(Object.entries(resource.body).filter(([key]) => !metaArguments.has(key)));
  return compareBlock(address, body, type);
}

/** The same for one block and those inside it. */
export function compareBlock(address: string, body: JsonObject, known: Block): string[] {
  const { dynamic, ...fixed } = body;
  const generated = entries(dynamic).flatMap(([name, blocks]) =>
    objects(blocks).flatMap((block) => objects(block.content).map((content): [string, Json] => [name, [content]])),
  );
  const given = [...Object.entries(fixed), ...generated];
  const missing = (known.required ?? []).filter((name) => !given.some(([key]) => key === name));
  return [
    ...missing.map((name) => `${address}: lacks ${name}`),
    ...given.flatMap(([key, value]) => compareEntry(address, key, value, known)),
  ];
}

function compareEntry(address: string, key: string, value: Json, known: Block): string[] {
  const block = known.blocks?.[key];
  if (block !== undefined) {
    if (!Array.isArray(value) || !value.every(isObject)) return [`${address}: ${key} is a block, not an argument`];
    return objects(value).flatMap((inner) => compareBlock(`${address}.${key}`, inner, block));
  }
  return known.arguments.includes(key) ? [] : [`${address}: unknown argument or block ${key}`];
}

/** Attributes read from resources in `expressions` that the list does not know, a line each. */
export function unknownAttributes(expressions: string[], known: ProviderArguments): string[] {
  const reference = /\b(yandex_\w+)\.\w+(?:\[[^\]]*\])?\.(\w+)/g;
  return expressions.flatMap((expression) =>
    [...expression.matchAll(reference)].flatMap(([text, type = '', attribute = '']) => {
      const resource = known.resources[type];
      const attributes = ['id', ...(resource?.attributes ?? []), ...(resource?.arguments ?? [])];
      return attributes.includes(attribute) ? [] : [`${text}: unknown attribute ${attribute}`];
    }),
  );
}
