import type { ExternalIdentity } from '#shared/account-link/account-link.ts';
import { boundToLink, type ProviderTokens, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { TEST_KEYS } from './emulated-project.ts';

/** Links an account in the store of a project, with tokens, as a bind in the browser does. */
export async function storeLink(
  { database }: { readonly database: string },
  link: ExternalIdentity & { readonly subject: string },
  tokens: ProviderTokens,
  keys = TEST_KEYS,
): Promise<void> {
  const directory = await openSqliteDirectory(database);
  await directory.links.link({
    ...link,
    evidence: 'proved',
    tokens: sealTokens(tokens, boundToLink(link), EncryptionKeys.parse(keys)),
    audit: { actor: 'operator', requestId: 'stored' },
  });
  await directory.close();
}
