import * as z from 'zod/mini';
import { DirectoryEnvironment } from '../directory/locate-directory.ts';
import { openDirectory } from '../directory/open-store.ts';
import { readCertificates } from '../outgoing/certificates.ts';
import { AllowedHosts, createPublicSend } from '../outgoing/public-host.ts';
import { type Send, send } from '../outgoing/send.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import type { Platform } from '../platform.ts';
import { AnyText, type Settings } from '../settings.ts';
import { openTokenRevocationStore, TokenRevocationStoreEnvironment } from '../token-revocation/open-store.ts';
import { TokenPeppers } from '../token-revocation/token-id.ts';
import type { IdentifyPorts } from './identify-user.ts';
import { MatrixSigningKey, type SigningKey } from './signing.ts';
import { isServerName } from './threepid.ts';
import type { ThreepidBindings } from './threepid-binding.ts';

const NAME_RULE = "must be the homeserver's name, as in the ids of its users";

/** Whose users call, and which identity servers there may be. */
export const MatrixEnvironment = {
  ...TokenRevocationStoreEnvironment,
  ...DirectoryEnvironment,
  TOKEN_PEPPERS: TokenPeppers,
  MATRIX_HOMESERVER_URL: ServiceUrl,
  MATRIX_SERVER_NAME: z.string(NAME_RULE).check(z.refine(isServerName, NAME_RULE)),
  /** `1`: an access token may come in the query. */
  ALLOW_QUERY_TOKEN: z.optional(z.literal('1', 'must be 1 or unset')),
  /** Identity servers of a private network, and further ports. */
  ID_SERVER_ALLOW: AllowedHosts,
  /** A file of CA certificates in PEM that identity servers may be vouched for by, besides the public ones. */
  ID_SERVER_CA_FILE: AnyText,
};

/** The homeserver's key, in whose name unbinds are asked for. */
export const MatrixSigningEnvironment = { MATRIX_SIGNING_KEY: MatrixSigningKey };

/** What binding works with. */
export interface MatrixPorts extends IdentifyPorts {
  readonly threepids: ThreepidBindings;
  readonly sendToIdentityServer: Send;
  /** Identity servers to which the rules for public ones do not apply. */
  readonly allowedServers: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What unbinding works with. */
export interface SigningPorts extends MatrixPorts {
  readonly signingKey: SigningKey;
}

/** @throws {Misconfigured} Names the variable, never its value. */
export function openMatrixPorts(settings: Settings<typeof MatrixEnvironment>, platform: Platform): MatrixPorts {
  const {
    MATRIX_HOMESERVER_URL: url,
    MATRIX_SERVER_NAME: name,
    ALLOW_QUERY_TOKEN,
    ID_SERVER_ALLOW: allowed,
  } = settings;
  return {
    homeserver: { url: url.replace(/\/+$/, ''), name, allowsQueryToken: ALLOW_QUERY_TOKEN === '1', send },
    revocations: openTokenRevocationStore(settings, platform),
    peppers: settings.TOKEN_PEPPERS,
    threepids: openDirectory(settings, platform).threepids,
    sendToIdentityServer: createPublicSend({
      allowed,
      certificates: readCertificates(settings.ID_SERVER_CA_FILE, 'ID_SERVER_CA_FILE'),
    }),
    allowedServers: allowed,
    now: Date.now,
  };
}
