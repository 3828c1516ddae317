/** What `infra/` holds: the *.tf files through a real HCL parser, and the two YAML files that they read. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from '@cdktn/hcl2json';
import { parse as parseYaml } from 'yaml';
import * as z from 'zod';

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export const infraDirectory = join(import.meta.dirname, '../../infra');

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** One *.tf file: its text, and what the parser makes of it (a block is an array of objects, an expression `${…}`). */
export type TerraformFile = { name: string; text: string; document: JsonObject };

/** Every *.tf file in `directory`; rejects on text that is not HCL. */
export async function readTerraformFiles(directory: string = infraDirectory): Promise<TerraformFile[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.tf')).sort();
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(join(directory, name), 'utf8');
      return { name, text, document: await parseHcl(name, text) };
    }),
  );
}

export async function parseHcl(name: string, text: string): Promise<JsonObject> {
  const document: JsonObject = await parse(name, text);
  return document;
}

/** A `resource` block: its type, name and body. */
export type Resource = { type: string; name: string; body: JsonObject };

export function resourcesOf(document: JsonObject): Resource[] {
  return entries(document.resource).flatMap(([type, named]) =>
    entries(named).flatMap(([name, bodies]) => objects(bodies).map((body) => ({ type, name, body }))),
  );
}

export const entries = (value: Json | undefined): [string, Json][] => (isObject(value) ? Object.entries(value) : []);
export const objects = (value: Json | undefined): JsonObject[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** Every string in a parsed file, the keys included: where its expressions are. */
export function stringsIn(value: Json | undefined): string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return value.flatMap(stringsIn);
  return entries(value).flatMap(([key, inner]) => [key, ...stringsIn(inner)]);
}

const Row = z.object({
  profiles: z.optional(z.array(z.enum(['smart-home', 'matrix', 'shop', 'identity']))),
  public: z.optional(z.boolean()),
  environment: z.optional(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))),
  variables: z.optional(z.array(z.string())),
  secrets: z.optional(z.array(z.string())),
  local: z.optional(z.record(z.string(), z.string())),
  timer: z.optional(z.object({ cron: z.string() })),
});
export type Row = z.infer<typeof Row>;
export type Rows = Record<string, Row>;

/** The rows of functions.yaml, as far as the tests read them. */
export const parseRows = (text: string): Rows =>
  z.object({ functions: z.record(z.string(), Row) }).parse(parseYaml(text)).functions;

export const readRows = async (): Promise<Rows> => parseRows(await readInfraFile('functions.yaml'));

export const readInfraFile = (name: string): Promise<string> => readFile(join(infraDirectory, name), 'utf8');

/** openapi.yaml, the placeholders left as they are. */
export async function readOpenApi(): Promise<JsonObject> {
  const document: Json = parseYaml(await readInfraFile('openapi.yaml'), { merge: true });
  if (!isObject(document)) throw new TypeError('openapi.yaml is not an object');
  return document;
}
