import * as z from 'zod/mini';
import { EndpointClient } from '../access-token/issuers.ts';
import { jsonText } from '../settings.ts';

/** Where the provider's own authorization server revokes tokens. */
export const UpstreamEnvironment = {
  /** Its revocation endpoint (RFC 7009). */
  REVOKE_UPSTREAM: z.optional(
    jsonText('must be JSON: {"endpoint", "client_id", "client_secret"}, the endpoint by https', EndpointClient),
  ),
};
