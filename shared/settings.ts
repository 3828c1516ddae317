import * as z from 'zod/mini';

/**
 * The environment variables that something reads, each with the schema of its text. A record and no object of zod's: it
 * is put together of others, and a cold start would make a schema of each.
 */
export type Variables = Readonly<Record<string, z.ZodMiniType>>;

/** A variable of any text, or none. One schema for all of them. */
export const AnyText = z.optional(z.string());

/** What the variables say. */
export type Settings<Asked extends Variables> = z.output<z.ZodMiniObject<Asked>>;
