import { Misconfigured } from '../errors.ts';
import type { Settings, Variables } from '../settings.ts';

/**
 * What the variables say that are asked for, from the environment, and nothing else of it. An empty value counts as absent.
 *
 * @throws {Misconfigured} Names each wrong variable and what it must be.
 */
export function readEnvironment<Asked extends Variables>(variables: Asked): Settings<Asked> {
  const settings: Record<string, unknown> = {};
  const wrong: string[] = [];
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

/** The environment as it is, for the variables of the providers' secrets: their names stand in the providers' rows. */
export function namedVariables(): Readonly<Record<string, unknown>> {
  return process.env;
}

/** Whether this process is an instance in Yandex Cloud rather than one of the emulator. */
export function isDeployed(): boolean {
  return process.env.LAMBDA_TASK_ROOT !== undefined || process.env.AWS_LAMBDA_RUNTIME_API !== undefined;
}
