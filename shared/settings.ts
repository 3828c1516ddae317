import * as z from 'zod/mini';
import { refuse } from './schema.ts';

/**
 * The environment variables that something reads, each with the schema of its text; a `z.optional` has no default within,
 * as its schema is not asked about what is not set. A record and no object of zod's: it is put together of others, and a
 * cold start would make a schema of each.
 */
export type Variables = Readonly<Record<string, z.ZodMiniType>>;

/** A variable of any text, or none. One schema for all of them. */
export const AnyText = z.optional(z.string());

/** What the variables say. */
export type Settings<Asked extends Variables> = z.output<z.ZodMiniObject<Asked>>;

/** What is done where a variable is not set: a text stands for it, or this is said. */
interface Unset {
  readonly text?: string;
  readonly rule?: string;
}

/**
 * A variable whose text is read by a function, which returns undefined for what the rule does not allow. What is wrong is
 * said by the rule alone: the text may be a secret.
 *
 * @param rule What it must be: `must be …`. It is said of one that is not set, too, where `unset` has nothing else.
 */
export function parsedText<Value>(
  rule: string,
  parse: (text: string) => Value | undefined,
  unset: Unset = {},
): z.ZodMiniTransform<Value, unknown> {
  // One schema, where a pipe from a string would be three.
  return z.transform((given, context): Value => {
    const text = given ?? unset.text;
    const value = typeof text === 'string' ? parse(text) : undefined;
    if (value !== undefined) return value;
    return refuse(context, text === undefined ? (unset.rule ?? rule) : rule);
  });
}

/** A variable that holds JSON of a schema. */
export function jsonText<Schema extends z.ZodMiniType>(
  rule: string,
  schema: Schema,
  unset?: Unset,
): z.ZodMiniTransform<z.output<Schema>, unknown> {
  return parsedText(rule, (text): z.output<Schema> | undefined => parseJson(text, schema), unset);
}

function parseJson<Schema extends z.ZodMiniType>(text: string, schema: Schema): z.output<Schema> | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** What each of the texts says, or undefined where one says nothing. */
export function parseEach<Value>(
  texts: readonly string[],
  parse: (text: string) => Value | undefined,
): Value[] | undefined {
  const values = texts.map(parse).filter((value) => value !== undefined);
  return values.length === texts.length ? values : undefined;
}
