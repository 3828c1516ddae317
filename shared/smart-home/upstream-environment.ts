import * as z from 'zod/mini';
import { EndpointClient, jsonOf } from '../access-token/issuers.ts';

/** Where the provider's own authorization server revokes tokens. */
export const UpstreamEnvironment = {
  /** Its revocation endpoint (RFC 7009). */
  REVOKE_UPSTREAM: z.optional(
    jsonOf(EndpointClient, 'must be JSON: {"endpoint", "client_id", "client_secret"}, the endpoint by https'),
  ),
};
