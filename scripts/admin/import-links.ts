/** How an operator brings the account links of another system in. */
import { randomUUID } from 'node:crypto';
import { basename } from 'node:path';
import * as z from 'zod/mini';
import { type AccountLinks, type LinkOutcome, MAX_LINKS, type NewLink } from '#shared/account-link/account-link.ts';
import { emailIds } from '#shared/account-link/email-digest.ts';
import { findProvider, type Provider, ProviderEnvironment, readProviders } from '#shared/account-link/provider.ts';
import { boundToLink, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { isJsonObject } from '#shared/json.ts';
import type { Settings } from '#shared/settings.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';
import bundledProviders from '../../providers.json' with { type: 'json' };
import { ask, useDirectory } from './directory.ts';
import { concludeImport, importRows } from './import-rows.ts';
import { type LinkRow, openLinkRows } from './link-rows.ts';
import { readSettings } from './settings.ts';
import { confirm } from './terminal.ts';
import { defineVerb, EXIT, formatRows, YES_OPTION } from './verb.ts';

const ImportEnvironment = {
  ...DirectoryEnvironment,
  ...ProviderEnvironment,
  ENCRYPTION_KEYS: z.optional(EncryptionKeys),
  TOKEN_PEPPERS: z.optional(TokenPeppers),
};
type ImportSettings = Settings<typeof ImportEnvironment>;

/** What has become of the rows so far; `replaced` are among those created. */
type Tally = Record<'created' | 'updated' | 'unchanged' | 'refused' | 'replaced', number>;

/** Links the accounts that a file lists. */
export const importLinks = defineVerb({
  summary: 'link the accounts that a file lists, as often as it is repeated',
  operand: { value: '<file>', help: 'JSON Lines, named .jsonl, or CSV with a line of names, named .csv' },
  options: { yes: YES_OPTION },
  notes: `
A row has subject, fpType, fpName and sid, and may have

  userName                   what the account is called at its provider
  email                      kept as a keyed digest alone
  linkedAt                   ISO 8601 with its zone, or milliseconds since the epoch; now if not given
  accessToken, refreshToken  kept sealed, to be revoked when the link is deleted
  proved                     true: the link was made by signing in at the provider in the browser

A row that cannot be taken is told by its line, and skipped: what is wrong with it, its account is linked to another
subject, or the subject has ${MAX_LINKS} links. A proved link takes an account over from a subject who merely asserted it.

It can be stopped at any time and repeated: a link that is there already is left as it is, but for a name, an address
or tokens that the row has; tokens are sealed anew.
`,
  async run(values, file) {
    const rows = openLinkRows(file);
    const settings = readSettings(ImportEnvironment, values['data-dir']);
    const providers = readProviderNames(settings);
    return await useDirectory(settings, async ({ links }, store) => {
      const requestId = randomUUID();
      const given = [
        ['store', store],
        ['file', basename(file)],
        ['request id', requestId],
      ] as const;
      await confirm(`Links the accounts that a file lists.\n\n${formatRows(given)}\n`, values.yes);
      const tally: Tally = { created: 0, updated: 0, unchanged: 0, refused: 0, replaced: 0 };
      const ports = { links, providers, settings, requestId };
      await importRows(() => rows, {
        // Of two rows about one account the first is to be taken, and a subject's links are kept in the file's order.
        keysOf: ({ subject, fpType, fpName, sid }) => [`subject ${subject}`, JSON.stringify([fpType, fpName, sid])],
        importRow: (row) => importLink(row, tally, ports),
        tally,
        formatTally: () => formatTally(tally),
        requestId,
      });
      return {
        document: { ...tally, store, request_id: requestId },
        text: `${concludeImport(tally)}\n\n${formatRows([...given, ...tallyRows(tally)])}`,
        exitCode: tally.refused === 0 ? EXIT.done : EXIT.partly,
      };
    });
  },
});

/** What linking the rows needs. */
interface ImportPorts {
  readonly links: AccountLinks;
  readonly providers: readonly Provider[];
  readonly settings: ImportSettings;
  /** The same in the audit records of all rows. */
  readonly requestId: string;
}

/** Links one row, and counts what came of it; returns why it cannot be. */
async function importLink(row: LinkRow, tally: Tally, ports: ImportPorts): Promise<string | undefined> {
  const unfit = faultOf(row, ports);
  if (unfit !== undefined) return unfit;
  const link = newLink(row, ports);
  const outcome = await ask((timeoutMs) => ports.links.link(link, timeoutMs));
  if (outcome.status !== 'linked') return REFUSALS[outcome.status];
  tally[outcome.change] += 1;
  if (outcome.replaced !== undefined) tally.replaced += 1;
  return undefined;
}

const REFUSALS: Readonly<Record<Exclude<LinkOutcome['status'], 'linked'>, string>> = {
  taken: 'the account is linked to another subject',
  limit_reached: `the subject has ${MAX_LINKS} links`,
  unlinked_since: 'the account was unlinked meanwhile',
};

/** Why a link cannot be made with these settings. */
function faultOf(row: LinkRow, { providers, settings }: ImportPorts): string | undefined {
  if (findProvider(providers, row.fpType, row.fpName) === undefined) {
    return 'fpType and fpName name no provider of PROVIDERS or providers.json';
  }
  if (hasTokens(row) && settings.ENCRYPTION_KEYS === undefined) return 'it has a token, and ENCRYPTION_KEYS is not set';
  if (row.email !== undefined && settings.TOKEN_PEPPERS === undefined) {
    return 'it has an e-mail address, and TOKEN_PEPPERS is not set';
  }
  return undefined;
}

function newLink(row: LinkRow, { settings, requestId }: ImportPorts): NewLink {
  const { subject, fpType, fpName, sid, userName, email, linkedAt, accessToken, refreshToken, proved } = row;
  const { ENCRYPTION_KEYS: keys = [], TOKEN_PEPPERS: peppers = [] } = settings;
  return {
    ...{ subject, fpType, fpName, sid, userName, linkedAt },
    evidence: proved === true ? 'proved' : 'asserted',
    tokens: hasTokens(row) ? sealTokens({ accessToken, refreshToken }, boundToLink(row), keys) : undefined,
    emailDigest: email === undefined ? undefined : emailIds(email, peppers)?.current,
    // Older than any deletion: what was unlinked since does not come back by an import that is repeated.
    begunAt: 0,
    audit: { actor: 'operator', requestId },
  };
}

function hasTokens({ accessToken, refreshToken }: LinkRow): boolean {
  return accessToken !== undefined || refreshToken !== undefined;
}

/**
 * The providers, without what it takes to revoke at them: nothing is revoked here, and their secrets need not be set.
 *
 * @throws {Misconfigured}
 */
function readProviderNames({ PROVIDERS }: ImportSettings): readonly Provider[] {
  const rows: unknown = PROVIDERS ?? bundledProviders;
  const withoutRevocation = (row: unknown) => (isJsonObject(row) ? { ...row, revocation: undefined } : row);
  return readProviders(Array.isArray(rows) ? rows.map(withoutRevocation) : rows, {});
}

function formatTally({ created, updated, unchanged, refused }: Tally): string {
  return `${created} created, ${updated} updated, ${unchanged} unchanged, ${refused} refused`;
}

function tallyRows(tally: Tally): readonly (readonly [string, string | undefined])[] {
  const { created, updated, unchanged, refused, replaced } = tally;
  const takenOver = replaced === 0 ? '' : `, of which ${replaced} taken over from another subject`;
  return [
    ['created', `${created}${takenOver}`],
    ['updated', `${updated}`],
    ['unchanged', `${unchanged}`],
    ['refused', `${refused}`],
  ];
}
