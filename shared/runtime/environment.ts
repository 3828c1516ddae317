import type * as z from 'zod/mini';
import { Misconfigured } from '../errors.ts';

/**
 * The settings that `schema` asks for, from the environment: the one reader of `process.env`. An empty value counts as
 * absent.
 *
 * @throws {Misconfigured} Names each wrong variable and what it must be.
 */
export function readEnvironment<Schema extends z.ZodMiniObject>(schema: Schema): z.output<Schema> {
  const given = Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== ''));
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  throw new Misconfigured(result.error.issues.map(({ path, message }) => `${String(path[0])} ${message}`).join('; '));
}

/** Whether this process is an instance in Yandex Cloud rather than one of the emulator. */
export function isDeployed(): boolean {
  return process.env.LAMBDA_TASK_ROOT !== undefined || process.env.AWS_LAMBDA_RUNTIME_API !== undefined;
}
