import { expect, onTestFinished, test } from 'vitest';
import { DEMO_SECRET } from '#scripts/authorization-server/demo.ts';
import { startForwarder } from '#test/support/forwarder.ts';
import { type LinkedProject, startLinkedProject } from '#test/support/linked-project.ts';

async function start(endpointAt: (authUrl: string) => string): Promise<LinkedProject> {
  const linked = await startLinkedProject((authUrl) => ({
    local: {
      REVOKE_UPSTREAM: JSON.stringify({
        endpoint: endpointAt(authUrl),
        client_id: 'unlink-functions',
        client_secret: DEMO_SECRET,
      }),
    },
  }));
  onTestFinished(() => linked.close());
  return linked;
}

test('the authorization server revokes too: its refresh token is dead even where it does not ask', async () => {
  const linked = await start((authUrl) => `${authUrl}/token/revocation`);
  const link = await linked.link('ann', 'opaque');
  expect(await linked.isActiveAtServer(link.accessToken)).toBe(true);

  expect(await linked.unlink(link.accessToken)).toMatchObject({ reached: ['grant', 'upstream_token'] });

  expect(await linked.isActiveAtServer(link.accessToken)).toBe(false);
  await linked.order({ asks: false });
  expect(await linked.refresh(link)).toMatchObject({ status: 400, error: 'invalid_grant' });
});

test('a server that revokes no JWT is no obstacle, and the log line says what it did', async () => {
  const linked = await start((authUrl) => `${authUrl}/token/revocation`);
  const link = await linked.link('ann', 'jwt');

  expect(await linked.unlink(link.accessToken)).toMatchObject({
    reached: ['grant'],
    upstream: 'unsupported',
  });

  expect(await linked.call(link.accessToken)).toBe(403);
  expect((await linked.refresh(link)).status).toBe(400);
});

test('a server that cannot be reached is no obstacle, and the timer makes up for it', async () => {
  let authUrl = '';
  const between = await startForwarder(() => authUrl);
  const linked = await start((url) => {
    authUrl = url;
    return `${between.url}/token/revocation`;
  });
  const link = await linked.link('ann', 'opaque');
  between.isDown = true;

  expect(await linked.unlink(link.accessToken)).toMatchObject({
    outcome: 'ok',
    reached: ['grant'],
    upstream: 'pending: outgoing: unreachable',
  });
  expect(await linked.call(link.accessToken)).toBe(403);
  expect(await linked.isActiveAtServer(link.accessToken)).toBe(true);

  between.isDown = false;
  linked.project.makeJobsDue();
  await linked.project.tick();
  expect(await linked.isActiveAtServer(link.accessToken)).toBe(false);
});

test('a repeated unlink leaves one job', async () => {
  let authUrl = '';
  const between = await startForwarder(() => authUrl);
  const linked = await start((url) => {
    authUrl = url;
    return `${between.url}/token/revocation`;
  });
  const link = await linked.link('ann', 'opaque');
  between.isDown = true;
  await linked.unlink(link.accessToken);
  await linked.unlink(link.accessToken);
  linked.project.output.length = 0;
  linked.project.makeJobsDue();
  await linked.project.tick();
  expect(linked.project.takeLogLine()).toMatchObject({ jobs: { done: 0, put_off: 1 } });
});
