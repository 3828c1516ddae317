/** The development authorization server is the provider here: what it says of its tokens is what counts. */
import { expect, onTestFinished, test } from 'vitest';
import { DEMO_SECRET, linkDemoUser } from '#scripts/authorization-server/demo.ts';
import { boundToLink, sealTokens } from '#shared/account-link/provider-tokens.ts';
import { openSqliteDirectory } from '#shared/directory/drivers/sqlite.ts';
import { EncryptionKeys } from '#shared/encryption.ts';
import { TEST_KEYS } from '#test/support/emulated-project.ts';
import { startForwarder } from '#test/support/forwarder.ts';
import { providersAt } from '#test/support/link-calls.ts';
import { type LinkedProject, startLinkedProject } from '#test/support/linked-project.ts';
import { basic } from '#test/support/test-issuer.ts';

const SCOPE = 'blitz_api_ufa blitz_api_ufa_chg';

/** The functions, with the authorization server behind what can be taken down as the provider `oidc:dev_1`. */
async function start() {
  let authUrl = '';
  const provider = await startForwarder(() => authUrl);
  const linked = await startLinkedProject((url) => {
    authUrl = url;
    return { local: { PROVIDERS: providersAt(`${provider.url}/token/revocation`), DEV_1_CLIENT_SECRET: DEMO_SECRET } };
  });
  onTestFinished(() => linked.close());
  const { accessToken } = await linkDemoUser(linked.authUrl, 'ann', 'jwt', SCOPE);
  const call = (method: string, path: string, authorization = `Bearer ${accessToken}`) =>
    linked.project.gateway(method, `/blitz/api/v3/users/${path}`, { Authorization: authorization });
  return { linked, provider, call };
}

/** A link with the tokens of a grant at the provider, as an import makes it. */
async function importLink({ project, link }: LinkedProject, sid: string, format: 'jwt' | 'opaque' = 'opaque') {
  const tokens = await link('ann-at-the-provider', format);
  const identity = { fpType: 'oidc', fpName: 'dev_1', sid };
  const directory = await openSqliteDirectory(project.database);
  await directory.links.link({
    ...identity,
    subject: 'ann',
    evidence: 'proved',
    tokens: sealTokens(tokens, boundToLink({ ...identity, subject: 'ann' }), EncryptionKeys.parse(TEST_KEYS)),
    audit: { actor: 'operator', requestId: 'import' },
  });
  await directory.close();
  return tokens;
}

test('a link is listed, deleted, and the provider says that its tokens are dead', async () => {
  const { linked, call } = await start();
  const tokens = await importLink(linked, '1');
  expect(JSON.parse((await call('GET', 'ann/fa')).body)).toEqual([{ sid: '1', fpType: 'oidc', fpName: 'dev_1' }]);
  expect(await linked.isActiveAtServer(tokens.accessToken)).toBe(true);

  const deleted = await call('DELETE', 'current/fa/oidc/dev_1/1?view=full');
  expect(deleted).toMatchObject({
    status: 200,
    body: '{"revocation":"revoked","manageUrl":"https://provider.example/apps"}',
  });

  expect((await call('GET', 'ann/fa')).body).toBe('[]');
  expect(await linked.isActiveAtServer(tokens.accessToken)).toBe(false);
  await linked.order({ asks: false });
  expect(await linked.refresh(tokens)).toMatchObject({ status: 400, error: 'invalid_grant' });
  expect(linked.project.output.join('\n')).not.toContain(tokens.accessToken);
});

test('with the provider down the link is deleted at once, and the next tick after it is back ends the tokens', async () => {
  const { linked, provider, call } = await start();
  const tokens = await importLink(linked, '1');
  provider.isDown = true;

  expect(await call('DELETE', 'ann/fa/oidc/dev_1/1?view=full')).toMatchObject({
    status: 200,
    body: expect.stringContaining('"revocation":"pending"'),
  });
  expect((await call('GET', 'ann/fa')).body).toBe('[]');
  expect(await linked.isActiveAtServer(tokens.accessToken)).toBe(true);
  linked.project.makeJobsDue();
  await linked.project.tick();
  expect(await linked.isActiveAtServer(tokens.accessToken)).toBe(true);
  expect((await call('DELETE', 'ann/fa/oidc/dev_1/1?view=full')).body).toContain('"revocation":"pending"');

  provider.isDown = false;
  linked.project.makeJobsDue();
  linked.project.output.length = 0;
  await linked.project.tick();
  expect(linked.project.takeLogLine()).toMatchObject({ outcome: 'ok', jobs: { done: 1 } });
  expect(await linked.isActiveAtServer(tokens.accessToken)).toBe(false);
  expect((await call('DELETE', 'ann/fa/oidc/dev_1/1?view=full')).body).toContain('"revocation":"revoked"');
});

test("an application's own token of the authorization server works for any subject, and never for current", async () => {
  const { linked, call } = await start();
  await importLink(linked, '1');
  const response = await fetch(`${linked.authUrl}/token`, {
    method: 'POST',
    headers: { Authorization: basic('identity-admin', DEMO_SECRET) },
    body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'blitz_api_sys_ufa blitz_api_sys_ufa_chg' }),
  });
  // RFC 6749, section 5.1.
  const { access_token } = (await response.json()) as { access_token: string };
  const system = `Bearer ${access_token}`;
  expect(JSON.parse((await call('GET', 'ann/fa', system)).body)).toHaveLength(1);
  expect((await call('GET', 'current/fa', system)).status).toBe(403);
  expect((await call('DELETE', 'ann/fa/oidc/dev_1/1', system)).status).toBe(204);
});
