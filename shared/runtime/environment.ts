import { Misconfigured } from '../errors.ts';
import type { Settings, Variables } from '../settings.ts';

/**
 * What the variables say that are asked for, from the environment, and nothing else of it. An empty value counts as absent.
 *
 * @throws {Misconfigured} Names each wrong variable and what it must be.
 */
export function readEnvironment<Asked extends Variables>(variables: Asked): Settings<Asked> {
  const settings: Record<string, unknown> = {};
  const wrong = [...takeLoggerVariables()].map((name) => `${name} must not be set: it changes the lines of the log`);
  for (const [name, schema] of Object.entries(variables)) {
    const text = process.env[name] || undefined;
    // Asked, zod would make what z.lazy holds, only to learn whether it has a default.
    if (text === undefined && schema.def.type === 'optional') continue;
    const { success, data, error } = schema.safeParse(text);
    if (success) settings[name] = data;
    else wrong.push(...error.issues.map(({ message }) => `${name} ${message}`));
  }
  if (wrong.length > 0) throw new Misconfigured(wrong.join('; '));
  // Each is what its own schema has made of it.
  return settings as Settings<Asked>;
}

/**
 * What Powertools' Logger reads and what would drop, split or break lines that revocations are rebuilt from:
 * https://docs.aws.amazon.com/powertools/typescript/latest/environment-variables/
 */
export const LOGGER_VARIABLES: readonly string[] = [
  'AWS_LAMBDA_LOG_LEVEL',
  'AWS_LAMBDA_MAX_CONCURRENCY',
  'POWERTOOLS_DEV',
  'POWERTOOLS_LOGGER_LOG_EVENT',
  'POWERTOOLS_LOGGER_SAMPLE_RATE',
];

/** Those that were set. */
const taken = new Set<string>();

/**
 * Takes the variables away that would change the log, so that the line which names them comes out.
 *
 * @returns The names of all that were set in this process.
 */
export function takeLoggerVariables(): ReadonlySet<string> {
  for (const name of LOGGER_VARIABLES) {
    if (process.env[name] === undefined) continue;
    taken.add(name);
    delete process.env[name];
  }
  return taken;
}

/** The environment as it is, for the variables of the providers' secrets: their names stand in the providers' rows. */
export function namedVariables(): Readonly<Record<string, unknown>> {
  return process.env;
}

/** Whether this process is an instance in Yandex Cloud rather than one of the emulator. */
export function isDeployed(): boolean {
  return process.env.LAMBDA_TASK_ROOT !== undefined || process.env.AWS_LAMBDA_RUNTIME_API !== undefined;
}
