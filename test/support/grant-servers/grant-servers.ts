import { AUTH0 } from './auth0.ts';
import { AUTHENTIK } from './authentik.ts';
import { COGNITO, COGNITO_WITH_GRANT } from './cognito.ts';
import { ENTRA } from './entra.ts';
import { FUSIONAUTH, FUSIONAUTH_WITH_GRANT } from './fusionauth.ts';
import type { GrantServerKind } from './grant-server.ts';
import { HYDRA, HYDRA_WITH_GRANT } from './hydra.ts';
import { KEYCLOAK, KEYCLOAK_SESSIONS } from './keycloak.ts';
import { LOGTO } from './logto.ts';
import { OKTA, OKTA_WITH_GRANT } from './okta.ts';

/** Every kind of server that `preset` of `END_GRANT` knows, as a double. */
export const GRANT_SERVERS: readonly GrantServerKind[] = [
  ...[KEYCLOAK, KEYCLOAK_SESSIONS, AUTH0, OKTA, OKTA_WITH_GRANT, HYDRA, HYDRA_WITH_GRANT],
  ...[FUSIONAUTH, FUSIONAUTH_WITH_GRANT, AUTHENTIK, LOGTO, COGNITO, COGNITO_WITH_GRANT, ENTRA],
];
