import * as z from 'zod/mini';
import { CallerError } from './errors.ts';

/**
 * What a caller sent, as a schema reads it. The messages of the schema are fixed texts: `must be …`.
 *
 * @param kind What the parts of it are called.
 * @throws {CallerError} `invalid_request`: names the part, never its value.
 */
export function parseInput<Schema extends z.ZodMiniType>(
  schema: Schema,
  input: unknown,
  kind: 'field' | 'parameter' = 'field',
): z.output<Schema> {
  const { success, data, error } = schema.safeParse(input);
  if (success) return data;
  const [issue] = error.issues;
  throw new CallerError('invalid_request', `The ${kind} ${issue?.path.join('.')} ${issue?.message}.`);
}

/** What a transformation answers in place of a value: that what it was given breaks a rule, which is a fixed text. */
export function refuse(context: z.core.ParsePayload, rule: string): never {
  context.issues.push({ code: 'custom', input: undefined, message: rule });
  return z.NEVER;
}
