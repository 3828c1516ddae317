import { parsedText } from '../settings.ts';

const ORIGIN = /^https:\/\/[^\s/,?#@]+$|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

/** The shops whose pages may call. */
export const ShopOriginsEnvironment = {
  SHOP_ORIGINS: parsedText(
    'must be origins such as https://shop.example, separated by commas',
    (text) => {
      const origins = text.split(',').flatMap((origin) => origin.trim() || []);
      return origins.every((origin) => ORIGIN.test(origin)) ? origins : undefined;
    },
    { text: '' },
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
