import * as z from 'zod/mini';

const RULE = 'must be origins such as https://shop.example, separated by commas';
const ORIGIN = /^https:\/\/[^\s/,?#@]+$|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/** The shops whose pages may call. */
export const ShopOriginsEnvironment = {
  SHOP_ORIGINS: z.pipe(
    z._default(z.string(), ''),
    z.transform((text, context): string[] => {
      const origins = text.split(',').flatMap((origin) => origin.trim() || []);
      if (origins.every((origin) => ORIGIN.test(origin))) return origins;
      context.issues.push({ code: 'custom', input: undefined, message: RULE });
      return z.NEVER;
    }),
  ),
};

/** What tells a browser that a page of the shop may read the answer (the Fetch standard: CORS); of others, nothing. */
export function corsHeaders(origin: string | undefined, shopOrigins: readonly string[]): Record<string, string> {
  const vary = { Vary: 'Origin' };
  if (origin === undefined || !shopOrigins.includes(origin)) return vary;
  return { ...vary, 'Access-Control-Allow-Origin': origin };
}

/** What the browser asks before it calls. */
export const PREFLIGHT_HEADERS = {
  'Access-Control-Allow-Methods': 'POST',
  'Access-Control-Allow-Headers': 'Authorization, Content-Type, X-Request-Id',
  'Access-Control-Max-Age': '600',
} as const;
