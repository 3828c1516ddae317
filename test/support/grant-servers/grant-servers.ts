import type { GrantServerKind } from './grant-server.ts';
import { HYDRA, HYDRA_WITH_GRANT } from './hydra.ts';
import { KEYCLOAK, KEYCLOAK_SESSIONS } from './keycloak.ts';
import { OKTA } from './okta.ts';

/** Every kind of server that `preset` of `END_GRANT` knows, as a double. */
export const GRANT_SERVERS: readonly GrantServerKind[] = [KEYCLOAK, KEYCLOAK_SESSIONS, OKTA, HYDRA, HYDRA_WITH_GRANT];
