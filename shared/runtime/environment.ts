import { Misconfigured } from '../errors.ts';
import type { Settings, Variables } from '../settings.ts';

/**
 * What the variables say that are asked for, from the environment: the one reader of `process.env`. An empty value counts
 * as absent.
 *
 * @param hasSecrets Whatever else is set stands beside it: the names of the providers' secrets are in `providers.json`.
 * @throws {Misconfigured} Names each wrong variable and what it must be.
 */
export function readEnvironment<Asked extends Variables>(variables: Asked, hasSecrets = false): Settings<Asked> {
  const settings: Record<string, unknown> = hasSecrets ? { ...process.env } : {};
  const wrong: string[] = [];
  for (const [name, schema] of Object.entries(variables)) {
    const text = process.env[name] || undefined;
    // What is not set needs no schema, which z.lazy has not made yet.
    if (text === undefined && schema.def.type === 'optional') continue;
    const { success, data, error } = schema.safeParse(text);
    if (success) settings[name] = data;
    else wrong.push(...error.issues.map(({ message }) => `${name} ${message}`));
  }
  if (wrong.length > 0) throw new Misconfigured(wrong.join('; '));
  // Each is what its own schema has made of it.
  return settings as Settings<Asked>;
}

/** Whether this process is an instance in Yandex Cloud rather than one of the emulator. */
export function isDeployed(): boolean {
  return process.env.LAMBDA_TASK_ROOT !== undefined || process.env.AWS_LAMBDA_RUNTIME_API !== undefined;
}
