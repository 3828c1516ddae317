import { expect, test } from 'vitest';
import { openMemoryDirectory } from '#shared/directory/drivers/memory.ts';
import { provedAmong } from '#shared/grant-revocation/open-ports.ts';

test('a link that is merely asserted shares no grant; a proved one does', async () => {
  const { links } = openMemoryDirectory();
  const identity = { fpType: 'google', fpName: 'g_2', sid: '1' };
  const link = { ...identity, subject: 'eve', audit: { actor: 'subject:eve', requestId: 'r' } };
  const isStillLinked = provedAmong(links);
  expect(await isStillLinked([identity], 1000)).toBe(false);
  await links.link({ ...link, evidence: 'asserted' });
  expect(await isStillLinked([identity], 1000)).toBe(false);
  await links.link({ ...link, evidence: 'proved' });
  expect(await isStillLinked([identity], 1000)).toBe(true);
  expect(await isStillLinked([{ ...identity, fpName: 'g_3' }], 1000)).toBe(false);
});
