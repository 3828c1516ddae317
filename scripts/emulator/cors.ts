import * as z from 'zod';
import { type HttpRequest, lastValue } from './http-event.ts';

const List = z.union([z.string(), z.array(z.string())]);

/** A `CorsRuleObject` of the gateway's specification. */
export const CorsRule = z.strictObject({
  origin: z.union([z.boolean(), List]),
  methods: z.optional(List),
  allowedHeaders: z.optional(List),
  exposedHeaders: z.optional(List),
  credentials: z.optional(z.boolean()),
  /** In seconds. */
  maxAge: z.optional(z.int()),
  optionsSuccessStatus: z.int().default(200),
});
export type CorsRule = z.infer<typeof CorsRule>;

/** Whether a request is a preflight that the gateway answers itself. */
export function isPreflight(request: HttpRequest): boolean {
  return (
    request.method === 'OPTIONS' &&
    lastValue(request.headers, 'Origin') !== undefined &&
    lastValue(request.headers, 'Access-Control-Request-Method') !== undefined
  );
}

/** The CORS headers of the answer to a request: of a preflight, or of the call itself. */
export function corsHeaders(rule: CorsRule, request: HttpRequest): Record<string, string> {
  // A list of origins is put into the header as it is, says the documentation, though browsers take only one.
  const origin = rule.origin === true ? lastValue(request.headers, 'Origin') : listText(rule.origin);
  if (origin === undefined) return {};
  const preflight = {
    'Access-Control-Allow-Methods':
      listText(rule.methods) ?? lastValue(request.headers, 'Access-Control-Request-Method'),
    'Access-Control-Allow-Headers': listText(rule.allowedHeaders),
    'Access-Control-Max-Age': rule.maxAge?.toString(),
  };
  const headers = {
    'Access-Control-Allow-Origin': origin,
    'Access-Control-Allow-Credentials': rule.credentials?.toString(),
    'Access-Control-Expose-Headers': listText(rule.exposedHeaders),
    ...(isPreflight(request) ? preflight : {}),
  };
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

function listText(list: string | string[] | boolean | undefined): string | undefined {
  if (typeof list === 'boolean') return undefined;
  return Array.isArray(list) ? list.join(',') : list;
}
