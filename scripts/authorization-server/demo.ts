/** What the users of the development authorization server need to know; apart from it, for its library loads slowly. */

/** The secret of every client: for development, on this machine alone. */
export const DEMO_SECRET = 'development-only';

/** The grant type that gives the tokens of any user for one call, without a browser. */
export const DEMO_GRANT_TYPE = 'urn:unlink-functions:demo';

/** A client as at most servers: its tokens name no grant, and nobody is asked before they are refreshed. */
export const PLAIN_CLIENT = 'plain';

/** The tokens of a link. */
export interface DemoTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
}

/** Links the accounts of a user at the server: a grant of its own. */
export async function linkDemoUser(
  authUrl: string,
  username: string,
  format: 'jwt' | 'opaque' = 'jwt',
  scope = 'smart-home',
  clientId: 'smart-home' | 'demo' | typeof PLAIN_CLIENT = 'smart-home',
): Promise<DemoTokens> {
  const response = await fetch(`${authUrl}/token`, {
    method: 'POST',
    headers: { Authorization: `Basic ${Buffer.from(`${clientId}:${DEMO_SECRET}`).toString('base64')}` },
    body: new URLSearchParams({ grant_type: DEMO_GRANT_TYPE, username, token: format, scope }),
  });
  if (!response.ok) throw new Error(`the authorization server answered ${response.status}`);
  // RFC 6749, section 5.1.
  const tokens = (await response.json()) as { access_token: string; refresh_token: string };
  return { accessToken: tokens.access_token, refreshToken: tokens.refresh_token };
}
