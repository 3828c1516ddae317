/** The development authorization server is the network here: what it says of its tokens is what counts. */
import { expect, onTestFinished, test } from 'vitest';
import { startForwarder } from '#test/support/forwarder.ts';
import { startLinkedShop } from '#test/support/linked-shop.ts';

const USER = 'ssuser@gmail.com';

/** The functions, with what can be taken down before the network, and a user who is linked there. */
async function start() {
  let serverUrl = '';
  const network = await startForwarder(() => serverUrl);
  const shop = await startLinkedShop({}, (url) => {
    serverUrl = url;
    return network.url;
  });
  onTestFinished(() => shop.close());
  const accessToken = await shop.signIn(USER);
  const tokens = await shop.importLink(USER);
  const unlink = async (query = '') => {
    const { status, body } = await shop.project.gateway(
      'POST',
      `/social/unlink${query}`,
      { Authorization: `Bearer ${accessToken}`, 'Content-Type': 'application/json' },
      JSON.stringify({ email: USER }),
    );
    return { status, body: JSON.parse(body) };
  };
  return { shop, network, tokens, unlink };
}

test('a social login is unlinked, and the network says that its tokens are dead', async () => {
  const { shop, tokens, unlink } = await start();
  expect(await shop.isActiveAtServer(tokens.accessToken)).toBe(true);

  expect(await unlink()).toEqual({ status: 200, body: { is_unlinked: true, is_permissions_revoked: true } });

  expect(await shop.isActiveAtServer(tokens.accessToken)).toBe(false);
  await shop.order({ asks: false });
  expect(await shop.refresh(tokens)).toMatchObject({ status: 400, error: 'invalid_grant' });
  expect(await unlink()).toEqual({ status: 200, body: { is_unlinked: false, is_permissions_revoked: false } });
});

test('with the network down nothing is called revoked, and the next tick after it is back ends the tokens', async () => {
  const { shop, network, tokens, unlink } = await start();
  network.isDown = true;

  expect(await unlink('?view=full')).toEqual({
    status: 200,
    body: {
      is_unlinked: true,
      is_permissions_revoked: false,
      revocation: 'pending',
      manageUrl: 'https://provider.example/apps',
    },
  });
  expect(await shop.isActiveAtServer(tokens.accessToken)).toBe(true);
  shop.project.makeJobsDue();
  await shop.project.tick();
  expect(await shop.isActiveAtServer(tokens.accessToken)).toBe(true);

  network.isDown = false;
  shop.project.makeJobsDue();
  shop.project.output.length = 0;
  await shop.project.tick();
  expect(shop.project.takeLogLine()).toMatchObject({ outcome: 'ok', jobs: { done: 1 } });
  expect(await shop.isActiveAtServer(tokens.accessToken)).toBe(false);
});
