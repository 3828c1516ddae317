import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import * as z from 'zod';
import { StartError } from './start-error.ts';

const Values = z.record(z.string(), z.coerce.string());
const Timer = z.object({
  cron: z.string(),
  payload: z.optional(z.string()),
  /** Calls after a first one that failed. */
  retry_attempts: z.int().min(0).max(5).default(1),
  /** In seconds. */
  retry_interval: z.int().min(10).max(60).default(10),
});
const Row = z.object({
  memory: z.optional(z.number().positive()),
  timeout: z.optional(z.number().positive()),
  concurrency: z.optional(z.int().positive()),
  instances: z.optional(z.int().positive()),
  requests: z.optional(z.int().positive()),
  environment: z.optional(Values),
  variables: z.optional(z.array(z.string())),
  secrets: z.optional(z.array(z.string())),
  local: z.optional(Values),
  timer: z.optional(Timer),
});
const FunctionsFile = z.object({
  defaults: z.optional(Row),
  local: z.optional(Values),
  functions: z.record(z.string().regex(/^[a-z][a-z0-9-]*$/), z.nullable(Row)),
});

/** A timer trigger; `retry_interval` is in seconds. */
export type TimerDefinition = z.infer<typeof Timer>;

/** One function as the emulator runs it: the defaults applied, the environment complete. */
export interface FunctionDefinition {
  name: string;
  memoryMb: number;
  timeoutMs: number;
  /** Calls at once in one instance. */
  concurrency: number;
  /** The most instances at once; a call that finds no room in them waits. */
  instances: number;
  /** The most calls at once, running and waiting; one more is a 429. */
  requests: number;
  environment: Record<string, string>;
  timer: TimerDefinition | undefined;
}

/** Reads `functions.yaml`; `values` fill the `${NAME}` placeholders of its `local:` blocks. */
export function readFunctionsFile(path: string, values: Record<string, string>): FunctionDefinition[] {
  const file = FunctionsFile.safeParse(readYaml(path));
  if (!file.success) {
    const [issue] = file.error.issues;
    throw new StartError(`${path}: ${issue?.path.join('.')}: ${issue?.message}.`);
  }
  const { defaults = {}, local = {}, functions } = file.data;
  return Object.entries(functions).map(([name, row]) => {
    const merged = { ...defaults, ...row };
    const fill = (text: string): string => fillPlaceholders(text, values, `${path}: functions.${name}`);
    return {
      name,
      memoryMb: merged.memory ?? 128,
      timeoutMs: (merged.timeout ?? 3) * 1000,
      concurrency: merged.concurrency ?? 1,
      // The platform's default quotas, in one zone.
      instances: merged.instances ?? 10,
      requests: merged.requests ?? 10,
      environment: environmentOf(merged, local, fill),
      timer: merged.timer,
    };
  });
}

/** What was parsed last, by path: one process may start many emulators on the same files. */
const lastParsed = new Map<string, { readonly text: string; readonly value: unknown }>();

/** Parses a YAML file with anchors and merge keys. What is returned may be returned again: it is not to be changed. */
export function readYaml(path: string): unknown {
  try {
    const text = readFileSync(path, 'utf8');
    const last = lastParsed.get(path);
    if (last?.text === text) return last.value;
    const value: unknown = parse(text, { merge: true });
    lastParsed.set(path, { text, value });
    return value;
  } catch (error) {
    // Only Errors come from these two.
    throw new StartError(`${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function environmentOf(
  row: z.infer<typeof Row>,
  shared: Record<string, string>,
  fill: (text: string) => string,
): Record<string, string> {
  const environment: Record<string, string> = { ...row.environment };
  for (const name of [...(row.variables ?? []), ...(row.secrets ?? [])]) {
    const value = shared[name];
    if (value !== undefined) environment[name] = fill(value);
  }
  for (const [name, value] of Object.entries(row.local ?? {})) environment[name] = fill(value);
  return environment;
}

function fillPlaceholders(text: string, values: Record<string, string>, place: string): string {
  return text.replace(/\$\{([^}]*)\}/g, (placeholder, name: string) => {
    const value = values[name];
    if (value === undefined) throw new StartError(`${place}: nothing is known to put in place of ${placeholder}.`);
    return value;
  });
}
