import type { GrantServerKind } from './grant-server.ts';
import { OKTA } from './okta.ts';

/** Every kind of server that `preset` of `END_GRANT` knows, as a double. */
export const GRANT_SERVERS: readonly GrantServerKind[] = [OKTA];
