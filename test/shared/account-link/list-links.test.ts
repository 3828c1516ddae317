import { expect, test } from 'vitest';
import { listLinks } from '#shared/account-link/list-links.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import { APPLICATION, createLinkPorts, tokenOf } from '#test/support/link-ports.ts';

const VK = { fpType: 'vk', fpName: 'vk_1', sid: '1' };

test('shows the links of a subject, and of them what the API documents', async () => {
  const { ports, call, link, directory } = createLinkPorts();
  await link('ann', VK, 'k1.sealed');
  const audit = { actor: 'operator', requestId: 'r' };
  const named = { fpType: 'ok', fpName: 'ok_1', sid: '2', userName: 'Ann' };
  await directory.links.link({ ...named, subject: 'ann', evidence: 'asserted', audit });
  await link('bob', { ...VK, sid: '3' });

  expect(await listLinks(call({ subjectId: 'current' }), ports)).toStrictEqual([VK, named]);
  expect(await listLinks(call({ subjectId: 'bob' }, {}, APPLICATION), ports)).toEqual([{ ...VK, sid: '3' }]);
});

test.each([
  [undefined, {}, 'invalid_request', 'The parameter subjectId must be 1 to 255 visible ASCII characters'],
  [undefined, { subjectId: 'bob' }, 'insufficient_scope', 'The credential does not allow this'],
  [[], { subjectId: 'ann' }, 'insufficient_scope', 'The credential does not allow this'],
  [['blitz_api_ufa_chg'], { subjectId: 'ann' }, 'insufficient_scope', 'The credential does not allow this'],
])('shows nothing to a caller with the scopes %j who asks for %j', async (scopes, parameters, code, message) => {
  const { ports, call } = createLinkPorts(tokenOf('ann', scopes));

  await expect(listLinks(call(parameters), ports)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  });
});

test('needs the leave to read and no other', async () => {
  const { ports, call } = createLinkPorts(tokenOf('ann', ['blitz_api_ufa']));

  expect(await listLinks(call({ subjectId: 'ann' }), ports)).toEqual([]);
});

test('asks a directory that is unavailable again while the time lasts', async () => {
  const { ports, call, directory } = createLinkPorts();
  let calls = 0;
  const list = async (...args: Parameters<typeof directory.links.list>) => {
    calls += 1;
    if (calls === 1) throw new StoreUnavailable('busy');
    return directory.links.list(...args);
  };

  const links = { ...directory.links, list };
  expect(await listLinks(call({ subjectId: 'ann' }), { ...ports, directory: { links } })).toEqual([]);
  expect(calls).toBe(2);
});
