import * as z from 'zod/mini';

const RULE = 'must be an https URL, or http to this machine';

/** The URL of a service that settings may name: what {@link send} will go to. */
export const ServiceUrl = z.lazy(() =>
  z
    .string(RULE)
    .check(
      z.regex(
        /^https:\/\/[^\s/?#@]+([/?][^\s#]*)?$|^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?([/?][^\s#]*)?$/,
        RULE,
      ),
    ),
);
