import * as z from 'zod/mini';
import type { Provider } from '../account-link/provider.ts';
import { Misconfigured } from '../errors.ts';
import { isJsonObject } from '../json.ts';
import { ServiceUrl } from '../outgoing/service-url.ts';
import { type CatalogueRow, findCatalogueRow } from './catalogue.ts';

const Text = z.string('must be a text').check(z.minLength(1, 'must not be empty'), z.maxLength(1024, 'is too long'));
const VariableName = z
  .string('must name a variable')
  .check(z.regex(/^[A-Z][A-Z0-9_]*$/, 'must name a variable, such as GOOGLE_CLIENT_SECRET'));
const METHODS_RULE = 'must be client_secret_basic, client_secret_post or none';
const AuthMethod = z.enum(['client_secret_basic', 'client_secret_post', 'none'], METHODS_RULE);

/** A revocation endpoint (RFC 7009) and our client there. */
const RevocationEndpoint = z.strictObject({
  endpoint: ServiceUrl,
  client_id: Text,
  /** The name of the environment variable that holds the client's secret. */
  client_secret_env: z.optional(VariableName),
  auth_method: z._default(AuthMethod, 'client_secret_basic'),
});

/** A provider of the catalogue and our client there. */
const RevocationPreset = z.strictObject({
  preset: z
    .string('must be a text')
    .check(z.refine((name) => findCatalogueRow(name) !== undefined, 'must be one of those in docs/providers.md')),
  client_id: z.optional(Text),
  client_secret_env: z.optional(VariableName),
  /** In place of a secret: the variable of a P-256 key in PEM to sign one with, and the names that go with it. */
  client_secret_key: z.optional(
    z.strictObject({ env: VariableName, key_id: Text, team_id: Text }, 'must have env, key_id and team_id'),
  ),
  /** Of a provider that there are many of. */
  issuer: z.optional(ServiceUrl.check(z.regex(/^[^?]+$/, 'must have no query'))),
  auth_method: z.optional(AuthMethod),
});
type RevocationPreset = z.output<typeof RevocationPreset>;

/** How a row of `providers.json` says that its grants are withdrawn. Secrets are named, not held. */
export type RevocationSettings = z.output<typeof RevocationEndpoint> | RevocationPreset;

/** A provider whose `revocation` has been read. */
export interface ReadProvider extends Provider {
  /** Absent where there is no way. */
  readonly revocation?: RevocationSettings | undefined;
  /** The provider is known to offer no way. */
  readonly isIrrevocable: boolean;
}

/**
 * Reads how each provider's grants are withdrawn. With a preset the user's page is the catalogue's if there is no other.
 *
 * @throws {Misconfigured} Names the field and what it must be.
 */
export function readRevocations(providers: readonly Provider[]): readonly ReadProvider[] {
  return providers.map((provider) => {
    if (provider.revocation === undefined) return { ...provider, revocation: undefined, isIrrevocable: false };
    const revocation = readRevocation(provider.revocation, `${provider.type}:${provider.name}`);
    const row = catalogueRowOf(revocation);
    const isIrrevocable = row !== undefined && row.revocation === undefined;
    const manageUrl = provider.manageUrl ?? row?.manageUrl;
    return { ...provider, manageUrl, isIrrevocable, revocation: isIrrevocable ? undefined : revocation };
  });
}

function readRevocation(value: unknown, owner: string): RevocationSettings {
  const isPreset = isJsonObject(value) && 'preset' in value;
  const { success, data, error } = (isPreset ? RevocationPreset : RevocationEndpoint).safeParse(value);
  const fault = success ? findFault(data) : describe(error.issues[0]);
  if (!success || fault !== undefined) throw new Misconfigured(`revocation of ${owner} in providers.json: ${fault}`);
  return data;
}

/** The catalogue's row, of settings that name one, with the user's page at their issuer. */
function catalogueRowOf(settings: RevocationSettings): CatalogueRow | undefined {
  if (!('preset' in settings)) return undefined;
  const row = findCatalogueRow(settings.preset);
  const issuer = row?.revocation?.issuer;
  if (issuer === undefined || settings.issuer === undefined || row?.manageUrl === undefined) return row;
  return { ...row, manageUrl: row.manageUrl.replace(issuer, settings.issuer.replace(/\/$/, '')) };
}

/**
 * What is the same for all clients whose grants end together; undefined: the tokens of one end alone, or it is not known.
 *
 * @param settings `revocation` or `bind` of a row: both call provider and client the same.
 */
export function grantFamilyOf(settings: unknown): string | undefined {
  if (!isJsonObject(settings)) return undefined;
  const { preset, client_id: clientId } = settings;
  if (typeof preset !== 'string' || typeof clientId !== 'string') return undefined;
  const revocation = findCatalogueRow(preset)?.revocation;
  if (revocation?.protocol.effect !== 'grant') return undefined;
  return `${preset} ${revocation.familyOf?.(clientId) ?? clientId}`;
}

function describe(issue: z.core.$ZodIssue | undefined): string {
  if (issue === undefined) return 'it is malformed';
  if (issue.code === 'unrecognized_keys') return `${issue.keys.join(', ')} is not known there`;
  return issue.path.length === 0 ? 'it must be an object' : `${issue.path.join('.')} ${issue.message}`;
}

function findFault(settings: RevocationSettings): string | undefined {
  if (!('preset' in settings)) return findSecretFault(settings);
  const row = findCatalogueRow(settings.preset)?.revocation;
  // Nothing is done there: whatever else is said is not used.
  if (row === undefined) return undefined;
  if (settings.client_id === undefined) return 'client_id must be given';
  if (row.isDiscovered && settings.issuer === undefined) return `issuer must be given with preset ${settings.preset}`;
  if (settings.issuer !== undefined && !row.isDiscovered && row.issuer === undefined) {
    return `issuer is not for preset ${settings.preset}: its host is known`;
  }
  if (settings.auth_method !== undefined && !row.isDiscovered)
    return `auth_method is not for preset ${settings.preset}`;
  return findPresetSecretFault(settings, row.needs);
}

function findPresetSecretFault(
  { preset, client_secret_env, client_secret_key, auth_method }: RevocationPreset,
  needs: 'secret' | 'signing_key' | 'nothing',
): string | undefined {
  if ((needs === 'signing_key') !== (client_secret_key !== undefined)) {
    return `client_secret_key ${needs === 'signing_key' ? 'must be given with' : 'is not for'} preset ${preset}`;
  }
  if (needs === 'secret')
    return findSecretFault({ client_secret_env, auth_method: auth_method ?? 'client_secret_basic' });
  if (needs === 'signing_key' && client_secret_env !== undefined)
    return 'client_secret_key is there: no client_secret_env';
  return undefined;
}

function findSecretFault(settings: {
  readonly client_secret_env?: string | undefined;
  readonly auth_method: string;
}): string | undefined {
  const isPublic = settings.auth_method === 'none';
  if (isPublic === (settings.client_secret_env === undefined)) return undefined;
  return isPublic ? 'client_secret_env is not for auth_method none' : 'client_secret_env must be given';
}
