import { describe, expect, test } from 'vitest';
import { type LinkOutcome, MAX_LINKS } from '#shared/account-link/account-link.ts';
import { LinkBySidEnvironment, linkAccount } from '#shared/account-link/link-account.ts';
import { StoreUnavailable } from '#shared/errors.ts';
import { APPLICATION, createLinkPorts } from '#test/support/link-ports.ts';

const VK = { fpType: 'vk', fpName: 'vk_1', sid: '1' };
const PARAMETERS = { subjectId: 'ann', ...VK };
const POLICY = { providers: [{ type: 'vk', name: 'vk_1' }], linkBySid: 'any' } as const;

test('links an account on the word of its subject, and says so', async () => {
  const { ports, call, directory, noted, audited } = createLinkPorts();

  await linkAccount(call(PARAMETERS, { federatedAccountName: 'Ann' }), { ...ports, ...POLICY });

  expect(await directory.links.find({ subject: 'ann' })).toMatchObject([
    { ...VK, subject: 'ann', userName: 'Ann', evidence: 'asserted' },
  ]);
  expect(noted).toMatchObject({ provider: 'vk:vk_1', change: 'created' });
  expect(audited).toEqual([
    [
      'account_link.linked',
      {
        ...VK,
        ...{ subject: 'ann', actor: 'subject:ann', evidence: 'asserted', status: 'linked', change: 'created' },
      },
    ],
  ]);
});

test('tells the directory who did it, for its audit record', async () => {
  const { ports, call, directory } = createLinkPorts();
  const told: unknown[] = [];
  const link = async (...args: Parameters<typeof directory.links.link>) => {
    told.push(args[0]);
    return directory.links.link(...args);
  };

  await linkAccount(call(PARAMETERS, {}, APPLICATION), {
    ...ports,
    ...POLICY,
    directory: { links: { ...directory.links, link } },
  });

  expect(told).toEqual([
    { ...VK, subject: 'ann', evidence: 'asserted', audit: { actor: 'client:skill', requestId: 'r-1' } },
  ]);
});

describe('where only applications may link by a known id', () => {
  const system = { ...POLICY, linkBySid: 'system' } as const;

  test('a user may not', async () => {
    const { ports, call } = createLinkPorts();

    await expect(linkAccount(call(PARAMETERS), { ...ports, ...system })).rejects.toMatchObject({
      ...{ code: 'insufficient_scope', message: 'Only an application may link an account by its known id.' },
    });
  });

  test('an application may', async () => {
    const { ports, call, directory } = createLinkPorts();

    await linkAccount(call(PARAMETERS, {}, APPLICATION), { ...ports, ...system });

    expect(await directory.links.list('ann')).toHaveLength(1);
  });

  test('is said by the settings', () => {
    const { LINK_BY_SID } = LinkBySidEnvironment;

    expect([undefined, 'any', 'system'].map((text) => LINK_BY_SID.parse(text))).toEqual(['any', 'any', 'system']);
    expect(LINK_BY_SID.safeParse('none').error?.issues).toMatchObject([{ message: 'must be any or system' }]);
  });
});

test.each([
  [{ ...PARAMETERS, sid: '' }, {}, 'invalid_request', /^The parameter sid must be 1 to 255 characters/],
  [PARAMETERS, { federatedAccountName: '' }, 'invalid_request', /^The field federatedAccountName must be 1 to 255/],
  [{ ...PARAMETERS, subjectId: 'bob' }, {}, 'insufficient_scope', /^The credential does not allow this/],
  [{ ...PARAMETERS, fpName: 'vk_2' }, {}, 'invalid_request', /^There is no such provider: fpType and fpName name none/],
])('refuses %j with the body %j', async (parameters, fields, code, message) => {
  const { ports, call, directory } = createLinkPorts();

  await expect(linkAccount(call(parameters, fields), { ...ports, ...POLICY })).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message),
  });
  expect(await directory.links.list('ann')).toEqual([]);
});

test.each<[LinkOutcome, string, string]>([
  [{ status: 'limit_reached' }, 'limit_reached', 'The subject has as many links as there may be.'],
  [{ status: 'taken' }, 'already_linked_other_user', 'The account is linked to another user.'],
  [{ status: 'unlinked_since' }, 'already_linked_other_user', 'The account is linked to another user.'],
])('answers %j of the directory with %s', async (outcome, code, message) => {
  const { ports, call, directory, audited } = createLinkPorts();
  const links = { ...directory.links, link: async () => outcome };

  await expect(linkAccount(call(PARAMETERS), { ...ports, ...POLICY, directory: { links } })).rejects.toMatchObject({
    code,
    message,
  });
  expect(audited).toEqual([]);
});

test("a subject has 1000 links at the most, and another subject's account is theirs", async () => {
  const { ports, call, link } = createLinkPorts();
  await link('bob', VK);
  await expect(linkAccount(call(PARAMETERS), { ...ports, ...POLICY })).rejects.toMatchObject({
    code: 'already_linked_other_user',
  });
  expect(MAX_LINKS).toBe(1000);
});

test('asks a directory that is unavailable again while the time lasts', async () => {
  const { ports, call, directory } = createLinkPorts();
  let calls = 0;
  const link = async (...args: Parameters<typeof directory.links.link>) => {
    calls += 1;
    if (calls === 1) throw new StoreUnavailable('busy');
    return directory.links.link(...args);
  };

  await linkAccount(call(PARAMETERS), { ...ports, ...POLICY, directory: { links: { ...directory.links, link } } });

  expect(calls).toBe(2);
});
