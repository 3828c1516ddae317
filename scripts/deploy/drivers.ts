import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from '@cdktn/hcl2json';
import * as z from 'zod';
import type { Driver } from '../build.ts';
import { StepFailure } from './step-failure.ts';

/** What is read of terraform.tfvars. */
const Variables = z.object({
  ydb_store: z.optional(z.boolean()),
  environment: z.optional(z.record(z.string(), z.unknown())),
  secrets: z.optional(z.record(z.string(), z.unknown())),
});

const STORE_NAMES = ['STORE_URL', 'DIRECTORY_URL'] as const;

const SCHEMES: Readonly<Record<string, Driver>> = {
  'dynamodb+http': 'dynamodb',
  'dynamodb+https': 'dynamodb',
  postgres: 'postgres',
  postgresql: 'postgres',
  redis: 'redis',
  rediss: 'redis',
  sqlite: 'sqlite',
};

/**
 * The drivers that the functions of a deployment need, as its terraform.tfvars (or terraform.tfvars.json) says.
 *
 * @throws {StepFailure} There is no such file, or it does not say.
 */
export async function driversOf(folder: string): Promise<Driver[]> {
  const { ydb_store = true, environment = {}, secrets = {} } = await readVariables(folder);
  const drivers = STORE_NAMES.flatMap((name): Driver[] => {
    if (name in secrets) {
      throw new StepFailure(`Lockbox has ${name}: name the driver, such as --store postgres.`);
    }
    const url = environment[name];
    if (url === undefined) return name === 'STORE_URL' && ydb_store ? ['dynamodb'] : [];
    const driver = SCHEMES[/^([a-z+]+):/.exec(String(url))?.[1] ?? ''];
    if (driver === undefined) throw new StepFailure(`${name} in terraform.tfvars is not the URL of a store.`);
    return [driver];
  });
  if (drivers.length === 0)
    throw new StepFailure('terraform.tfvars names no store: ydb_store is false, and there is no STORE_URL.');
  return [...new Set(drivers)];
}

async function readVariables(folder: string): Promise<z.infer<typeof Variables>> {
  const [hcl, json] = [join(folder, 'terraform.tfvars'), join(folder, 'terraform.tfvars.json')];
  if (existsSync(hcl)) return Variables.parse(await parse('terraform.tfvars', readFileSync(hcl, 'utf8')));
  if (existsSync(json)) return Variables.parse(JSON.parse(readFileSync(json, 'utf8')));
  throw new StepFailure(`There is no terraform.tfvars in ${folder}: copy terraform.tfvars.example there and edit it.`);
}
