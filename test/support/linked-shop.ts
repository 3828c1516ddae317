import { DEMO_SECRET, type DemoTokens, linkDemoUser } from '#scripts/authorization-server/demo.ts';
import { emailIds } from '#shared/account-link/email-digest.ts';
import { boundToLink, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { TokenPeppers } from '#shared/token-revocation/token-id.ts';
import { TEST_KEYS, TEST_PEPPERS } from './emulated-project.ts';
import { providersAt } from './link-calls.ts';
import { type LinkedProject, startLinkedProject } from './linked-project.ts';

/** The built functions, and the authorization server both as the issuer of a shop's users and as their network. */
export interface LinkedShop extends LinkedProject {
  /** The access token of a user of the shop, with their address in it. */
  signIn(user: string): Promise<string>;
  /** A link with the tokens of a real grant, and with the user's address, as an import makes it. */
  importLink(user: string): Promise<DemoTokens>;
}

/**
 * Starts it.
 *
 * @param local Settings of the functions.
 * @param networkUrl Where the functions find the network, if not at the server itself.
 */
export async function startLinkedShop(
  local: Readonly<Record<string, string>> = {},
  networkUrl = (serverUrl: string) => serverUrl,
): Promise<LinkedShop> {
  const linked = await startLinkedProject((authUrl) => ({
    local: {
      PROVIDERS: providersAt(`${networkUrl(authUrl)}/token/revocation`),
      DEV_1_CLIENT_SECRET: DEMO_SECRET,
      ...local,
    },
  }));
  return {
    ...linked,
    signIn: async (user) => (await linkDemoUser(linked.authUrl, user, 'jwt', 'blitz_api_ufa_chg', 'demo')).accessToken,
    async importLink(user) {
      const tokens = await linked.link(user, 'opaque');
      const link = { fpType: 'oidc', fpName: 'dev_1', sid: user, subject: user };
      const directory = await openSqliteDirectory(linked.project.database);
      await directory.links.link({
        ...link,
        evidence: 'proved',
        emailDigest: emailIds(user, TokenPeppers.parse(TEST_PEPPERS))?.current,
        tokens: sealTokens(tokens, boundToLink(link), EncryptionKeys.parse(TEST_KEYS)),
        audit: { actor: 'operator', requestId: 'import' },
      });
      await directory.close();
      return tokens;
    },
  };
}
